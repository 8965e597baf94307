//! What a client still sends of its request after the response: read and discarded, within bounds.
//!
//! Many clients send their whole request before they read. If the gateway closed the connection meanwhile, the reset would
//! destroy the response before the client has read it (RFC 9112 §9.6). Over HTTP/2, some clients report `RST_STREAM` as an
//! error even after a whole response. So the gateway reads on and drops what it reads. It keeps no byte, and it never reads
//! a discarded byte as a request. HTTP/1 connections are handled in `downstream/discard`.

use std::time::Duration;

use http::header;
use pingora::protocols::http::ServerSession;
use tokio::time::{Instant, timeout_at};

use super::size;
use crate::gateway::Limits;

/// How discarding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discarded {
    /// The client closed the connection, reset the stream, or sent a malformed body.
    Aborted,
    /// The whole body was read.
    Completed,
    /// The body is larger than the limit.
    Limit,
    /// The body took too long, or paused for too long.
    Timeout,
}

/// How much may still be discarded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    bytes: u64,
    deadline: Instant,
}

/// How long a client may send nothing, as with nginx's `lingering_timeout`.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(5);

/// What a piece of a body over HTTP/2 counts for at least: many small frames cost more than their bytes.
const MIN_PIECE: u64 = 256;

impl Discarded {
    /// The value of the label `result`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Completed => "completed",
            Self::Limit => "limit",
            Self::Timeout => "timeout",
        }
    }
}

impl Budget {
    /// Nothing may be discarded.
    pub(super) fn none() -> Self {
        Self { bytes: 0, deadline: Instant::now() }
    }

    /// What `limits` allow from now on.
    pub(super) fn begin(limits: &Limits) -> Self {
        Self { bytes: limits.discard_body_bytes, deadline: Instant::now() + limits.discard_body_timeout }
    }

    /// Whether nothing may be discarded.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Subtracts `bytes`. Returns whether there were as many left.
    pub(super) fn spend(&mut self, bytes: u64) -> bool {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.unwrap_or_default();
        left.is_some()
    }

    /// Waits for the next piece, or returns `None` when the client has no more time.
    pub(super) async fn wait_for<T>(&self, piece: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.deadline.min(Instant::now() + MAX_PAUSE), piece).await.ok()
    }
}

/// Whether the connection of an HTTP/1 request can serve another request after a response that is written now. If the
/// body has not arrived yet, it must be one that the client will send whole and that the limits allow to discard.
pub(super) fn keeps_connection(session: &mut ServerSession, limits: &Limits) -> bool {
    if session.is_body_done() {
        return true;
    }
    let fields = &session.req_header().headers;
    // A client that gets no `100 Continue` may omit the body and end the connection (RFC 9110 §10.1.1).
    let may_be_omitted = fields.contains_key(header::EXPECT) && session.body_bytes_read() == 0;
    // A chunked body announces nothing.
    let announced = size::announced_length(fields).ok().flatten().unwrap_or_default();
    limits.discard_body_bytes > 0 && !may_be_omitted && announced <= limits.discard_body_bytes
}

/// Discards the rest of the request's body on a stream of HTTP/2 whose response was sent with `END_STREAM`. Windows are
/// updated as for a body that is read. When the bounds are reached, the stream must be dropped: the HTTP/2 library then
/// sends `RST_STREAM(NO_ERROR)` (RFC 9113 §8.1).
pub(super) async fn discard_stream(session: &mut ServerSession, mut budget: Budget) -> Discarded {
    while !session.is_body_done() {
        match budget.wait_for(session.read_request_body()).await {
            None => return Discarded::Timeout,
            Some(Err(_)) => return Discarded::Aborted,
            Some(Ok(None)) => break,
            Some(Ok(Some(piece))) => {
                if !budget.spend((piece.len() as u64).max(MIN_PIECE)) {
                    return Discarded::Limit;
                }
            }
        }
    }
    Discarded::Completed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_allows_as_many_bytes_as_the_limit_says() {
        let mut budget = Budget { bytes: 10, deadline: Instant::now() };
        assert!(budget.spend(4) && budget.spend(6) && budget.is_empty());
        assert!(!budget.spend(1) && budget.spend(0));
    }

    #[tokio::test(start_paused = true)]
    async fn budget_bounds_each_pause_and_the_whole_time() {
        let budget_of =
            |seconds| Budget { bytes: 1, deadline: Instant::now() + Duration::from_secs(seconds) };
        for (seconds, waits) in [(30, MAX_PAUSE), (2, Duration::from_secs(2))] {
            let (budget, began) = (budget_of(seconds), Instant::now());
            assert_eq!(budget.wait_for(std::future::pending::<()>()).await, None);
            assert_eq!(began.elapsed(), waits);
        }
        assert_eq!(budget_of(0).wait_for(std::future::ready(7)).await, Some(7));
    }
}
