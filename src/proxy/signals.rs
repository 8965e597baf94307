//! Signals: TERM and INT end the process, HUP reloads the policy, USR1 opens the files of logs anew, USR2 replaces the
//! process by a new one.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use log::{error, info, warn};
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::ServeError;
use super::shared::Shared;
use super::succession::{self, Estate, Successor, Turn};
use super::supervisor;
use super::workers::Ended;
use crate::telemetry::audit::Event;

/// The signals that the process listens to.
pub(super) struct Signals {
    pub(super) process: ProcessSignals,
    pub(super) hangup: Signal,
    pub(super) reopen: Signal,
}

/// The signals that end or replace the process.
pub(super) struct ProcessSignals {
    terminate: Signal,
    interrupt: Signal,
    replace: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// SIGTERM: shut down, after load balancers had time to hear of it.
    Terminate,
    /// SIGINT: shut down at once. It comes from a terminal, where no load balancer is involved.
    Interrupt,
    /// SIGUSR2: hand over to a new process.
    Replace,
}

/// Why the process shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Another process serves in its place.
    Replaced,
    /// A signal that asks for a delay.
    Terminated,
    /// Whatever cannot wait.
    Immediate,
}

impl Signals {
    /// Listens from now on. A signal that comes before anybody waits for it is kept: one that comes while the policy is
    /// still being read is neither lost, as the first process of a container would lose it, nor ends the process without
    /// an exit status.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn listen() -> io::Result<Self> {
        // Listening needs a runtime, waiting is done on those of the services.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _context = runtime.enter();
        let process = ProcessSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            replace: signal(SignalKind::user_defined2())?,
        };
        Ok(Self {
            process,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }
}

impl ProcessSignals {
    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Terminate,
            _ = self.interrupt.recv() => Wish::Interrupt,
            _ = self.replace.recv() => Wish::Replace,
        }
    }

    async fn end(&mut self) {
        while self.next().await == Wish::Replace {}
    }
}

/// Waits for the signal to end, and drains before the library hears of it: it would only wait, or cut.
pub(super) struct Ending {
    pub(super) shared: Arc<Shared>,
    /// How long the listeners accept after SIGTERM, while `/readyz` says that the process is shutting down.
    pub(super) delay: Duration,
    pub(super) deadline: Duration,
    pub(super) signals: Mutex<ProcessSignals>,
    /// Whether another process may replace this one although no service manager would know of it.
    pub(super) replaceable: bool,
    /// What this process knows of the one that it replaces.
    pub(super) successor: Mutex<Option<Successor>>,
    /// What a process that replaces this one gets.
    pub(super) estate: Mutex<Option<Estate>>,
    /// When no thread serves any more.
    pub(super) ended: Mutex<Ended>,
    /// Why this process has not come to serve, or does no longer.
    pub(super) failed: Arc<std::sync::Mutex<Option<ServeError>>>,
}

impl Ending {
    /// Opens the gate, at once or when the process that is to be replaced lets go. Returns whether it is open.
    async fn begin(&self, signals: &mut ProcessSignals) -> bool {
        let Some(successor) = self.successor.lock().await.take() else {
            self.shared.gate.turn(Turn::Ours);
            supervisor::serving();
            return true;
        };
        let taken = tokio::select! {
            taken = successor.take_over(&self.shared) => taken,
            () = signals.end() => return false,
        };
        if let Err(error) = taken {
            self.fail(error.into());
            return false;
        }
        true
    }

    fn fail(&self, error: ServeError) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Waits until the process has to shut down: because of a signal, because another process has taken its place, or
    /// because every thread that serves has ended. In the last case the process ends with an error, so that the service
    /// manager starts it again.
    async fn asked(&self, signals: &mut ProcessSignals) -> Cause {
        let mut ended = self.ended.lock().await;
        let cause = loop {
            let wish = tokio::select! {
                wish = signals.next() => wish,
                () = ended.all() => {
                    self.fail(ServeError::Workers);
                    break Cause::Immediate;
                }
            };
            match wish {
                Wish::Terminate => break Cause::Terminated,
                Wish::Interrupt => break Cause::Immediate,
                Wish::Replace => {}
            }
            let estate = self.estate.lock().await;
            let Some(estate) = estate.as_ref() else { continue };
            let handed_over = tokio::select! {
                handed_over = succession::hand_over(estate, &self.shared, self.replaceable) => handed_over,
                () = signals.end() => {
                    warn!("a signal to end comes first: this process is not replaced");
                    break Cause::Immediate;
                }
            };
            match handed_over {
                Ok(process) => {
                    info!("the process {process} serves in place of this one");
                    supervisor::replaced_by(process);
                    return Cause::Replaced;
                }
                Err(error) => error!("not replaced, this process goes on: {error}"),
            }
        };
        supervisor::ending();
        cause
    }

    /// Lets load balancers hear that the process shuts down, before its listeners close. A second signal ends the wait.
    async fn announce(&self, signals: &mut ProcessSignals) {
        self.shared.drain.announce();
        if self.delay.is_zero() {
            return;
        }
        info!("shutting down: /readyz returns 503, the listeners close in {} s", self.delay.as_secs_f64());
        let mut ended = self.ended.lock().await;
        tokio::select! {
            () = sleep(self.delay) => {}
            () = signals.end() => info!("a second signal ends the delay"),
            () = ended.all() => self.fail(ServeError::Workers),
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Ending {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await;
        if !self.begin(&mut signals).await {
            return ShutdownSignal::FastShutdown;
        }
        match self.asked(&mut signals).await {
            Cause::Terminated => self.announce(&mut signals).await,
            Cause::Replaced | Cause::Immediate => {}
        }
        // Nobody is to wait in a queue that is no longer looked at.
        drop(self.estate.lock().await.take());
        self.shared.audit.record(&Event::Stopping { connections: self.shared.drain.open() });
        // Said when it is so: whoever reads it may rely on it.
        self.shared.drain.begin();
        info!("draining: {} connections are open", self.shared.drain.open());
        tokio::select! {
            finished = self.shared.drain.finished(self.deadline) => {
                if finished {
                    info!("drained");
                } else {
                    warn!("the deadline ends {} connections", self.shared.drain.open());
                }
            }
            () = signals.end() => {
                warn!("a second signal ends {} connections", self.shared.drain.open());
            }
        }
        ShutdownSignal::FastShutdown
    }
}
