//! A client's connection, as the HTTP library sees it.
//!
//! Over HTTP/1 every request head passes through [`crate::request::head`] before the library gets a single byte of it,
//! and what follows the head is handed over only as far as the head said. Bytes beyond that wait for their own turn, so
//! that a second request in the same packet can never become part of the first; a chunked body is followed to its end by
//! [`crate::request::chunks`]. Over HTTP/2 the bytes pass unchanged.

mod discard;
mod io;
mod wire;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout_at};
use tokio_rustls::server::TlsStream;

pub(super) use wire::Wire;

use super::facts::Facts;
use crate::request::Malformed;
use crate::request::chunks::ChunkReader;
use crate::request::head::{Body, HeadError, HeadLimits, HeadReader};

/// The bytes below HTTP.
#[derive(Debug)]
pub(super) enum Transport {
    /// In the clear.
    Plain(TcpStream),
    /// Over TLS, which is in a box because it is much larger.
    Tls(Box<TlsStream<Wire<TcpStream>>>),
    /// None: the connection was given back; see [`Facts::take_connection`].
    Gone,
}

/// A connection with a client.
#[derive(Debug)]
pub(super) struct Downstream {
    transport: Transport,
    mode: Mode,
    /// Received and not yet handed over.
    inbound: BytesMut,
    /// Written and not yet sent: the head of an answer and its body leave in one record.
    outbound: BytesMut,
    facts: Arc<Facts>,
    digest: Arc<ProxyDigest>,
    /// The client has closed its side, after sending what is in `inbound`.
    ended: bool,
    stall: Stall,
}

/// How long the client has not taken what is sent. The library limits how long it waits for a piece of a body to leave, but
/// not for a head.
#[derive(Debug, Default)]
struct Stall {
    /// How long is too long, if anything is.
    patience: Option<Duration>,
    until: Option<Pin<Box<Sleep>>>,
}

/// What the library may read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing: the request is complete, and whatever arrives belongs to the next one.
    Hold,
    /// Nothing any more: where the last request ends is not known.
    Lost,
    /// This many bytes of a head, and then what follows it.
    Head { rest: usize, then: Body },
    /// This many bytes of a body.
    Length(u64),
    /// A chunked body, as far as its coding is well formed.
    Chunked(ChunkReader),
    /// Whatever arrives: HTTP/2.
    Open,
    /// Whatever arrives once the upstream has agreed to another protocol, and nothing before that.
    Upgrade,
}

/// What came of waiting for a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadOutcome {
    /// The client is gone.
    Closed,
    /// Nothing arrived for too long.
    Idle,
    /// A head is ready to be read.
    Ready,
    /// What arrived is no acceptable head.
    Refused(HeadError),
    /// A head began and did not end in time.
    TimedOut,
}

/// Why the body of a request cannot be read on: an error of the connection, as far as the library is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.code())]
pub(super) struct MalformedBody(pub(super) Malformed);

/// How long to wait for a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadTimes {
    /// Until its first byte.
    pub(super) idle: Duration,
    /// From its first byte to its last.
    pub(super) whole: Duration,
}

/// Heads come in one read, mostly.
const READ_SIZE: usize = 4 << 10;

