//! Where the servers of the harness run: on one runtime of their own, so that they go on answering while a test blocks
//! its own thread, and so that they can be started and dropped from anywhere.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The runtime of the servers; lives as long as the process.
pub fn servers() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(2).thread_name("harness").enable_all().build().unwrap()
    })
}

/// Something that runs in the background until this is dropped.
pub struct Task(JoinHandle<()>);

impl Task {
    /// Starts `future` on the runtime of the servers.
    pub fn start(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(servers().spawn(future))
    }

    /// Ends it, and returns when everything that it owned is gone.
    pub async fn end(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
