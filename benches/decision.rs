//! What a decision costs: each kind of credential, remembered and not, and the look-up of a route among many.
//!
//! Everything that a request needs for its decision is in it: parsing the target, finding the route and the credential,
//! verifying it, the revocation list, scopes. Sockets, TLS and the proxy are not; see `end_to_end` for those.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up should stop with a reason")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use base64::Engine;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use portcullis::authn::password::HashingPool;
use portcullis::clock::Clock;
use portcullis::config::{Configuration, Services};
use portcullis::gateway::Gateway;
use portcullis::request::{Connection, Parts, Request, Transport};
use portcullis::telemetry::metrics::Metrics;

const KEY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

const NOW: u64 = 1_800_000_000;

struct Material {
    folder: tempfile::TempDir,
    signing: Vec<(Algorithm, EncodingKey)>,
}

impl Material {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, KEY.as_bytes());
        let sha256 = portcullis::hex::encode(digest.as_ref());
        write(
            "keys.yaml",
            &format!(
                "keys: [{{ id: k, owner: acme, sha256: \"{sha256}\", scopes: [orders:read], expires: never }}]\n"
            ),
        );
        write("users", &format!("alice:{}\n", bcrypt::hash("hunter2", 4).expect("a hash")));
        let secret = "s".repeat(64);
        write("secret", &secret);
        let mut signing = vec![(Algorithm::HS256, EncodingKey::from_secret(secret.as_bytes()))];
        let kinds = [
            (Algorithm::RS256, &rcgen::PKCS_RSA_SHA256),
            (Algorithm::ES256, &rcgen::PKCS_ECDSA_P256_SHA256),
            (Algorithm::EdDSA, &rcgen::PKCS_ED25519),
        ];
        for (algorithm, kind) in kinds {
            let pair = rcgen::KeyPair::generate_for(kind).expect("a key pair");
            write(&format!("{algorithm:?}.pem"), &pair.public_key_pem());
            let pem = pair.serialize_pem();
            let key = match algorithm {
                Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
                Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
                _ => EncodingKey::from_ed_pem(pem.as_bytes()),
            };
            signing.push((algorithm, key.expect("a signing key")));
        }
        Self { folder, signing }
    }

    /// A policy with a route for each kind of credential and `others` more beside them.
    fn gateway(&self, others: usize) -> (Configuration, HashingPool) {
        let mut text = String::from(
            "version: 1\nlisten: [{ address: \"127.0.0.1:0\", plaintext: true }]\nlimits: { failed_attempts: { source: unlimited, principal: unlimited } }\nupstreams: { api: builtin:echo }\nauth:\n  partners: { api_key: { keys: keys.yaml } }\n  staff: { basic: { users: users, realm: x, scopes: [orders:read] } }\n",
        );
        for (algorithm, _) in &self.signing {
            let key = if *algorithm == Algorithm::HS256 {
                "secret: \"file:secret\"".to_owned()
            } else {
                format!("public_key: {algorithm:?}.pem")
            };
            let _ = writeln!(
                text,
                "  {algorithm:?}: {{ jwt: {{ issuer: \"https://id.example.com\", audience: api, {key} }} }}"
            );
        }
        text.push_str(
            "routes:\n  - { name: open, match: { path: /open/** }, auth: public, upstream: api }\n",
        );
        let names = ["partners", "staff"].map(str::to_owned);
        let names =
            names.into_iter().chain(self.signing.iter().map(|(algorithm, _)| format!("{algorithm:?}")));
        for name in names {
            let path = name.to_lowercase();
            let _ = writeln!(
                text,
                "  - {{ name: {name}, match: {{ path: /{path}/orders/** }}, auth: {name}, allow: {{ GET: {{ scopes: [orders:read] }} }}, upstream: api }}"
            );
        }
        for at in 0..others {
            let _ = writeln!(
                text,
                "  - {{ name: r{at}, match: {{ path: /service-{at}/v1/** }}, auth: public, upstream: api }}"
            );
        }
        let path = self.folder.path().join("gateway.yaml");
        std::fs::write(&path, text).expect("a file");
        load(&path)
    }

    fn token(&self, algorithm: Algorithm, number: usize) -> String {
        let claims = serde_json::json!({
            "iss": "https://id.example.com", "aud": "api", "sub": format!("user-{number}"), "iat": NOW, "exp": NOW + 3600,
            "scope": "orders:read orders:write", "jti": format!("{number:032}"),
            "email": "someone@example.com", "name": "Someone Somewhere", "realm_access": { "roles": ["editor", "viewer"] },
        });
        let key = &self.signing.iter().find(|(known, _)| *known == algorithm).expect("a key").1;
        encode(&Header::new(algorithm), &claims, key).expect("a token")
    }
}

