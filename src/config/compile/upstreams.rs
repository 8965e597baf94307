//! Compiles `upstreams`: where requests go and how they are talked to.

mod host;
mod target;

use std::sync::Arc;

use http::HeaderValue;
use rustls_pemfile::CertificateDer;
use rustls_pemfile::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Named, names};
use crate::config::document::{TimeoutsEntry, UpstreamEntry, UpstreamSettings, UpstreamTlsEntry};
use crate::gateway::Gateway;
use crate::gateway::upstream::{
    BasePath, Destination, ECHO, HostPolicy, Protocol, Target, Targets, Timeouts, Upstream, UpstreamTls,
};
use crate::loading::Loading;
use crate::problem::Place;
use crate::request::authority::Authority;
use crate::telemetry::metrics::Metrics;
use crate::yaml::{Entries, Located};
use target::{NO_TARGET, TargetUrl};

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
            UpstreamEntry::Short(text) => {
                target(text, entry.place(), &Arc::default(), loading).map(|(target, base_path)| Parts {
                    base_path,
                    ..Parts::with_defaults(targets(vec![target]))
                })
            }
            UpstreamEntry::Full(settings) => compile_full(settings, loading),
        };
        let upstream = parts.map(|Parts { mut destination, base_path, host, timeouts }| {
            let before =
                previous.and_then(|previous| previous.upstreams.iter().find(|other| *other.name == **name));
            if let (Destination::Targets(targets), Some(Destination::Targets(before))) =
                (&mut destination, before.map(|before| &before.destination))
            {
                targets.take_over(before);
            }
            let series = metrics.upstream(name);
            Arc::new(Upstream { name: name.as_str().into(), destination, base_path, host, timeouts, series })
        });
        compiled.push((name.clone(), upstream));
    }
    compiled
}

/// What the settings of an upstream compile into.
struct Parts {
    destination: Destination,
    base_path: BasePath,
    host: HostPolicy,
    timeouts: Timeouts,
}

impl Parts {
    fn with_defaults(destination: Destination) -> Self {
        let timeouts = timeouts(&TimeoutsEntry::default());
        Self { destination, base_path: BasePath::default(), host: HostPolicy::default(), timeouts }
    }
}

fn compile_full(settings: &UpstreamSettings, loading: &mut Loading<'_>) -> Option<Parts> {
    let UpstreamSettings { targets: urls, timeouts: timeouts_entry, tls, host } = settings;
    let host = host.as_ref().map(|host| host::compile(host, loading)).unwrap_or_default();
    let upstream_tls = tls.as_ref().map(|tls| compile_tls(tls, loading)).unwrap_or_default();
    if urls.is_empty() && !loading.problems.has_errors() {
        loading.error(urls.place(), "at least one target must stand here").hint(NO_TARGET);
    }
    let mut compiled = Vec::with_capacity(urls.len());
    let mut first: Option<BasePath> = None;
    for url in urls.iter() {
        let Some((target, base_path)) = target(url, url.place(), &upstream_tls, loading) else { continue };
        compiled.push(target);
        let first = first.get_or_insert_with(|| base_path.clone());
        if *first != base_path {
            let shown = |path: &BasePath| if path.is_empty() { "/".to_owned() } else { path.to_string() };
            let what = format!(
                "this target has the path `{}`, and the first one `{}`",
                shown(&base_path),
                shown(first)
            );
            loading.error(url.place(), what).hint(
                "a request has one path, whichever target gets it: write the same path, or another upstream",
            );
        }
    }
    if let Some(tls) = tls
        && !compiled.is_empty()
        && compiled.iter().all(|target| target.protocol != Protocol::Https)
    {
        loading
            .error(tls.place(), "`tls` is set, and no target is `https`")
            .hint("remove it or change a target");
    }
    (!compiled.is_empty()).then(|| {
        let base_path = first.unwrap_or_default();
        Parts { destination: targets(compiled), base_path, host, timeouts: timeouts(timeouts_entry) }
    })
}

fn targets(targets: Vec<Target>) -> Destination {
    Destination::Targets(Targets::new(targets))
}

fn timeouts(entry: &TimeoutsEntry) -> Timeouts {
    let TimeoutsEntry { connect, request, stream_idle, idle } = entry;
    Timeouts {
        connect: connect.duration(),
        request: request.duration(),
        stream_idle: stream_idle.duration(),
        idle: idle.duration(),
    }
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

fn target(
    text: &str,
    place: &Place,
    tls: &Arc<UpstreamTls>,
    loading: &mut Loading<'_>,
) -> Option<(Target, BasePath)> {
    let TargetUrl { protocol, host, port, base_path } = match TargetUrl::parse(text) {
        Ok(url) => url,
        Err(error) => {
            loading.error(place, error.what).hint(error.hint);
            return None;
        }
    };
    let authority = authority(protocol, &host, port)?;
    let target = Target {
        label: text.into(),
        health: Arc::default(),
        protocol,
        host,
        port,
        authority,
        tls: tls.clone(),
        addresses: arc_swap::ArcSwap::default(),
    };
    Some((target, base_path))
}

/// Host and port as a URL has them.
fn authority(protocol: Protocol, host: &str, port: u16) -> Option<HeaderValue> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let text = if port == protocol.default_port() { host } else { format!("{host}:{port}") };
    // The host was parsed, so it contains nothing that a header cannot hold.
    HeaderValue::try_from(text).ok()
}
