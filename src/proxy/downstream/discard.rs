//! The end of an HTTP/1 connection, and the end of a request whose response came before its body.
//!
//! A socket that is closed while bytes are unread is reset, and the reset destroys the response that the client has not
//! read yet (RFC 9112 §9.6). Two ways around that: discard the rest of the body and serve the next request, or close the
//! sending side, discard what comes until the client closes, and then close the socket.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Buf;
use tokio::time::timeout;

use super::io::{CLOSING, poll_read_buf};
use super::{Downstream, Mode, READ_SIZE};
use crate::proxy::discard::{Budget, Discarded};
use crate::request::Malformed;
use crate::request::chunks::ChunkReader;
use crate::request::head::Body;

/// How much is read at once: a record of TLS.
const PIECE: usize = 16 << 10;

impl From<Body> for Mode {
    fn from(body: Body) -> Self {
        match body {
            Body::Chunked => Self::Chunked(ChunkReader::default()),
            Body::Length(0) => Self::Hold,
            Body::Length(length) => Self::Length(length),
            Body::Upgrade => Self::Upgrade,
        }
    }
}

impl Downstream {
    /// Whether the client has not sent the whole body of the last request.
    pub(in crate::proxy) fn is_within_body(&self) -> bool {
        match self.mode {
            Mode::Head { then: Body::Chunked, .. } | Mode::Chunked(_) => true,
            Mode::Head { then: Body::Length(length), .. } | Mode::Length(length) => length > 0,
            Mode::Head { then: Body::Upgrade, .. } | Mode::Hold | Mode::Lost | Mode::Open | Mode::Upgrade => {
                false
            }
        }
    }

    /// Notes that the end of the last request is not known: everything from now on is discarded.
    pub(in crate::proxy) fn lose_framing(&mut self) {
        self.mode = Mode::Lost;
    }

    /// Discards the rest of the last request's body. After [`Discarded::Completed`] the next byte is the first of the next
    /// request; after anything else the connection must be closed.
    pub(in crate::proxy) async fn discard_body(&mut self, budget: &mut Budget) -> Discarded {
        if let Mode::Head { rest, then } = self.mode {
            self.inbound.advance(rest.min(self.inbound.len()));
            self.mode = then.into();
        }
        loop {
            let Ok(skipped) = self.skip_body() else { return Discarded::Aborted };
            if !self.is_within_body() {
                return Discarded::Completed;
            }
            if !budget.spend(skipped) {
                return Discarded::Limit;
            }
            match budget.wait_for(self.read_piece(PIECE)).await {
                None => return Discarded::Timeout,
                Some(Ok(1..)) => {}
                Some(Ok(0) | Err(_)) => {
                    self.ended = true;
                    return Discarded::Aborted;
                }
            }
        }
    }

    /// Drops what has arrived of the body, and returns how many bytes that were.
    fn skip_body(&mut self) -> Result<u64, Malformed> {
        let arrived = self.inbound.len();
        match self.mode {
            Mode::Length(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(arrived);
                self.inbound.advance(count);
                self.mode = Body::Length(left - count as u64).into();
            }
            Mode::Chunked(mut reader) => match reader.read(&self.inbound)? {
                None => {
                    self.inbound.clear();
                    self.mode = Mode::Chunked(reader);
                }
                Some(end) => {
                    self.inbound.advance(end);
                    self.mode = Mode::Hold;
                }
            },
            Mode::Head { .. } | Mode::Hold | Mode::Lost | Mode::Open | Mode::Upgrade => {}
        }
        Ok((arrived - self.inbound.len()) as u64)
    }

    /// Sends what has been written, says that nothing follows, discards what the client still sends, and leaves the
    /// connection ready to be dropped. Returns how discarding ended, if the client had a body to send.
    pub(in crate::proxy) async fn close(&mut self, mut budget: Budget) -> Option<Discarded> {
        // A client that does not read its last bytes must not keep the connection.
        let closed = timeout(CLOSING, poll_fn(|context| self.poll_close(context))).await;
        if !matches!(closed, Ok(Ok(()))) || budget.is_empty() {
            return None;
        }
        let of_body = if self.is_within_body() { Some(self.discard_body(&mut budget).await) } else { None };
        let goes_on = of_body.is_none_or(|discarded| discarded == Discarded::Completed);
        if goes_on && (self.mode == Mode::Lost || self.has_more().await) {
            self.discard_all(&mut budget).await;
        }
        of_body
    }

    /// Discards everything until the client closes its side.
    async fn discard_all(&mut self, budget: &mut Budget) {
        loop {
            let arrived = self.inbound.len() as u64;
            self.inbound.clear();
            if !budget.spend(arrived) {
                return;
            }
            let Some(Ok(1..)) = budget.wait_for(self.read_piece(PIECE)).await else { return };
        }
    }

    /// Whether bytes are there that were not read: they would turn the end of the connection into a reset.
    async fn has_more(&mut self) -> bool {
        if !self.inbound.is_empty() {
            return true;
        }
        poll_fn(|context| {
            self.inbound.reserve(READ_SIZE);
            let read = poll_read_buf(&mut self.transport, context, &mut self.inbound);
            Poll::Ready(matches!(read, Poll::Ready(Ok(1..))))
        })
        .await
    }
}
