//! A token's header says which key and nothing else: it brings no key, no address, no path and no extension.

use serde_json::{Value, json};

use crate::harness::issuer::{Issuer, SigningKey};

use super::stand::Stand;

/// J04, CVE-2018-0114: keys and addresses of keys in a token are never used, and nothing is ever fetched because of them.
#[tokio::test]
async fn a_token_brings_no_keys() {
    let stand = Stand::start().await;
    let attacker = Issuer::with_keys(vec![SigningKey::es256("es256-1"), SigningKey::rsa("evil")]);
    let before = stand.issuer.traffic();
    let forged = stand.token().signed_by(&attacker.key());
    let fresh = stand.token().signed_by(&attacker.key_called("evil"));
    let address = json!(attacker.jwks_url());
    stand.refuses("jwk", &forged.clone().header("jwk", attacker.key().jwk()).sign(), "malformed").await;
    for name in ["jku", "x5u"] {
        stand.refuses(name, &forged.clone().header(name, address.clone()).sign(), "bad_signature").await;
        assert_eq!(stand.issuer.traffic(), before, "the known issuer has no part in this");
    }
    for certificate in [json!(["MIIB"]), json!([]), json!("MIIB"), Value::Null] {
        let token =
            forged.clone().header("x5c", certificate).header("x5t", "AAAA").header("x5t#S256", "AAAA");
        stand.refuses("x5c", &token.sign(), "bad_signature").await;
    }
    for name in ["jku", "x5u", "iss", "kid_url", "url"] {
        stand.refuses(name, &fresh.clone().header(name, address.clone()).sign(), "unknown_key").await;
    }
    let elsewhere = forged.claim("iss", attacker.url());
    stand.refuses("iss", &elsewhere.header("jku", address).sign(), "wrong_issuer").await;
    assert_eq!(attacker.traffic(), (0, 0), "nothing was fetched from an address in a token");
    stand.accepts("a good token after all that", &stand.token().sign()).await;
}

/// J05: a `kid` is compared and nothing else; it is no path, no query and no label.
#[tokio::test]
async fn a_kid_is_only_compared() {
    let stand = Stand::start().await;
    let series = stand.gateway.metrics().await.len();
    let (long, very_long) = ("k".repeat(8 << 10), "k".repeat(17 << 10));
    for kid in [
        "../../../../../../dev/null",
        "/dev/null",
        "file:///dev/null",
        "' OR '1'='1",
        "x' UNION SELECT 'a-secret",
        "es256-1\0",
        "es256-1 ",
        "ES256-1",
        "es256-1\r\nX-Auth-Subject: root",
        "$(id)",
        "${jndi:ldap://127.0.0.1/x}",
        "",
        "*",
        &long,
    ] {
        stand.refuses(kid, &stand.token().header("kid", kid).sign(), "unknown_key").await;
        // The classic: an empty file as an empty secret.
        let token = stand.token().hmac("HS256", "").header("kid", kid);
        stand.refuses(kid, &token.sign(), "wrong_algorithm").await;
    }
    stand.refuses("17 KiB", &stand.token().header("kid", very_long).sign(), "malformed").await;
    for kid in [json!(1), json!(null), json!(["es256-1"]), json!({ "es256-1": 1 }), json!(true)] {
        stand.refuses("a kid that is no text", &stand.token().header("kid", kid).sign(), "malformed").await;
    }
    // Without one, the keys that fit are tried.
    stand.accepts("no kid", &stand.token().without_header("kid").sign()).await;
    let wrong = stand.token().signed_by(&SigningKey::es256("x")).without_header("kid");
    stand.refuses("no kid", &wrong.sign(), "bad_signature").await;
    let metrics = stand.gateway.metrics().await;
    assert!(metrics.map().keys().all(|series| !series.contains("null") && !series.contains("OR '1'")));
    // New are the outcomes themselves: the counters of statuses and reasons.
    assert!(metrics.len() < series + 20, "{} series became {}", series, metrics.len());
    assert!(stand.issuer.key_fetches() <= 5, "{} fetches", stand.issuer.key_fetches());
}

/// J09, RFC 9068 section 4, RFC 8725 section 3.11: what the same keys signed for another purpose is no access token.
#[tokio::test]
async fn only_access_tokens_are_accepted() {
    let stand = Stand::start().await;
    for kind in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt"] {
        stand.accepts(kind, &stand.token().header("typ", kind).sign()).await;
    }
    stand.accepts("no typ", &stand.token().without_header("typ").sign()).await;
    for kind in
        ["id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", "JOSE", "", "refresh+jwt", "at+jwt;x"]
    {
        stand.refuses(kind, &stand.token().header("typ", kind).sign(), "wrong_type").await;
    }
    for kind in [json!(null), json!(1), json!(["at+jwt"])] {
        stand.refuses("a typ that is no text", &stand.token().header("typ", kind).sign(), "malformed").await;
    }
    for (name, value) in [
        ("token_use", json!("id")),
        ("token_use", json!("refresh")),
        ("typ", json!("ID")),
        ("typ", json!("Refresh")),
        ("typ", json!("Offline")),
        ("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ")),
        ("c_hash", json!("77QmUPtjPfzWtF2AnpK9RQ")),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} })),
    ] {
        stand.refuses(name, &stand.token().claim(name, value).sign(), "wrong_type").await;
    }
    // An ID token is for the client and not for the API.
    let token = stand.token().claim("aud", "client-1").claim("nonce", "n").claim("azp", "client-1");
    stand.refuses("an ID token", &token.sign(), "wrong_audience").await;
}
