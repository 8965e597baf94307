//! How a request is refused. Refusals are for them: a status, a stable code and, where it applies, a challenge. What
//! exactly was wrong is a [`Reason`], and that is for us.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::guard::{ChallengeSet, Rejected};
use super::route::Route;
use crate::authn::credential::Accepted;
use crate::authn::{Identity, Reason};
use crate::request::Malformed;

/// What a client is told instead of an answer from upstream.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The request's body is larger than the policy allows: 413.
    BodyTooLarge,
    /// The caller is known and may not: 403, with a challenge for bearers (RFC 6750 §3.1).
    Forbidden(Option<HeaderValue>),
    /// The request's head is larger than the policy allows: 431.
    HeadTooLarge,
    /// The request has no single meaning: 400.
    Malformed(Malformed),
    /// The route or its policy does not take this method: 405 with `Allow`.
    MethodNotAllowed(HeaderValue),
    /// The connection was opened for another host: 421 (RFC 9110 §15.5.20).
    Misdirected,
    /// There is more than one credential: 400.
    MultipleCredentials,
    /// No route matches: 404.
    NoRoute,
    /// The request's head took too long to arrive: 408.
    RequestTimeout,
    /// A guarded route was asked for in the clear: 403, whether or not a credential came along.
    TlsRequired,
    /// There were too many failed attempts: 429 with `Retry-After` (RFC 6585 §4), in seconds.
    TooManyAttempts(u32),
    /// There is no credential, or a bad one: 401 with a challenge for each method of the route.
    Unauthenticated(Unauthenticated),
    /// A decision cannot be made now: 503 with `Retry-After`.
    Unavailable(Unavailable),
    /// The upstream could not be reached or gave no proper answer: 502.
    UpstreamFailed,
    /// The upstream did not answer in time: 504.
    UpstreamTimedOut,
}

/// Why a caller is not authenticated, as far as it is told.
#[derive(Clone, Debug)]
pub struct Unauthenticated {
    /// The code in the response.
    pub code: Code,
    /// The `WWW-Authenticate` fields.
    pub challenges: Arc<ChallengeSet>,
    /// The schemes that the route accepts. The challenges name them, too.
    pub accepted: Accepted,
}

/// The code of a 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A credential stands in the query, where it is never read.
    CredentialInQuery,
    /// The credential has expired.
    Expired,
    /// The credential is wrong; how exactly is not said.
    Invalid,
    /// The credential is not well formed.
    Malformed,
    /// There is none.
    Missing,
    /// The credential was revoked.
    Revoked,
    /// There is a credential, but of a scheme that the route does not accept.
    Unaccepted,
}

/// What is missing for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The keys of the issuer are about to be read again, because the token names a key that is not known yet.
    KeyFetch,
    /// The keys of the issuer have never been read.
    Keys,
    /// Too much password hashing, or too many connections.
    Overloaded,
    /// The revocation list is too old.
    Revocation,
}

/// A refusal with what is known about the request, for the log.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What the client is told.
    pub refusal: Refusal,
    /// Why, where it was the caller and not the request that is refused.
    pub reason: Option<Reason>,
    /// The route, where one was found.
    pub route: Option<Arc<Route>>,
    /// The authenticator that looked at the credential, by its place in the route's guard.
    pub method: Option<usize>,
    /// Who it was, where a credential was verified.
    pub identity: Option<Arc<Identity>>,
}

impl Refused {
    /// A refusal before or without a route.
    pub fn without_route(refusal: Refusal) -> Self {
        Self { refusal, reason: None, route: None, method: None, identity: None }
    }

    pub(super) fn guarded(route: Arc<Route>, rejected: Rejected) -> Self {
        let Rejected { refusal, reason, method, identity, strip: _ } = rejected;
        Self { refusal, reason: Some(reason), route: Some(route), method, identity }
    }
}

impl Refused {
    /// The word for it in the log.
    pub fn label(&self) -> &'static str {
        self.reason.map_or_else(|| self.refusal.code(), Reason::label)
    }
}

