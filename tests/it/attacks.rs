//! What must never work: one test for each attack that gateways of this class have fallen for.
//!
//! An attack that is refused must leave the upstream without a single byte, the client with exactly one answer in the
//! gateway's own words, and the access log with one line that says why. [`Stand`] holds every refusal to that.

mod answers;
mod chunks;
mod coding;
mod credentials;
mod framing;
mod host;
mod http2;
mod http2_bodies;
mod identity;
mod limits;
mod logs;
mod path;
mod proxies;
mod random;
mod readings;
mod reporting;
mod reuse;
mod streams;
mod targets;
mod upgrade;

use serde_json::Value;

use crate::harness::client::{Outcome, Response, block, literal};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

/// A gateway with a public, an administrative and an ordinary route in front of one upstream.
struct Stand {
    gateway: Gateway,
    upstream: Upstream,
    /// A key that may do everything.
    admin: ApiKey,
    /// A key that may use the ordinary route only.
    user: ApiKey,
}

const ROUTES: &str = r#"
    auth: { partners: { api_key: { keys: keys.yaml } } }
    limits: { header_timeout: 2s, request_body_bytes: 1MiB }
    upstreams: { app: "{upstream}", below: "{upstream}/inner/app/" }
    routes:
      - { name: open, match: { path: /public/** }, auth: public, upstream: app }
      - name: admin
        match: { path: /admin/** }
        auth: partners
        allow: { "*": { scopes: [admin] } }
        upstream: app
      - { name: v1, match: { path: /v1/** }, auth: partners, upstream: app }
      - name: api
        match: { path: /api/** }
        auth: partners
        upstream: app
        rewrite: { strip_prefix: /api }
      - name: below
        match: { path: /below/** }
        auth: partners
        upstream: below
        rewrite: { strip_prefix: /below }
      - { name: slashes, match: { path: /slashes/** }, auth: public, upstream: app, encoded_slashes: allow }
      - { name: named, match: { host: api.example.com, path: /named/** }, auth: public, upstream: app }
"#;

impl Stand {
    async fn start() -> Self {
        Self::with(ROUTES).await
    }

    async fn with(yaml: &str) -> Self {
        let upstream = Upstream::start();
        let admin = ApiKey::of("root").scopes(&["admin"]);
        let user = ApiKey::of("acme");
        let gateway = Gateway::builder(yaml)
            .with("upstream", upstream.url())
            .file("keys.yaml", keys_yaml(&[&admin, &user]))
            .start()
            .await;
        Self { gateway, upstream, admin, user }
    }

    /// Sends these bytes on a connection of their own and reads the only answer: it is an error if anything follows it.
    /// The request should ask for the end of the connection, or be one after which the gateway ends it by itself.
    async fn only_answer(&self, request: impl AsRef<[u8]>) -> Response {
        let mut connection = self.gateway.https().connect().await;
        let _ = connection.try_write(request).await;
        connection.only_response().await
    }

    /// Sends these bytes and asserts that they are refused like this.
    async fn refuses(&self, request: impl AsRef<[u8]>, status: u16, code: &str) -> Response {
        let answer = self.only_answer(request).await;
        self.assert_refused(&answer, status, code).await;
        answer
    }

    /// Sends a request by HTTP/2 with these fields, and asserts that it is refused: with this status and code, or, where
    /// the frames themselves are not valid, by the end of the stream or of the connection.
    async fn refuses_http2(&self, fields: &[(&str, &str)], status: u16, code: &str) -> Outcome {
        let mut frames = self.gateway.https().frames().await;
        frames.headers(1, &block(fields), true).await;
        let outcome = frames.outcome(1).await;
        match &outcome {
            // What the library cannot read as a request at all it refuses by itself, and no word of it gets further.
            Outcome::Answered(400, body) if body.is_empty() => assert_eq!(status, 400, "{fields:?}"),
            Outcome::Answered(answered, body) => {
                assert_eq!(*answered, status, "{fields:?}: {}", body.escape_ascii());
                let problem: Value = serde_json::from_slice(body).expect("a problem document");
                assert_eq!(problem["code"], code, "{fields:?}");
                self.assert_logged(problem["request_id"].as_str().unwrap(), status, code).await;
            }
            Outcome::Reset(error) | Outcome::GoAway(error) => assert_eq!(*error, 1, "{fields:?}"),
            Outcome::Closed => panic!("{fields:?}: closed without a word"),
        }
        self.upstream.assert_nothing();
        outcome
    }

    /// Asserts that this answer is a refusal with this status and code, that it is logged as such once, and that the
    /// upstream has heard nothing.
    async fn assert_refused(&self, answer: &Response, status: u16, code: &str) {
        assert_problem(answer, status, code);
        self.upstream.assert_nothing();
        let request_id = answer.json()["request_id"].as_str().unwrap().to_owned();
        self.assert_logged(&request_id, status, code).await;
    }

    async fn assert_logged(&self, request_id: &str, status: u16, reason: &str) {
        let line = self.gateway.wait_for_access(|line| line["request_id"] == request_id).await;
        assert_eq!((&line["status"], &line["outcome"]), (&status.into(), &"refused".into()), "{line}");
        assert_eq!(line["reason"], reason, "{line}");
        let lines = self.gateway.access_log();
        let count = lines.iter().filter(|line| line["request_id"] == request_id).count();
        assert_eq!(count, 1, "{request_id} is logged {count} times");
    }

    /// Sends a good request after an attack: the one that the upstream receives must be this one.
    async fn assert_only_this_arrives(&self) {
        let answer = self.gateway.https().get("/public/after").await;
        answer.assert_status(200);
        assert_eq!(self.upstream.take_one().target, "/public/after");
    }
}

/// `GET target` that asks for the end of the connection after the answer, with these further lines.
fn get(target: impl AsRef<[u8]>, lines: &[&str]) -> Vec<u8> {
    request("GET", target, lines)
}

/// A request without body that asks for the end of the connection after the answer.
fn request(method: &str, target: impl AsRef<[u8]>, lines: &[&str]) -> Vec<u8> {
    let mut bytes = format!("{method} ").into_bytes();
    bytes.extend_from_slice(target.as_ref());
    bytes.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The pseudo-fields of a `GET` over HTTP/2.
fn get_fields(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
}
