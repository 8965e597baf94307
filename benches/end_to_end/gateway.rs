//! The gateway under test: its files, its process, and the processor time that it has used.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rustls::{ClientConfig, RootCertStore};

use super::loader::Scenario;

const KEYS: usize = 10_000;

const TOKENS: usize = 5_000;

/// Keys, certificates and credentials of one run.
pub(crate) struct Material {
    folder: tempfile::TempDir,
    certificate: rustls_pemfile::CertificateDer<'static>,
    signing: EncodingKey,
}

impl Material {
    pub(crate) fn new(upstream: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        let server = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        write("server.crt", &server.cert.pem());
        write("server.key", &server.signing_key.serialize_pem());
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key pair");
        write("issuer.pem", &pair.public_key_pem());
        let signing = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a signing key");
        write("users", &format!("alice:{}\n", bcrypt::hash("hunter2", 10).expect("a hash")));
        let mut keys = String::from("keys:\n");
        for at in 0..KEYS {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, api_key(at).as_bytes());
            let sha256 = portcullis::hex::encode(digest.as_ref());
            let _ = writeln!(
                keys,
                "  - {{ id: k{at}, owner: owner-{at}, sha256: \"{sha256}\", expires: never }}"
            );
        }
        write("keys.yaml", &keys);
        write(
            "gateway.yaml",
            &format!(
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
            ),
        );
        Self { folder, certificate: server.cert.der().clone(), signing }
    }

    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let basic = base64::engine::general_purpose::STANDARD.encode("alice:hunter2");
        let bearer = |number| format!("Authorization: Bearer {}\r\n", self.token(number));
        let forged = forge(&bearer(0));
        vec![
            Scenario {
                name: "no authentication",
                path: "/open/a",
                credentials: vec![String::new()],
                status: 200,
            },
            Scenario {
                name: "API key, 10,000 loaded",
                path: "/key/a",
                credentials: vec![format!("X-API-Key: {}\r\n", api_key(KEYS / 2))],
                status: 200,
            },
            Scenario {
                name: "Basic, bcrypt cost 10",
                path: "/basic/a",
                credentials: vec![format!("Authorization: Basic {basic}\r\n")],
                status: 200,
            },
            Scenario {
                name: "JWT RS256, one token",
                path: "/jwt/a",
                credentials: vec![bearer(0)],
                status: 200,
            },
            Scenario {
                name: "JWT RS256, 5,000 tokens in turn",
                path: "/jwt/a",
                credentials: (0..TOKENS).map(bearer).collect(),
                status: 200,
            },
            Scenario {
                name: "JWT with a bad signature, refused",
                path: "/jwt/a",
                credentials: vec![forged],
                status: 401,
            },
        ]
    }

    fn token(&self, number: usize) -> String {
        let now = portcullis::clock::Clock::system().unix_seconds();
        let claims = serde_json::json!({
            "iss": "https://id.example.com", "aud": "api", "sub": format!("user-{number}"), "iat": now, "exp": now + 3600,
            "scope": "orders:read orders:write", "jti": format!("{number:032}"), "email": "someone@example.com",
        });
        encode(&Header::new(Algorithm::RS256), &claims, &self.signing).expect("a token")
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let mut config =
            ClientConfig::builder().with_root_certificates(Arc::new(roots)).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
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

/// The gateway's process.
pub(crate) struct Gateway {
    process: Child,
    address: SocketAddr,
}

impl Gateway {
    pub(crate) fn start(material: &Material) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["run", "--threads", "1", "--config"])
            .arg(material.folder.path().join("gateway.yaml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a gateway");
        let mut lines = BufReader::new(process.stderr.take().expect("its log")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split("listening on ").nth(1)?.split(' ').next()?.parse().ok())
            .expect("an address");
        // What else it logs must not fill the pipe.
        std::thread::spawn(move || lines.count());
        Self { process, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How much of the process is in memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("an account");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// User and system time of the process so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("an account");
        // After the name in parentheses, user and system time are the 12th and 13th field, in hundredths of a second.
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 =
            after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
