//! What goes upstream: the request as it was sent, without what only the gateway may say, and with what it knows.
//!
//! This is the one place that removes and writes identity and forwarding fields. Removal comes first, on every route and
//! whatever the outcome of authentication, and covers every spelling that an upstream might take for one of ours. It is
//! a pure function of the request and the admission; the proxy calls it again for each attempt on a fresh copy.

mod hop;

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};

use super::request_id::{REQUEST_ID, RequestId};
use crate::address;
use crate::gateway::admission::Admission;
use crate::gateway::fact::IdentityHeaders;
use crate::request::origin::{Forwarding, Origin, Scheme};
use crate::request::target::Target;
use crate::request::{Connection, Transport, normal_header_name};
use crate::telemetry::trace::{Context, TRACEPARENT, TRACESTATE};
pub(super) use hop::{accept, begin_next, frame};

/// Everything that a request is prepared with.
pub(super) struct Preparation<'a> {
    pub(super) admission: &'a Admission,
    pub(super) connection: &'a Connection,
    pub(super) identity_headers: &'a IdentityHeaders,
    /// The host that the upstream gets in place of the client's.
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) origin: &'a Origin,
    pub(super) request_id: &'a RequestId,
    /// The request's place in a trace; nothing while tracing is off, and the caller's fields pass as they are.
    pub(super) trace: Option<&'a Context>,
}

/// Prefixes of names that only the gateway may set, in their normal form. `client-cert` is what a proxy that ends TLS says of the client's certificate (RFC 9440 §3).
const OURS_BY_PREFIX: [&str; 6] =
    ["client-cert", "x-auth-", "x-forwarded-", "x-original-", "x-rewrite-", "x-ssl-client-"];

/// Names that only the gateway may set, or from which some upstreams read another method, address, scheme or proxy than the
/// request has. `proxy` becomes `HTTP_PROXY` in CGI (httpoxy).
const OURS: [&str; 26] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "proxy",
    "proxy-client-ip",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-real-ip",
    "x-request-id",
    "x-scheme",
    "x-url-scheme",
];

/// Names that mean something in one spelling only: others were never looked at, and an upstream may take them for the one
/// that was.
const ONE_SPELLING: [&str; 3] = ["content-length", "transfer-encoding", "x-api-key"];

/// About as many fields are written as most requests get: room is made for them at once.
const MOST_WRITTEN: usize = 10;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether only the gateway may set the field `name`, in any spelling.
pub(super) fn is_set_by_gateway_only(name: &HeaderName, identity_headers: &IdentityHeaders) -> bool {
    let normal: Cow<'_, str> = normal_header_name(name.as_str());
    let normal = &*normal;
    OURS_BY_PREFIX.iter().any(|prefix| normal.starts_with(prefix))
        || OURS.contains(&normal)
        || (normal != name.as_str() && ONE_SPELLING.contains(&normal))
        || identity_headers.is_named(normal)
}

impl Preparation<'_> {
    /// Turns a copy of the client's request into the one that goes upstream.
    pub(super) fn apply(&self, request: &mut RequestHeader) -> Result<()> {
        let mut parts = take(request);
        self.remove_and_write(&mut parts)?;
        *request = RequestHeader::from(parts);
        Ok(())
    }

    fn remove_and_write(&self, parts: &mut Parts) -> Result<()> {
        parts.headers.reserve(MOST_WRITTEN);
        self.remove_ours(&mut parts.headers);
        for name in self.admission.credential_to_strip().headers() {
            parts.headers.remove(name);
        }
        join_cookies(&mut parts.headers)?;
        self.rewrite_path(parts)?;
        self.write_forwarding(parts)?;
        if let Some(strip) = &self.admission.route().strip_prefix {
            parts.headers.insert(&X_FORWARDED_PREFIX, strip.header.clone());
        }
        // After the forwarding fields, which name the client's host.
        if let Some(host) = self.host {
            parts.headers.insert(header::HOST, host.clone());
        }
        self.write_identity(&mut parts.headers);
        parts.headers.insert(REQUEST_ID, self.request_id.value().clone());
        self.write_trace(&mut parts.headers);
        Ok(())
    }

    fn remove_ours(&self, headers: &mut HeaderMap) {
        let is_ours = |name: &&HeaderName| is_set_by_gateway_only(name, self.identity_headers);
        let ours: Vec<HeaderName> = headers.keys().filter(is_ours).cloned().collect();
        for name in ours {
            headers.remove(&name);
        }
    }

    /// Removes the route's prefix and adds the base path of the upstream. The query stays.
    fn rewrite_path(&self, parts: &mut Parts) -> Result<()> {
        let route = self.admission.route();
        if !route.rewrites_path() {
            return Ok(());
        }
        let target = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let (path, query) = match target.find('?') {
            Some(at) => target.split_at(at),
            None => (target, ""),
        };
        let rewritten = format!("{}{query}", route.upstream_path(path));
        // What goes upstream is held to the rules that the client's path was held to.
        if Target::parse(rewritten.as_bytes()).is_err() {
            return Err(internal("the rewritten path is not canonical"));
        }
        let mut uri = parts.uri.clone().into_parts();
        uri.path_and_query =
            Some(rewritten.parse().map_err(|_| internal("the rewritten path is not usable"))?);
        parts.uri = http::Uri::from_parts(uri).map_err(|_| internal("the rewritten target is not usable"))?;
        Ok(())
    }

    /// Writes who the client is, and the proxies that the request came through, in both families of headers. What the
    /// gateway does not believe appears in neither.
    fn write_forwarding(&self, parts: &mut Parts) -> Result<()> {
        let peer = self.origin.peer();
        let own_scheme = match self.connection.transport {
            Transport::Plaintext => Scheme::Http,
            Transport::Tls => Scheme::Https,
        };
        let own_host = host_of(parts);
        let peer_text = address::text(peer);
        let element = forwarded_element(peer, &peer_text, own_host.as_ref(), own_scheme);
        let headers = &mut parts.headers;
        let Some(forwarding) = self.origin.forwarding() else {
            headers.insert(&X_FORWARDED_FOR, value(peer_text)?);
            headers.insert(header::FORWARDED, value(element)?);
            headers.insert(&X_FORWARDED_PROTO, HeaderValue::from_static(own_scheme.name()));
            if let Some(host) = own_host {
                headers.insert(&X_FORWARDED_HOST, host);
            }
            return Ok(());
        };
        let Forwarding { addresses, host, scheme } = forwarding;
        let mut all: Vec<String> = addresses.iter().map(|hop| address::text(*hop)).collect();
        all.push(peer_text);
        headers.insert(&X_FORWARDED_FOR, value(all.join(", "))?);
        let mut elements = forwarded_elements(forwarding);
        elements.push(element);
        headers.insert(header::FORWARDED, value(elements.join(", "))?);
        let scheme = scheme.unwrap_or(own_scheme);
        headers.insert(&X_FORWARDED_PROTO, HeaderValue::from_static(scheme.name()));
        if let Some(host) = host.clone().or(own_host) {
            headers.insert(&X_FORWARDED_HOST, host);
        }
        Ok(())
    }

    /// Tells the upstream that the gateway's own span calls it. What a caller says in `tracestate` goes with a trace that is
    /// theirs only (W3C Trace Context §4.3), and there is none of a caller who is not believed.
    fn write_trace(&self, headers: &mut HeaderMap) {
        let Some(trace) = self.trace else { return };
        headers.remove(TRACEPARENT);
        if let Some(field) = trace.traceparent() {
            headers.insert(TRACEPARENT, field);
        }
        if trace.parent.is_none() {
            headers.remove(TRACESTATE);
        }
    }

    fn write_identity(&self, headers: &mut HeaderMap) {
        if let Some(identity) = self.admission.identity() {
            for (name, value) in &*self.identity_headers.of_caller(identity) {
                headers.insert(name, value.clone());
            }
        }
        if let Some(certificate) = &self.connection.certificate {
            headers.extend(self.identity_headers.of_certificate(certificate));
        }
    }
}

