//! What a client is told when the proxy library could not finish its request.

use http::StatusCode;
use pingora::protocols::http::ServerSession;
use pingora::proxy::FailToProxy;
use pingora::{Error, ErrorSource, ErrorType};

use super::discard::keeps_connection;
use super::downstream::MalformedBody;
use super::exchange::{Exchange, Verdict};
use super::facts::Facts;
use crate::gateway::refusal::{Refusal, Refused};
use crate::gateway::upstream::UpstreamError;
use crate::request::Malformed;

/// The error for a target whose name has no address.
pub(super) const NO_ADDRESS: ErrorType = ErrorType::new("NoAddress");

/// Answers if there still is someone to answer and nothing has been said yet.
pub(super) async fn answer(
    session: &mut ServerSession,
    error: &Error,
    exchange: &mut Exchange,
) -> FailToProxy {
    let fault = Fault::of_request(session, error);
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
        let limits = exchange.configuration.gateway.limits;
        if !(exchange.can_discard && fault.leaves_framing() && keeps_connection(session, &limits)) {
            // Where the next request would begin is not known.
            session.set_keepalive(None);
        }
        let written = answer.write(session).await.is_ok();
        // A request whose credential was revoked meanwhile, or that met an error of ours, ends at once.
        exchange.refusal_written = written && fault != Fault::Internal;
    }
    FailToProxy { error_code: status, can_reuse_downstream: false }
}

/// Why the attempt at a target failed that ended with `error`, if the target is the reason.
pub(super) fn upstream_error(session: &ServerSession, error: &Error) -> Option<UpstreamError> {
    match Fault::of_request(session, error) {
        Fault::Upstream(error) => Some(error),
        Fault::BodyTooLarge
        | Fault::Client
        | Fault::ClientTimeout
        | Fault::Internal
        | Fault::Malformed(_) => None,
    }
}

/// Why no connection with a target was established.
pub(super) fn connect_error(error: &Error) -> UpstreamError {
    match error.etype() {
        // The library has no type of its own for what it could not set up, such as a socket without a free descriptor.
        ErrorType::InternalError => UpstreamError::ConnectOther,
        _ => classify(error),
    }
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
    Upstream(UpstreamError),
}

impl Fault {
    fn of_request(session: &ServerSession, error: &Error) -> Self {
        // While a client waits for another protocol, its own connection keeps the time of the upstream.
        if Facts::of(session).is_some_and(|facts| facts.upgrade.is_overdue()) {
            return Self::Upstream(UpstreamError::Timeout);
        }
        Self::of(error)
    }

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
            (_, ErrorSource::Upstream) => Self::Upstream(classify(error)),
            (_, ErrorSource::Internal | ErrorSource::Unset) => Self::Internal,
        }
    }

    /// Whether the request is refused for what it is, and not for what became of it.
    fn is_of_request(self) -> bool {
        match self {
            Self::BodyTooLarge | Self::ClientTimeout | Self::Malformed(_) => true,
            Self::Client | Self::Internal | Self::Upstream(_) => false,
        }
    }

    /// Whether it is known where the body of the request ends, and the client is expected to send all of it.
    fn leaves_framing(self) -> bool {
        match self {
            Self::BodyTooLarge => true,
            Self::Upstream(error) => error != UpstreamError::Protocol,
            Self::Client | Self::ClientTimeout | Self::Internal | Self::Malformed(_) => false,
        }
    }

    fn refusal(self) -> Option<Refusal> {
        match self {
            Self::BodyTooLarge => Some(Refusal::BodyTooLarge),
            Self::Client => None,
            Self::Malformed(malformed) => Some(Refusal::Malformed(malformed)),
            Self::ClientTimeout => Some(Refusal::RequestTimeout),
            Self::Upstream(UpstreamError::ConnectTimeout | UpstreamError::Timeout) => {
                Some(Refusal::UpstreamTimedOut)
            }
            Self::Internal | Self::Upstream(_) => Some(Refusal::UpstreamFailed),
        }
    }
}

/// The reason of an error that a target caused.
fn classify(error: &Error) -> UpstreamError {
    match error.etype() {
        kind if *kind == NO_ADDRESS => UpstreamError::Dns,
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => UpstreamError::ConnectTimeout,
        ErrorType::ConnectRefused => UpstreamError::ConnectRefused,
        ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure
        | ErrorType::BindError
        | ErrorType::SocketError => UpstreamError::ConnectOther,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::TLSWantX509Lookup => {
            if is_name_mismatch(error) {
                UpstreamError::TlsName
            } else {
                UpstreamError::TlsOther
            }
        }
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => UpstreamError::Timeout,
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => UpstreamError::Reset,
        _ => UpstreamError::Protocol,
    }
}

/// Whether a TLS handshake failed because the certificate is for another name. The library keeps only the text of the TLS
/// library's error, so there is no type to look at; a test with a real certificate holds the text.
fn is_name_mismatch(error: &Error) -> bool {
    const TEXT: &str = "certificate not valid for name";
    error.context.as_ref().is_some_and(|context| context.as_str().contains(TEXT))
}

/// What was wrong with the body, if that is the root of the error.
fn malformed_body(error: &Error) -> Option<Malformed> {
    let cause = error.root_cause().downcast_ref::<std::io::Error>()?;
    cause.get_ref()?.downcast_ref().map(|MalformedBody(malformed)| *malformed)
}
