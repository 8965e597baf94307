//! References in a response (`Location`, `Content-Location`) back from the upstream's view to the client's.
//!
//! A route that changes path or host shows the upstream another URL than the client has. What the upstream refers to is
//! mapped back: to a path, never to another host. A reference that is not the upstream's own, or that would not be a
//! canonical path, stays as the upstream wrote it.

use std::net::Ipv6Addr;

use http::header::{self, HeaderName, HeaderValue};
use http::uri::Scheme;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::gateway::route::Route;
use crate::gateway::upstream::{Destination, Target as Server};
use crate::request::authority::Authority;
use crate::request::target::Target;

/// The headers that hold one reference (RFC 9110 §10.2.2, §8.7).
const REFERENCES: [HeaderName; 2] = [header::LOCATION, header::CONTENT_LOCATION];

/// How the upstream sees a request.
#[derive(Debug)]
pub(super) struct UpstreamView {
    /// Path without query.
    path: Box<str>,
    /// The host that it received.
    host: Option<HeaderValue>,
    /// The host that the client asked for, as the upstream was told.
    client_host: Option<HeaderValue>,
    /// Whether the client speaks HTTPS, as the upstream was told.
    client_https: bool,
}

impl UpstreamView {
    /// How the upstream sees `request`, which is about to be sent to it.
    pub(super) fn of(request: &RequestHeader) -> Self {
        let path = String::from_utf8_lossy(request.raw_path());
        let path = path.split('?').next().unwrap_or_default();
        let authority = || HeaderValue::try_from(request.uri.authority()?.as_str()).ok();
        Self {
            path: path.into(),
            host: request.headers.get(header::HOST).cloned().or_else(authority),
            client_host: request.headers.get("x-forwarded-host").cloned(),
            client_https: request.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https"),
        }
    }

    /// Maps the references of `response`, which answers a request of `route`.
    ///
    /// # Errors
    /// None that a mapped reference could cause.
    pub(super) fn map_references(&self, route: &Route, response: &mut ResponseHeader) -> Result<()> {
        for name in REFERENCES {
            let mapped: Vec<Option<String>> =
                response.headers.get_all(&name).iter().map(|value| self.map(route, value)).collect();
            if mapped.iter().all(Option::is_none) {
                continue;
            }
            let values: Vec<HeaderValue> = response.headers.get_all(&name).iter().cloned().collect();
            response.remove_header(&name);
            for (value, mapped) in values.into_iter().zip(mapped) {
                let value = mapped.and_then(|mapped| HeaderValue::try_from(mapped).ok()).unwrap_or(value);
                response.append_header(name.clone(), value)?;
            }
        }
        Ok(())
    }

    /// What the client gets in place of a reference; nothing where it stays.
    fn map(&self, route: &Route, value: &HeaderValue) -> Option<String> {
        let text = escape(value.as_bytes())?;
        let Reference { scheme, authority, path, rest } = Reference::split(&text)?;
        let Some(authority) = authority else {
            if path.is_empty() || !route.rewrites_path() {
                // The client resolves it by its own URL, in the same way.
                return None;
            }
            let written = if path.starts_with('/') { Written::Absolute } else { Written::Relative };
            let path = map_path(route, &resolve(&self.path, path), written)?;
            return Some(format!("{path}{rest}"));
        };
        let owner = self.owner(route, scheme.as_ref(), authority)?;
        let path =
            map_path(route, &resolve("/", if path.is_empty() { "/" } else { path }), Written::Absolute)?;
        // A client that is sent from HTTP to HTTPS would otherwise be sent to where it is.
        if owner == Owner::Client && scheme == Some(Scheme::HTTPS) && !self.client_https {
            return Some(format!("https://{authority}{path}{rest}"));
        }
        Some(format!("{path}{rest}"))
    }

    /// Whose authority this is; nothing for one that is neither the upstream's nor the client's.
    fn owner(&self, route: &Route, scheme: Option<&Scheme>, authority: &str) -> Option<Owner> {
        let authority = Authority::parse(authority.as_bytes()).ok()?;
        let https = scheme.map_or(self.client_https, |scheme| *scheme == Scheme::HTTPS);
        let is = |host: &Option<HeaderValue>| {
            let host = host.as_ref().and_then(|host| Authority::parse(host.as_bytes()).ok());
            host.is_some_and(|host| {
                without_default_port(&host, https) == without_default_port(&authority, https)
            })
        };
        if is(&self.client_host) {
            return Some(Owner::Client);
        }
        let is_target = match &route.upstream.destination {
            Destination::Echo => false,
            Destination::Targets(targets) => {
                targets.iter().any(|target| is_server(target, &authority, scheme.map(|_| https)))
            }
        };
        (is_target || is(&self.host)).then_some(Owner::Upstream)
    }
}

