//! What an upstream has received.

use std::net::SocketAddr;

use crate::harness::http1::{Headers, RequestHead};

/// A request that has arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The method.
    pub method: String,
    /// The request target, byte for byte.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The header fields, in order and as they were spelled.
    pub headers: Headers,
    /// The body, without its framing; empty when it went into a sink.
    pub body: Vec<u8>,
    /// How many bytes the body has, stored or not.
    pub body_length: u64,
    /// The SHA-256 of a body that went into a sink and arrived completely, in hexadecimal.
    pub body_sha256: Option<String>,
    /// The fields after a chunked body.
    pub trailers: Headers,
    /// Whether all of it has arrived.
    pub complete: bool,
    /// The connection it came on, counted from 0.
    pub connection: usize,
}

impl Recorded {
    pub(super) fn new(head: RequestHead, connection: usize) -> Self {
        let RequestHead { method, target, version, headers } = head;
        Self {
            method,
            target,
            version,
            headers,
            body: Vec::new(),
            body_length: 0,
            body_sha256: None,
            trailers: Headers::default(),
            complete: false,
            connection,
        }
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of the only field with this name; fails the test when there are two.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

/// The record of one upstream.
#[derive(Default)]
pub(super) struct Record {
    requests: Vec<Recorded>,
    /// How many requests were taken, so that a number that was given out still finds its request, or knows it is gone.
    taken: usize,
    connections: Vec<Received>,
    violations: Vec<String>,
    failed_handshakes: Vec<String>,
    server_names: Vec<Option<String>>,
}

struct Received {
    peer: SocketAddr,
    bytes: Vec<u8>,
    /// How many of the bytes were there at the last `take`.
    taken: usize,
    open: bool,
}

impl Record {
    pub(super) fn open(&mut self, peer: SocketAddr) -> usize {
        self.connections.push(Received { peer, bytes: Vec::new(), taken: 0, open: true });
        self.connections.len() - 1
    }

    pub(super) fn close(&mut self, connection: usize) {
        self.connections[connection].open = false;
    }

    pub(super) fn received(&mut self, connection: usize, bytes: &[u8]) {
        self.connections[connection].bytes.extend_from_slice(bytes);
    }

    pub(super) fn failed_handshake(&mut self, connection: usize, text: String) {
        self.failed_handshakes.push(text);
        self.close(connection);
    }

    pub(super) fn violated(&mut self, connection: usize, text: &str) {
        let Received { peer, bytes, .. } = &self.connections[connection];
        self.violations.push(format!("{text}; from {peer}: {}", bytes.escape_ascii()));
    }

    /// Adds a request and returns its number.
    pub(super) fn begin(&mut self, request: Recorded) -> usize {
        self.requests.push(request);
        self.taken + self.requests.len() - 1
    }

    /// The request with this number, unless it was taken.
    pub(super) fn request(&mut self, number: usize) -> Option<&mut Recorded> {
        self.requests.get_mut(number.checked_sub(self.taken)?)
    }

    pub(super) fn requests(&self) -> &[Recorded] {
        &self.requests
    }

    pub(super) fn take(&mut self) -> Vec<Recorded> {
        self.taken += self.requests.len();
        for connection in &mut self.connections {
            connection.taken = connection.bytes.len();
        }
        std::mem::take(&mut self.requests)
    }

    pub(super) fn unread(&self) -> Vec<u8> {
        self.connections.iter().flat_map(|received| &received.bytes[received.taken..]).copied().collect()
    }

    pub(super) fn bytes(&self) -> Vec<Vec<u8>> {
        self.connections.iter().map(|received| received.bytes.clone()).collect()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn open_connections(&self) -> usize {
        self.connections.iter().filter(|received| received.open).count()
    }

    pub(super) fn named(&mut self, name: Option<&str>) {
        self.server_names.push(name.map(str::to_owned));
    }

    pub(super) fn server_names(&self) -> &[Option<String>] {
        &self.server_names
    }

    pub(super) fn failed_handshakes(&self) -> &[String] {
        &self.failed_handshakes
    }

    pub(super) fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }
}
