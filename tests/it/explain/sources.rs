//! What a decision relies on beyond the files, issuers and Redis, and what is said when that cannot be reached.

use serde_json::Value;

use super::{Case, Stand, explain};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::issuer::Issuer;
use crate::harness::port::ReservedPort;

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_said_to_be() {
    let issuer = Issuer::start();
    let gateway = Gateway::builder(
        r#"
        auth: { users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } } }
        upstreams: { api: builtin:echo }
        routes: [{ name: api, match: { path: /** }, auth: users, upstream: api }]
        "#,
    )
    .with("issuer", issuer.url())
    .start()
    .await;
    let token = issuer.token().sign();
    let arguments = ["GET", "https://localhost/", "--token", &token];
    let finished = explain(&gateway, &arguments).await;
    assert!(finished.assert_success().stdout.contains("  ok    signature   users: "), "{}", finished.stdout);
    issuer.stop().await;
    let finished = explain(&gateway, &arguments).await;
    let said = &finished.assert_success().stdout;
    assert!(said.contains("could not be read"), "{said}");
    assert!(said.contains("answer    503 keys_unavailable"), "{said}");
    // Nobody is asked when there is nothing to verify.
    let finished = explain(&gateway, &["GET", "https://localhost/"]).await;
    assert!(finished.stdout.contains("answer    401 no_credential"), "{}", finished.stdout);
}

#[tokio::test]
async fn revocations_are_asked_of_redis_and_an_outage_is_said_to_be_one() {
    let mut stand = Stand::start().await;
    let key = stand.reader.key.clone();
    let url = "https://api.example.com/v1/orders/7";
    let field = format!("X-API-Key: {key}");
    let case = Case::new("GET", url, &[&field]);
    stand.compare("before", &case).await;
    stand.redis.cli(&["SET", "portcullis:revoked:key:k_reader", ""]).await;
    let revoked = async || {
        let answer = stand.gateway.https().get("/v1/orders/7").header("X-API-Key", &key).await;
        answer.status == 401
    };
    while !revoked().await {}
    stand.upstream.take();
    stand.compare("revoked", &case).await;
    stand.redis.cli(&["DEL", "portcullis:revoked:key:k_reader"]).await;
    stand.redis.stop();
    let finished = stand.explain(&["GET", url, "--key", &key]).await;
    let said = &finished.assert_success().stdout;
    assert!(said.contains("`on_outage: deny` refuses"), "{said}");
    assert!(said.contains("answer    503 revocation_unavailable"), "{said}");
    assert!(said.contains("cannot be read: Redis cannot be used: "), "{said}");
}

#[tokio::test]
async fn what_only_the_running_gateway_knows_is_said_once() {
    let (key, port) = (ApiKey::of("acme"), ReservedPort::take());
    for (store, said, outcome) in [
        ("revocation: { store: memory }", "revocations are in the memory of the running gateway", "allowed"),
        (
            "redis: { url: \"redis://127.0.0.1:{port}\" }\nrevocation: { on_outage: allow }",
            "`on_outage: allow` lets requests go on",
            "allowed",
        ),
    ] {
        let gateway = Gateway::builder(&format!(
            "{store}\nauth: {{ partners: {{ api_key: {{ keys: keys.yaml }} }} }}\nupstreams: {{ api: builtin:echo }}\nroutes: [{{ name: api, match: {{ path: /** }}, auth: partners, upstream: api }}]\n"
        ))
        .with("port", port.port().to_string())
        .file("keys.yaml", keys_yaml(&[&key]))
        .start_unready()
        .await;
        let arguments = ["GET", "https://localhost/", "--key", &key.key, "--format", "json"];
        let finished = explain(&gateway, &arguments).await;
        let answer: Value = serde_json::from_str(&finished.assert_success().stdout).unwrap();
        assert_eq!(answer["outcome"], outcome);
        let unknown = answer["unknown"].to_string();
        assert_eq!(unknown.matches(said).count(), 1, "{unknown}");
        assert_eq!(unknown.matches("attempts have failed").count(), 1, "{unknown}");
    }
}
