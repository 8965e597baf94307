//! Signals: TERM and INT end the process, HUP reloads the policy.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use log::{info, warn};
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::shared::Shared;

/// Waits for the signal to end, and drains before the library hears of it: it would only wait, or cut.
pub(super) struct Ending {
    pub(super) shared: Arc<Shared>,
    pub(super) deadline: Duration,
}

#[async_trait]
impl ShutdownSignalWatch for Ending {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            warn!("signals cannot be received: the process can only be killed");
            return std::future::pending().await;
        };
        either(&mut terminate, &mut interrupt).await;
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
            () = either(&mut terminate, &mut interrupt) => {
                warn!("a second signal ends {} connections", self.shared.drain.open());
            }
        }
        ShutdownSignal::FastShutdown
    }
}

async fn either(first: &mut Signal, second: &mut Signal) {
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}
