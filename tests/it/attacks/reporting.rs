//! Routes that only report: everything passes, but as nobody whose credential is not good, and without a credential.

use std::time::Duration;

use super::*;
use crate::harness::client::Client;
use crate::harness::credentials::basic;
use crate::harness::upstream::Answer;

const YAML: &str = r#"
    auth:
      partners: { api_key: { keys: keys.yaml } }
      kept: { api_key: { keys: keys.yaml, forward_credential: true } }
    listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]
    identity: { headers: { X-Auth-Subject: subject, X-Auth-Method: method, X-Auth-Key-Id: key_id } }
    upstreams: { app: "{upstream}" }
    routes:
      - { name: watched, match: { path: /watched/** }, auth: partners, mode: report, upstream: app }
      - { name: kept, match: { path: /kept/** }, auth: kept, mode: report, upstream: app }
      - { name: scoped, match: { path: /scoped/** }, auth: partners, allow: { "*": { scopes: [nobody] } }, mode: report, upstream: app }
      - { name: enforced, match: { path: /enforced/** }, auth: partners, upstream: app }
"#;

struct Watched {
    gateway: Gateway,
    upstream: Upstream,
    key: ApiKey,
}

impl Watched {
    async fn start() -> Self {
        let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
        let gateway = Gateway::builder(YAML)
            .with("upstream", upstream.url())
            .file("keys.yaml", keys_yaml(&[&key]))
            .start()
            .await;
        Self { gateway, upstream, key }
    }

    async fn revoke(&self) {
        let entry = serde_json::json!({ "kind": "key", "id": self.key.id });
        let revoked = self.gateway.admin().post("/revocations").json(&entry).await;
        assert!((200..300).contains(&revoked.status), "{revoked:?}");
    }

    /// What the upstream has of a request that passes, which the log says was reported for `reason`.
    async fn passes(&self, client: &Client, path: &str, fields: &[(&str, &str)], reason: &str) -> Passed {
        client.get(path).headers(fields).await.assert_status(200);
        let received = self.upstream.take_one();
        let id = received.header("X-Request-Id").expect("a request id").to_owned();
        let line = self.gateway.wait_for_access(|line| line["request_id"] == id.as_str()).await;
        assert_eq!((&line["outcome"], &line["reason"]), (&"reported".into(), &reason.into()), "{line}");
        let all = |name: &str| -> Vec<String> {
            received.headers.all(name).iter().map(|value| (*value).to_owned()).collect()
        };
        Passed {
            credentials: [all("Authorization"), all("X-API-Key")].concat(),
            identity: [all("X-Auth-Subject"), all("X-Auth-Method"), all("X-Auth-Key-Id")].concat(),
        }
    }
}

#[derive(Debug, PartialEq)]
struct Passed {
    credentials: Vec<String>,
    identity: Vec<String>,
}

/// Nothing that may be a credential goes on, and nobody is named, when it is not one good credential.
#[tokio::test]
async fn what_is_only_reported_passes_as_nobody_and_without_a_credential() {
    let watched = Watched::start().await;
    let (key, client) = (watched.key.key.as_str(), watched.gateway.https());
    let (scheme, pair) = (format!("ApiKey {key}"), basic("apikey", key));
    let nothing = Passed { credentials: Vec::new(), identity: Vec::new() };
    let clear = watched.gateway.http();
    for (client, path, fields, reason) in [
        (
            &client,
            "/watched/x",
            vec![("X-API-Key", key), ("Authorization", scheme.as_str())],
            "multiple_credentials",
        ),
        (&client, "/watched/x", vec![("X-API-Key", key), ("X-API-Key", key)], "multiple_credentials"),
        (
            &client,
            "/watched/x",
            vec![("Authorization", &scheme), ("Authorization", &pair)],
            "multiple_credentials",
        ),
        (&client, "/watched/x", vec![("X-API-Key", "a b")], "malformed"),
        (&client, "/watched/x", vec![("Authorization", "Basic ????")], "malformed"),
        (&client, "/watched/x?token=abc", vec![("X-API-Key", key)], "credential_in_query"),
        (&client, "/watched/x", vec![("X-API-Key", "unknown")], "unknown_key"),
        (&clear, "/watched/x", vec![("X-API-Key", key)], "credential_on_plaintext"),
        (&clear, "/watched/x", vec![("Authorization", &pair)], "credential_on_plaintext"),
    ] {
        assert_eq!(watched.passes(client, path, &fields, reason).await, nothing, "{path} {fields:?}");
    }
    // What is none of the route's credentials is none of the gateway's business.
    let other = [("Authorization", "Bearer abc")];
    let passed = watched.passes(&client, "/watched/x", &other, "unaccepted_credential").await;
    assert_eq!(passed, Passed { credentials: vec!["Bearer abc".to_owned()], identity: Vec::new() });
    // An upstream that is to see credentials sees them.
    let passed = watched.passes(&client, "/kept/x", &[("X-API-Key", "a b")], "malformed").await;
    assert_eq!(passed, Passed { credentials: vec!["a b".to_owned()], identity: Vec::new() });
}

/// Who lacks a scope is known all the same; whose credential was revoked is nobody.
#[tokio::test]
async fn a_revoked_caller_is_nobody_where_refusals_are_only_reported() {
    let watched = Watched::start().await;
    let (key, client) = (watched.key.header(), watched.gateway.https());
    let acme = ["acme", "api_key", &watched.key.id].map(str::to_owned).to_vec();
    let passed = watched.passes(&client, "/scoped/x", &[key], "missing_scope").await;
    assert_eq!(passed, Passed { credentials: Vec::new(), identity: acme });
    watched.revoke().await;
    for path in ["/watched/x", "/scoped/x"] {
        let passed = watched.passes(&client, path, &[key], "revoked").await;
        assert_eq!(passed, Passed { credentials: Vec::new(), identity: Vec::new() }, "{path}");
    }
    // The log knows who it was.
    let line = watched.gateway.wait_for_access(|line| line["reason"] == "revoked").await;
    assert_eq!(line["subject"], "acme", "{line}");
}

/// What a route would have ended goes on where it only reports.
#[tokio::test]
async fn nothing_is_ended_where_refusals_are_only_reported() {
    let watched = Watched::start().await;
    watched.upstream.answer_otherwise(Answer::websocket());
    let header = [watched.key.header()];
    let mut ended = watched.gateway.https().websocket("/enforced/ws", &header).await.expect("a WebSocket");
    let mut goes_on = watched.gateway.https().websocket("/watched/ws", &header).await.expect("a WebSocket");
    watched.revoke().await;
    assert_eq!(ended.closed().await, None);
    // Longer than from one look at a credential to the next.
    tokio::time::sleep(Duration::from_millis(600)).await;
    goes_on.echo("still there").await;
}
