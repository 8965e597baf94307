//! Threads for what takes long and must not hold up requests.

use std::io;

use tokio::sync::oneshot;

/// How far work stands back that nobody waits for, as a nice value: where cores are scarce, it gets a tenth of one.
const UPKEEP: i32 = 10;

/// The same for work that somebody waits for, while others want no more than to be let through: a quarter of one.
const HASHING: i32 = 5;

/// Runs `work` on a thread of its own that stands back for those who serve.
///
/// # Errors
/// The thread cannot be started, or `work` panicked.
pub(super) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, outcome) = oneshot::channel();
    let working = move || {
        stand_back(UPKEEP);
        let _ = done.send(work());
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(working)?;
    outcome.await.map_err(io::Error::other)
}

/// Starts a thread that hashes passwords. A hash takes milliseconds, and those who are let in already do not wait for it.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn start_hashing(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let working = move || {
        stand_back(HASHING);
        work();
    };
    std::thread::Builder::new().name(name).spawn(working).map(|_| ())
}

/// Lets other threads go first. It is no loss where that is not possible.
fn stand_back(nice: i32) {
    // On Linux a nice value is that of a thread, and elsewhere that of the whole process.
    if cfg!(target_os = "linux") {
        let _ = rustix::process::setpriority_process(None, nice);
    }
}
