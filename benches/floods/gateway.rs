//! The gateway that is flooded: its policy, and good credentials for it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::client::Resumption;

use super::material::{Material, key_entry};
use super::process::{Gateway, binary};

/// The one good API key.
pub(crate) const KEY: &str = "sk_live_00000000000000000000000000000042";

/// What the gateway that stands before `upstream` reads.
pub(crate) fn material(upstream: SocketAddr) -> Material {
    let policy = format!(
        "version: 1\nlisten: [{{ address: \"127.0.0.1:0\", tls: true }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
                 limits: {{ header_timeout: 60s }}\n\
                 tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }}\n\
                 auth:\n  partners: {{ api_key: {{ keys: keys.yaml }} }}\n  staff: {{ basic: {{ users: users, realm: x }} }}\n  \
                 users: {{ jwt: {{ issuer: \"https://id.example.com\", audience: api, public_key: issuer.pem }} }}\n\
                 upstreams: {{ api: \"http://{upstream}\" }}\nroutes:\n  \
                 - {{ name: api, match: {{ path: /** }}, auth: [partners, staff, users], upstream: api }}\n"
    );
    Material::new(&[
        ("users", format!("alice:{}\n", hash_password("hunter2"))),
        ("keys.yaml", format!("keys: [{}]\n", key_entry("k", "acme", KEY))),
        ("gateway.yaml", policy),
    ])
}

/// Starts it.
pub(crate) fn start(material: &Material) -> Gateway {
    Gateway::start(binary(), 2, &material.configuration())
}

/// The header lines of each kind of good credential.
pub(crate) fn credentials(material: &Material) -> [String; 3] {
    [
        format!("X-API-Key: {KEY}\r\n"),
        format!("Authorization: Basic {}\r\n", STANDARD.encode("alice:hunter2")),
        format!("Authorization: Bearer {}\r\n", token(material)),
    ]
}

/// How clients connect that speak `protocol`, and never resume a session.
pub(crate) fn client(material: &Material, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut config = material.client(protocol);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// A good token.
pub(crate) fn token(material: &Material) -> String {
    material.token(serde_json::json!({ "iss": "https://id.example.com", "aud": "api", "sub": "alice" }))
}

/// An argon2id hash with the parameters that `portcullis hash-password` uses.
fn hash_password(password: &str) -> String {
    let mut process = Command::new(binary())
        .arg("hash-password")
        .arg("alice")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process that hashes");
    let mut input = process.stdin.take().expect("its input");
    std::io::Write::write_all(&mut input, format!("{password}\n").as_bytes()).expect("a password");
    drop(input);
    let output = process.wait_with_output().expect("a hash");
    let line = String::from_utf8(output.stdout).expect("text");
    line.trim().rsplit_once(':').expect("a line of a users file").1.to_owned()
}
