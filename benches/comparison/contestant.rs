//! A gateway that takes part, or the reason why it does not.

use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::work::Work;
use super::{cores, process};

pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    state: Result<Running, String>,
    lacks: &'static [(Work, &'static str)],
}

/// A gateway that runs.
pub(crate) struct Running {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) version: String,
}

impl Contestant {
    /// Starts a gateway that listens on `address`; its version is the first that `version` prints.
    pub(crate) fn start(
        name: &'static str,
        program: impl AsRef<OsStr>,
        version: &str,
        arguments: &[&str],
        address: SocketAddr,
    ) -> Self {
        let program = program.as_ref();
        let start = |version| Running::start(cores::apart(program).args(arguments), address, version);
        Self { name, state: version_of(Command::new(program).arg(version)).and_then(start), lacks: &[] }
    }

    /// What it cannot do, and why.
    pub(crate) fn lacks(mut self, lacks: &'static [(Work, &'static str)]) -> Self {
        self.lacks = lacks;
        self
    }

    /// The running gateway, if it does this work.
    pub(crate) fn does(&self, work: Work) -> Result<&Running, &str> {
        match self.lacks.iter().find(|(lacked, _)| *lacked == work) {
            Some((_, why)) => Err(why),
            None => self.state.as_ref().map_err(String::as_str),
        }
    }

    /// Its name and, if it runs, its version.
    pub(crate) fn title(&self) -> String {
        let (name, variant) = self.name.split_once(", ").unwrap_or((self.name, ""));
        let version = self.state.as_ref().map_or("", |running| &running.version);
        [name, version, variant].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
    }
}

impl Running {
    fn start(command: &mut Command, address: SocketAddr, version: String) -> Result<Self, String> {
        let mut log = tempfile::tempfile().expect("a file");
        let process = command
            .stdout(Stdio::null())
            .stderr(log.try_clone().expect("a file"))
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut running = Self { process, address, version };
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            let ended = running.process.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                let mut said = String::new();
                let _ = log.rewind().and_then(|()| log.read_to_string(&mut said));
                return Err(format!("it did not start ({status}): {}", said.replace('\n', " ")));
            }
            if Instant::now() > end {
                return Err("it does not listen".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// User and system time of all its processes so far.
    pub(crate) fn processor_time(&self) -> Duration {
        process::processor_time(self.process.id()).expect("a process that runs")
    }
}

impl Drop for Running {
    /// Asked to end, because a master that is killed leaves its workers behind.
    fn drop(&mut self) {
        let process = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        if let Some(process) = process {
            let _ = kill_process(process, Signal::TERM);
        }
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first thing in what a command prints that looks like a version.
fn version_of(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|_| {
        format!("`{}` is not installed: `scripts/install bench`", command.get_program().to_string_lossy())
    })?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let mut words = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
    words
        .find(|word| word.split('.').count() >= 3)
        .map(str::to_owned)
        .ok_or_else(|| "it has no version".to_owned())
}