fn load(path: &Path) -> (Configuration, HashingPool) {
    let (hashing, worker) = HashingPool::new();
    std::thread::spawn(move || worker.run());
    let services = Services {
        clock: Clock::manual(NOW),
        environment: &|_| None,
        metrics: Metrics::new("0", "0").expect("metrics"),
        hashing: hashing.clone(),
    };
    let configuration = Configuration::load(path, &services, None).expect("a good configuration");
    (configuration, hashing)
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let usual = [
        ("host", "api.example.com"),
        ("user-agent", "bench/1.0"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in usual.iter().chain(fields) {
        let name = HeaderName::try_from(*name).expect("a name");
        headers.insert(name, HeaderValue::try_from(*value).expect("a value"));
    }
    headers
}

/// One decision, from the target's bytes to the admission. It must not have to wait for anything.
fn decide(gateway: &Gateway, connection: &Connection, target: &str, headers: &HeaderMap) -> bool {
    let parts = Parts { method: "GET", target: target.as_bytes(), authority: None, headers, connection };
    let Ok(request) = Request::parse(parts) else { return false };
    let future = pin!(gateway.admit(&request, NOW));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verdict) => black_box(verdict).is_ok(),
        Poll::Pending => false,
    }
}

fn connection() -> Connection {
    Connection { peer: IpAddr::from([127, 0, 0, 1]), transport: Transport::Tls, certificate: None }
}

fn remembered(criterion: &mut Criterion) {
    let material = Material::new();
    let (configuration, _hashing) = material.gateway(0);
    let gateway = &configuration.gateway;
    let connection = connection();
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("alice:hunter2"));
    let mut cases = vec![
        ("public".to_owned(), "/open/orders/42".to_owned(), headers(&[])),
        ("api_key".to_owned(), "/partners/orders/42".to_owned(), headers(&[("x-api-key", KEY)])),
        ("basic".to_owned(), "/staff/orders/42".to_owned(), headers(&[("authorization", &basic)])),
    ];
    for (algorithm, _) in &material.signing {
        let bearer = format!("Bearer {}", material.token(*algorithm, 1));
        let target = format!("/{algorithm:?}/orders/42").to_lowercase();
        cases.push((format!("jwt_{algorithm:?}"), target, headers(&[("authorization", &bearer)])));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = criterion.benchmark_group("remembered");
    for (name, target, headers) in &cases {
        let parts = Parts {
            method: "GET",
            target: target.as_bytes(),
            authority: None,
            headers,
            connection: &connection,
        };
        let request = Request::parse(parts).expect("a good request");
        runtime.block_on(gateway.admit(&request, NOW)).expect("an admission");
        assert!(decide(gateway, &connection, target, headers), "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| decide(gateway, &connection, target, headers)));
    }
    group.finish();
}

fn verified(criterion: &mut Criterion) {
    let material = Material::new();
    let (configuration, _hashing) = material.gateway(0);
    let gateway = &configuration.gateway;
    let connection = connection();
    let mut group = criterion.benchmark_group("verified");
    for (algorithm, _) in &material.signing {
        let target = format!("/{algorithm:?}/orders/42").to_lowercase();
        let mut number = 0;
        group.bench_function(format!("jwt_{algorithm:?}"), |bencher| {
            bencher.iter_batched(
                || {
                    number += 1;
                    headers(&[("authorization", &format!("Bearer {}", material.token(*algorithm, number)))])
                },
                |headers| decide(gateway, &connection, &target, &headers),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn refused(criterion: &mut Criterion) {
    let material = Material::new();
    let (configuration, _hashing) = material.gateway(0);
    let gateway = &configuration.gateway;
    let connection = connection();
    let token = material.token(Algorithm::RS256, 1);
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    let forged = format!("Bearer {signed}.{}", "A".repeat(342));
    let cases = [
        ("no_route", "/nowhere", headers(&[])),
        ("no_credential", "/partners/orders/42", headers(&[])),
        ("unknown_key", "/partners/orders/42", headers(&[("x-api-key", "sk_live_wrong")])),
        ("bad_signature_RS256", "/rs256/orders/42", headers(&[("authorization", &forged)])),
    ];
    let mut group = criterion.benchmark_group("refused");
    for (name, target, headers) in &cases {
        group.bench_function(*name, |bencher| bencher.iter(|| decide(gateway, &connection, target, headers)));
    }
    group.finish();
}

fn routes(criterion: &mut Criterion) {
    let material = Material::new();
    let connection = connection();
    let mut group = criterion.benchmark_group("routes");
    for others in [10, 1_000, 10_000] {
        let (configuration, _hashing) = material.gateway(others);
        let gateway = &configuration.gateway;
        let headers = headers(&[]);
        let target = format!("/service-{}/v1/orders/42", others / 2);
        let parts = Parts {
            method: "GET",
            target: target.as_bytes(),
            authority: None,
            headers: &headers,
            connection: &connection,
        };
        let request = Request::parse(parts).expect("a good request");
        group.bench_function(format!("match_{others}"), |bencher| {
            bencher.iter(|| black_box(gateway.routes.find(&request)));
        });
    }
    group.finish();
}

criterion_group!(benches, remembered, verified, refused, routes);
criterion_main!(benches);
