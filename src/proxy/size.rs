//! How large a request says it is, where the proxy library has read its head before the gateway did.

use http::header::{self, HeaderMap, HeaderValue};
use pingora::http::RequestHeader;

use crate::gateway::Limits;
use crate::request::Malformed;

/// Over HTTP/2 the library has read the head already; what HTTP/1 is refused for is refused here as well.
pub(super) fn is_too_large(head: &RequestHeader, limits: &Limits) -> bool {
    let line = head.method.as_str().len() + head.raw_path().len();
    let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    head.headers.len() > limits.request_headers || (line + fields) as u64 > limits.request_header_bytes
}

/// The length that `Content-Length` announces; over HTTP/1 it has been read before, over HTTP/2 it is read here.
pub(super) fn announced_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let plain = |value: &HeaderValue| {
        let text = value.to_str().ok()?;
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
    };
    match (plain(value), values.next()) {
        (Some(length), None) => Ok(Some(length)),
        (Some(_) | None, Some(_)) | (None, None) => Err(Malformed::ContentLength),
    }
}
