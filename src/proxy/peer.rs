//! The server that a request goes to, in the proxy library's terms.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pingora::connectors::L4Connect;
use pingora::protocols::ALPN;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::{HttpPeer, PeerOptions};
use pingora::utils::tls::{WrappedX509, parse_x509};

use super::upgrade::UpgradeConnector;
use crate::gateway::upstream::{Protocol, Target, Timeouts};

/// Which version of HTTP a request needs at the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// HTTP/1.1.
    One,
    /// HTTP/2 if the upstream speaks it: the client does, and may send or expect trailers.
    Two,
    /// HTTP/1.1, to leave it for another protocol.
    Upgrade,
}

/// Whether a request may go over a connection that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    Allowed,
    /// One such connection had been closed already, and the others may have been closed with it.
    Never,
}

/// Keys for connections that are used once; odd, so that none is zero.
static SEPARATE: AtomicU64 = AtomicU64::new(1);

/// How many requests share an HTTP/2 connection with an upstream.
const STREAMS: usize = 100;

/// The peer for `target` at `address`.
pub(super) fn for_target(
    target: &Target,
    address: SocketAddr,
    timeouts: Timeouts,
    need: Need,
    reuse: Reuse,
) -> Box<HttpPeer> {
    let tls = target.protocol == Protocol::Https;
    // An empty name would switch verification off; a target always has a host.
    let name = if tls { target.server_name().to_owned() } else { String::new() };
    let mut peer = HttpPeer::new(address, tls, name);
    let alpn = match (target.protocol, need) {
        (Protocol::Http, _) | (Protocol::Https, Need::One | Need::Upgrade) => ALPN::H1,
        (Protocol::Https, Need::Two) => ALPN::H2H1,
        (Protocol::HttpTwo, _) => ALPN::H2,
    };
    let multiplexed = !matches!(alpn, ALPN::H1);
    set_options(&mut peer.options, timeouts, alpn);
    if tls && !target.tls.authorities.is_empty() {
        peer.options.ca = Some(authorities(target));
    }
    peer.group_key = group_key(target, multiplexed);
    if need == Need::Upgrade {
        // The time for the answer is kept by `Upgrade`; after that there may be silence.
        peer.options.read_timeout = None;
        peer.options.custom_l4 = Some(UpgradeConnector::new(timeouts.connect));
    }
    if reuse == Reuse::Never || need == Need::Upgrade {
        // The pool finds connections by this key; under one of its own there are none, and none is kept.
        peer.group_key ^= SEPARATE.fetch_add(2, Ordering::Relaxed);
        peer.options.idle_timeout = Some(Duration::ZERO);
    }
    Box::new(peer)
}

/// The peer for the upstream inside the gateway.
pub(super) fn for_builtin(connect: Arc<dyn L4Connect + Send + Sync>, timeouts: Timeouts) -> Box<HttpPeer> {
    let mut peer = HttpPeer::new(SocketAddr::from(([127, 0, 0, 1], 0)), false, String::new());
    set_options(&mut peer.options, timeouts, ALPN::H1);
    peer.options.custom_l4 = Some(connect);
    Box::new(peer)
}

fn set_options(options: &mut PeerOptions, timeouts: Timeouts, alpn: ALPN) {
    options.alpn = alpn;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.request);
    options.write_timeout = Some(timeouts.request);
    options.idle_timeout = Some(timeouts.idle);
    options.max_h2_streams = STREAMS;
}

/// The library's pool does not look at authorities and protocols when it reuses a connection; this does it for it.
fn group_key(target: &Target, multiplexed: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.host.hash(&mut hasher);
    target.tls.authorities.hash(&mut hasher);
    target.tls.server_name.hash(&mut hasher);
    let protocol: u8 = match target.protocol {
        Protocol::Http => 0,
        Protocol::HttpTwo => 1,
        Protocol::Https => 2,
    };
    protocol.hash(&mut hasher);
    multiplexed.hash(&mut hasher);
    hasher.finish()
}

fn authorities(target: &Target) -> Arc<CaType> {
    target.tls.authorities.iter().map(|der| WrappedX509::new(der.clone(), parse_x509)).collect()
}
