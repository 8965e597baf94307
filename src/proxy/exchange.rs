//! One request and its answer, from the first byte to the line in the log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use pingora::http::RequestHeader;

use super::answer::{Answer, ClientKind, GrpcRefusal};
use super::location::UpstreamView;
use super::request_id::RequestId;
use crate::config::Configuration;
use crate::gateway::admission::Admission;
use crate::gateway::refusal::{Refusal, Refused};
use crate::gateway::upstream::UpstreamError;
use crate::request::origin::Origin;
use crate::telemetry::trace::Context;

/// What is known about a request while it is being answered.
pub(super) struct Exchange {
    /// The policy that it is decided by, from start to end.
    pub(super) configuration: Arc<Configuration>,
    /// When its first byte arrived.
    pub(super) began: Instant,
    /// The same on the wall, in milliseconds since the Unix epoch.
    pub(super) began_at: u64,
    pub(super) request_id: RequestId,
    /// Its place in a trace; nothing while tracing is off.
    pub(super) trace: Option<Context>,
    /// Where it comes from, once its head was read.
    pub(super) origin: Option<Origin>,
    /// Host and path for the log; empty when they could not be read.
    pub(super) host: String,
    pub(super) path: String,
    pub(super) verdict: Verdict,
    /// The code of the refusal, when a request that was admitted turned out to be none that may go on: its body is too
    /// large, or is not well formed.
    pub(super) overturned: Option<&'static str>,
    /// The refusal as a gRPC client got it: its HTTP status is not that of the refusal.
    pub(super) grpc_refusal: Option<GrpcRefusal>,
    /// Whether the gateway can discard the rest of the request's body after the response and keep the connection.
    pub(super) can_discard: bool,
    /// A refusal was written whole after the request had failed, and the client may still be sending.
    pub(super) refusal_written: bool,
    /// When the decision began.
    pub(super) decision_began: Option<Instant>,
    /// How long the decision took.
    pub(super) decided_in: Option<std::time::Duration>,
    /// When an upstream was chosen.
    pub(super) upstream_chosen: Option<Instant>,
    /// From then to the head of its answer.
    pub(super) upstream_took: Option<std::time::Duration>,
    /// The host of the target that was tried last, for its span.
    pub(super) upstream_host: Option<String>,
    /// How the upstream sees the request, where that differs from what the client sent.
    pub(super) upstream_view: Option<Box<UpstreamView>>,
    /// The position of the target that was tried last, if the upstream has targets.
    pub(super) target: Option<usize>,
    /// How many targets have been tried.
    pub(super) targets_tried: usize,
    /// Why the last attempt failed.
    pub(super) upstream_error: Option<UpstreamError>,
    /// The attempts that failed and were followed by another one.
    pub(super) failed_attempts: Vec<FailedAttempt>,
    /// A connection that was kept for reuse had been closed by the upstream.
    pub(super) upstream_closed: bool,
    /// Bytes of the request's body so far.
    pub(super) received: u64,
    /// When the credential of a long request or answer was last checked again.
    pub(super) checked: Instant,
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailedAttempt {
    /// The position of its target.
    pub(super) target: Option<usize>,
    /// Why it failed.
    pub(super) error: UpstreamError,
}

/// How a request was decided.
pub(super) enum Verdict {
    /// Not yet.
    Open,
    /// It may go upstream.
    Admitted(Admission),
    /// It was sent to HTTPS.
    Redirected,
    /// It was refused.
    Refused(Refused),
}

impl Exchange {
    pub(super) fn new(configuration: Arc<Configuration>, began_at: u64) -> Self {
        let now = Instant::now();
        Self {
            configuration,
            began: now,
            began_at,
            request_id: RequestId::default(),
            trace: None,
            origin: None,
            host: String::new(),
            path: String::new(),
            verdict: Verdict::Open,
            overturned: None,
            grpc_refusal: None,
            can_discard: false,
            refusal_written: false,
            decision_began: None,
            decided_in: None,
            upstream_chosen: None,
            upstream_took: None,
            upstream_host: None,
            upstream_view: None,
            target: None,
            targets_tried: 0,
            upstream_error: None,
            failed_attempts: Vec::new(),
            upstream_closed: false,
            received: 0,
            checked: now,
        }
    }

    /// The response that refuses `request`, in the form that its client understands.
    pub(super) fn refuse(&mut self, refusal: &Refusal, request: &RequestHeader) -> Answer {
        let client = ClientKind::of(request);
        self.grpc_refusal = (client == ClientKind::Grpc).then(|| GrpcRefusal::of(refusal));
        Answer::new(refusal, client, &self.request_id, self.trace_id())
    }

    /// The trace's identifier, where somebody can find something under it.
    pub(super) fn trace_id(&self) -> Option<&str> {
        self.trace.as_ref().and_then(Context::shown)
    }

    /// Begins an attempt, which follows the failed one, if there was one. Returns whether there was.
    pub(super) fn begin_attempt(&mut self) -> bool {
        let error = self.upstream_error.take();
        self.failed_attempts.extend(error.map(|error| FailedAttempt { target: self.target, error }));
        error.is_some()
    }

    /// The address of the client, once its head was read.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.origin.as_ref().map(Origin::client)
    }

    /// Whether this request could not connect to the target at `position`.
    pub(super) fn could_not_connect(&self, position: usize) -> bool {
        let last = self.upstream_error.map(|error| FailedAttempt { target: self.target, error });
        self.failed_attempts
            .iter()
            .copied()
            .chain(last)
            .any(|attempt| attempt.target == Some(position) && attempt.error.is_before_the_request())
    }

    /// The admission, once there is one.
    pub(super) fn admission(&self) -> Option<&Admission> {
        match &self.verdict {
            Verdict::Admitted(admission) => Some(admission),
            Verdict::Open | Verdict::Redirected | Verdict::Refused(_) => None,
        }
    }
}
