//! A gateway that accepts the tokens of one issuer, found by discovery, and a ready judgement on whatever it is sent.

use serde_json::Value;

use crate::harness::client::Response;
use crate::harness::gateway::Gateway;
use crate::harness::issuer::{Issuer, SigningKey, Token};
use crate::harness::problem::{assert_challenge, assert_problem};
use crate::harness::upstream::Upstream;

/// The parties of these tests.
pub(super) struct Stand {
    pub(super) gateway: Gateway,
    pub(super) upstream: Upstream,
    pub(super) issuer: Issuer,
}

const YAML: &str = r#"
    auth:
      users:
        jwt: { issuer: "{issuer}", audience: https://api.example.com }
      legacy:
        jwt: { issuer: https://legacy.example.com, audience: https://api.example.com, secret: "file:secret" }
    upstreams: { api: "{upstream}" }
    routes:
      - { name: api, match: { path: /v1/** }, auth: [users, legacy], upstream: api }
"#;

impl Stand {
    /// With an issuer that has a key of every kind.
    pub(super) async fn start() -> Self {
        Self::with(Issuer::with_keys(vec![
            SigningKey::es256("es256-1"),
            SigningKey::rsa("rs256-1"),
            SigningKey::es384("es384-1"),
            SigningKey::eddsa("eddsa-1"),
        ]))
        .await
    }

    pub(super) async fn with(issuer: Issuer) -> Self {
        let upstream = Upstream::start();
        let gateway = Gateway::builder(YAML)
            .with("upstream", upstream.url())
            .with("issuer", issuer.url())
            .file("secret", "a-secret-of-enough-bytes-for-hs256-and-more")
            .start()
            .await;
        Self { gateway, upstream, issuer }
    }

    pub(super) fn token(&self) -> Token {
        self.issuer.token()
    }

    pub(super) async fn ask(&self, token: &str) -> Response {
        self.gateway.https().get("/v1/x").header("Authorization", &format!("Bearer {token}")).await
    }

    /// Fails the test unless the token is accepted.
    pub(super) async fn accepts(&self, what: &str, token: &str) {
        let answer = self.ask(token).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        let received = self.upstream.take_one();
        assert!(received.header("X-Auth-Subject").is_some() && received.header("Authorization").is_none());
    }

    /// Fails the test unless the token is answered 401 as an invalid one, with the same words whatever was wrong with it,
    /// the upstream hears nothing, and the log has this reason. An unknown key gets 503 instead while the fetch that would
    /// show whether the issuer has it is due.
    pub(super) async fn refuses(&self, what: &str, token: &str, reason: &str) {
        let answer = self.ask(token).await;
        if reason == "unknown_key" && answer.status == 503 {
            assert_problem(&answer, 503, "keys_unavailable");
            self.upstream.assert_nothing();
            let line = self.line(&answer).await;
            assert_eq!(line["reason"], "key_fetch_pending", "{what}: {line}");
            assert!(line["subject"].is_null() && line["key_id"].is_null(), "{what}: {line}");
            return;
        }
        let code = match reason {
            "expired" => "credential_expired",
            "malformed" => "malformed_credential",
            _ => "invalid_credential",
        };
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_problem(&answer, 401, code);
        let description = "The access token is malformed, expired, revoked or not meant for this API";
        assert_challenge(
            &answer,
            "Bearer",
            &[("error", "invalid_token"), ("error_description", description)],
        );
        self.upstream.assert_nothing();
        let line = self.line(&answer).await;
        assert_eq!(line["reason"], reason, "{what}: {line}");
        assert_eq!(line["outcome"], "refused", "{what}: {line}");
        assert!(line["subject"].is_null() && line["key_id"].is_null(), "{what}: {line}");
    }

    pub(super) async fn line(&self, answer: &Response) -> Value {
        let id = answer.header("X-Request-Id").expect("a request id").to_owned();
        self.gateway.wait_for_access(|line| line["request_id"] == id.as_str()).await
    }
}
