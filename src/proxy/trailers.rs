//! Which trailer fields of an upstream go to the client.

use http::header::{self, HeaderMap, HeaderName};

use super::forward;
use crate::authn::credential::API_KEY;
use crate::gateway::fact::IdentityHeaders;

/// Fields that say where a message ends, what its content is, who it is for or who sent it. They have no meaning in
/// trailers (RFC 9110 §6.5.1), and a client that merges trailers into the header would believe them.
const NOT_IN_TRAILERS: [HeaderName; 20] = [
    API_KEY,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::VIA,
    header::WWW_AUTHENTICATE,
];

/// Removes what may not stand in `trailers`: the fields above, and those that only the gateway may set, in any spelling.
pub(super) fn remove_forbidden(trailers: &mut HeaderMap, identity_headers: &IdentityHeaders) {
    let forbidden = |name: &&HeaderName| {
        NOT_IN_TRAILERS.contains(name) || forward::is_set_by_gateway_only(name, identity_headers)
    };
    let forbidden: Vec<HeaderName> = trailers.keys().filter(forbidden).cloned().collect();
    for name in forbidden {
        trailers.remove(&name);
    }
}
