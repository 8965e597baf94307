//! Why there is no answer. A test of draining or of faults has to tell these apart.

use std::fmt;
use std::io;

use h2::Reason;

/// What went wrong instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection was made: nothing was asked, so nothing was lost.
    Refused(String),
    /// TLS did not come about.
    Handshake(String),
    /// The connection ended before the first byte of an answer. On a connection that had carried an answer before, this
    /// may be the race that RFC 9112 section 9.3.1 lets clients retry.
    Unanswered(String),
    /// The answer broke off.
    Truncated(String),
    /// The answer is not valid HTTP/1.1.
    Violation(String),
    /// The HTTP/2 stream or connection was ended, with this code where there was one.
    Http2(Option<Reason>, String),
    /// There was no answer, or no end of it, in time.
    TimedOut,
    /// The answer was not the one that [`super::Load::expecting`] wanted.
    Unexpected(String),
}

impl Failure {
    pub(super) fn refused(error: &io::Error) -> Self {
        Self::Refused(error.to_string())
    }

    pub(super) fn http2(error: &h2::Error) -> Self {
        Self::Http2(error.reason(), error.to_string())
    }

    /// The code that an HTTP/2 stream or connection was ended with.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Http2(reason, _) => *reason,
            Self::Refused(_)
            | Self::Handshake(_)
            | Self::Unanswered(_)
            | Self::Truncated(_)
            | Self::Violation(_)
            | Self::TimedOut
            | Self::Unexpected(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) => write!(formatter, "no connection: {text}"),
            Self::Handshake(text) => write!(formatter, "no TLS: {text}"),
            Self::Unanswered(text) => write!(formatter, "no answer: {text}"),
            Self::Truncated(text) => write!(formatter, "the answer broke off: {text}"),
            Self::Violation(text) => write!(formatter, "not HTTP/1.1: {text}"),
            Self::Http2(_, text) => write!(formatter, "HTTP/2: {text}"),
            Self::TimedOut => formatter.write_str("no answer in time"),
            Self::Unexpected(text) => write!(formatter, "not the expected answer: {text}"),
        }
    }
}
