//! What a request says for one connection only, which ends here, and what the next connection needs in its place.

use http::Version;
use http::header::{self, HeaderName};
use pingora::Result;
use pingora::http::RequestHeader;

use super::take;
use crate::request::list;

/// Fields that are for one connection (RFC 9110 §7.6.1), and those of protocols that are not spoken beyond it.
const FOR_ONE_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Takes from an admitted request what was meant for this hop only. `asks_for_upgrade` says whether it asks for another
/// protocol in every way that is needed.
pub(in crate::proxy) fn accept(request: &mut RequestHeader, asks_for_upgrade: bool) {
    remove_named(request);
    if !asks_for_upgrade {
        remove_upgrade(request);
    }
    forget_spelling(request);
}

/// Makes an admitted request's names lower case, as they are over HTTP/2. The library keeps the spelling of each name in
/// a second map, which would be copied and kept up with every field.
fn forget_spelling(request: &mut RequestHeader) {
    *request = RequestHeader::from(take(request));
}

/// Removes the fields that a `Connection` option names, and the options themselves (RFC 9110 §7.6.1). It is done before
/// anything of ours is written, so that no option can take one of our fields away again.
pub(super) fn remove_named(request: &mut RequestHeader) {
    let options: Vec<Vec<u8>> = request
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(list)
        .map(<[u8]>::to_ascii_lowercase)
        .collect();
    let (mut known, named): (Vec<_>, Vec<_>) = options
        .into_iter()
        .partition(|option| matches!(option.as_slice(), b"close" | b"keep-alive" | b"upgrade"));
    if named.is_empty() && known.len() <= 1 {
        return;
    }
    // Each once: the library ends the connection without a word when there are many.
    known.sort();
    known.dedup();
    for name in named.iter().filter_map(|name| HeaderName::from_bytes(name).ok()) {
        request.remove_header(&name);
    }
    request.remove_header(&header::CONNECTION);
    if !known.is_empty() {
        // These are three fixed words with commas between.
        let _ = request.insert_header(header::CONNECTION, known.join(&b", "[..]));
    }
}

/// Removes the wish for another protocol from a request that does not ask for one in every way that is needed. The library
/// takes the field alone for it: it would ask the upstream to switch, and wait for the answer without end.
fn remove_upgrade(request: &mut RequestHeader) {
    request.remove_header(&header::UPGRADE);
}

/// Makes of a copy of an accepted request one for a connection over HTTP/1.1 that asks for no other protocol.
pub(in crate::proxy) fn begin_next(request: &mut RequestHeader) -> Result<()> {
    if request.version == Version::HTTP_2
        && let Some(authority) = request.uri.authority()
    {
        let host = authority.as_str().to_owned();
        request.insert_header(header::HOST, host)?;
    }
    request.set_version(Version::HTTP_11);
    for name in &FOR_ONE_HOP {
        request.remove_header(name);
    }
    Ok(())
}

/// Says where the body ends, if there is one and its length is not known.
pub(in crate::proxy) fn frame(request: &mut RequestHeader, has_body: bool) -> Result<()> {
    if has_body && !request.headers.contains_key(header::CONTENT_LENGTH) {
        request.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}
