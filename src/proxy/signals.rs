//! Signals: TERM and INT end the process, HUP reloads the policy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use log::{info, warn};
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

use super::shared::Shared;

/// The signals that the process listens to.
pub(super) struct Signals {
    pub(super) end: EndSignals,
    pub(super) hangup: Signal,
}

/// The signals that end the process.
pub(super) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
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
        let end = EndSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        Ok(Self { end, hangup: signal(SignalKind::hangup())? })
    }
}

impl EndSignals {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for the signal to end, and drains before the library hears of it: it would only wait, or cut.
pub(super) struct Ending {
    pub(super) shared: Arc<Shared>,
    pub(super) deadline: Duration,
    pub(super) signals: Mutex<EndSignals>,
}

#[async_trait]
impl ShutdownSignalWatch for Ending {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await;
        signals.recv().await;
        info!("draining: {} connections are open", self.shared.drain.open());
        self.shared.drain.begin();
        tokio::select! {
            finished = self.shared.drain.finished(self.deadline) => {
                if finished {
                    info!("drained");
                } else {
                    warn!("the deadline ends {} connections", self.shared.drain.open());
                }
            }
            () = signals.recv() => {
                warn!("a second signal ends {} connections", self.shared.drain.open());
            }
        }
        ShutdownSignal::FastShutdown
    }
}
