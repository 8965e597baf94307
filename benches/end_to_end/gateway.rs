//! The gateway under test: its policy, requests for it, and the processor time that it has used.

use std::fmt::Write as _;
use std::net::SocketAddr;

use base64::Engine;

use super::material::{Material, key_entry};
use super::process::{Gateway, binary};

const KEYS: usize = 10_000;

const TOKENS: usize = 5_000;

/// What the gateway that stands before `upstream` reads.
pub(crate) fn material(upstream: SocketAddr) -> Material {
    let mut keys = String::from("keys:\n");
    for at in 0..KEYS {
        let _ = writeln!(keys, "  - {}", key_entry(&format!("k{at}"), &format!("owner-{at}"), &api_key(at)));
    }
    let policy = format!(
        "version: 1\nlisten: [{{ address: \"127.0.0.1:0\", tls: true }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
                 limits: {{ failed_attempts: {{ source: unlimited, principal: unlimited }} }}\n\
             tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }}\n\
             auth:\n  partners: {{ api_key: {{ keys: keys.yaml }} }}\n  staff: {{ basic: {{ users: users, realm: x }} }}\n  \
             users: {{ jwt: {{ issuer: \"https://id.example.com\", audience: api, public_key: issuer.pem }} }}\n\
             upstreams: {{ api: \"http://{upstream}\" }}\nroutes:\n  \
             - {{ name: open, match: {{ path: /open/** }}, auth: public, upstream: api }}\n  \
             - {{ name: key, match: {{ path: /key/** }}, auth: partners, upstream: api }}\n  \
             - {{ name: basic, match: {{ path: /basic/** }}, auth: staff, upstream: api }}\n  \
             - {{ name: jwt, match: {{ path: /jwt/** }}, auth: users, upstream: api }}\n"
    );
    Material::new(&[
        ("users", format!("alice:{}\n", bcrypt::hash("hunter2", 10).expect("a hash"))),
        ("keys.yaml", keys),
        ("gateway.yaml", policy),
    ])
}

/// Starts it.
pub(crate) fn start(material: &Material) -> Gateway {
    Gateway::start(binary(), 1, &material.configuration())
}

/// A request that is sent again and again.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// Whether the requests come over HTTP/2; over HTTP/1.1 otherwise.
    pub(crate) http2: bool,
    /// The header lines that carry the credential, used in turn; one empty one for none.
    pub(crate) credentials: Vec<String>,
    /// The status that must come back.
    pub(crate) status: u16,
}

/// The requests that are compared.
pub(crate) fn scenarios(material: &Material) -> Vec<Scenario> {
    let basic = base64::engine::general_purpose::STANDARD.encode("alice:hunter2");
    let bearer = |number| format!("Authorization: Bearer {}\r\n", token(material, number));
    let forged = forge(&bearer(0));
    vec![
        Scenario {
            name: "no authentication",
            path: "/open/a",
            http2: false,
            credentials: vec![String::new()],
            status: 200,
        },
        Scenario {
            name: "API key, 10,000 loaded",
            path: "/key/a",
            http2: false,
            credentials: vec![format!("X-API-Key: {}\r\n", api_key(KEYS / 2))],
            status: 200,
        },
        Scenario {
            name: "Basic, bcrypt cost 10",
            path: "/basic/a",
            http2: false,
            credentials: vec![format!("Authorization: Basic {basic}\r\n")],
            status: 200,
        },
        Scenario {
            name: "JWT RS256, one token",
            path: "/jwt/a",
            http2: false,
            credentials: vec![bearer(0)],
            status: 200,
        },
        Scenario {
            name: "JWT RS256, 5,000 tokens in turn",
            path: "/jwt/a",
            http2: false,
            credentials: (0..TOKENS).map(bearer).collect(),
            status: 200,
        },
        Scenario {
            name: "JWT with a bad signature, refused",
            path: "/jwt/a",
            http2: false,
            credentials: vec![forged],
            status: 401,
        },
        Scenario {
            name: "no authentication, HTTP/2",
            path: "/open/a",
            http2: true,
            credentials: vec![String::new()],
            status: 200,
        },
        Scenario {
            name: "JWT RS256, one token, HTTP/2",
            path: "/jwt/a",
            http2: true,
            credentials: vec![bearer(0)],
            status: 200,
        },
    ]
}

fn token(material: &Material, number: usize) -> String {
    material.token(serde_json::json!({
        "iss": "https://id.example.com", "aud": "api", "sub": format!("user-{number}"),
        "scope": "orders:read orders:write", "jti": format!("{number:032}"), "email": "someone@example.com",
    }))
}

/// The same token with one letter of its signature changed.
fn forge(field: &str) -> String {
    let (before, after) = field.split_at(field.len() - 100);
    let other = if after.starts_with('A') { "B" } else { "A" };
    format!("{before}{other}{}", &after[1..])
}

fn api_key(at: usize) -> String {
    format!("sk_live_{at:032}")
}
