//! What was verified once is remembered for the method that verified it, and for nothing else.

use serde_json::json;

use crate::harness::gateway::Gateway;
use crate::harness::issuer::Issuer;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

const YAML: &str = r#"
    auth:
      a: { jwt: { issuer: "{issuer}", audience: a } }
      b: { jwt: { issuer: "{issuer}", audience: b } }
      subjects: { jwt: { issuer: "{issuer}", audience: a, claims: { subject: email } } }
    identity: { headers: { X-Auth-Subject: subject, X-Auth-Via: auth } }
    upstreams: { api: "{upstream}" }
    routes:
      - { name: a, match: { path: /a }, auth: a, upstream: api }
      - { name: b, match: { path: /b }, auth: b, upstream: api }
      - { name: subjects, match: { path: /subjects }, auth: subjects, upstream: api }
      - { name: scoped, match: { path: /scoped }, auth: a, allow: { GET: { scopes: [admin] } }, upstream: api }
"#;

/// J15, CVE-2021-32701, GHSA-4mq7-pvjg-xp2r: the same token on two routes with different audiences is judged by each.
#[tokio::test]
async fn a_token_that_one_method_remembers_is_new_to_another() {
    let (upstream, issuer) = (Upstream::start(), Issuer::start());
    let gateway =
        Gateway::builder(YAML).with("upstream", upstream.url()).with("issuer", issuer.url()).start().await;
    let token = issuer.token().claim("aud", "a").claim("email", "alice@example.com").bearer();
    let ask = async |path: &str, token: &str| gateway.https().get(path).header("Authorization", token).await;
    for _ in 0..3 {
        ask("/a", &token).await.assert_status(200);
        let received = upstream.take_one();
        assert_eq!(received.header("X-Auth-Subject"), Some("alice"));
        assert_problem(&ask("/b", &token).await, 401, "invalid_credential");
        assert_problem(&ask("/scoped", &token).await, 403, "forbidden");
        upstream.assert_nothing();
        ask("/subjects", &token).await.assert_status(200);
        let received = upstream.take_one();
        assert_eq!(received.header("X-Auth-Subject"), Some("alice@example.com"));
        assert_eq!(received.header("X-Auth-Via"), Some("subjects"));
    }
    let hits = |auth: &'static str| [("auth", auth)];
    let metrics = gateway.metrics().await;
    // Verified once by `a`, for two routes, and never by `b`.
    assert_eq!(metrics.count("portcullis_auth_cache_misses_total", &hits("a")), 1);
    assert_eq!(metrics.count("portcullis_auth_cache_hits_total", &hits("a")), 5);
    assert_eq!(metrics.count("portcullis_auth_cache_hits_total", &hits("b")), 0);
    assert_eq!(metrics.count("portcullis_auth_cache_misses_total", &hits("b")), 3);

    let both = issuer.token().claim("aud", json!(["a", "b"])).bearer();
    for (path, auth) in [("/a", "a"), ("/b", "b"), ("/a", "a"), ("/b", "b")] {
        ask(path, &both).await.assert_status(200);
        assert_eq!(upstream.take_one().header("X-Auth-Via"), Some(auth));
    }
    // Respelt in any way it is another token, which is not remembered and not accepted.
    for token in
        [format!("{token}="), token.replacen("Bearer e", "Bearer E", 1), token[..token.len() - 1].to_owned()]
    {
        assert_eq!(ask("/a", &token).await.status, 401, "{token}");
    }
    upstream.assert_nothing();
}

/// A reload that changes what a method asks for makes it judge anew what it remembers.
#[tokio::test]
async fn a_stricter_policy_counts_for_remembered_tokens_at_once() {
    let (upstream, issuer) = (Upstream::start(), Issuer::start());
    let gateway =
        Gateway::builder(YAML).with("upstream", upstream.url()).with("issuer", issuer.url()).start().await;
    let token = issuer.token().claim("aud", "a").bearer();
    let ask = async || gateway.https().get("/a").header("Authorization", &token).await.status;
    assert_eq!([ask().await, ask().await], [200, 200]);
    for (from, to) in [
        ("audience: a }", "audience: c }"),
        ("audience: a }", "audience: a, max_lifetime: 1m }"),
        ("audience: a }", "audience: a, algorithms: [RS256] }"),
    ] {
        gateway.reload_with(&YAML.replacen(from, to, 1)).await;
        assert_eq!(ask().await, 401, "{to}");
        gateway.reload_with(YAML).await;
        assert_eq!(ask().await, 200, "{to}, taken back");
    }
    assert_eq!(
        issuer.key_fetches(),
        3,
        "one for each method: a reload forgets no keys and fetches none anew"
    );
}
