//! What of an upstream's answer goes to the client: the answer, held to what was asked, without what was meant for the
//! connection that it came on.

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

use crate::request::list;

/// Fields that are for one connection, whether or not `Connection` names them (RFC 9110 §7.6.1). `Connection` itself is
/// read and written by the library.
const FOR_ONE_HOP: [HeaderName; 2] =
    [HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection")];

/// Fields that no `Connection` option takes away: what the message is, and what only the library may decide.
const NOT_FOR_ONE_HOP: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE, header::CONNECTION];

/// Prepares the head of an answer to a request that asked for an upgrade or did not.
///
/// # Errors
/// When the upstream switches to a protocol that was not asked for: what comes then has no meaning to anyone.
pub(super) fn prepare(response: &mut ResponseHeader, asked_for_upgrade: bool) -> Result<()> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        let agreed = response.headers.get(header::UPGRADE).map(HeaderValue::as_bytes);
        if !asked_for_upgrade || !agreed.is_some_and(|agreed| agreed.eq_ignore_ascii_case(b"websocket")) {
            let what = "the upstream switches to a protocol that was not asked for";
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, what).into_up());
        }
    }
    remove_hop_by_hop(response);
    if response.status == StatusCode::NO_CONTENT {
        // It has no body, and must not announce one (RFC 9110 §8.6, RFC 9112 §6.1).
        response.remove_header(&header::CONTENT_LENGTH);
        response.remove_header(&header::TRANSFER_ENCODING);
    }
    Ok(())
}

fn remove_hop_by_hop(response: &mut ResponseHeader) {
    let options = response.headers.get_all(header::CONNECTION).iter().flat_map(list);
    let named: Vec<HeaderName> = options
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !NOT_FOR_ONE_HOP.contains(name) && response.headers.contains_key(name))
        .collect();
    for name in named.iter().chain(&FOR_ONE_HOP) {
        response.remove_header(name);
    }
}
