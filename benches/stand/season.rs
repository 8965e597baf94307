//! A policy and keys that change with the seasons.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::material::{Material, key_entry};

/// API keys that stay.
const KEYS: u64 = 1_000;

/// Seasons after which a new key is used, and after which it is gone. A machine that is busy may take a while to read files.
const USED_AFTER: u64 = 5;
const GONE_AFTER: u64 = 30;

/// What tokens are signed with.
const SECRET: &str = "a secret for signing that is as long as it has to be: 64 bytes..";

pub(crate) struct Season {
    pub(crate) material: Material,
    policies: AtomicU64,
    rotations: AtomicU64,
    upstream: SocketAddr,
    redis: SocketAddr,
}

impl Season {
    /// The first one. `users` is the file of those who log in by Basic.
    pub(crate) fn new(upstream: SocketAddr, redis: SocketAddr, users: &str) -> Self {
        let material = Material::new(&[
            ("gateway.yaml", policy(0, upstream, redis)),
            ("keys.yaml", keys(0)),
            ("users", users.to_owned()),
            ("secret", SECRET.to_owned()),
        ]);
        Self { material, policies: AtomicU64::new(0), rotations: AtomicU64::new(0), upstream, redis }
    }

    /// Writes another policy.
    pub(crate) fn change_policy(&self) {
        let number = self.policies.fetch_add(1, Ordering::SeqCst) + 1;
        self.replace("gateway.yaml", &policy(number, self.upstream, self.redis));
    }

    /// Adds a key to the file of keys, and takes an old one out.
    pub(crate) fn rotate_keys(&self) {
        let number = self.rotations.fetch_add(1, Ordering::SeqCst) + 1;
        self.replace("keys.yaml", &keys(number));
    }

    /// How often keys were rotated.
    pub(crate) fn rotations(&self) -> u64 {
        self.rotations.load(Ordering::SeqCst)
    }

    /// A key that came a few seasons ago, so a gateway that reads its files has it, and one that does not is found out.
    pub(crate) fn recent_key(&self) -> String {
        passing_key(self.rotations().saturating_sub(USED_AFTER))
    }

    /// At once, because the gateway may read the file at any time.
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

/// A token that nobody else has.
pub(crate) fn token(number: u64) -> String {
    let now = portcullis::clock::Clock::system().unix_seconds();
    let claims = json!({
        "iss": "https://id.example.com", "aud": "api", "iat": now, "exp": now + 3600,
        "sub": format!("user-{number}"), "jti": format!("{number:032}"), "scope": "orders:read orders:write",
    });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token")
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
    for passing in season.saturating_sub(GONE_AFTER)..=season {
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
           staff: {{ basic: {{ users: users, realm: x }} }}\n  \
           users: {{ jwt: {{ issuer: \"https://id.example.com\", audience: api, algorithms: [HS256], secret: \"file:secret\" }} }}\n\
         identity: {{ headers: {{ X-Auth-Subject: subject }} }}\n\
         upstreams: {{ api: \"http://{upstream}\" }}\n\
         routes:\n  \
           - {{ name: all, match: {{ path: /** }}, auth: [partners, staff, users], upstream: api }}\n  \
           - {{ name: season, match: {{ path: /seasons/{season} }}, auth: partners, upstream: api }}\n"
    )
}
