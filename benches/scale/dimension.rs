//! What there can be much of, and a gateway with so much of it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::loader::{Requests, in_turn};
use super::material::key_entry;

pub(crate) struct Dimension {
    pub(crate) name: &'static str,
    /// What is counted.
    pub(crate) unit: &'static str,
    /// What memory is told for each of; nothing where that would say nothing.
    pub(crate) each: Option<&'static str>,
    few: &'static [u64],
    all: &'static [u64],
    pub(crate) setup: fn(SocketAddr, u64) -> Setup,
}

/// How many points of a dimension are measured.
#[derive(Clone, Copy)]
pub(crate) enum Points {
    /// For a first impression.
    Few,
    All,
}

/// A gateway, and the requests that it gets.
pub(crate) struct Setup {
    pub(crate) files: Vec<(&'static str, String)>,
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    /// How many of them have a request under way.
    pub(crate) at_once: usize,
    pub(crate) load: Load,
    /// Entries of the revocation list in a Redis of the gateway's own; without one there is no Redis.
    pub(crate) revoked: Option<u64>,
    /// Requests before anything is measured, so that whatever can be remembered is.
    pub(crate) first: u64,
    /// A request that takes longer than a round is sent once.
    pub(crate) once: bool,
}

/// What is sent.
pub(crate) enum Load {
    Ready(Requests),
    /// Tokens that the issuer of the files signs, this many, in turn.
    Signed(usize),
}

impl Dimension {
    pub(crate) fn points(&self, points: Points) -> &'static [u64] {
        match points {
            Points::Few => self.few,
            Points::All => self.all,
        }
    }

    /// The point that the others are measured beside.
    pub(crate) fn base(&self) -> u64 {
        self.all[0]
    }
}

pub(crate) fn all() -> [Dimension; 7] {
    [
        Dimension {
            name: "routes",
            unit: "routes",
            each: Some("route"),
            few: &[10, 1_000],
            all: &[10, 100, 1_000, 10_000],
            setup: routes,
        },
        Dimension {
            name: "keys",
            unit: "API keys",
            each: Some("key"),
            few: &[10, 10_000],
            all: &[10, 1_000, 10_000, 100_000, 1_000_000],
            setup: keys,
        },
        Dimension {
            name: "revocations",
            unit: "entries of the revocation list",
            each: Some("entry"),
            few: &[0, 10_000],
            all: &[0, 1_000, 100_000, 1_000_000, 10_000_000],
            setup: revocations,
        },
        Dimension {
            name: "tokens",
            unit: "distinct tokens in turn",
            each: None,
            few: &[1, 10_000],
            all: &[1, 100, 10_000, 100_000, 1_000_000],
            setup: tokens,
        },
        Dimension {
            name: "connections",
            unit: "open connections, of which ten have a request under way",
            each: Some("connection"),
            few: &[10, 1_000],
            all: &[10, 100, 1_000, 10_000],
            setup: connections,
        },
        Dimension {
            name: "threads",
            unit: "threads",
            each: None,
            few: &[1, 2],
            all: &[1, 2],
            setup: threads,
        },
        Dimension {
            name: "payload",
            unit: "bytes of an answer",
            each: None,
            few: &[1, 1 << 20],
            all: &[1, 1 << 10, 16 << 10, 128 << 10, 1 << 20, 16 << 20, 1 << 30],
            setup: payload,
        },
    ]
}

fn routes(upstream: SocketAddr, size: u64) -> Setup {
    let mut routes = String::new();
    for at in 0..size {
        let path = format!("/v1/tenants/{at}/orders/**");
        let _ = writeln!(
            routes,
            "  - {{ name: r{at}, match: {{ path: {path} }}, auth: partners, upstream: api }}"
        );
    }
    let requests = spread(size, |at| get(&format!("/v1/tenants/{at}/orders/7"), &with_key(0)));
    Setup::new(upstream, KEYS_ONLY, &routes, 1, Load::Ready(requests))
}

fn keys(upstream: SocketAddr, size: u64) -> Setup {
    let requests = spread(size, |at| get("/a", &with_key(at)));
    Setup::new(upstream, KEYS_ONLY, ONE_ROUTE, size, Load::Ready(requests))
}

fn revocations(upstream: SocketAddr, size: u64) -> Setup {
    let auth = "  partners: { jwt: { issuer: \"https://id.example.com\", audience: api, public_key: issuer.pem } }\n";
    let setup = Setup::new(upstream, auth, ONE_ROUTE, 1, Load::Signed(1_000));
    Setup { revoked: Some(size), ..setup }
}

