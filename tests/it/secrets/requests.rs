//! Secrets that clients send.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::harness::client::{Client, Connection};
use crate::harness::credentials::{ApiKey, basic, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::issuer::{Issuer, SigningKey};
use crate::harness::upstream::{Answer, Upstream};

/// Secrets of the operator: the gateway has them, and nobody else.
const REDIS_PASSWORD: &str = "redis-password-7Fq2Lx9Rk4Tz";
const ADMIN_TOKEN: &str = "admin-token-3Vb8Yc1Nd4Gh6Jk3";
const SHARED_SECRET: &str = "shared-secret-Zp0Rt5Vb8Yc1Nd4Gh6Jk3Lm2Qx7";
const PASSWORD: &str = "password-Qx7Zp0Rt5Vb8Yc1Nd4";
const FOREIGN_KEY: &str = "9aF3kLm2Qx7Zp0Rt5Vb8Yc1Nd4Gh6Jk3Wq5E";

struct Stand {
    gateway: Gateway,
    upstream: Upstream,
    issuer: Issuer,
    /// What must be found nowhere.
    secrets: Vec<String>,
}

impl Stand {
    async fn start() -> Self {
        let (upstream, issuer, gone) = (Upstream::start(), Issuer::start(), Upstream::start());
        gone.stop().await;
        upstream.answer("/v1/slow", Answer::hang()).answer("/v1/garbage", Answer::garbage());
        upstream.answer("/v1/reset", Answer::reset()).answer("/v1/half", Answer::half("x"));
        let own = portcullis::authn::api_key::format::generate().unwrap().key.to_string();
        let (foreign, key) = (ApiKey::from_text("acme", FOREIGN_KEY), ApiKey::from_text("globex", &own));
        let gateway = Gateway::builder(
            r#"
            listen:
              - { address: "127.0.0.1:0", tls: true }
              - { address: "127.0.0.1:0", plaintext: true }
              - { address: "127.0.0.1:0", redirect: https }
            admin: { address: "127.0.0.1:0", token: "${ADMIN_TOKEN}" }
            redis: { url: "redis://{redis}/0", password: "file:secrets/redis" }
            revocation: { on_outage: allow }
            log: { audit: "file:audit.log" }
            auth:
              partners: { api_key: { keys: keys.yaml } }
              staff: { basic: { users: staff.htpasswd, realm: Tools } }
              users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
              legacy: { jwt: { issuer: https://legacy.example.com, audience: a, secret: "${SHARED_SECRET}" } }
            limits: { request_body_bytes: 64KiB }
            upstreams:
              api: { targets: ["{upstream}"], timeouts: { request: 200ms } }
              gone: "{gone}"
            routes:
              - name: api
                match: { path: /v1/** }
                auth: [partners, staff, users, legacy]
                allow: { GET: {}, POST: {}, DELETE: { scopes: [root] } }
                upstream: api
              - { name: gone, match: { path: /gone/** }, auth: partners, upstream: gone }
              - { name: report, match: { path: /report/** }, auth: partners, mode: report, upstream: api }
              - { name: open, match: { path: /open/** }, auth: public, upstream: api }
            "#,
        )
        .with("upstream", upstream.url())
        .with("gone", gone.url())
        .with("issuer", issuer.url())
        // Nobody listens there, so that everything about Redis fails all the time.
        .with("redis", gone.address().to_string())
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env("SHARED_SECRET", SHARED_SECRET)
        .env("RUST_LOG", "trace")
        .env("PORTCULLIS_LOG", "trace")
        .argument("--log-level=trace")
        .file("keys.yaml", keys_yaml(&[&foreign, &key]))
        .file("staff.htpasswd", htpasswd_bcrypt("bob", PASSWORD))
        .file("secrets/redis", REDIS_PASSWORD)
        .start_unready()
        .await;
        let good = issuer.token().sign();
        let forged = issuer.token().signed_by(&SigningKey::es256("es256-1")).sign();
        let legacy = issuer.token().claim("iss", "https://legacy.example.com").claim("aud", "a");
        let legacy = legacy.signed_by(&SigningKey::secret("s", SHARED_SECRET)).sign();
        let secrets = [
            REDIS_PASSWORD,
            ADMIN_TOKEN,
            SHARED_SECRET,
            PASSWORD,
            FOREIGN_KEY,
            &own,
            &good,
            &forged,
            &legacy,
        ];
        Self { gateway, upstream, issuer, secrets: secrets.map(str::to_owned).to_vec() }
    }

    /// Everything that someone other than the caller may read.
    async fn everything(&self) -> String {
        let admin = self.gateway.admin();
        let mut all = self.gateway.everything_logged();
        for path in ["/metrics", "/readyz", "/healthz", "/revocations", "/nothing"] {
            let answer = admin.get(path).header("Authorization", &format!("Bearer {ADMIN_TOKEN}")).await;
            all += &format!("{answer:?}");
        }
        all
    }

    #[track_caller]
    fn assert_absent(&self, what: &str, text: &str) {
        for secret in &self.secrets {
            let signature = secret.rsplit('.').next().unwrap();
            let forms = [
                secret.clone(),
                signature.to_owned(),
                STANDARD.encode(secret),
                URL_SAFE_NO_PAD.encode(secret),
            ];
            for form in forms {
                let at = text.find(&form);
                assert!(
                    at.is_none(),
                    "{what}: {form} is in …{}…",
                    &text[at.unwrap().saturating_sub(300)..][..600.min(text.len())]
                );
            }
        }
        for user in ["alice", "bob"] {
            let pair = STANDARD.encode(format!("{user}:{PASSWORD}"));
            assert!(!text.contains(&pair), "{what}: the pair of {user}");
        }
    }
}

/// The fields in which a secret may come, well formed or not.
fn fields(secret: &str) -> Vec<(&'static str, String)> {
    vec![
        ("X-API-Key", secret.to_owned()),
        ("X-API-Key", format!("{secret} {secret}")),
        ("Authorization", format!("ApiKey {secret}")),
        ("Authorization", format!("Bearer {secret}")),
        ("Authorization", basic("bob", secret)),
        ("Authorization", basic("apikey", secret)),
        ("Authorization", basic(secret, "x")),
        ("Authorization", format!("Basic {secret}")),
        ("Authorization", format!("Bearer\t{secret}")),
        ("Authorization", format!("Bearer: {secret}")),
        ("Authorization", format!("Bearer {secret} {secret}")),
        ("Authorization", format!("Token {secret}")),
        ("Authorization", format!("Digest username=bob, response={secret}")),
        ("Authorization", secret.to_owned()),
        ("Proxy-Authorization", basic("bob", secret)),
        ("Cookie", format!("session={secret}; token={secret}")),
        ("X-Auth-Subject", secret.to_owned()),
        ("X-Request-Id", secret.to_owned()),
        ("X-Forwarded-For", secret.to_owned()),
        ("Referer", format!("https://example.com/?token={secret}")),
        ("User-Agent", secret.to_owned()),
        ("Upgrade", secret.to_owned()),
        ("Expect", secret.to_owned()),
        ("Content-Type", secret.to_owned()),
        ("Connection", format!("close, {secret}")),
        ("Content-Length", secret.to_owned()),
        ("Transfer-Encoding", secret.to_owned()),
        ("Host", format!("bob:{secret}@localhost")),
    ]
}

/// The paths in which a secret may come.
fn paths(secret: &str) -> Vec<String> {
    let escaped = format!("%{:02X}{}", secret.as_bytes()[0], &secret[1..]);
    vec![
        format!("/v1/{secret}"),
        format!("/v1/{secret}/x"),
        format!("/v1/{escaped}"),
        format!("/v1/x;token={secret}"),
        format!("/v1/bob:{secret}"),
        format!("/nowhere/{secret}"),
        format!("/open/{secret}"),
        format!("/v1/x?q={secret}"),
        format!("/v1/x?token={secret}"),
        format!("/v1/x?{secret}"),
        format!("/v1/x#{secret}"),
        format!("/v1/../{secret}"),
        format!("/v1//{secret}"),
        format!("/v1/%zz{secret}"),
        format!("//bob:{secret}@localhost/x"),
    ]
}

/// What a client sees for what it sends: its own secret may not even be in its own answer.
async fn write(stand: &Stand, client: &Client, bytes: &str) {
    let mut connection: Connection = client.connect().await;
    let _ = connection.try_write(bytes).await;
    connection.finish_writing().await;
    let mut answer = Vec::new();
    while let Some(bytes) = connection.some_bytes().await {
        answer.extend_from_slice(&bytes);
    }
    // The redirect repeats the address that was asked for, to him who asked.
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let told: Vec<&str> =
        answer.lines().filter(|line| !line.to_lowercase().starts_with("location:")).collect();
    stand.assert_absent(bytes, &told.join("\n"));
}

/// L01: whatever a client sends and wherever it goes wrong.
#[tokio::test]
async fn what_clients_send_is_in_no_log_no_answer_and_no_metric() {
    let stand = Stand::start().await;
    let (https, http, redirect) = (stand.gateway.https(), stand.gateway.http(), {
        let port = stand.gateway.http_port(1);
        Client::plain(([127, 0, 0, 1], port).into())
    });
    for secret in stand.secrets.clone() {
        for (name, value) in fields(&secret) {
            for (client, path) in
                [(&https, "/v1/x"), (&https, "/report/x"), (&http, "/v1/x"), (&redirect, "/v1/x")]
            {
                let host = if name == "Host" { "" } else { "Host: localhost\r\n" };
                write(&stand, client, &format!("GET {path} HTTP/1.1\r\n{host}{name}: {value}\r\n\r\n")).await;
            }
        }
        // A path has no place for a secret, so one in it is told by its form alone.
        let told_by_its_form =
            ![REDIS_PASSWORD, ADMIN_TOKEN, SHARED_SECRET, PASSWORD].contains(&secret.as_str());
        for path in paths(&secret).into_iter().filter(|_| told_by_its_form) {
            for client in [&https, &redirect] {
                write(&stand, client, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
            }
        }
        for bytes in [
            format!("{secret}\r\n\r\n"),
            format!("{secret} / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("GET /v1/x HTTP/{secret}\r\nHost: localhost\r\n\r\n"),
            format!("GET /v1/x HTTP/1.1\r\nHost: localhost\r\n{secret}\r\n\r\n"),
            format!("GET /v1/x HTTP/1.1\r\nHost: localhost\r\n{secret}: x\r\n\r\n"),
            format!("GET /v1/x HTTP/1.1\r\nHost: {secret}\r\n\r\n"),
            format!("GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX: {secret}\n {secret}\r\n\r\n"),
            format!(
                "POST /open/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n"
            ),
            format!(
                "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{secret}",
                secret.len()
            ),
        ] {
            write(&stand, &https, &bytes).await;
        }
    }
    stand.upstream.expect_violations();
    stand.assert_absent("logs, metrics and admin", &stand.everything().await);
}

/// L01: good credentials, and everything that goes wrong behind the gateway.
#[tokio::test]
async fn what_is_sent_on_is_in_no_log_whatever_the_upstream_does() {
    let stand = Stand::start().await;
    let token = format!("Bearer {}", stand.secrets[6]);
    let client = stand.gateway.https();
    let pair = basic("bob", PASSWORD);
    for (name, value) in [("X-API-Key", FOREIGN_KEY), ("Authorization", &pair), ("Authorization", &token)] {
        for path in
            ["/v1/x", "/v1/slow", "/v1/garbage", "/v1/reset", "/v1/half", "/gone/x", "/report/x", "/v1/x?q=1"]
        {
            for over_http2 in [false, true] {
                let body = format!("{{\"password\":\"{PASSWORD}\"}}");
                let call = client
                    .post(path)
                    .header(name, value)
                    .header("Cookie", &format!("s={PASSWORD}"))
                    .body(body);
                let answer = if over_http2 { call.over_http2() } else { call }.outcome().await;
                stand.assert_absent(path, &format!("{answer:?}"));
            }
        }
        let large = PASSWORD.repeat(4_000);
        let answer = client.post("/v1/x").header(name, value).body(large).outcome().await;
        stand.assert_absent("a large body", &format!("{answer:?}"));
        let answer = client.call("DELETE", "/v1/x").header(name, value).await;
        stand.assert_absent("403", &format!("{answer:?}"));
    }
    for status in [200, 502, 504, 413, 403] {
        stand.gateway.wait_for_access(|line| line["status"] == status).await;
    }
    // The issuer fails, and the operator gets his token wrong.
    stand.issuer.stop().await;
    let unknown = stand.issuer.token().signed_by(&SigningKey::es256("unknown")).bearer();
    client.get("/v1/x").header("Authorization", &unknown).await.assert_status(503);
    let admin = stand.gateway.admin();
    for value in [basic("admin", PASSWORD), format!("Bearer {PASSWORD}"), PASSWORD.to_owned()] {
        let answer = admin.get("/revocations").header("Authorization", &value).await;
        assert!(answer.status >= 400, "{answer:?}");
        stand.assert_absent("admin", &format!("{answer:?}"));
    }
    let body = format!("{{\"jti\": 1, \"{PASSWORD}\": \"{PASSWORD}\"");
    let answer = admin
        .post("/revocations")
        .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
        .header("Content-Type", "application/json")
        .body(body)
        .await;
    assert!(answer.status >= 400, "{answer:?}");
    tokio::time::timeout(
        Duration::from_secs(10),
        stand.gateway.wait_for_log(|line| line.message.contains("cannot read the keys")),
    )
    .await
    .unwrap();
    stand.assert_absent("logs, metrics and admin", &stand.everything().await);
}
