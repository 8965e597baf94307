//! What all contestants are given alike: files, credentials, and the upstream.

use std::net::{SocketAddr, TcpListener};

use super::material::{Material, key_entry};

const KEYS: usize = 10_000;

const TOKENS: usize = 5_000;

pub(crate) const ISSUER: &str = "https://id.example.com";

pub(crate) const AUDIENCE: &str = "api";

pub(crate) struct Setting {
    pub(crate) material: Material,
    pub(crate) upstream: SocketAddr,
    pub(crate) tokens: Vec<String>,
}

impl Setting {
    /// Writes the files, for gateways that stand before `upstream`.
    pub(crate) fn new(upstream: SocketAddr) -> Self {
        let keys: Vec<String> = (0..KEYS)
            .map(|at| format!("  - {}\n", key_entry(&format!("k{at}"), &owner(at), &api_key(at))))
            .collect();
        let keys = format!("keys:\n{}", keys.concat());
        let material = Material::new(&[("keys.yaml", keys)]);
        let tokens = (0..TOKENS).map(|number| {
            material.token(serde_json::json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{number}"),
                "scope": "orders:read orders:write", "jti": format!("{number:032}"), "email": "someone@example.com",
            }))
        });
        Self { tokens: tokens.collect(), material, upstream }
    }

    /// Every API key and whose it is.
    pub(crate) fn keys() -> impl Iterator<Item = (String, String)> {
        (0..KEYS).map(|at| (api_key(at), owner(at)))
    }

    /// The path of a file, as configurations name it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.material.folder().join(name).display().to_string()
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.material.folder().join(name), text).expect("a file");
        self.path(name)
    }
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    listener.local_addr().expect("an address")
}

/// A key that stands in the middle of the list.
pub(crate) fn good_key() -> String {
    api_key(KEYS / 2)
}

fn api_key(at: usize) -> String {
    format!("sk_live_{at:032}")
}

fn owner(at: usize) -> String {
    format!("owner-{at}")
}
