//! What is known of a connection, for every request that comes on it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Context;
use std::time::{Duration, Instant};

use pingora::protocols::http::ServerSession;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::listeners::ListenerKind;
use crate::request::Connection;

/// Facts of a connection, shared by the requests on it.
pub(super) struct Facts {
    /// Peer, transport and client certificate.
    pub(super) connection: Connection,
    /// What is spoken on the listener.
    pub(super) listener: ListenerKind,
    /// The name that the client asked for in the TLS handshake, in lower case.
    pub(super) server_name: Option<String>,
    opened: Instant,
    /// When the current request began, in microseconds since `opened`; for HTTP/1 only.
    request_began: AtomicU64,
    upgraded: AtomicBool,
    lease: Mutex<Option<Lease>>,
}

/// How long an upgraded connection may go on: as long as its credential is good.
pub(super) struct Lease {
    holds: Box<dyn Fn() -> bool + Send + Sync>,
    ticks: Interval,
}

/// How often a lease is looked at.
const LEASE_CHECK: Duration = Duration::from_millis(250);

impl Facts {
    pub(super) fn new(connection: Connection, listener: ListenerKind, server_name: Option<String>) -> Self {
        Self {
            connection,
            listener,
            server_name,
            opened: Instant::now(),
            request_began: AtomicU64::new(0),
            upgraded: AtomicBool::new(false),
            lease: Mutex::new(None),
        }
    }

    /// The facts of the connection that `session` is on.
    pub(super) fn of(session: &ServerSession) -> Option<&std::sync::Arc<Self>> {
        session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }

    /// Notes that the first byte of a request has arrived.
    pub(super) fn begin_request(&self) {
        let since = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.request_began.store(since, Ordering::Relaxed);
    }

    /// When the current request on an HTTP/1 connection began.
    pub(super) fn request_began(&self) -> Instant {
        self.opened + Duration::from_micros(self.request_began.load(Ordering::Relaxed))
    }

    /// Whether the upstream has agreed to speak another protocol.
    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
    }

    /// Notes that the upstream has agreed to speak another protocol, for as long as `holds` says so.
    pub(super) fn upgrade(&self, holds: Box<dyn Fn() -> bool + Send + Sync>) {
        let mut ticks = interval(LEASE_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(Lease { holds, ticks });
        self.upgraded.store(true, Ordering::Release);
    }

    /// Whether an upgraded connection may go on. The task is woken to look again, even when nobody sends anything.
    pub(super) fn lease_holds(&self, context: &mut Context<'_>) -> bool {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Lease { holds, ticks }) = lease.as_mut() else { return true };
        while ticks.poll_tick(context).is_ready() {
            if !holds() {
                return false;
            }
        }
        true
    }
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Facts").field("connection", &self.connection).finish_non_exhaustive()
    }
}