fn tokens(upstream: SocketAddr, size: u64) -> Setup {
    let auth = "  partners: { jwt: { issuer: \"https://id.example.com\", audience: api, algorithms: [HS256], \
                secret: \"file:secret\" } }\n";
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let now = portcullis::clock::Clock::system().unix_seconds();
    let requests = spread(size, move |at| {
        let claims = json!({
            "iss": "https://id.example.com", "aud": "api", "iat": now, "exp": now + 3600,
            "sub": format!("user-{at}"), "jti": format!("{at:032}"), "scope": "orders:read orders:write",
        });
        let token = encode(&Header::default(), &claims, &key).expect("a token");
        get("/a", &format!("Authorization: Bearer {token}\r\n"))
    });
    let mut setup = Setup::new(upstream, auth, ONE_ROUTE, 1, Load::Ready(requests));
    setup.files.push(("secret", SECRET.to_owned()));
    Setup { first: size.min(REMEMBERED), ..setup }
}

fn connections(upstream: SocketAddr, size: u64) -> Setup {
    let requests = in_turn("/a", &[with_key(0)]);
    let setup = Setup::new(upstream, KEYS_ONLY, ONE_ROUTE, 1, Load::Ready(requests));
    Setup { connections: whole(size), at_once: 10, ..setup }
}

fn threads(upstream: SocketAddr, size: u64) -> Setup {
    let requests = in_turn("/a", &[with_key(0)]);
    let setup = Setup::new(upstream, KEYS_ONLY, ONE_ROUTE, 1, Load::Ready(requests));
    Setup { threads: whole(size), ..setup }
}

fn payload(upstream: SocketAddr, size: u64) -> Setup {
    let requests = in_turn(&format!("/bytes/{size}"), &[with_key(0)]);
    let setup = Setup::new(upstream, KEYS_ONLY, ONE_ROUTE, 1, Load::Ready(requests));
    let once = size >= 1 << 30;
    let connections = if once { 1 } else { 8 };
    Setup { connections, at_once: connections, once, ..setup }
}

/// More tokens than a gateway remembers.
const REMEMBERED: u64 = 150_000;

const KEYS_ONLY: &str = "  partners: { api_key: { keys: keys.yaml } }\n";

const ONE_ROUTE: &str = "  - { name: all, match: { path: /** }, auth: partners, upstream: api }\n";

const SECRET: &str = "a secret for signing that is as long as it has to be: 64 bytes..";

impl Setup {
    fn new(upstream: SocketAddr, auth: &str, routes: &str, keys: u64, load: Load) -> Self {
        let mut listed = String::from("keys:\n");
        for at in 0..keys {
            let _ =
                writeln!(listed, "  - {}", key_entry(&format!("k{at}"), &format!("owner-{at}"), &key(at)));
        }
        let policy = format!(
            "version: 1\n\
             listen: [{{ address: \"127.0.0.1:0\", tls: true }}]\n\
             admin: {{ address: \"127.0.0.1:0\" }}\n\
             limits: {{ connections_per_source: 20000, idle_timeout: 1h }}\n\
             tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }}\n\
             auth:\n{auth}\
             identity: {{ headers: {{ X-Auth-Subject: subject }} }}\n\
             upstreams: {{ api: \"http://{upstream}\" }}\n\
             routes:\n{routes}"
        );
        Self {
            files: vec![("gateway.yaml", policy), ("keys.yaml", listed)],
            threads: 1,
            connections: 32,
            at_once: 32,
            load,
            revoked: None,
            first: 0,
            once: false,
        }
    }
}

/// Requests for things that are numbered up to `size`, each time for another one, far from the one before.
fn spread(size: u64, request: impl Fn(u64) -> String + Send + Sync + 'static) -> Requests {
    // A prime that does not divide any of the sizes, so that everything gets its turn.
    Arc::new(move |number, buffer| {
        buffer.extend_from_slice(request((number as u64).wrapping_mul(7_368_787) % size).as_bytes());
    })
}

fn get(path: &str, credential: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n{credential}\r\n"
    )
}

fn with_key(at: u64) -> String {
    format!("X-API-Key: {}\r\n", key(at))
}

fn key(at: u64) -> String {
    format!("sk_live_{at:032}")
}

fn whole(size: u64) -> usize {
    usize::try_from(size).expect("a size of this machine")
}
