//! The gateway's process, and what the operating system says of it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

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

    /// How much of the process is in memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = self.account("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// What the operating system writes about the process in the file `name`.
    pub(crate) fn account(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.process.id())).expect("an account")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
