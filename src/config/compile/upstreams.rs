//! Compiles `upstreams`: where requests go and how they are talked to.

mod host;

use std::net::Ipv6Addr;
use std::sync::Arc;

use http::HeaderValue;
use rustls_pemfile::CertificateDer;
use rustls_pemfile::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Named, names};
use crate::config::document::{TimeoutsEntry, UpstreamEntry, UpstreamSettings, UpstreamTlsEntry};
use crate::gateway::Gateway;
use crate::gateway::upstream::{
    Destination, HostPolicy, Protocol, Target, Targets, Timeouts, Upstream, UpstreamTls,
};
use crate::loading::Loading;
use crate::problem::Place;
use crate::request::authority::Authority;
use crate::telemetry::metrics::Metrics;
use crate::yaml::{Entries, Located};

const ECHO: &str = "builtin:echo";

const NO_TARGET: &str =
    "write `http://host:port`, `https://host:port`, or `h2c://host:port` for HTTP/2 in the clear";

pub(super) fn compile(
    entries: &Entries<Located<UpstreamEntry>>,
    metrics: &Metrics,
    previous: Option<&Gateway>,
    loading: &mut Loading<'_>,
) -> Vec<Named<Arc<Upstream>>> {
    let mut compiled = Vec::with_capacity(entries.len());
    for (name, entry) in entries.iter() {
        names::check(name, loading);
        let parts = match &**entry {
            UpstreamEntry::Short(text) if text == ECHO => Some(Parts::with_defaults(Destination::Echo)),
            UpstreamEntry::Short(text) => target(text, entry.place(), &Arc::default(), loading)
                .map(|target| Parts::with_defaults(Destination::Targets(Targets::new(vec![target])))),
            UpstreamEntry::Full(settings) => compile_full(settings, loading),
        };
        let upstream = parts.map(|Parts { destination, host, timeouts }| {
            let before =
                previous.and_then(|previous| previous.upstreams.iter().find(|other| *other.name == **name));
            if let Some(before) = before {
                take_over_addresses(&before.destination, &destination);
            }
            let series = metrics.upstream(name);
            Arc::new(Upstream { name: name.as_str().into(), destination, host, timeouts, series })
        });
        compiled.push((name.clone(), upstream));
    }
    compiled
}

/// A reload forgets no address: the first requests after it need not wait for names to be resolved again.
fn take_over_addresses(before: &Destination, now: &Destination) {
    if let (Destination::Targets(before), Destination::Targets(now)) = (before, now) {
        for target in now.iter() {
            let same = before.iter().find(|other| other.host == target.host && other.port == target.port);
            if let Some(same) = same {
                target.addresses.store(same.addresses.load_full());
            }
        }
    }
}

/// What the settings of an upstream compile into.
struct Parts {
    destination: Destination,
    host: HostPolicy,
    timeouts: Timeouts,
}

impl Parts {
    fn with_defaults(destination: Destination) -> Self {
        let timeouts = timeouts(&TimeoutsEntry::default());
        Self { destination, host: HostPolicy::default(), timeouts }
    }
}

fn compile_full(settings: &UpstreamSettings, loading: &mut Loading<'_>) -> Option<Parts> {
    let UpstreamSettings { targets, timeouts: timeouts_entry, tls, host } = settings;
    let host = host.as_ref().map(|host| host::compile(host, loading)).unwrap_or_default();
    let upstream_tls = tls.as_ref().map(|tls| compile_tls(tls, loading)).unwrap_or_default();
    if targets.is_empty() && !loading.problems.has_errors() {
        loading.error(targets.place(), "at least one target must stand here").hint(NO_TARGET);
    }
    let compiled: Vec<Target> =
        targets.iter().filter_map(|text| target(text, text.place(), &upstream_tls, loading)).collect();
    if let Some(tls) = tls
        && !compiled.is_empty()
        && compiled.iter().all(|target| target.protocol != Protocol::Https)
    {
        loading
            .error(tls.place(), "`tls` is set, and no target is `https`")
            .hint("remove it or change a target");
    }
    (!compiled.is_empty()).then(|| {
        let destination = Destination::Targets(Targets::new(compiled));
        Parts { destination, host, timeouts: timeouts(timeouts_entry) }
    })
}

