//! A child process whose output is kept line by line while it runs, and signals.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::panic::Location;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::deadline::{DEADLINE, comes_true, eventually};

/// A signal to send.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// `SIGCONT`.
    Continue,
    /// `SIGHUP`: read the configuration again.
    Hangup,
    /// `SIGINT`, as Ctrl-C.
    Interrupt,
    /// `SIGKILL`.
    Kill,
    /// `SIGUSR2`: let a new process take over.
    Replace,
    /// `SIGSTOP`.
    Stop,
    /// `SIGTERM`: finish and end.
    Terminate,
    /// `SIGUSR1`: open the files of logs anew.
    User1,
}

impl Signal {
    /// Its number on Linux, on every processor that tests run on.
    fn number(self) -> u32 {
        match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Kill => 9,
            Self::User1 => 10,
            Self::Replace => 12,
            Self::Terminate => 15,
            Self::Continue => 18,
            Self::Stop => 19,
        }
    }
}

/// Sends a signal to a process that this test started.
pub fn signal(pid: u32, signal: Signal) {
    use rustix::process::Signal as System;
    let system = match signal {
        Signal::Continue => System::CONT,
        Signal::Hangup => System::HUP,
        Signal::Interrupt => System::INT,
        Signal::Kill => System::KILL,
        Signal::Replace => System::USR2,
        Signal::Stop => System::STOP,
        Signal::Terminate => System::TERM,
        Signal::User1 => System::USR1,
    };
    let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    let sent = rustix::process::kill_process(process, system);
    assert!(sent.is_ok(), "the process {pid} cannot be sent {signal:?}: {sent:?}");
}

/// Lines that a process has written so far, and those to come.
#[derive(Clone)]
pub struct Lines(Arc<Kept>);

struct Kept {
    lines: Mutex<Vec<String>>,
    /// Says that there are more, or that there will be no more.
    changed: watch::Sender<()>,
}

impl Lines {
    /// Reads `output` to its end on a thread of its own.
    fn of(output: impl Read + Send + 'static) -> (Self, thread::JoinHandle<()>) {
        let kept = Self(Arc::new(Kept { lines: Mutex::default(), changed: watch::Sender::new(()) }));
        let lines = kept.clone();
        let reader = thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                line.clear();
                lines.0.lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                lines.0.changed.send_replace(());
            }
        });
        (kept, reader)
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The lines from the one with this number on.
    pub fn since(&self, first: usize) -> Vec<String> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)[first..].to_vec()
    }

    /// All lines as one text; each ends with `\n`.
    pub fn text(&self) -> String {
        let mut text = self.since(0).join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }

    /// Waits for a line, from the one with this number on, of which `find` makes something.
    #[track_caller]
    pub fn wait_for<T>(
        &self,
        what: &str,
        first: usize,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> impl Future<Output = T> {
        let caller = Location::caller();
        let mut changed = self.0.changed.subscribe();
        async move {
            let mut at = first;
            let found = async {
                loop {
                    changed.borrow_and_update();
                    for line in self.since(at) {
                        at += 1;
                        if let Some(found) = find(&line) {
                            return found;
                        }
                    }
                    let _ = changed.changed().await;
                }
            };
            let found = tokio::time::timeout(DEADLINE, found).await;
            let shown = || self.since(first).join("\n");
            found.unwrap_or_else(|_| panic!("{caller}: waited in vain for {what} in:\n{}", shown()))
        }
    }
}

/// Marks processes in their environment, so that those are found that were started by a process of this test.
const MARK: &str = "STARTED_BY_TEST";

/// How many were started.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// Kills every process that has this in its environment.
fn kill_marked(mark: &str) {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(process) = number.and_then(rustix::process::Pid::from_raw) else { continue };
        // It may be gone by now, or somebody else's.
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    }
}

/// A running process.
pub struct Process {
    child: Mutex<Child>,
    pid: u32,
    /// What its environment has, and that of whatever it starts.
    mark: String,
    /// Whether it was asked to let another one take over, which nobody waits for then.
    replaced: AtomicBool,
    readers: Mutex<Vec<thread::JoinHandle<()>>>,
    /// What it writes to standard output.
    pub stdout: Lines,
    /// What it writes to standard error.
    pub stderr: Lines,
}

