//! Where a request comes from: the peer, or what a trusted proxy says in the one header that is configured for that.
//!
//! Forwarding headers of a peer that is not trusted are never read, and of a trusted peer only the configured ones are.
//! What is malformed ends the chain: the client is then the nearest address that a trusted proxy named, or the peer.

use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::forwarded::{self, Element};

/// The proxies in front of the gateway, and the header in which they say whom a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Their networks.
    pub networks: Vec<IpNet>,
    /// Their header.
    pub header: ForwardingHeader,
}

/// The header in which trusted proxies say whom a request comes from.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardingHeader {
    /// `Forwarded` (RFC 7239), with `for`, `proto` and `host`. `X-Forwarded-*` is removed.
    Forwarded,
    /// `X-Forwarded-For`, with `X-Forwarded-Proto`. `Forwarded` and all other `X-Forwarded-*` are removed.
    #[default]
    XForwardedFor,
}

/// The scheme by which a proxy received a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    peer: IpAddr,
    /// What the peer says, if it is trusted.
    forwarding: Option<Box<Forwarding>>,
}

/// What a trusted peer says of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// The addresses that the request came through: the client first, then trusted proxies, without the peer.
    pub addresses: Vec<IpAddr>,
    /// The host that the client asked the peer for; with `Forwarded` only.
    pub host: Option<HeaderValue>,
    /// The scheme by which the peer received the request.
    pub scheme: Option<Scheme>,
}

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl TrustedProxies {
    /// Whether forwarding headers of `peer` are read.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }
}

impl ForwardingHeader {
    /// The names of the headers that are read.
    pub fn names(self) -> &'static str {
        match self {
            Self::Forwarded => "Forwarded",
            Self::XForwardedFor => "X-Forwarded-For and X-Forwarded-Proto",
        }
    }
}

impl Scheme {
    /// Reads the name of a scheme, in any case (RFC 3986 §3.1).
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"https") {
            Some(Self::Https)
        } else if text.eq_ignore_ascii_case(b"http") {
            Some(Self::Http)
        } else {
            None
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Origin {
    /// Where a request with `headers` comes from, which `peer` has sent.
    pub fn of(headers: &HeaderMap, peer: IpAddr, trusted: &TrustedProxies) -> Self {
        let peer = peer.to_canonical();
        let forwarding = trusted.contains(peer).then(|| {
            Box::new(match trusted.header {
                ForwardingHeader::Forwarded => Forwarding::of_elements(headers, trusted),
                ForwardingHeader::XForwardedFor => Forwarding::of_addresses(headers, trusted),
            })
        });
        Self { peer, forwarding }
    }

    /// The address of the client: what a trusted proxy has named, or the peer's.
    pub fn client(&self) -> IpAddr {
        self.forwarding.as_ref().and_then(|said| said.addresses.first()).copied().unwrap_or(self.peer)
    }

    /// The address at the other end of the connection.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// What the peer says, if it is a trusted proxy.
    pub fn forwarding(&self) -> Option<&Forwarding> {
        self.forwarding.as_deref()
    }

    /// Whether the peer is a trusted proxy.
    pub fn is_forwarded(&self) -> bool {
        self.forwarding.is_some()
    }
}

impl Forwarding {
    /// Reads `Forwarded`. The last element is the peer's own; `proto` and `host` count in that one only.
    fn of_elements(headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let mut said = Self::default();
        let mut is_nearest = true;
        for element in forwarded::from_right(headers) {
            let Ok(Element { client, host, scheme }) = element else { break };
            if std::mem::take(&mut is_nearest) {
                said.host = host;
                said.scheme = scheme;
            }
            let Some(address) = client.map(|client| client.to_canonical()) else { break };
            said.addresses.push(address);
            if !trusted.contains(address) {
                break;
            }
        }
        said.addresses.reverse();
        said
    }

    /// Reads `X-Forwarded-For` and `X-Forwarded-Proto`.
    fn of_addresses(headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let mut addresses = Vec::new();
        let lines = headers.get_all(&X_FORWARDED_FOR).iter().rev();
        for element in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
            // What stands left of a malformed element was seen by no proxy that is trusted.
            let Some(address) = read_address(forwarded::trim(element)) else { break };
            addresses.push(address);
            if !trusted.contains(address) {
                break;
            }
        }
        addresses.reverse();
        // The proxy replaces the line of the client. Two lines mean that it added its own, and either may be the client's.
        let mut protos = headers.get_all(&X_FORWARDED_PROTO).iter();
        let scheme = match (protos.next(), protos.next()) {
            (Some(only), None) => Scheme::parse(only.as_bytes()),
            _ => None,
        };
        Self { addresses, host: None, scheme }
    }
}

/// An address, as `X-Forwarded-For` has it: some proxies write a port, or brackets.
fn read_address(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().map(IpAddr::V6).ok();
    text.parse().ok().or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests;
