//! Ending without cutting anybody off: no new connections, no new requests on old ones, and a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora::server::ShutdownWatch;
use prometheus::IntGauge;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// Whether the process is ending, and how many connections are still open. Clones share their state.
#[derive(Clone)]
pub(super) struct Drain {
    begun: Arc<watch::Sender<bool>>,
    connections: Arc<Connections>,
}

struct Connections {
    open: AtomicUsize,
    gauge: IntGauge,
    closed: Notify,
}

/// An open connection; dropping it closes the account.
pub(super) struct OpenConnection(Arc<Connections>);

/// How long a connection without a request stays open after the end has begun. A client that was about to use it gets
/// its answer, with the word to come back on another connection.
const LINGER: Duration = Duration::from_secs(1);

impl Drain {
    pub(super) fn new(gauge: IntGauge) -> Self {
        let connections = Connections { open: AtomicUsize::new(0), gauge, closed: Notify::new() };
        Self { begun: Arc::new(watch::channel(false).0), connections: Arc::new(connections) }
    }

    /// Begins the end.
    pub(super) fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// Whether the end has begun.
    pub(super) fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Turns true when the end begins.
    pub(super) fn watch(&self) -> ShutdownWatch {
        self.begun.subscribe()
    }

    /// Counts a connection, unless `most` are open already.
    pub(super) fn enter(&self, most: usize) -> Option<OpenConnection> {
        let connections = &self.connections;
        if connections.open.fetch_add(1, Ordering::AcqRel) >= most {
            connections.open.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        connections.gauge.inc();
        Some(OpenConnection(connections.clone()))
    }

    /// Resolves when a connection without a request should be closed because the process is ending.
    pub(super) async fn lingered(&self) {
        let mut begun = self.begun.subscribe();
        // The sender lives as long as this does, so waiting cannot fail.
        let _ = begun.wait_for(|begun| *begun).await;
        sleep(LINGER).await;
    }

    /// Waits until every connection is closed; `false` when `deadline` comes first.
    pub(super) async fn finished(&self, deadline: Duration) -> bool {
        let all_closed = async {
            loop {
                let closed = self.connections.closed.notified();
                if self.connections.open.load(Ordering::Acquire) == 0 {
                    return;
                }
                closed.await;
            }
        };
        timeout(deadline, all_closed).await.is_ok()
    }

    /// How many connections are open.
    pub(super) fn open(&self) -> usize {
        self.connections.open.load(Ordering::Acquire)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.gauge.dec();
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.closed.notify_waiters();
    }
}