impl Process {
    /// Starts a command with nothing on its standard input.
    pub fn start(command: &mut Command) -> Self {
        Self::start_writing_to(Stdio::piped(), command)
    }

    /// Starts a command that writes its standard output there; of that, only what goes into a pipe of this process's own
    /// is kept.
    pub fn start_writing_to(stdout: Stdio, command: &mut Command) -> Self {
        Self::start_between(Stdio::null(), stdout, command)
    }

    /// Starts a command that has this as its standard input.
    pub fn start_reading(stdin: Stdio, command: &mut Command) -> Self {
        Self::start_between(stdin, Stdio::piped(), command)
    }

    fn start_between(stdin: Stdio, stdout: Stdio, command: &mut Command) -> Self {
        let mark = format!("{MARK}={}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let (name, value) = mark.split_once('=').unwrap();
        let mut child = command
            .env(name, value)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let (stdout, out) = match child.stdout.take() {
            Some(output) => Lines::of(output),
            None => Lines::of(std::io::empty()),
        };
        let (stderr, err) = Lines::of(child.stderr.take().unwrap());
        let pid = child.id();
        let (child, readers) = (Mutex::new(child), Mutex::new(vec![out, err]));
        Self { child, pid, mark, replaced: AtomicBool::new(false), readers, stdout, stderr }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        self.replaced.fetch_or(matches!(which, Signal::Replace), Ordering::Relaxed);
        signal(self.pid, which);
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().unwrap()
    }

    /// Waits until it has ended, whoever else may go on writing in its place.
    #[track_caller]
    pub fn gone(&self) -> impl Future<Output = ExitStatus> {
        eventually("the end of the process", || self.ended())
    }

    /// Waits until it has ended and everything that it wrote has been read.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = ExitStatus> {
        eventually("the end of the process", || {
            let status = self.ended()?;
            let read = |readers: &mut Vec<thread::JoinHandle<()>>| {
                readers.iter().all(thread::JoinHandle::is_finished)
            };
            read(&mut self.readers.lock().unwrap()).then_some(status)
        })
    }

    /// Kills it and those that have replaced it, and returns when it is gone and everything that it wrote has been read.
    pub fn kill(&self) {
        {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.replaced.load(Ordering::Relaxed) {
            kill_marked(&self.mark);
        }
        // Something that it started might still hold its output open: that is not worth waiting for.
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        comes_true(Duration::from_secs(1), || readers.iter().all(thread::JoinHandle::is_finished));
    }

    /// Memory that is resident, in bytes (`VmRSS`).
    pub fn rss_bytes(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Processor time that it has used, in user and system mode, in steps of 10 ms.
    pub fn cpu_time(&self) -> Duration {
        let stat = self.proc("stat");
        // The name in parentheses may contain anything; utime and stime are fields 14 and 15 of the line.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Whether it has something to do on each of these signals other than to end (`SigCgt`).
    pub fn catches(&self, signals: &[Signal]) -> bool {
        let status = self.proc("status");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        signals.iter().all(|signal| caught >> (signal.number() - 1) & 1 == 1)
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap().count()
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// Its exit status; fails the test when a signal ended it.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// Fails the test, showing what was written, unless it ended with 0.
    #[track_caller]
    pub fn assert_success(&self) -> &Self {
        assert!(self.status.success(), "{self:#?}");
        self
    }
}

/// Runs a command to its end.
pub async fn run(command: &mut Command) -> Finished {
    let process = Process::start(command);
    let status = process.wait().await;
    Finished { status, stdout: process.stdout.text(), stderr: process.stderr.text() }
}

/// Runs the gateway's binary with these arguments, in an empty environment.
pub async fn portcullis<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Finished {
    run(portcullis_command().args(arguments)).await
}

/// How long a gateway keeps accepting after SIGTERM. Tests have no load balancer that has to hear of it, except those that
/// say so.
pub const DRAIN_DELAY: &str = "PORTCULLIS_DRAIN_DELAY";

/// The gateway's binary in an otherwise empty environment, for tests that add to it: `run(portcullis_command().env(…))`.
pub fn portcullis_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().env(DRAIN_DELAY, "0s");
    command
}
