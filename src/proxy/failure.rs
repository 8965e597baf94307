//! What a client is told when the proxy library could not finish its request.

use http::StatusCode;
use pingora::protocols::http::ServerSession;
use pingora::proxy::FailToProxy;
use pingora::{Error, ErrorSource, ErrorType};

use super::downstream::MalformedBody;
use super::exchange::{Exchange, Verdict};
use super::facts::Facts;
use super::shared::Shared;
use crate::gateway::refusal::{Refusal, Refused};
use crate::request::Malformed;

/// Answers if there still is someone to answer and nothing has been said yet.
pub(super) async fn answer(
    shared: &Shared,
    session: &mut ServerSession,
    error: &Error,
    exchange: &mut Exchange,
) -> FailToProxy {
    // A client that asked for another protocol is told of the end of its wait by its own connection.
    let overdue = Facts::of(session).is_some_and(|facts| facts.upgrade.is_overdue());
    let fault = if overdue { Fault::Timeout } else { Fault::of(error) };
    if let (Some(kind), Some(admission)) = (fault.kind(), exchange.admission()) {
        admission.route().upstream.series.failed(kind, shared.clock.unix_seconds());
    }
    let Some(refusal) = fault.refusal() else {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    };
    let status = refusal.status().as_u16();
    if fault.is_of_request() {
        exchange.overturned = Some(refusal.code());
    }
    // After 101 the connection speaks another protocol, in which an answer would be noise, or worse.
    let answered = session.response_written().is_some_and(|response| {
        !response.status.is_informational() || response.status == StatusCode::SWITCHING_PROTOCOLS
    });
    if !answered {
        let answer = exchange.refuse(&refusal, session.req_header());
        if matches!(exchange.verdict, Verdict::Open) {
            exchange.verdict = Verdict::Refused(Refused::without_route(refusal));
        }
        // The connection is not used again: what is left of the request on it is not known.
        session.set_keepalive(None);
        let _ = answer.write(session).await;
    }
    FailToProxy { error_code: status, can_reuse_downstream: false }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    BodyTooLarge,
    /// The client is gone.
    Client,
    ClientTimeout,
    Internal,
    /// The client is there, and its body is not well formed.
    Malformed(Malformed),
    Connect,
    ConnectTimeout,
    Tls,
    Reset,
    Timeout,
    Protocol,
}

impl Fault {
    fn of(error: &Error) -> Self {
        if let Some(malformed) = malformed_body(error) {
            return Self::Malformed(malformed);
        }
        match (error.etype(), error.esource()) {
            (ErrorType::HTTPStatus(413), _) => Self::BodyTooLarge,
            (ErrorType::ReadTimedout | ErrorType::WriteTimedout, ErrorSource::Downstream) => {
                Self::ClientTimeout
            }
            (_, ErrorSource::Downstream) => Self::Client,
            (ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout, _) => Self::ConnectTimeout,
            (ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError, _) => {
                Self::Tls
            }
            (
                ErrorType::ConnectRefused
                | ErrorType::ConnectNoRoute
                | ErrorType::ConnectError
                | ErrorType::ConnectProxyFailure
                | ErrorType::BindError
                | ErrorType::SocketError,
                _,
            ) => Self::Connect,
            (ErrorType::ReadTimedout | ErrorType::WriteTimedout, _) => Self::Timeout,
            (
                ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError,
                ErrorSource::Upstream,
            ) => Self::Reset,
            (_, ErrorSource::Upstream) => Self::Protocol,
            (_, ErrorSource::Internal | ErrorSource::Unset) => Self::Internal,
        }
    }

    /// Whether the request is refused for what it is, and not for what became of it.
    fn is_of_request(self) -> bool {
        match self {
            Self::BodyTooLarge | Self::ClientTimeout | Self::Malformed(_) => true,
            Self::Client
            | Self::Internal
            | Self::Connect
            | Self::ConnectTimeout
            | Self::Tls
            | Self::Reset
            | Self::Timeout
            | Self::Protocol => false,
        }
    }

    /// The label of the upstream's failure.
    fn kind(self) -> Option<&'static str> {
        match self {
            Self::BodyTooLarge | Self::Client | Self::ClientTimeout | Self::Internal | Self::Malformed(_) => {
                None
            }
            Self::Connect => Some("connect"),
            Self::ConnectTimeout | Self::Timeout => Some("timeout"),
            Self::Tls => Some("tls"),
            Self::Reset => Some("reset"),
            Self::Protocol => Some("protocol"),
        }
    }

    fn refusal(self) -> Option<Refusal> {
        match self {
            Self::BodyTooLarge => Some(Refusal::BodyTooLarge),
            Self::Client => None,
            Self::Malformed(malformed) => Some(Refusal::Malformed(malformed)),
            Self::ClientTimeout => Some(Refusal::RequestTimeout),
            Self::Internal | Self::Connect | Self::Tls | Self::Reset | Self::Protocol => {
                Some(Refusal::UpstreamFailed)
            }
            Self::ConnectTimeout | Self::Timeout => Some(Refusal::UpstreamTimedOut),
        }
    }
}

/// What was wrong with the body, if that is the root of the error.
fn malformed_body(error: &Error) -> Option<Malformed> {
    let cause = error.root_cause().downcast_ref::<std::io::Error>()?;
    cause.get_ref()?.downcast_ref().map(|MalformedBody(malformed)| *malformed)
}
