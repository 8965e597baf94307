//! What a client is told when the proxy library could not finish its request.

use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, ErrorSource, ErrorType};

use super::answer::Answer;
use super::exchange::{Exchange, Verdict};
use crate::gateway::refusal::{Refusal, Refused};

/// Answers if there still is someone to answer and nothing has been said yet.
pub(super) async fn answer(session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
    let fault = Fault::of(error);
    if let (Some(kind), Some(admission)) = (fault.kind(), exchange.admission()) {
        admission.route().upstream.series.failed(kind);
    }
    let Some(refusal) = fault.refusal() else {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    };
    let status = refusal.status().as_u16();
    let answered = session.response_written().is_some_and(|response| !response.status.is_informational());
    if !answered {
        let answer = Answer::new(&refusal, &exchange.request_id);
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
    /// The client is gone, or its request was.
    Client,
    ClientTimeout,
    Internal,
    Connect,
    ConnectTimeout,
    Tls,
    Reset,
    Timeout,
    Protocol,
}

impl Fault {
    fn of(error: &Error) -> Self {
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

    /// The label of the upstream's failure.
    fn kind(self) -> Option<&'static str> {
        match self {
            Self::BodyTooLarge | Self::Client | Self::ClientTimeout | Self::Internal => None,
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
            Self::ClientTimeout => Some(Refusal::RequestTimeout),
            Self::Internal | Self::Connect | Self::Tls | Self::Reset | Self::Protocol => {
                Some(Refusal::UpstreamFailed)
            }
            Self::ConnectTimeout | Self::Timeout => Some(Refusal::UpstreamTimedOut),
        }
    }
}
