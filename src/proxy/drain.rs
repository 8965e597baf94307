//! Ending without cutting anybody off: no new connections, no new requests on old ones, and a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pingora::server::ShutdownWatch;
use prometheus::IntGauge;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// Whether the process is ending, and how many connections are still open. Clones share their state.
#[derive(Clone)]
pub(super) struct Drain {
    /// Whether `/readyz` says that the process is shutting down. True before `begun`, so that load balancers hear of it
    /// while the listeners still accept.
    announced: Arc<AtomicBool>,
    begun: Arc<watch::Sender<bool>>,
    connections: Arc<Connections>,
}

struct Connections {
    open: AtomicUsize,
    /// What else has to end first.
    held: AtomicUsize,
    gauge: IntGauge,
    closed: Notify,
}

/// An open connection; dropping it closes the account.
pub(super) struct OpenConnection(Arc<Connections>);

/// Something beside the connections of clients that has to end before the process does; dropping it lets go.
pub(super) struct Held(Arc<Connections>);

/// How long a connection without a request stays open after the end has begun. A client that was about to use it gets
/// its answer, with the word to come back on another connection.
const LINGER: Duration = Duration::from_secs(1);

impl Drain {
    pub(super) fn new(gauge: IntGauge) -> Self {
        let connections = Connections { open: 0.into(), held: 0.into(), gauge, closed: Notify::new() };
        Self {
            announced: Arc::default(),
            begun: Arc::new(watch::channel(false).0),
            connections: Arc::new(connections),
        }
    }

    /// Makes `/readyz` say that the process is shutting down. Requests are served as before until [`Self::begin`].
    pub(super) fn announce(&self) {
        self.announced.store(true, Ordering::Release);
    }

    /// Whether the shutdown was announced.
    pub(super) fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Acquire)
    }

    /// Begins the end.
    pub(super) fn begin(&self) {
        self.announce();
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

    /// Holds up the end of the process, though not beyond its deadline.
    pub(super) fn hold(&self) -> Held {
        self.connections.held.fetch_add(1, Ordering::AcqRel);
        Held(self.connections.clone())
    }

    /// Waits until every connection is closed and nothing else is held; `false` when `deadline` comes first.
    pub(super) async fn finished(&self, deadline: Duration) -> bool {
        let all_closed = async {
            loop {
                let closed = self.connections.closed.notified();
                // Whoever accepts is held until it has counted what it has accepted, so this order matters.
                let held = self.connections.held.load(Ordering::Acquire);
                if held == 0 && self.connections.open.load(Ordering::Acquire) == 0 {
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

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
        self.0.closed.notify_waiters();
    }
}
