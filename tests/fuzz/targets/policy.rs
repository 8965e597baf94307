//! A policy to decide by, and how a request is put to it.

use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use portcullis::authn::password::HashingPool;
use portcullis::clock::Clock;
use portcullis::config::{Configuration, Services};
use portcullis::gateway::admission::Admission;
use portcullis::request::{Connection, Parts, Request, Transport};
use portcullis::telemetry::metrics::Metrics;

/// The time of every decision, in seconds since the Unix epoch.
pub const NOW: u64 = 1_800_000_000;

/// The one API key.
pub const KEY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

/// What tokens are signed with.
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const POLICY: &str = r#"
version: 1
listen: [{ address: "127.0.0.1:0", plaintext: true }]
upstreams: { api: builtin:echo }
auth:
  partners: { api_key: { keys: keys.yaml } }
  users: { jwt: { issuer: "https://id.example.com", audience: [api, other], secret: "file:secret", algorithms: [HS256], max_lifetime: 1h, leeway: 30s } }
routes:
  - { name: open, match: { path: /open/**, methods: [GET] }, auth: public, upstream: api }
  - { name: keys, match: { path: /keys/** }, auth: partners, allow: { "GET, POST": {} }, upstream: api }
  - { name: tokens, match: { path: /tokens/** }, auth: users, allow: { GET: {}, POST: { scopes: [write] } }, upstream: api }
  - { name: both, match: { host: both.example.com, path: /** }, auth: [partners, users], upstream: api }
"#;

struct Fixture {
    configuration: Configuration,
    connection: Connection,
    /// The files of the policy, and the pool that it was compiled with.
    _kept: (tempfile::TempDir, HashingPool),
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let digest = digest::digest(&digest::SHA256, KEY.as_bytes());
        let sha256 = portcullis::hex::encode(digest.as_ref());
        let keys = format!("keys: [{{ id: k, owner: acme, sha256: \"{sha256}\", expires: never }}]\n");
        std::fs::write(folder.path().join("keys.yaml"), keys).expect("a file");
        std::fs::write(folder.path().join("secret"), SECRET).expect("a file");
        std::fs::write(folder.path().join("gateway.yaml"), POLICY).expect("a file");
        let (configuration, pool) = load(&folder.path().join("gateway.yaml"));
        let configuration = configuration.unwrap_or_else(|text| panic!("{text}"));
        let connection =
            Connection { peer: IpAddr::from([127, 0, 0, 1]), transport: Transport::Tls, certificate: None };
        Fixture { configuration, connection, _kept: (folder, pool) }
    })
}

/// Compiles the file at `path`, or says what is wrong with it.
pub fn load(path: &Path) -> (Result<Configuration, String>, HashingPool) {
    let (hashing, _worker) = HashingPool::new();
    let services = Services {
        clock: Clock::manual(NOW),
        environment: &|_| None,
        metrics: Metrics::new("0", "0").expect("metrics"),
        hashing: hashing.clone(),
    };
    let loaded =
        Configuration::load(path, &services, None).map_err(|rejected| rejected.problems.render(false));
    (loaded, hashing)
}

/// Puts a request to the policy. `None` when it is refused.
pub fn admit(method: &str, target: &[u8], headers: &HeaderMap) -> Option<Admission> {
    let Fixture { configuration, connection, .. } = fixture();
    let parts = Parts { method, target, authority: None, headers, connection };
    let request = Request::parse(parts).ok()?;
    let future = pin!(configuration.gateway.admit(&request, NOW));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verdict) => verdict.ok(),
        Poll::Pending => panic!("nothing here has to be waited for"),
    }
}

/// A token with these claims and a good signature.
pub fn sign(claims: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}
