//! How a refusal looks to a gRPC client: a Trailers-Only response, which has the HTTP status 200 and the gRPC status in its
//! only header block (gRPC over HTTP/2, "Responses").
//!
//! grpc-go ignores `grpc-status` when the HTTP status is not 200, so a client would see 413 as `UNKNOWN` and 429 as
//! `UNAVAILABLE`. Envoy sends the responses that it makes itself in the same form.

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use crate::gateway::refusal::Refusal;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A refusal as a gRPC client gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct GrpcRefusal {
    /// The HTTP status that other clients get. Logs and metrics have it.
    pub(in crate::proxy) http_status: u16,
    /// The value of `grpc-status`.
    pub(in crate::proxy) grpc_status: u16,
}

impl GrpcRefusal {
    /// What a gRPC client gets for `refusal`.
    pub(in crate::proxy) fn of(refusal: &Refusal) -> Self {
        let status = refusal.status();
        Self { http_status: status.as_u16(), grpc_status: grpc_status(status) }
    }
}

/// Makes `fields`, which belong to the problem document of `refusal`, those of a Trailers-Only response.
pub(super) fn to_trailers_only(refusal: &Refusal, fields: &mut Vec<(HeaderName, HeaderValue)>) {
    let GrpcRefusal { grpc_status, http_status: _ } = GrpcRefusal::of(refusal);
    fields.retain(|(name, _)| *name != header::CONTENT_TYPE);
    fields.push((header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")));
    fields.push((GRPC_STATUS, HeaderValue::from(grpc_status)));
    let sentence = refusal.detail().unwrap_or(refusal.title());
    let message = percent_encode(&format!("{}: {sentence}", refusal.code()));
    if let Ok(message) = HeaderValue::try_from(message) {
        fields.push((GRPC_MESSAGE, message));
    }
}

/// The gRPC status for an HTTP status. What gRPC itself maps (`http-grpc-status-mapping.md`) is mapped in the same way,
/// except 429: nothing is unavailable, the caller has used up what it may use. The other codes follow their meaning in
/// `statuscodes.md`.
fn grpc_status(status: StatusCode) -> u16 {
    const UNKNOWN: u16 = 2;
    const DEADLINE_EXCEEDED: u16 = 4;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status {
        StatusCode::BAD_REQUEST => INTERNAL,
        StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
        StatusCode::FORBIDDEN => PERMISSION_DENIED,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => UNIMPLEMENTED,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => DEADLINE_EXCEEDED,
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => RESOURCE_EXHAUSTED,
        // A client may try the request again over another connection (RFC 9110 §15.5.20).
        StatusCode::MISDIRECTED_REQUEST | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => {
            UNAVAILABLE
        }
        _ => UNKNOWN,
    }
}

/// `text` as `grpc-message` carries it: bytes that are not printable ASCII, and `%`, are escaped.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::refusal::Unavailable;
    use crate::request::Malformed;

    #[test]
    fn maps_every_refusal_to_a_grpc_status() {
        let allow = HeaderValue::from_static("GET");
        for (refusal, http_status, grpc_status) in [
            (Refusal::BodyTooLarge, 413, 8),
            (Refusal::Forbidden(None), 403, 7),
            (Refusal::HeadTooLarge, 431, 8),
            (Refusal::Malformed(Malformed::Host), 400, 13),
            (Refusal::MethodNotAllowed(allow), 405, 12),
            (Refusal::Misdirected, 421, 14),
            (Refusal::MultipleCredentials, 400, 13),
            (Refusal::NoRoute, 404, 12),
            (Refusal::RequestTimeout, 408, 4),
            (Refusal::TlsRequired, 403, 7),
            (Refusal::TooManyAttempts(3), 429, 8),
            (Refusal::Unavailable(Unavailable::Overloaded), 503, 14),
            (Refusal::UpstreamFailed, 502, 14),
            (Refusal::UpstreamTimedOut, 504, 4),
        ] {
            assert_eq!(GrpcRefusal::of(&refusal), GrpcRefusal { http_status, grpc_status }, "{refusal:?}");
        }
    }

    #[test]
    fn percent_encodes_what_is_not_printable_ascii() {
        for (text, encoded) in [
            ("The body's limit: 1 MiB (~)", "The body's limit: 1 MiB (~)"),
            ("100%", "100%25"),
            ("caf\u{e9}", "caf%C3%A9"),
            ("a\r\nb\t\u{7f}", "a%0D%0Ab%09%7F"),
        ] {
            assert_eq!(percent_encode(text), encoded);
        }
    }
}
