//! Where requests go: the targets of an upstream and how they are talked to. The connections are the proxy's business.

mod base_path;
mod error;
mod health;
mod host;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::telemetry::metrics::UpstreamSeries;
pub use base_path::{BasePath, BasePathError};
pub use error::UpstreamError;
pub use health::{LastFailure, TargetHealth};
pub use host::HostPolicy;

/// One compiled upstream.
#[derive(Debug)]
pub struct Upstream {
    /// Its name, in logs and metrics.
    pub name: Arc<str>,
    /// Where requests go.
    pub destination: Destination,
    /// What stands in front of the path of each request.
    pub base_path: BasePath,
    /// Which host its requests name.
    pub host: HostPolicy,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// Its series.
    pub series: UpstreamSeries,
}

/// What is at the other end.
#[derive(Debug)]
pub enum Destination {
    /// An upstream inside the gateway, which answers with what it received.
    Echo,
    /// Servers, used in turn.
    Targets(Targets),
}

/// Servers that are used in turn.
#[derive(Debug)]
pub struct Targets {
    targets: Vec<Target>,
    turn: AtomicUsize,
}

/// One server.
#[derive(Debug)]
pub struct Target {
    /// The target as the file writes it, in logs and metrics.
    pub label: Box<str>,
    /// What requests have found out about it.
    pub health: Arc<TargetHealth>,
    /// How it is talked to.
    pub protocol: Protocol,
    /// Its name or address, as the file writes it; an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Host and port as a URL has them: without the default port of the protocol, an IPv6 address in brackets.
    pub authority: HeaderValue,
    /// How it is recognised, for TLS.
    pub tls: Arc<UpstreamTls>,
    /// Its addresses, resolved and kept fresh by the proxy. Empty until the first success.
    pub addresses: ArcSwap<Vec<SocketAddr>>,
}

/// How a server is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http://`: HTTP/1.1 in the clear.
    Http,
    /// `h2c://`: HTTP/2 in the clear.
    HttpTwo,
    /// `https://`: HTTP/2 or HTTP/1.1 over TLS, by ALPN.
    Https,
}

/// How a server proves that it is the right one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Certificate authorities in DER; the system's when there are none.
    pub authorities: Vec<Vec<u8>>,
    /// The name in its certificate, where it differs from the host.
    pub server_name: Option<String>,
}

/// How long to wait for an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the head of the response, after the last piece of the request.
    pub request: Duration,
    /// For each pause in a response after its head, and in both directions of an upgraded connection.
    pub stream_idle: Duration,
    /// Before an unused connection is closed.
    pub idle: Duration,
}

/// Whether upstreams are spoken to over HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Http2 {
    /// No: all of them speak HTTP/1.1.
    #[default]
    Never,
    /// For clients that speak it, where an upstream agrees.
    Offered,
    /// For all clients: an upstream speaks nothing else.
    Required,
}

/// The label of the upstream inside the gateway, where others have that of their target.
pub const ECHO: &str = "builtin:echo";

impl Upstream {
    /// The label of the target at `position`, or of the upstream inside the gateway.
    pub fn target_label(&self, position: Option<usize>) -> Option<&str> {
        match &self.destination {
            Destination::Echo => Some(ECHO),
            Destination::Targets(targets) => targets.get(position?).map(|target| &*target.label),
        }
    }
}

impl Upstream {
    /// Its name, the label of each target, and whether requests use the target as if it had never failed.
    pub fn target_states(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let targets = match &self.destination {
            Destination::Echo => None,
            Destination::Targets(targets) => Some(targets.iter()),
        };
        targets.into_iter().flatten().map(|target| (&*self.name, &*target.label, target.health.is_healthy()))
    }
}

impl Destination {
    /// Whether HTTP/2 is spoken with one of its servers.
    pub fn http2(&self) -> Http2 {
        match self {
            Self::Echo => Http2::Never,
            Self::Targets(targets) => {
                targets.iter().map(|target| target.protocol.http2()).max().unwrap_or_default()
            }
        }
    }
}

impl Protocol {
    /// Whether HTTP/2 is spoken with a server.
    pub fn http2(self) -> Http2 {
        match self {
            Self::Http => Http2::Never,
            Self::Https => Http2::Offered,
            Self::HttpTwo => Http2::Required,
        }
    }

    /// The port of a target that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http | Self::HttpTwo => 80,
            Self::Https => 443,
        }
    }

    /// How a target with it begins in the file.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::HttpTwo => "h2c",
            Self::Https => "https",
        }
    }
}

impl Targets {
    /// Takes turns among `targets`, of which there is at least one.
    pub fn new(targets: Vec<Target>) -> Self {
        Self { targets, turn: AtomicUsize::new(0) }
    }

    /// The next target in turn, and its position.
    pub fn next(&self) -> Option<(usize, &Target)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.targets.len().max(1);
        self.targets.get(turn).map(|target| (turn, target))
    }

    /// The target at a position.
    pub fn get(&self, position: usize) -> Option<&Target> {
        self.targets.get(position)
    }

    /// Continues with what is known about the targets of `before` that the file writes in the same way, so that a reload
    /// forgets neither an address nor a failure.
    pub fn take_over(&mut self, before: &Self) {
        for target in &mut self.targets {
            if let Some(same) = before.iter().find(|other| other.label == target.label) {
                target.health = same.health.clone();
            }
            let same = before.iter().find(|other| other.host == target.host && other.port == target.port);
            if let Some(same) = same {
                target.addresses.store(same.addresses.load_full());
            }
        }
    }

    /// All targets.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

impl Target {
    /// The name that its certificate must carry.
    pub fn server_name(&self) -> &str {
        self.tls.server_name.as_deref().unwrap_or(&self.host)
    }
}
