//! Which kind of client sent a request, as far as the form of a refusal depends on it.

use http::{HeaderName, HeaderValue, Version, header};
use pingora::http::RequestHeader;

/// The kind of client that sent a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum ClientKind {
    /// A gRPC client over HTTP/2. It reads `grpc-status` and ignores the body of a problem document.
    Grpc,
    /// A script in a browser (`fetch`, `XMLHttpRequest`), an image, or whatever else is not a navigation. On a challenge for
    /// `Basic`, the browser would ask its user for a password.
    Script,
    /// Any other client.
    #[default]
    Other,
}

impl ClientKind {
    /// The kind of the client that sent `request`.
    pub(in crate::proxy) fn of(request: &RequestHeader) -> Self {
        if is_grpc(request) {
            Self::Grpc
        } else if is_script(request) {
            Self::Script
        } else {
            Self::Other
        }
    }
}

/// Whether `request` is a gRPC call: HTTP/2 with `application/grpc`, which may have a suffix (`+proto`) or parameters.
/// `application/grpc-web` is another protocol, in which the body carries the status.
fn is_grpc(request: &RequestHeader) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    if request.version != Version::HTTP_2 {
        return false;
    }
    let content_type = request.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    content_type
        .split_at_checked(GRPC.len())
        .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(GRPC) && ends_type(rest))
}

/// Whether `request` says that it is not a navigation (Fetch Metadata Request Headers, "Sec-Fetch-Mode"). Scripts for
/// older browsers say it in a field of their own.
fn is_script(request: &RequestHeader) -> bool {
    let mode = request.headers.get(SEC_FETCH_MODE).map(HeaderValue::as_bytes);
    let requested_with = request.headers.get(X_REQUESTED_WITH).map(HeaderValue::as_bytes);
    mode.is_some_and(|mode| mode != b"navigate")
        || requested_with.is_some_and(|by| by.eq_ignore_ascii_case(b"XMLHttpRequest"))
}

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Whether nothing, a suffix or parameters follow a media type (RFC 9110 §8.3.1).
fn ends_type(rest: &[u8]) -> bool {
    matches!(rest.trim_ascii_start().first(), None | Some(b';')) || rest.first() == Some(&b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, name: &'static str, value: &str) -> RequestHeader {
        let mut request = RequestHeader::build("POST", b"/shop.Orders/Get", None).unwrap();
        request.set_version(version);
        request.insert_header(name, value).unwrap();
        request
    }

    #[test]
    fn recognizes_grpc_by_version_and_content_type() {
        for (content_type, expected) in [
            ("application/grpc", ClientKind::Grpc),
            ("application/grpc+proto", ClientKind::Grpc),
            ("application/grpc+json; charset=utf-8", ClientKind::Grpc),
            ("application/grpc;charset=utf-8", ClientKind::Grpc),
            ("application/grpc ; charset=utf-8", ClientKind::Grpc),
            ("Application/gRPC", ClientKind::Grpc),
            ("application/grpc-web", ClientKind::Other),
            ("application/grpc-web+proto", ClientKind::Other),
            ("application/grpc-web-text", ClientKind::Other),
            ("application/grpcx", ClientKind::Other),
            ("application/grp", ClientKind::Other),
            ("application/json", ClientKind::Other),
            ("", ClientKind::Other),
        ] {
            let over_http2 = request(Version::HTTP_2, "content-type", content_type);
            assert_eq!(ClientKind::of(&over_http2), expected, "{content_type}");
            let over_http1 = request(Version::HTTP_11, "content-type", content_type);
            assert_eq!(ClientKind::of(&over_http1), ClientKind::Other, "{content_type} over HTTP/1.1");
        }
    }

    #[test]
    fn recognizes_scripts_by_what_browsers_and_libraries_send() {
        for (name, value, expected) in [
            ("sec-fetch-mode", "cors", ClientKind::Script),
            ("sec-fetch-mode", "no-cors", ClientKind::Script),
            ("sec-fetch-mode", "same-origin", ClientKind::Script),
            ("sec-fetch-mode", "websocket", ClientKind::Script),
            ("sec-fetch-mode", "navigate", ClientKind::Other),
            ("x-requested-with", "XMLHttpRequest", ClientKind::Script),
            ("x-requested-with", "xmlhttprequest", ClientKind::Script),
            ("x-requested-with", "com.example.app", ClientKind::Other),
            ("accept", "text/html", ClientKind::Other),
        ] {
            assert_eq!(ClientKind::of(&request(Version::HTTP_11, name, value)), expected, "{name}: {value}");
        }
    }
}
