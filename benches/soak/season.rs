//! The policy and the keys, which change with each season.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::material::{Material, key_entry};

/// API keys that stay.
const KEYS: u64 = 1_000;

/// Seasons that a key is good for which does not stay.
const LASTS: u64 = 10;

/// What tokens are signed with.
pub(crate) const SECRET: &str = "a secret for signing that is as long as it has to be: 64 bytes..";

pub(crate) struct Season {
    pub(crate) material: Material,
    number: AtomicU64,
    upstream: SocketAddr,
    redis: SocketAddr,
}

impl Season {
    /// The first one.
    pub(crate) fn new(upstream: SocketAddr, redis: SocketAddr) -> Self {
        let files = [
            ("gateway.yaml", policy(0, upstream, redis)),
            ("keys.yaml", keys(0)),
            ("secret", SECRET.to_owned()),
        ];
        Self { material: Material::new(&files), number: AtomicU64::new(0), upstream, redis }
    }

    /// Writes the files of the next one, each at once, because the gateway may read them at any time.
    pub(crate) fn advance(&self) {
        let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        self.replace("keys.yaml", &keys(number));
        self.replace("gateway.yaml", &policy(number, self.upstream, self.redis));
    }

    /// How many have begun since the first.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    /// A key that came with the season before last, so a gateway that reads its files has it, and one that does not is found out.
    pub(crate) fn recent_key(&self) -> String {
        passing_key(self.number().saturating_sub(2))
    }

    fn replace(&self, name: &str, text: &str) {
        let folder = self.material.folder();
        let new = folder.join("new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(new, folder.join(name))).expect("a file");
    }
}

/// A key that stays.
pub(crate) fn lasting_key(at: u64) -> String {
    format!("sk_live_{:032}", at % KEYS)
}

fn passing_key(season: u64) -> String {
    format!("sk_pass_{season:032}")
}

fn keys(season: u64) -> String {
    let mut listed = String::from("keys:\n");
    let mut list = |id: &str, key: &str| {
        let _ = writeln!(listed, "  - {}", key_entry(id, "acme", key));
    };
    for at in 0..KEYS {
        list(&format!("k{at}"), &lasting_key(at));
    }
    for passing in season.saturating_sub(LASTS)..=season {
        list(&format!("p{passing}"), &passing_key(passing));
    }
    listed
}

/// Each season has a route of its own.
fn policy(season: u64, upstream: SocketAddr, redis: SocketAddr) -> String {
    format!(
        "version: 1\n\
         listen: [{{ address: \"127.0.0.1:0\", tls: true }}]\n\
         admin: {{ address: \"127.0.0.1:0\" }}\n\
         tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }}\n\
         redis: {{ url: \"redis://{redis}\" }}\n\
         revocation: {{ store: redis, max_stale: 1h }}\n\
         auth:\n  \
           partners: {{ api_key: {{ keys: keys.yaml }} }}\n  \
           users: {{ jwt: {{ issuer: \"https://id.example.com\", audience: api, algorithms: [HS256], secret: \"file:secret\" }} }}\n\
         identity: {{ headers: {{ X-Auth-Subject: subject }} }}\n\
         upstreams: {{ api: \"http://{upstream}\" }}\n\
         routes:\n  \
           - {{ name: all, match: {{ path: /** }}, auth: [partners, users], upstream: api }}\n  \
           - {{ name: season, match: {{ path: /seasons/{season} }}, auth: partners, upstream: api }}\n"
    )
}
