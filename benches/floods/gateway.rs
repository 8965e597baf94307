//! The gateway that is flooded: its files, its process, and how much memory it has.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rustls::{ClientConfig, RootCertStore};

/// The one good API key.
pub(crate) const KEY: &str = "sk_live_00000000000000000000000000000042";

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
        write("users", &format!("alice:{}\n", hash_password("hunter2")));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, KEY.as_bytes());
        let sha256 = portcullis::hex::encode(digest.as_ref());
        write(
            "keys.yaml",
            &format!("keys: [{{ id: k, owner: acme, sha256: \"{sha256}\", expires: never }}]\n"),
        );
        write(
            "gateway.yaml",
            &format!(
                "version: 1\nlisten: [{{ address: \"127.0.0.1:0\", tls: true }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
                 limits: {{ header_timeout: 60s }}\n\
                 tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }}\n\
                 auth:\n  partners: {{ api_key: {{ keys: keys.yaml }} }}\n  staff: {{ basic: {{ users: users, realm: x }} }}\n  \
                 users: {{ jwt: {{ issuer: \"https://id.example.com\", audience: api, public_key: issuer.pem }} }}\n\
                 upstreams: {{ api: \"http://{upstream}\" }}\nroutes:\n  \
                 - {{ name: api, match: {{ path: /** }}, auth: [partners, staff, users], upstream: api }}\n"
            ),
        );
        Self { folder, certificate: server.cert.der().clone(), signing }
    }

    /// The header lines of each kind of good credential.
    pub(crate) fn credentials(&self) -> [String; 3] {
        [
            format!("X-API-Key: {KEY}\r\n"),
            format!("Authorization: Basic {}\r\n", STANDARD.encode("alice:hunter2")),
            format!("Authorization: Bearer {}\r\n", self.token()),
        ]
    }

    /// A good token.
    pub(crate) fn token(&self) -> String {
        let now = portcullis::clock::Clock::system().unix_seconds();
        let claims = serde_json::json!({
            "iss": "https://id.example.com", "aud": "api", "sub": "alice", "iat": now, "exp": now + 3600,
        });
        encode(&Header::new(Algorithm::RS256), &claims, &self.signing).expect("a token")
    }

    /// How clients connect that speak `protocol`.
    pub(crate) fn client(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let mut config =
            ClientConfig::builder().with_root_certificates(Arc::new(roots)).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }
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

fn binary() -> std::ffi::OsString {
    std::env::var_os("PORTCULLIS_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis").into())
}

/// The gateway's process.
pub(crate) struct Gateway {
    process: Child,
    address: SocketAddr,
}

impl Gateway {
    pub(crate) fn start(material: &Material) -> Self {
        let mut process = Command::new(binary())
            .args(["run", "--threads", "2", "--config"])
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
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    pub(crate) fn resident_mebibytes(&self) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("an account");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") as f64 / 1024.0
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
