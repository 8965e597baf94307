//! Keys that an issuer publishes and that must not be used (RFC 7517 section 4, RFC 7518 section 3).

use serde_json::{Value, json};

use super::stand::Stand;
use crate::harness::gateway::Gateway;
use crate::harness::issuer::{Issuer, Serving, SigningKey};
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

/// The JWK with some members set; `null` takes one out.
fn jwk(key: &SigningKey, changes: &Value) -> Value {
    let mut jwk = key.jwk();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            jwk.as_object_mut().unwrap().remove(name);
        } else {
            jwk[name] = value.clone();
        }
    }
    jwk
}

/// J03: a key is used for what it says, and a shared secret among public keys is no secret at all.
#[tokio::test]
async fn keys_for_other_purposes_are_never_used() {
    let issuer = Issuer::with_keys(vec![SigningKey::es256("good")]);
    let ec = |kid: &str| SigningKey::es256(kid);
    let oct = SigningKey::secret("oct", "a secret that the whole world can read");
    let rsa = SigningKey::new_rsa("rsa");
    let keys: Vec<(SigningKey, Value, &str)> = vec![
        (oct, json!({}), "wrong_algorithm"),
        (ec("use"), json!({ "use": "enc" }), "unknown_key"),
        (ec("use-other"), json!({ "use": "SIG" }), "unknown_key"),
        (ec("sign"), json!({ "key_ops": ["sign"], "use": null }), "unknown_key"),
        (ec("encrypt"), json!({ "key_ops": ["encrypt", "wrapKey"], "use": null }), "unknown_key"),
        (ec("no-ops"), json!({ "key_ops": [], "use": null }), "unknown_key"),
        (ec("alg"), json!({ "alg": "RS256" }), "unknown_key"),
        (ec("alg-hs"), json!({ "alg": "HS256" }), "unknown_key"),
        (ec("alg-none"), json!({ "alg": "none" }), "unknown_key"),
        (ec("alg-number"), json!({ "alg": 256 }), "unknown_key"),
        (ec("curve"), json!({ "crv": "P-384" }), "unknown_key"),
        (ec("private"), json!({ "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE" }), "unknown_key"),
        (rsa.clone().with_kid("rsa-oaep"), json!({ "alg": "RSA-OAEP" }), "unknown_key"),
        (rsa.clone().with_kid("rsa-e1"), json!({ "e": "AQ" }), "unknown_key"),
        (rsa.clone().with_kid("rsa-rs"), json!({ "alg": "PS256" }), "wrong_algorithm"),
        (rsa.with_kid("no-kty"), json!({ "kty": null }), "unknown_key"),
    ];
    let mut all: Vec<Value> = keys.iter().map(|(key, changes, _)| jwk(key, changes)).collect();
    let usable = ec("usable");
    let open = json!({ "key_ops": ["verify"], "use": null, "alg": null, "x5c": ["ignored"] });
    all.push(jwk(&usable, &open));
    all.extend([json!(null), json!(1), json!("key"), json!({}), json!([])]);
    all.push(issuer.key().jwk());
    issuer.serve_keys(&Serving::Text(json!({ "keys": all }).to_string()));
    let stand = Stand::with(issuer).await;
    stand.accepts("a good key among them", &stand.token().sign()).await;
    stand.accepts("a key with `verify`", &stand.token().signed_by(&usable).sign()).await;
    for (key, changes, reason) in &keys {
        let what = format!("{key:?} {changes}");
        stand.refuses(&what, &stand.token().signed_by(key).sign(), reason).await;
    }
    // Those that can be used: the one for PS256, the one for verifying, and the good one.
    assert_eq!(stand.gateway.metrics().await.count("portcullis_jwks_keys", &[("auth", "users")]), 3);
    let warned = stand.gateway.wait_for_log(|line| line.message.contains("`oct` is left out")).await;
    assert_eq!(warned.level, "warn");
    assert!(!stand.gateway.everything_logged().contains("YSBzZWNyZXQ"), "the secret is not repeated");
    assert!(stand.issuer.key_fetches() <= 5, "{} fetches", stand.issuer.key_fetches());
}

/// An RSA key of 1024 bits, which can be had on loan from a computer of today.
const WEAK_MODULUS: &str = "svs_l5SCOlKa_Bg2LTfm5Y9DSUc3MFGwOw_WNoBDgnfRZ0_hTi5Aon35_oVUB-z-88yIwqAGS3XvJMET6qnpOfFgSo2cCDzVyXk_b_S8EWJPqF_2izTbw6C2Rh9ijSO21spC5cP2tOJLEih-iYb56DxV-Egt6YVKIL1UvVCYGcM";

/// Properly signed with it, by `https://weak.example.com` for `https://api.example.com`, from 2023 to 2100.
const WEAK_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IndlYWsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL3dlYWsuZXhhbXBsZS5jb20iLCJhdWQiOiJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsInN1YiI6ImFsaWNlIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjQxMDI0NDQ4MDB9.IbL575jr9Al75AVAKWvLUxp5OetrOwN2CFwvzZyYAKACgEcWeLK1bQyto-5R6K7hFBuU4zWW2FRc5MndZgniNL-JbfWRv6A-j4QJHPrPFwHR4uS5zLSAGhq_LV_2449OJegWHieyT0jGMA9FEAQtIP7AcdGZIxfWQd6iBSckW-Q";

/// J03, RFC 7518 section 3.3: 2048 bits at least.
#[tokio::test]
async fn short_rsa_keys_are_never_used() {
    let upstream = Upstream::start();
    let weak = json!({ "kty": "RSA", "kid": "weak", "n": WEAK_MODULUS, "e": "AQAB" });
    let strong = SigningKey::es256("strong").jwk();
    let yaml = r#"
        auth:
          users:
            jwt: { issuer: https://weak.example.com, audience: https://api.example.com, jwks_file: keys.json, max_lifetime: 40000d }
        upstreams: { api: "{upstream}" }
        routes:
          - { name: api, match: { path: /v1/** }, auth: users, upstream: api }
    "#;
    let gateway = Gateway::builder(yaml)
        .with("upstream", upstream.url())
        .file("keys.json", json!({ "keys": [weak, strong] }).to_string())
        .start()
        .await;
    let token = format!("Bearer {WEAK_TOKEN}");
    let answer = gateway.https().get("/v1/x").header("Authorization", &token).await;
    assert_problem(&answer, 401, "invalid_credential");
    upstream.assert_nothing();
    let line = gateway.wait_for_access(|line| line["status"] == 401).await;
    assert_eq!(line["reason"], "unknown_key");
    gateway.wait_for_log(|line| line.message.contains("its RSA modulus has 1024 bits")).await;

    // A file with nothing else in it is refused as a whole.
    let finished = Gateway::builder(yaml)
        .with("upstream", upstream.url())
        .file("keys.json", json!({ "keys": [weak] }).to_string())
        .spawn_expecting_failure()
        .await;
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains("no usable key"), "{}", finished.stderr);
}
