//! Compiles `trusted_proxies`.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::address::Network;
use crate::config::document::{TrustedProxiesEntry, TrustedProxiesSettings};
use crate::loading::Loading;
use crate::request::origin::{ForwardingHeader, TrustedProxies};
use crate::yaml::Located;

pub(super) fn compile(entry: &TrustedProxiesEntry, loading: &mut Loading<'_>) -> TrustedProxies {
    let (entries, header): (&[Located<String>], _) = match entry {
        TrustedProxiesEntry::Networks(networks) => (networks, ForwardingHeader::XForwardedFor),
        TrustedProxiesEntry::Full(TrustedProxiesSettings { networks, header }) => {
            if networks.is_empty() {
                loading.error(networks.place(), "at least one network must stand here").hint(
                    "list the addresses of your proxies, such as `10.0.0.0/24`, or remove `trusted_proxies`",
                );
            }
            (networks, *header)
        }
    };
    let mut networks = Vec::new();
    for entry in entries {
        match entry.parse::<Network>() {
            Ok(network) => networks.push(network.net()),
            Err(error) => {
                loading.error(entry.place(), error.to_string()).hint(error.hint());
            }
        }
    }
    // Halves of the internet add up to the whole: what counts is what they cover together.
    if let Some(entry) = entries.first()
        && IpNet::aggregate(&networks).iter().any(is_internet)
    {
        loading
            .error(entry.place(), "these networks cover the whole internet")
            .hint("a trusted proxy can claim any client address: list the addresses of your proxies only");
    }
    TrustedProxies { networks, header }
}

/// Whether a network has all addresses of IPv4, or all that are routed in the internet of IPv6 (`2000::/3`).
fn is_internet(network: &IpNet) -> bool {
    const ROUTED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    match network {
        IpNet::V4(network) => *network == Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0),
        IpNet::V6(network) => network.contains(&ROUTED),
    }
}
