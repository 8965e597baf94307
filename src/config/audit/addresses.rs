//! Advice about what goes over networks in the clear, and about who can reach what.

use std::net::IpAddr;

use url::{Host, Url};

use crate::config::document::{Document, UpstreamEntry};
use crate::problem::{Place, Problems};

pub(super) fn advise(document: &Document, advice: &mut Problems) {
    for entry in document.listen.iter() {
        if entry.plaintext == Some(true) && !entry.address.0.ip().is_loopback() {
            advice
                .advice(entry.address.place(), "this listener is in the clear, and others may reach it")
                .hint("what public routes answer can be read and changed on the way: use `tls: true`, or `redirect: https`");
        }
    }
    if let Some(admin) = &document.admin
        && is_reachable(admin.address.0.ip())
    {
        advice
            .advice(admin.address.place(), "metrics and health can be asked for from other machines")
            .hint("give it a loopback address, or that of a network which clients cannot reach");
    }
    for (_, entry) in document.upstreams.iter() {
        match &**entry {
            UpstreamEntry::Short(target) => {
                upstream(target, entry.place(), advice);
                preserved_host(target, entry.place(), advice);
            }
            UpstreamEntry::Full(settings) => {
                for target in settings.targets.iter() {
                    upstream(target, target.place(), advice);
                }
                if let (None, Some(first)) = (&settings.host, settings.targets.first()) {
                    preserved_host(first, first.place(), advice);
                }
            }
        }
    }
}

fn upstream(target: &str, place: &Place, advice: &mut Problems) {
    let in_the_clear = target.starts_with("http://") || target.starts_with("h2c://");
    if in_the_clear && host_of(target).is_some_and(|host| is_public_host(&host)) {
        advice
            .advice(place, "requests go in the clear to a host that looks public")
            .hint("identity headers can be read and forged on the way: use `https://`");
    }
}

/// A server on the internet chooses by `Host` which site it serves, and mostly knows no name of this gateway.
fn preserved_host(target: &str, place: &Place, advice: &mut Problems) {
    if target.starts_with("https://") && host_of(target).is_some_and(|host| is_public_host(&host)) {
        advice
            .advice(
                place,
                "this server looks public, and receives the client's `Host`, which it may not know",
            )
            .hint(
                "write `host: upstream` to send its own name, or `host: preserve` if it expects the client's",
            );
    }
}

fn host_of(url: &str) -> Option<Host<String>> {
    // `h2c` is no scheme that the parser knows the form of.
    let url = url.strip_prefix("h2c://").map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"));
    Url::parse(&url).ok()?.host().map(|host| host.to_owned())
}

/// The last labels of names that only inner networks know (RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`).
const INNER: [&str; 10] =
    ["corp", "home", "home.arpa", "internal", "invalid", "lan", "local", "localhost", "svc", "test"];

fn is_public_host(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => {
            let inner = |last: &&str| name.ends_with(&format!(".{last}")) || name == *last;
            // A cluster's `orders.shop` is a service and its namespace.
            name.split('.').count() > 2 && !INNER.iter().any(inner)
        }
        Host::Ipv4(address) => is_reachable(IpAddr::V4(*address)),
        Host::Ipv6(address) => is_reachable(IpAddr::V6(*address)),
    }
}

/// Whether an address is of the internet, or stands for all addresses of the machine. Those of RFC 6598 are shared by inner
/// networks.
fn is_reachable(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let shared = matches!(address.octets(), [100, 64..=127, ..]);
            !(shared || address.is_loopback() || address.is_private() || address.is_link_local())
        }
        IpAddr::V6(address) => {
            !(address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local())
        }
    }
}
