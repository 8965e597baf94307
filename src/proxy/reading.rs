//! From a head in the library's form to a request that can be decided on, or a refusal before anyone is asked.

use http::{Method, Version};
use pingora::http::RequestHeader;

use super::facts::Facts;
use super::size;
use super::tls::TlsState;
use crate::config::listeners::ListenerKind;
use crate::gateway::Limits;
use crate::gateway::refusal::Refusal;
use crate::gateway::requirement::Methods;
use crate::request::head::{HeadError, HeadLimits};
use crate::request::origin::Origin;
use crate::request::{Malformed, Parts, Request};

/// What the library takes at most, whatever the policy says: it would refuse more in its own words.
const MOST_BYTES: usize = 1 << 19;
const MOST_FIELDS: usize = 256;

/// How large a head over HTTP/1 may be.
pub(super) fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits {
        bytes: usize::try_from(limits.request_header_bytes).unwrap_or(usize::MAX).min(MOST_BYTES),
        fields: limits.request_headers.min(MOST_FIELDS),
    }
}

/// How a request whose head over HTTP/1 is refused is answered.
pub(super) fn refusal(error: HeadError) -> Refusal {
    match error {
        HeadError::Malformed(malformed) => Refusal::Malformed(malformed),
        HeadError::TooLarge => Refusal::HeadTooLarge,
        HeadError::Tunnel => Refusal::MethodNotAllowed(Methods::usual().allow()),
    }
}

/// Reads `head`, which came from `origin` on the connection that `facts` are about.
///
/// # Errors
/// What could be read in two ways, asks for a tunnel or, over HTTP/2, is too large.
pub(super) fn parse<'a>(
    head: &'a RequestHeader,
    facts: &'a Facts,
    origin: &Origin,
    limits: &Limits,
) -> Result<Request<'a>, Refusal> {
    let two = head.version == Version::HTTP_2;
    if two && size::is_too_large(head, limits) {
        return Err(Refusal::HeadTooLarge);
    }
    if head.method == Method::CONNECT {
        return Err(Refusal::MethodNotAllowed(Methods::usual().allow()));
    }
    // The library accepts it. It keeps the scheme of a request with `:authority` only.
    if two && head.uri.scheme_str() == Some("") {
        return Err(Refusal::Malformed(Malformed::Scheme));
    }
    let of_target = || head.uri.authority().map(http::uri::Authority::as_str);
    let parts = Parts {
        method: head.method.as_str(),
        target: head.raw_path(),
        authority: if two { of_target() } else { None },
        headers: &head.headers,
        connection: &facts.connection,
    };
    let request = Request::parse(parts).map_err(Refusal::Malformed)?;
    Ok(request.with_origin(origin))
}

/// Checks what every route requires of a request, and reads the length that it announces for its body. How long the body
/// may be depends on the route.
///
/// # Errors
/// The request is for another host than its connection, or its `Content-Length` is malformed.
pub(super) fn check<'a>(
    request: Request<'a>,
    facts: &Facts,
    tls: Option<&TlsState>,
) -> Result<Request<'a>, Refusal> {
    if let Some(tls) = tls
        && facts.listener == ListenerKind::Tls
        && !tls.serves(facts.server_name.as_deref(), request.host())
    {
        return Err(Refusal::Misdirected);
    }
    let length = size::announced_length(request.headers()).map_err(Refusal::Malformed)?;
    Ok(request.with_body_length(length))
}
