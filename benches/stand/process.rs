//! The gateway's process, and what the operating system says of it.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub(crate) struct Gateway {
    process: Child,
    address: SocketAddr,
}

impl Gateway {
    /// Starts `binary` and waits until it listens.
    pub(crate) fn start(binary: impl AsRef<OsStr>, threads: usize, configuration: &Path) -> Self {
        let mut process = Command::new(binary)
            .args(["run", "--threads", &threads.to_string(), "--config"])
            .arg(configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a gateway");
        let mut lines = BufReader::new(process.stderr.take().expect("its log")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split("listening on ").nth(1)?.split(' ').next()?.parse().ok())
            .expect("an address");
        // What else it logs must not fill the pipe.
        std::thread::spawn(move || lines.count());
        Self { process, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets it read its policy again.
    pub(crate) fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Lets it end as an operator would, and waits for that.
    pub(crate) fn end(mut self) {
        self.signal(Signal::TERM);
        let status = self.process.wait().expect("a process");
        assert!(status.success(), "the gateway ended with {status}");
    }

    fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(process, signal).expect("a process that runs");
    }

    /// How much of the process is in memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = account(self.process.id(), "status").expect("an account");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// User and system time of the process so far.
    pub(crate) fn processor_time(&self) -> Duration {
        processor_time(self.process.id()).expect("an account")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The gateway that is measured: the one that `PORTCULLIS_BINARY` names, or else the one that was built.
pub(crate) fn binary() -> OsString {
    std::env::var_os("PORTCULLIS_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis").into())
}

/// User and system time of a process and of all that it has started and that still run.
pub(crate) fn processor_time(root: u32) -> Option<Duration> {
    let mut ticks = Stat::of(root)?.ticks;
    let mut family = vec![root];
    let everybody: Vec<(u32, Stat)> = std::fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, Stat::of(process)?)))
        .collect();
    while let Some(parent) = family.pop() {
        for (process, stat) in everybody.iter().filter(|(_, stat)| stat.parent == parent) {
            ticks += stat.ticks;
            family.push(*process);
        }
    }
    // Linux tells programs of hundredths of a second, whatever it counts itself.
    Some(Duration::from_millis(ticks * 10))
}

/// What `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    /// User and system time.
    ticks: u64,
}

impl Stat {
    fn of(process: u32) -> Option<Self> {
        let stat = account(process, "stat")?;
        // After the name in parentheses, the parent is the second field, and the times are the 12th and the 13th.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks: number(11)? + number(12)? })
    }
}

/// What the operating system writes about a process in the file `name`.
fn account(process: u32, name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{process}/{name}")).ok()
}