/// Takes a request out of the library's hands. A target that was admitted is a path, so the library reads the very same
/// bytes back from the URI.
fn take(request: &mut RequestHeader) -> Parts {
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    std::mem::replace(request, empty).into()
}

/// Makes one field of cookies that HTTP/2 has split: outside of it there is only one (RFC 9113 §8.2.3), and upstreams that
/// get more look at the first, or the last.
fn join_cookies(headers: &mut HeaderMap) -> Result<()> {
    let mut all = headers.get_all(header::COOKIE).iter();
    if all.next().is_none() || all.next().is_none() {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined =
        HeaderValue::try_from(crumbs.join(&b"; "[..])).map_err(|_| internal("the cookies are not usable"))?;
    headers.insert(header::COOKIE, joined);
    Ok(())
}

/// The elements of `Forwarded` for the hops before the peer (RFC 7239 §4): the last one says how the peer received the
/// request.
fn forwarded_elements(forwarding: &Forwarding) -> Vec<String> {
    let Forwarding { addresses, host, scheme } = forwarding;
    let mut elements: Vec<String> =
        addresses.iter().map(|hop| format!("for={}", forwarded_node(*hop))).collect();
    if elements.is_empty() && (host.is_some() || scheme.is_some()) {
        elements.push("for=unknown".to_owned());
    }
    if let Some(nearest) = elements.last_mut() {
        if let Some(host) = host.as_ref().and_then(|host| host.to_str().ok()) {
            *nearest += &format!(";host=\"{host}\"");
        }
        if let Some(scheme) = scheme {
            *nearest += &format!(";proto={}", scheme.name());
        }
    }
    elements
}

/// An address as a node of `Forwarded` (RFC 7239 §6): one with colons is quoted.
fn forwarded_node(hop: IpAddr) -> String {
    if hop.is_ipv6() { format!("\"[{hop}]\"") } else { address::text(hop) }
}

/// The gateway's own element of `Forwarded`.
fn forwarded_element(peer: IpAddr, peer_text: &str, host: Option<&HeaderValue>, scheme: Scheme) -> String {
    let (open, close) = if peer.is_ipv6() { ("\"[", "]\"") } else { ("", "") };
    let parts = match host.and_then(|host| host.to_str().ok()) {
        Some(host) => ["for=", open, peer_text, close, ";host=\"", host, "\";proto=", scheme.name()],
        None => ["for=", open, peer_text, close, "", "", ";proto=", scheme.name()],
    };
    parts.concat()
}

/// The host that was asked for, as it was sent; it has been parsed, so it contains no quote.
fn host_of(parts: &Parts) -> Option<HeaderValue> {
    let authority = || HeaderValue::try_from(parts.uri.authority()?.as_str()).ok();
    parts.headers.get(header::HOST).cloned().or_else(authority)
}

fn value(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|_| internal("a field that no header can hold"))
}

#[expect(clippy::unnecessary_box_returns, reason = "the library's results carry boxed errors")]
fn internal(what: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, what)
}

#[cfg(test)]
mod tests;