fn timeouts(entry: &TimeoutsEntry) -> Timeouts {
    let TimeoutsEntry { connect, request, idle } = entry;
    Timeouts { connect: connect.duration(), request: request.duration(), idle: idle.duration() }
}

fn compile_tls(entry: &Located<UpstreamTlsEntry>, loading: &mut Loading<'_>) -> Arc<UpstreamTls> {
    let UpstreamTlsEntry { ca, server_name } = &**entry;
    let mut authorities = Vec::new();
    if let Some(ca) = ca
        && let Some(pem) = loading.file(ca)
    {
        let readable = |der: &CertificateDer<'_>| X509Certificate::from_der(der).is_ok();
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let read = read.unwrap_or_default();
        if read.iter().all(readable) {
            authorities = read.iter().map(|der| der.to_vec()).collect();
        }
        if authorities.is_empty() {
            loading
                .error(ca.place(), "this file contains no usable certificate in PEM")
                .hint("expected are blocks that begin with `-----BEGIN CERTIFICATE-----`");
        }
    }
    if let Some(name) = server_name
        && !is_server_name(name)
    {
        loading
            .error(name.place(), "this is not the name of a server")
            .hint("such as `orders.internal`, without a port");
    }
    let server_name = server_name.as_ref().map(|name| name.to_ascii_lowercase());
    Arc::new(UpstreamTls { authorities, server_name })
}

/// Whether `name` is a host without a port: an empty name would switch verification off.
fn is_server_name(name: &str) -> bool {
    Authority::parse(name.as_bytes()).is_ok_and(|authority| authority.port().is_none())
}

fn target(text: &str, place: &Place, tls: &Arc<UpstreamTls>, loading: &mut Loading<'_>) -> Option<Target> {
    let parsed = parse_target(text);
    let Some((protocol, host, port)) = parsed else {
        loading.error(place, "this is not the URL of a server").hint(NO_TARGET);
        return None;
    };
    let authority = authority(protocol, &host, port)?;
    Some(Target {
        protocol,
        host,
        port,
        authority,
        tls: tls.clone(),
        addresses: arc_swap::ArcSwap::default(),
    })
}

/// Host and port as a URL has them.
fn authority(protocol: Protocol, host: &str, port: u16) -> Option<HeaderValue> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let text = if port == protocol.default_port() { host } else { format!("{host}:{port}") };
    // The host was parsed, so it contains nothing that a header cannot hold.
    HeaderValue::try_from(text).ok()
}

fn parse_target(text: &str) -> Option<(Protocol, String, u16)> {
    let (scheme, rest) = text.split_once("://")?;
    let protocol = match scheme {
        "http" => Protocol::Http,
        "h2c" => Protocol::HttpTwo,
        "https" => Protocol::Https,
        _ => return None,
    };
    let authority = Authority::parse(rest.strip_suffix('/').unwrap_or(rest).as_bytes()).ok()?;
    let host = authority.host();
    // An address is resolved without its brackets.
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().ok()?.to_string(),
        None => host.to_owned(),
    };
    Some((protocol, host, authority.port().unwrap_or(protocol.default_port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, expect) in [
            ("http://orders:8080", Some((Protocol::Http, "orders", 8080))),
            ("https://Orders.internal/", Some((Protocol::Https, "orders.internal", 443))),
            ("h2c://10.0.0.1:50051", Some((Protocol::HttpTwo, "10.0.0.1", 50051))),
            ("http://[::1]:80", Some((Protocol::Http, "::1", 80))),
            ("orders:8080", None),
            ("ftp://orders", None),
            ("http://", None),
            ("http://user:pw@orders", None),
            ("http://orders/path", None),
            ("http://orders?x", None),
            ("HTTP://orders", None),
        ] {
            let expect = expect.map(|(protocol, host, port)| (protocol, host.to_owned(), port));
            assert_eq!(parse_target(text), expect, "{text}");
        }
    }
}