/// Whose an authority is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Client,
    Upstream,
}

/// How a path was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// From the root: an upstream that knows about the prefix may have written it as the client sees it.
    Absolute,
    /// Relative to the request.
    Relative,
}

/// The parts of a reference (RFC 3986 §4.1).
struct Reference<'a> {
    scheme: Option<Scheme>,
    authority: Option<&'a str>,
    path: &'a str,
    /// Query and fragment, with their marks.
    rest: &'a str,
}

impl<'a> Reference<'a> {
    /// Splits a reference; nothing for schemes other than HTTP's.
    fn split(text: &'a str) -> Option<Self> {
        let colon = text.find([':', '/', '?', '#']).filter(|at| text.as_bytes()[*at] == b':');
        let (scheme, hierarchy) = match colon {
            None => (None, text),
            Some(at) => {
                let scheme = match &text[..at] {
                    name if name.eq_ignore_ascii_case("http") => Scheme::HTTP,
                    name if name.eq_ignore_ascii_case("https") => Scheme::HTTPS,
                    _ => return None,
                };
                (Some(scheme), &text[at + 1..])
            }
        };
        let (authority, path) = match hierarchy.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                (Some(authority), path)
            }
            // `https:path` has no meaning that everyone agrees on.
            None if scheme.is_some() => return None,
            None => (None, hierarchy),
        };
        let (path, rest) = path.split_at(path.find(['?', '#']).unwrap_or(path.len()));
        Some(Self { scheme, authority, path, rest })
    }
}

/// The text of a reference, with escapes for what is not ASCII. Nothing for what clients read in different ways: controls,
/// spaces and backslashes.
fn escape(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => return None,
            0x80.. => text.push_str(&format!("%{byte:02X}")),
            byte if byte.is_ascii_graphic() => text.push(char::from(*byte)),
            _ => return None,
        }
    }
    Some(text)
}

/// `path` as seen from `base`, without dot segments (RFC 3986 §5.2), which browsers also see in `%2e`.
fn resolve(base: &str, path: &str) -> String {
    let before =
        if path.starts_with('/') { "" } else { base.rsplit_once('/').map_or("", |(before, _)| before) };
    let whole = format!("{before}/{}", path.strip_prefix('/').unwrap_or(path));
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = whole[1..].split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let dots = part.to_ascii_lowercase().replace("%2e", ".");
        match dots.as_str() {
            "." | ".." => {
                if dots == ".." {
                    segments.pop();
                }
                if last {
                    segments.push("");
                }
            }
            _ => segments.push(part),
        }
    }
    format!("/{}", segments.join("/"))
}

/// The client's path for the upstream's `path`; nothing where there is none.
fn map_path(route: &Route, path: &str, written: Written) -> Option<String> {
    // No client may read it as another path, or as a host.
    Target::parse(path.as_bytes()).ok()?;
    let base = route.upstream.base_path.as_str();
    let prefix = route.strip_prefix.as_ref().map_or("", |strip| strip.path.as_str());
    let below_base = below(path, base);
    // The longer match decides: an upstream that was told of the prefix may have added it.
    let has_prefix = written == Written::Absolute && !prefix.is_empty() && below(path, prefix).is_some();
    if has_prefix && (below_base.is_none() || prefix.len() > base.len()) {
        return Some(path.to_owned());
    }
    let mapped = format!("{prefix}{}", below_base?);
    Some(if mapped.is_empty() { "/".to_owned() } else { mapped })
}

/// What follows `folder` in `path`, if it is below it by whole segments.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Host and port, without the port that a URL need not name.
fn without_default_port<'a>(authority: &'a Authority<'_>, https: bool) -> (&'a str, Option<u16>) {
    let default = if https { 443 } else { 80 };
    (authority.host(), authority.port().filter(|port| *port != default))
}

/// Whether a URL with this authority, over HTTPS or not if it says so, leads to `server`.
fn is_server(server: &Server, authority: &Authority<'_>, https: Option<bool>) -> bool {
    let default = https.map_or(server.protocol.default_port(), |https| if https { 443 } else { 80 });
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let same_host = match address.map(str::parse::<Ipv6Addr>) {
        Some(Ok(address)) => address.to_string() == server.host,
        Some(Err(_)) | None => host == server.host,
    };
    same_host && authority.port().unwrap_or(default) == server.port
}

#[cfg(test)]
mod tests;
