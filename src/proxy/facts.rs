//! What is known of a connection, for every request that comes on it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pingora::protocols::http::ServerSession;

use super::downstream::Downstream;
use super::upgrade::Upgrade;
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
    /// Whether the current request asks for another protocol; for HTTP/1 only.
    asks_for_upgrade: AtomicBool,
    /// How far it has come on its way to another protocol; for HTTP/1 only.
    pub(super) upgrade: Upgrade,
    /// How many requests its client has taken back soon after it had made them.
    taken_back: AtomicU32,
    /// The connection itself, once the HTTP library is done with it; for HTTP/1 only.
    given_back: Mutex<Option<Box<Downstream>>>,
}

impl Facts {
    pub(super) fn new(connection: Connection, listener: ListenerKind, server_name: Option<String>) -> Self {
        Self {
            connection,
            listener,
            server_name,
            opened: Instant::now(),
            request_began: AtomicU64::new(0),
            asks_for_upgrade: AtomicBool::new(false),
            upgrade: Upgrade::default(),
            taken_back: AtomicU32::new(0),
            given_back: Mutex::new(None),
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

    /// Notes whether the request whose head has been read asks for another protocol.
    pub(super) fn accept_head(&self, asks_for_upgrade: bool) {
        self.asks_for_upgrade.store(asks_for_upgrade, Ordering::Relaxed);
    }

    /// Whether the current request asks for another protocol, in every way in which that has to be said.
    pub(super) fn asks_for_upgrade(&self) -> bool {
        self.asks_for_upgrade.load(Ordering::Relaxed)
    }

    /// Notes that the client did not wait for its answer.
    pub(super) fn take_back(&self) {
        self.taken_back.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests were taken back.
    pub(super) fn taken_back(&self) -> u32 {
        self.taken_back.load(Ordering::Relaxed)
    }

    /// Keeps the connection, with which the HTTP library is done.
    pub(super) fn give_back(&self, connection: Downstream) {
        *self.given_back.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(connection));
    }

    /// The connection, if the HTTP library has given it back.
    pub(super) fn take_connection(&self) -> Option<Box<Downstream>> {
        self.given_back.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// When the current request on an HTTP/1 connection began.
    pub(super) fn request_began(&self) -> Instant {
        self.opened + Duration::from_micros(self.request_began.load(Ordering::Relaxed))
    }
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Facts").field("connection", &self.connection).finish_non_exhaustive()
    }
}
