//! One JSON line for each finished request.

mod line;

use std::net::IpAddr;
use std::time::Duration;

use super::journal::Journal;
use crate::clock::Timestamp;

/// What is said about one request. Fields that do not apply are left out of the line.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    /// When the request's first byte arrived, RFC 3339 in UTC.
    pub time: Timestamp,
    /// The identifier that the upstream and the client saw in `X-Request-Id`.
    pub request_id: &'a str,
    /// The trace that it belongs to, where somebody can find something under it.
    pub trace_id: Option<&'a str>,
    /// The address of the client: the peer, or what a trusted proxy said.
    pub client: Option<IpAddr>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'a str,
    /// The request's method, or `other` for one that is not registered.
    pub method: &'a str,
    /// The host that was asked for.
    pub host: &'a str,
    /// The path without its query; segments that look like credentials are redacted.
    pub path: &'a str,
    /// The route's name, or `none`.
    pub route: &'a str,
    /// The status of the answer; 0 when the client was gone before there was one.
    pub status: u16,
    /// The `grpc-status` of a refusal that went to a gRPC client. The HTTP status that this client got is 200.
    pub grpc_status: Option<u16>,
    /// From the request's first byte to the answer's last; written in milliseconds.
    pub duration: Micros,
    /// The upstream's name.
    pub upstream: Option<&'a str>,
    /// The target that the request was sent to last, as the file writes it.
    pub target: Option<&'a str>,
    /// Why the last attempt failed, from a closed set.
    pub upstream_error: Option<&'a str>,
    /// The attempts that failed before the last one.
    pub failed_attempts: Vec<FailedAttempt<'a>>,
    /// From choosing the upstream to its answer's head; written in milliseconds.
    pub upstream_took: Option<Micros>,
    /// Bytes of the request's body that were read.
    pub received_bytes: u64,
    /// Bytes of the answer's body that were sent.
    pub sent_bytes: u64,
    /// The name of the method in `auth`.
    pub auth: Option<&'a str>,
    /// `api_key`, `basic` or `jwt`.
    pub auth_method: Option<&'a str>,
    /// Who it was.
    pub subject: Option<&'a str>,
    /// The public identifier of the API key, or the `kid` of the key that signed the token.
    pub key_id: Option<&'a str>,
    /// `public`, `allowed`, `refused` or `reported`.
    pub outcome: &'a str,
    /// Why, from a closed set: `ok`, `no_credential`, `expired`, …
    pub reason: &'a str,
}

/// An attempt at a target that failed and was followed by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedAttempt<'a> {
    /// The target.
    pub target: &'a str,
    /// Why it failed.
    pub upstream_error: &'static str,
}

/// Whole microseconds, which are precise enough for a line and keep it short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Micros(pub u64);

impl From<Duration> for Micros {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

/// The access log.
#[derive(Clone)]
pub struct AccessLog(pub Journal);

impl AccessLog {
    /// Appends a line.
    pub fn write(&self, entry: &Entry<'_>) {
        self.0.append(|out| entry.append_to(None, out));
    }
}
