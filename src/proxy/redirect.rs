//! The listener that only sends clients to HTTPS.

use http::HeaderValue;
use pingora::http::RequestHeader;

use super::facts::Facts;
use crate::authn::credential;
use crate::gateway::refusal::Refusal;
use crate::request::{Malformed, Parts, Request};

const DEFAULT_PORT: u16 = 443;

/// The same URL with `https`, and `tls_port`, the port that is really listened on: the file may leave it to the system.
///
/// # Errors
/// A request that could be read in two ways, and one that carries a credential: it has been sent in the clear, and a
/// redirect would make that look like it worked.
pub(super) fn location(
    head: &RequestHeader,
    facts: &Facts,
    tls_port: Option<u16>,
) -> Result<HeaderValue, Refusal> {
    let parts = Parts {
        method: head.method.as_str(),
        target: head.raw_path(),
        authority: None,
        headers: &head.headers,
        connection: &facts.connection,
    };
    let request = Request::parse(parts).map_err(Refusal::Malformed)?;
    if credential::is_present(&request) {
        return Err(Refusal::TlsRequired);
    }
    let host = request.host();
    let target = String::from_utf8_lossy(head.raw_path());
    let location = match tls_port.unwrap_or(DEFAULT_PORT) {
        DEFAULT_PORT => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    };
    HeaderValue::try_from(location).map_err(|_| Refusal::Malformed(Malformed::Target))
}