/// How a client begins to speak HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Downstream {
    pub(super) fn new(transport: Transport, facts: Arc<Facts>) -> Self {
        let user_data: Box<dyn std::any::Any + Send + Sync> = Box::new(facts.clone());
        let digest = ProxyDigest::new(Box::new(unused_head()), Some(user_data));
        Self {
            transport,
            mode: Mode::Hold,
            inbound: BytesMut::new(),
            outbound: BytesMut::new(),
            facts,
            digest: Arc::new(digest),
            ended: false,
            stall: Stall::default(),
        }
    }

    /// Gives up a client that takes nothing of an answer for this long.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.stall.patience = Some(patience);
    }

    /// Hands everything over as it is, for HTTP/2.
    pub(super) fn open(mut self) -> Self {
        self.mode = Mode::Open;
        self
    }

    /// Waits for the preface of HTTP/2 (RFC 9113 §3.4), which whoever has agreed on the protocol sends at once, and says
    /// whether it came. It stays where it is, for the library to read.
    pub(super) async fn preface(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.inbound.len() < PREFACE.len() {
            self.inbound.reserve(READ_SIZE);
            match timeout_at(deadline, self.transport.read_buf(&mut self.inbound)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) | Err(_) => return false,
            }
        }
        self.inbound.starts_with(PREFACE)
    }

    /// Waits for the head of a request and parses it. After [`HeadOutcome::Ready`] the library may read.
    pub(super) async fn head(&mut self, limits: HeadLimits, times: HeadTimes) -> HeadOutcome {
        self.mode = Mode::Hold;
        let mut reader = HeadReader::default();
        let mut deadline = Instant::now() + times.idle;
        let mut begun = false;
        loop {
            if !self.inbound.is_empty() {
                if !begun {
                    begun = true;
                    self.facts.begin_request();
                    deadline = Instant::now() + times.whole;
                }
                match reader.read(&self.inbound, limits) {
                    Ok(Some(head)) => {
                        // What of the body is already here is judged with the head, before anyone is asked.
                        let body = &self.inbound[head.length..];
                        if head.body == Body::Chunked
                            && let Err(malformed) = ChunkReader::default().read(body)
                        {
                            return HeadOutcome::Refused(malformed.into());
                        }
                        self.accept_head(&head);
                        return HeadOutcome::Ready;
                    }
                    Ok(None) => {}
                    Err(error) => return HeadOutcome::Refused(error),
                }
            }
            if self.ended {
                return HeadOutcome::Closed;
            }
            match timeout_at(deadline, self.read_piece(READ_SIZE)).await {
                Ok(Ok(0)) => self.ended = true,
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return HeadOutcome::Closed,
                Err(_) if begun => return HeadOutcome::TimedOut,
                Err(_) => return HeadOutcome::Idle,
            }
        }
    }

    /// Reads up to `room` bytes into `inbound`, or a little more. While nothing arrives there is no buffer.
    async fn read_piece(&mut self, room: usize) -> std::io::Result<usize> {
        let Self { transport, inbound, .. } = self;
        poll_fn(|context| {
            inbound.reserve(room);
            let read = io::poll_read_buf(transport, context, inbound);
            if read.is_pending() && inbound.is_empty() {
                *inbound = BytesMut::new();
            }
            read
        })
        .await
    }

    /// Prepares `inbound` so that the library reads exactly the head, and then what the head announces.
    fn accept_head(&mut self, head: &crate::request::head::Head) {
        let crate::request::head::Head { skip, length, cut, body } = head;
        let mut rest = length - skip;
        let _ = self.inbound.split_to(*skip);
        if let Some(cut) = cut {
            // The target's `http://host` is taken out, which the `Host` field repeats.
            let (start, end) = (cut.start - skip, cut.end - skip);
            self.inbound.copy_within(0..start, end - start);
            let _ = self.inbound.split_to(end - start);
            rest -= end - start;
        }
        self.facts.accept_head(*body == Body::Upgrade);
        self.mode = Mode::Head { rest, then: *body };
    }

    /// Whether a head that was refused is that of a `HEAD`, whose answer has no body.
    pub(super) fn asks_for_head(&self) -> bool {
        let head = self.inbound.strip_prefix(b"\r\n").unwrap_or(&self.inbound);
        head.starts_with(b"HEAD ")
    }

    /// The facts of this connection.
    pub(super) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// Takes the connection out of the library's hands, which keeps an empty one.
    fn give_back(&mut self) {
        if matches!(self.transport, Transport::Gone) {
            return;
        }
        let (facts, digest) = (self.facts.clone(), self.digest.clone());
        let empty = Self {
            transport: Transport::Gone,
            mode: Mode::Hold,
            inbound: BytesMut::new(),
            outbound: BytesMut::new(),
            facts: facts.clone(),
            digest,
            ended: true,
            stall: Stall::default(),
        };
        facts.give_back(std::mem::replace(self, empty));
    }

    /// Gives memory back while nothing is going on.
    pub(super) fn rest(&mut self) {
        if self.inbound.is_empty() {
            self.inbound = BytesMut::new();
        }
        if self.outbound.is_empty() {
            self.outbound = BytesMut::new();
        }
    }
}

/// The library's digest has a place for the answer of a proxy on the way, and there is none.
fn unused_head() -> ResponseHeader {
    ResponseHeader::from(http::Response::new(()).into_parts().0)
}
