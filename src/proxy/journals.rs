//! The access log and the audit log while the process runs: the threads that write them, where they go, and SIGUSR1, on
//! which files are opened anew.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use arc_swap::ArcSwap;
use log::warn;
use tokio::signal::unix::Signal;

use super::succession;
use crate::clock::Clock;
use crate::config::Configuration;
use crate::config::logs::Logs;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::audit::Audit;
use crate::telemetry::journal::{Destination, Journal, Output};
use crate::telemetry::metrics::Metrics;

/// Both logs, on their way to where they are kept.
pub(super) struct Journals {
    access: Journal,
    audit: Journal,
}

/// The threads that write.
pub(super) struct Writers(Receiver<()>);

/// Where lines go from now on; nothing where that does not change.
#[derive(Default)]
pub(super) struct Outputs {
    access: Option<Output>,
    audit: Option<Output>,
}

/// A log cannot be written where the policy says.
#[derive(Debug, thiserror::Error)]
#[error("the {log} cannot be written to {to}: {error}")]
pub struct LogError {
    log: &'static str,
    to: String,
    error: std::io::Error,
}

/// How long the end waits for the last lines to be taken: a pipe that nobody reads takes none, ever.
const LAST_LINES: Duration = Duration::from_secs(2);

impl Journals {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            access: Journal::new("access log", metrics.access_log_dropped.clone()),
            audit: Journal::new("audit log", metrics.audit_log_dropped.clone()),
        }
    }

    pub(super) fn access_log(&self) -> AccessLog {
        AccessLog(self.access.clone())
    }

    pub(super) fn audit(&self, clock: &Clock) -> Audit {
        Audit::new(self.audit.clone(), clock.clone())
    }

    /// Starts the threads that write.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn start(&self) -> std::io::Result<Writers> {
        let (done, written) = channel();
        for (name, journal) in [("access-log", &self.access), ("audit-log", &self.audit)] {
            let (journal, done) = (journal.clone(), done.clone());
            let writing = move || {
                journal.write_out();
                drop(done);
            };
            std::thread::Builder::new().name(name.to_owned()).spawn(writing)?;
        }
        Ok(Writers(written))
    }

    /// Sends lines where they belong from now on.
    pub(super) fn turn_to(&self, outputs: Outputs) {
        let Outputs { access, audit } = outputs;
        for (journal, output) in [(&self.access, access), (&self.audit, audit)] {
            if let Some(output) = output {
                journal.turn_to(output);
            }
        }
    }

    /// Opens files anew on each signal, for as long as it is polled.
    pub(super) async fn reopen_on(&self, mut signal: Signal, configuration: &ArcSwap<Configuration>) {
        while signal.recv().await.is_some() {
            self.reopen(&configuration.load());
            succession::pass_on(rustix::process::Signal::USR1);
        }
    }

    /// Opens files anew, by their names. One that has become a file of the policy meanwhile, or that of the other log, is
    /// refused as it is when the policy is read.
    pub(super) fn reopen(&self, configuration: &Configuration) {
        let Logs { access, audit } = &configuration.logs;
        for (journal, other) in [(&self.access, audit), (&self.audit, access)] {
            let mut taken: Vec<PathBuf> = configuration.files.iter().cloned().collect();
            taken.extend(other.path());
            journal.reopen(taken);
        }
    }

    /// Waits for the last lines to be written, but not for ever.
    pub(super) fn end(&self, Writers(written): &Writers) {
        self.access.close();
        self.audit.close();
        if written.recv_timeout(LAST_LINES) == Err(RecvTimeoutError::Timeout) {
            warn!("a log is not taken: its last lines are lost");
        }
    }
}

impl Outputs {
    /// Opens what `logs` says and `before` did not.
    ///
    /// # Errors
    /// What cannot be opened.
    pub(super) fn open(before: Option<&Logs>, logs: &Logs) -> Result<Self, LogError> {
        let Logs { access, audit } = logs;
        let open = |log, now: &Destination, before: Option<&Destination>| {
            if before == Some(now) {
                return Ok(None);
            }
            now.open().map(Some).map_err(|error| LogError { log, to: now.to_string(), error })
        };
        Ok(Self {
            access: open("access log", access, before.map(|before| &before.access))?,
            audit: open("audit log", audit, before.map(|before| &before.audit))?,
        })
    }
}