impl Refusal {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Forbidden(_) | Self::TlsRequired => StatusCode::FORBIDDEN,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Malformed(_) | Self::MultipleCredentials => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyAttempts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The stable code in the answer's body.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BodyTooLarge => "body_too_large",
            Self::Forbidden(_) => "forbidden",
            Self::HeadTooLarge => "head_too_large",
            Self::Malformed(malformed) => malformed.code(),
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::Misdirected => "misdirected_request",
            Self::MultipleCredentials => "multiple_credentials",
            Self::NoRoute => "no_route",
            Self::RequestTimeout => "request_timeout",
            Self::TlsRequired => "tls_required",
            Self::TooManyAttempts(_) => "too_many_attempts",
            Self::Unauthenticated(Unauthenticated { code, .. }) => match code {
                Code::CredentialInQuery => "credential_in_query",
                Code::Expired => "credential_expired",
                Code::Invalid => "invalid_credential",
                Code::Malformed => "malformed_credential",
                Code::Missing | Code::Unaccepted => "no_credential",
                Code::Revoked => "credential_revoked",
            },
            Self::Unavailable(unavailable) => match unavailable {
                Unavailable::KeyFetch | Unavailable::Keys => "keys_unavailable",
                Unavailable::Overloaded => "overloaded",
                Unavailable::Revocation => "revocation_unavailable",
            },
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimedOut => "upstream_timed_out",
        }
    }

    /// One fixed sentence for people.
    pub fn title(&self) -> &'static str {
        match self {
            Self::BodyTooLarge => "The request's body is too large",
            Self::Forbidden(_) => "The caller may not do this",
            Self::HeadTooLarge => "The request's header fields are too large or too many",
            Self::Malformed(_) => "The request is malformed",
            Self::MethodNotAllowed(_) => "The method is not allowed here",
            Self::Misdirected => "This connection was opened for another host",
            Self::MultipleCredentials => "The request has more than one credential",
            Self::NoRoute => "There is nothing here",
            Self::RequestTimeout => "The request took too long to arrive",
            Self::TlsRequired => "This needs an encrypted connection",
            Self::TooManyAttempts(_) => "There were too many failed attempts: try again later",
            Self::Unauthenticated(Unauthenticated { code, .. }) => match code {
                Code::CredentialInQuery => {
                    "A credential in the query is never read: send it in a header field"
                }
                Code::Expired => "The credential has expired",
                Code::Invalid => "The credential is not valid",
                Code::Malformed => "The credential is not well formed",
                Code::Missing | Code::Unaccepted => "A credential is needed",
                Code::Revoked => "The credential has been revoked",
            },
            Self::Unavailable(_) => "This cannot be decided right now",
            Self::UpstreamFailed => "The upstream gave no proper answer",
            Self::UpstreamTimedOut => "The upstream did not answer in time",
        }
    }

    /// One more fixed sentence, where the title alone would mislead.
    pub fn detail(&self) -> Option<&'static str> {
        let unaccepted =
            matches!(self, Self::Unauthenticated(Unauthenticated { code: Code::Unaccepted, .. }));
        unaccepted.then_some("The credential in the request is of a scheme that this route does not accept")
    }

    /// The schemes that the route accepts, where the caller is not authenticated.
    pub fn accepted(&self) -> Option<Accepted> {
        if let Self::Unauthenticated(unauthenticated) = self { Some(unauthenticated.accepted) } else { None }
    }

    /// Seconds after which trying again makes sense.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Unavailable(Unavailable::Overloaded | Unavailable::Revocation) => Some(1),
            // By then, a fetch that is due has begun.
            Self::Unavailable(Unavailable::KeyFetch) => Some(10),
            Self::Unavailable(Unavailable::Keys) => Some(5),
            Self::TooManyAttempts(seconds) => Some(*seconds),
            Self::BodyTooLarge
            | Self::Forbidden(_)
            | Self::HeadTooLarge
            | Self::Malformed(_)
            | Self::MethodNotAllowed(_)
            | Self::Misdirected
            | Self::MultipleCredentials
            | Self::NoRoute
            | Self::RequestTimeout
            | Self::TlsRequired
            | Self::Unauthenticated(_)
            | Self::UpstreamFailed
            | Self::UpstreamTimedOut => None,
        }
    }
}

/// What a client is told for a reason. The mapping is total, so a new reason cannot pass by accident.
pub(super) enum Told {
    /// 401 with this code.
    Challenge(Code),
    /// This refusal as it is.
    Plainly(Refusal),
    /// 403 with a challenge.
    Forbid,
}

pub(super) fn told(reason: Reason) -> Told {
    match reason {
        Reason::NoCredential => Told::Challenge(Code::Missing),
        Reason::CredentialInQuery => Told::Challenge(Code::CredentialInQuery),
        Reason::Malformed => Told::Challenge(Code::Malformed),
        Reason::Expired => Told::Challenge(Code::Expired),
        Reason::Revoked => Told::Challenge(Code::Revoked),
        Reason::UnacceptedCredential => Told::Challenge(Code::Unaccepted),
        // `Ok` is no reason to refuse; if it were ever passed here, refusing is the safe reading.
        Reason::BadPassword
        | Reason::BadSignature
        | Reason::IssuedInFuture
        | Reason::LifetimeTooLong
        | Reason::MissingClaim
        | Reason::NotYetValid
        | Reason::Ok
        | Reason::UnknownKey
        | Reason::WrongAlgorithm
        | Reason::WrongAudience
        | Reason::WrongIssuer
        | Reason::WrongType => Told::Challenge(Code::Invalid),
        Reason::CredentialOnPlaintext => Told::Plainly(Refusal::TlsRequired),
        Reason::MultipleCredentials => Told::Plainly(Refusal::MultipleCredentials),
        Reason::KeyFetchPending => Told::Plainly(Refusal::Unavailable(Unavailable::KeyFetch)),
        Reason::KeysUnavailable => Told::Plainly(Refusal::Unavailable(Unavailable::Keys)),
        Reason::Overloaded => Told::Plainly(Refusal::Unavailable(Unavailable::Overloaded)),
        Reason::RevocationUnavailable => Told::Plainly(Refusal::Unavailable(Unavailable::Revocation)),
        // Whoever knows how long it takes says so; a second is never too early to be refused again.
        Reason::TooManyAttempts => Told::Plainly(Refusal::TooManyAttempts(1)),
        Reason::MissingRole | Reason::MissingScope => Told::Forbid,
    }
}
