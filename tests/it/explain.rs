//! `explain`: whatever it says of a request is what the running gateway does with it.

mod cases;
mod output;
mod sources;

use serde_json::Value;

use crate::harness::credentials::{ApiKey, htpasswd_argon2id, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::issuer::Issuer;
use crate::harness::process::{Finished, portcullis_command, run};
use crate::harness::redis::Redis;
use crate::harness::upstream::Upstream;

/// What the tests here have in common: a gateway with a route of every kind.
struct Stand {
    gateway: Gateway,
    upstream: Upstream,
    issuer: Issuer,
    redis: Redis,
    reader: ApiKey,
    kept: ApiKey,
    ended: ApiKey,
    writer: ApiKey,
    revoked: ApiKey,
}

/// The secret of the method `legacy`.
const SECRET: &str = "a-secret-of-enough-bytes-for-hs256-and-more";

const YAML: &str = r#"
    listen:
      - { address: "127.0.0.1:0", tls: true }
      - { address: "127.0.0.1:0", plaintext: true }
    trusted_proxies: [127.0.0.9]
    redis: { url: "{redis}" }
    revocation: { max_stale: 10s }
    auth:
      partners: { api_key: { keys: keys.yaml } }
      kept: { api_key: { keys: kept.yaml, forward_credential: true } }
      staff: { basic: { users: staff.htpasswd, realm: Tools, scopes: [orders:read] } }
      users:
        jwt: { issuer: "{issuer}", audience: https://api.example.com, max_lifetime: 1h, claims: { roles: roles } }
      legacy: { jwt: { issuer: https://legacy.example.com, audience: https://api.example.com, secret: "file:secret" } }
    identity:
      headers:
        X-Auth-Subject: subject
        X-Auth-Method: method
        X-Auth-Scopes: scopes
        X-Auth-Roles: roles
        X-Auth-Key-Id: key_id
        X-Auth-Email: claims.email
        X-Caller: auth
    limits:
      request_header_bytes: 8KiB
      request_headers: 30
      request_body_bytes: 1KiB
      failed_attempts: { source: unlimited, principal: unlimited }
    upstreams: { api: "{upstream}" }
    routes:
      - { name: docs, match: { path: /docs/**, methods: [GET, HEAD] }, auth: public, upstream: api }
      - { name: upload, match: { path: /docs/upload, methods: [PUT] }, auth: partners, upstream: api }
      - name: orders
        match: { path: /v1/orders/** }
        auth: [users, legacy, partners, staff]
        allow:
          "GET, HEAD": { scopes: [orders:read] }
          "POST, DELETE": { scopes: [orders:write], roles: [editor, admin] }
        upstream: api
        rewrite: { strip_prefix: /v1 }
      - { name: archive, match: { path: /v1/orders/archive }, auth: users, upstream: api }
      - { name: files, match: { path: /files/** }, auth: partners, encoded_slashes: allow, upstream: api }
      - { name: kept, match: { path: /kept/** }, auth: kept, upstream: api }
      - { name: tokens, match: { path: /tokens/** }, auth: users, upstream: api }
      - { name: tools, match: { host: tools.example.com, path: /tools/** }, auth: staff, upstream: api }
      - name: trial
        match: { path: /trial/** }
        auth: [users, partners]
        allow: { GET: { scopes: [trial] } }
        upstream: api
        mode: report
"#;

impl Stand {
    async fn start() -> Self {
        let upstream = Upstream::start();
        let issuer = Issuer::start();
        let redis = Redis::start().await;
        let reader = ApiKey::of("reader").scopes(&["orders:read"]);
        let writer = ApiKey::of("writer").scopes(&["orders:read", "orders:write"]).roles(&["editor"]);
        let ended = ApiKey::of("ended").expires("2020-01-01T00:00:00Z");
        let revoked = ApiKey::of("revoked").scopes(&["orders:read"]);
        let kept = ApiKey::of("kept");
        redis.cli(&["SET", "portcullis:revoked:key:k_revoked", ""]).await;
        redis.cli(&["SET", "portcullis:revoked:user:carol", ""]).await;
        redis.cli(&["SET", "portcullis:revoked:jti:*:revoked-jti", "", "EX", "3600"]).await;
        redis.cli(&["SET", "portcullis:revoked:sub:mallory", "99999999999", "EX", "3600"]).await;
        let gateway = Gateway::builder(YAML)
            .with("upstream", upstream.url())
            .with("issuer", issuer.url())
            .with("redis", redis.url())
            .file("keys.yaml", keys_yaml(&[&reader, &writer, &ended, &revoked]))
            .file("kept.yaml", keys_yaml(&[&kept]))
            .file("secret", SECRET)
            .file(
                "staff.htpasswd",
                htpasswd_argon2id("alice", "open sesame") + &htpasswd_bcrypt("carol", "open sesame"),
            )
            .start()
            .await;
        Self { gateway, upstream, issuer, redis, reader, kept, ended, writer, revoked }
    }

    /// What `explain` says, on the files of the gateway.
    async fn explain(&self, arguments: &[&str]) -> Finished {
        explain(&self.gateway, arguments).await
    }

    /// Fails the test unless `explain` says of a request what becomes of it.
    async fn compare(&self, name: &str, case: &Case) {
        let Case { method, url, fields, peer } = case;
        let mut arguments = vec![method.as_str(), url, "--format", "json", "--peer", peer];
        for field in fields {
            arguments.extend(["-H", field]);
        }
        let finished = self.explain(&arguments).await;
        assert_eq!(finished.code(), 0, "{name}: {}", finished.stderr);
        let said: Value = serde_json::from_str(&finished.stdout).expect(name);

        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let client = if scheme == "https" { self.gateway.https() } else { self.gateway.http() };
        let client = client.host(host).source(peer.parse().unwrap());
        let mut connection = client.connect().await;
        let host = if fields.iter().any(|field| field.starts_with("Host:")) {
            String::new()
        } else {
            format!("Host: {host}\r\n")
        };
        let fields: String = fields.iter().flat_map(|field| [field.as_str(), "\r\n"]).collect();
        connection.write(format!("{method} /{path} HTTP/1.1\r\n{host}{fields}\r\n")).await;
        let answer = connection.response_to(method).await;
        let id = answer.header("X-Request-Id").expect(name).to_owned();
        let line = self.gateway.wait_for_access(|line| line["request_id"] == id.as_str()).await;
        for key in ["outcome", "reason", "auth", "subject"] {
            assert_eq!(said[key], line[key], "{name}, {key}: {line}\n{}", finished.stdout);
        }
        assert_eq!(line["client"], said["client"].as_str().unwrap_or(peer), "{name}: {}", finished.stdout);
        let route = if line["route"] == "none" { Value::Null } else { line["route"].clone() };
        assert_eq!(said["route"], route, "{name}: {line}\n{}", finished.stdout);
        let Some(status) = said["status"].as_u64() else {
            assert_eq!(answer.status, 200, "{name}: {}", finished.stdout);
            let received = self.upstream.take_one();
            assert_eq!(said["upstream"]["target"], received.target.as_str(), "{name}");
            let got: Vec<Field> = received.headers.iter().map(owned).collect();
            let said = fields_of(&said["upstream"]["headers"]);
            assert_eq!(names(&said), names(&got), "{name}");
            return assert_among(name, said, &got);
        };
        assert_eq!(u64::from(answer.status), status, "{name}: {}", finished.stdout);
        let got: Vec<Field> = answer.headers.iter().map(owned).collect();
        assert_among(name, fields_of(&said["answer"]), &got);
        if let Some(code) = said["code"].as_str() {
            let body = if method == "HEAD" { Value::Null } else { answer.json() };
            assert_eq!(body["code"], code, "{name}: {body}");
        }
        self.upstream.assert_nothing();
    }
}

/// A header field; without a value where that is not shown.
type Field = (String, Option<String>);

/// Every field that is shown has really been sent.
#[track_caller]
fn assert_among(name: &str, said: Vec<Field>, got: &[Field]) {
    for field in said.into_iter().filter(|(_, value)| value.is_some()) {
        assert!(got.contains(&field), "{name}, {field:?}: {got:?}");
    }
}

fn names(fields: &[Field]) -> Vec<&str> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// A request, in the words of the command line.
struct Case {
    method: String,
    url: String,
    fields: Vec<String>,
    peer: String,
}

impl Case {
    fn new(method: &str, url: &str, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        Self { method: method.to_owned(), url: url.to_owned(), fields, peer: "127.0.0.1".to_owned() }
    }
}

async fn explain(gateway: &Gateway, arguments: &[&str]) -> Finished {
    let file = gateway.path("gateway.yaml");
    let mut command = portcullis_command();
    command.arg("explain").args(arguments).arg("--config").arg(file);
    run(&mut command).await
}

fn owned((name, value): (&str, &[u8])) -> Field {
    (name.to_ascii_lowercase(), Some(String::from_utf8_lossy(value).into_owned()))
}

fn fields_of(fields: &Value) -> Vec<Field> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    fields
        .as_array()
        .unwrap()
        .iter()
        .map(|field| (text(&field["name"]).unwrap(), text(&field["value"])))
        .collect()
}
