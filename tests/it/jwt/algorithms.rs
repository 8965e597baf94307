//! The algorithm belongs to the key and the policy, never to the token (RFC 8725 section 3.1).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::issuer::{Issuer, SigningKey};
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

use super::stand::Stand;

/// J01, CVE-2015-9235: a token without a signature, in every spelling.
#[tokio::test]
async fn unsigned_tokens_are_refused() {
    let stand = Stand::start().await;
    for algorithm in ["none", "None", "NONE", "nOnE", "none ", "", "\0", "HS0", "ES256K", "es256", "ES256 "] {
        stand.refuses(algorithm, &stand.token().unsigned(algorithm).sign(), "wrong_algorithm").await;
        let kept = stand.token().header("alg", algorithm).sign();
        stand.refuses(algorithm, &kept, "wrong_algorithm").await;
    }
    stand.refuses("no alg", &stand.token().without_header("alg").sign(), "malformed").await;
    for value in [Value::Null, json!(1), json!(["ES256"]), json!({ "ES256": true })] {
        stand.refuses("alg", &stand.token().header("alg", value).sign(), "malformed").await;
    }
    let good = stand.token().sign();
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    stand.refuses("an empty signature", &format!("{signed}."), "bad_signature").await;
    for (what, text) in [
        ("no signature", signed.to_owned()),
        ("two dots only", "..".to_owned()),
        ("one dot only", ".".to_owned()),
        ("no dot", header.to_owned()),
        ("no header", format!(".{payload}.x")),
        ("no claims", format!("{header}..x")),
        ("four parts", format!("{good}.x")),
        ("a dot behind", format!("{good}.")),
        ("a dot before", format!(".{good}")),
        ("twice", format!("{good}{good}")),
    ] {
        stand.refuses(what, &text, "malformed").await;
    }
    stand.accepts("the good one", &good).await;
}

/// The ways in which a public key may have been kept when it was taken for a secret.
pub(super) fn forms(key: &SigningKey) -> Vec<Vec<u8>> {
    let pem = key.public_pem();
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut forms = vec![
        pem.trim_end().as_bytes().to_vec(),
        pem.replace('\n', "\r\n").into_bytes(),
        STANDARD.decode(&lines).unwrap(),
        lines.into_bytes(),
        key.jwk().to_string().into_bytes(),
        json!({ "keys": [key.jwk()] }).to_string().into_bytes(),
        pem.into_bytes(),
    ];
    for member in ["n", "x"] {
        forms.extend(key.jwk()[member].as_str().map(|text| URL_SAFE_NO_PAD.decode(text).unwrap()));
    }
    forms
}

/// J02, CVE-2016-5431, where the key is a file in PEM, whose text everyone may have.
#[tokio::test]
async fn the_text_of_a_key_file_is_no_secret() {
    let upstream = Upstream::start();
    let (issuer, key) = (Issuer::start(), SigningKey::rsa("rs256-1"));
    let gateway = Gateway::builder(
        r#"
        auth:
          users: { jwt: { issuer: "{issuer}", audience: https://api.example.com, public_key: key.pem } }
        upstreams: { api: "{upstream}" }
        routes:
          - { name: api, match: { path: /v1/** }, auth: users, upstream: api }
        "#,
    )
    .with("upstream", upstream.url())
    .with("issuer", issuer.url())
    .file("key.pem", key.public_pem())
    .start()
    .await;
    let good = issuer.token().signed_by(&key);
    for secret in forms(&key) {
        let token = good.clone().hmac("HS256", &secret).bearer();
        let answer = gateway.https().get("/v1/x").header("Authorization", &token).await;
        assert_problem(&answer, 401, "invalid_credential");
    }
    upstream.assert_nothing();
    assert_eq!(issuer.traffic(), (0, 0), "keys are in the file, so nobody is asked for them");
    gateway.https().get("/v1/x").header("Authorization", &good.bearer()).await.assert_status(200);
}

/// Only the algorithms that the file lists, even where the key could do others.
#[tokio::test]
async fn algorithms_that_are_not_listed_are_refused() {
    let upstream = Upstream::start();
    let rsa = SigningKey::rsa("rsa");
    let issuer = Issuer::with_keys(vec![SigningKey::es256("ec"), rsa.clone()]);
    let gateway = Gateway::builder(
        r#"
        auth:
          users:
            jwt: { issuer: "{issuer}", audience: https://api.example.com, jwks_file: jwks.json, algorithms: [PS256] }
        upstreams: { api: "{upstream}" }
        routes:
          - { name: api, match: { path: /v1/** }, auth: users, upstream: api }
        "#,
    )
    .with("upstream", upstream.url())
    .with("issuer", issuer.url());
    let mut open = rsa.jwk();
    open.as_object_mut().unwrap().remove("alg");
    let gateway =
        gateway.file("jwks.json", json!({ "keys": [issuer.key().jwk(), open] }).to_string()).start().await;
    for (key, status) in [
        (rsa.clone().with_algorithm("PS256"), 200),
        (rsa.clone().with_algorithm("PS384"), 401),
        (rsa.clone().with_algorithm("RS256"), 401),
        (issuer.key(), 401),
    ] {
        let token = issuer.token().signed_by(&key).bearer();
        let answer = gateway.https().get("/v1/x").header("Authorization", &token).await;
        assert_eq!(answer.status, status, "{key:?}: {answer:?}");
    }
    // The right name over a signature of the other padding.
    let token = issuer.token().signed_by(&rsa).header("alg", "PS256").bearer();
    let answer = gateway.https().get("/v1/x").header("Authorization", &token).await;
    assert_problem(&answer, 401, "invalid_credential");
    assert_eq!(upstream.take().len(), 1);
}
