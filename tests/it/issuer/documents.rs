//! What comes in place of keys: errors, pages, floods and detours.

use std::time::Duration;

use serde_json::json;

use crate::harness::gateway::Gateway;
use crate::harness::issuer::{Issuer, Serving, SigningKey};
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

use super::{Stand, builder, until};

/// What an issuer serves as its metadata, made of itself and another one.
type Metadata = fn(&Issuer, &Issuer) -> serde_json::Value;

/// J12, J13: whatever the issuer serves in place of its keys, those that are there stay, and it costs little to find out.
async fn check(what: &str, serving: Serving, says: &str) {
    let stand = Stand::start().await;
    let key = stand.issuer.key();
    let metric = |name: &'static str| {
        let gateway = &stand.gateway;
        async move { gateway.metrics().await.sum(name, &[("auth", "users")]) }
    };
    stand.wait_for_fetches("success", 1).await;
    let read_at = metric("portcullis_jwks_last_success_timestamp_seconds").await;
    let memory = stand.gateway.rss_bytes();
    stand.issuer.serve_keys(&serving);
    stand.ask_with_unknown_key().await;
    stand.wait_for_fetches("failure", 1).await;
    assert!(stand.accepts_new(&key).await, "{what}: the key that was good is good");
    assert_eq!(metric("portcullis_jwks_keys").await, Some(1.0), "{what}");
    assert_eq!(metric("portcullis_jwks_last_success_timestamp_seconds").await, read_at, "{what}");
    assert_eq!(stand.gateway.admin().get("/readyz").await.status, 200, "{what}");
    stand.gateway.wait_for_log(|line| line.level == "warn" && line.message.contains(says)).await;
    let grown = stand.gateway.rss_bytes().saturating_sub(memory);
    assert!(grown < 32 << 20, "{what}: {grown} bytes more");
    assert_eq!(stand.upstream.take().len(), 1, "{what}");
}

#[tokio::test]
async fn bad_key_sets_never_replace_good_keys() {
    let text = |text: &str| Serving::Text(text.to_owned());
    let half = json!({ "keys": [SigningKey::es256("es256-1").jwk()] }).to_string();
    for (what, serving, says) in [
        ("an error", Serving::ServerError, "500"),
        ("no such page", Serving::NotFound, "404"),
        ("a page", Serving::Html, "not a JWK set"),
        ("nothing", text(""), "not a JWK set"),
        ("an empty object", text("{}"), "not a JWK set"),
        ("no keys", text(r#"{"keys":[]}"#), "no usable key"),
        ("null", text(r#"{"keys":null}"#), "not a JWK set"),
        ("a list", text("[]"), "not a JWK set"),
        ("half a document", text(&half[..half.len() / 2]), "not a JWK set"),
        (
            "a secret only",
            text(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"es256-1"}]}"#),
            "no usable key",
        ),
        ("100 MiB", Serving::Huge, "longer than"),
    ] {
        check(what, serving, says).await;
    }
}

/// J13: a detour is not followed, neither to another issuer nor to an address on this machine.
#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Issuer::with_keys(vec![SigningKey::es256("es256-1")]);
    check("a redirect", Serving::Redirect(other.jwks_url()), "redirects are not followed").await;
    assert_eq!(other.traffic(), (0, 0));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up() {
    tokio::join!(
        check("nothing at all", Serving::Hang, "no complete answer"),
        check("too late", Serving::Slowly(Duration::from_secs(8)), "no complete answer"),
    );
}

/// Without keys to fall back on, the same documents leave the gateway undecided, and the first good one mends it.
#[tokio::test]
async fn bad_first_documents_mean_503_until_there_is_a_good_one() {
    for serving in [Serving::Html, Serving::Text(r#"{"keys":[]}"#.to_owned())] {
        let (issuer, upstream) = (Issuer::start(), Upstream::start());
        issuer.serve_keys(&serving);
        let gateway = builder(&issuer, &upstream).start_unready().await;
        let stand = Stand { gateway, upstream, issuer };
        stand.wait_for_fetches("failure", 1).await;
        assert_problem(&stand.ask(&stand.issuer.token().bearer()).await, 503, "keys_unavailable");
        assert_eq!(stand.gateway.admin().get("/readyz").await.status, 503);
        stand.upstream.assert_nothing();
        stand.issuer.serve_keys(&Serving::Properly);
        until(200, || async { stand.gateway.admin().get("/readyz").await }).await;
        stand.ask(&stand.issuer.token().bearer()).await.assert_status(200);
    }
}

/// `OpenID` Connect Discovery section 4.3, RFC 8414 section 3.3: metadata that speaks for another issuer is that of another
/// issuer, and an address that is not safe is not used.
#[tokio::test]
async fn metadata_must_be_the_issuers_own() {
    let other = Issuer::start();
    let rows: [(&str, Metadata); 8] = [
        ("another issuer", |_, other| other.discovery()),
        (
            "another issuer, own keys",
            |own, other| json!({ "issuer": other.url(), "jwks_uri": own.jwks_url() }),
        ),
        ("a slash", |own, _| json!({ "issuer": format!("{}/", own.url()), "jwks_uri": own.jwks_url() })),
        ("no issuer", |own, _| json!({ "jwks_uri": own.jwks_url() })),
        ("no keys", |own, _| json!({ "issuer": own.url() })),
        (
            "keys in the clear",
            |own, _| json!({ "issuer": own.url(), "jwks_uri": "http://id.example.com/jwks.json" }),
        ),
        ("keys of a file", |own, _| json!({ "issuer": own.url(), "jwks_uri": "file:///etc/passwd" })),
        ("a list", |_, _| json!([])),
    ];
    for (what, document) in rows {
        let (issuer, upstream) = (Issuer::start(), Upstream::start());
        issuer.serve_discovery(document(&issuer, &other));
        let gateway = builder(&issuer, &upstream).start_unready().await;
        let stand = Stand { gateway, upstream, issuer };
        stand.wait_for_fetches("failure", 1).await;
        assert_problem(&stand.ask(&stand.issuer.token().bearer()).await, 503, "keys_unavailable");
        assert_problem(&stand.ask(&other.token().bearer()).await, 401, "invalid_credential");
        assert_eq!(stand.issuer.key_fetches(), 0, "{what}");
        stand.upstream.assert_nothing();
    }
    assert_eq!(other.traffic(), (0, 0));
}

/// The file may not name an address from which anyone on the way could change the keys.
#[tokio::test]
async fn addresses_in_the_clear_are_refused_in_the_file() {
    for (line, says) in [
        ("issuer: https://id.example.com, jwks_url: http://id.example.com/jwks.json", "https"),
        ("issuer: http://id.example.com", "https"),
        ("issuer: https://id.example.com, jwks_url: http://169.254.169.254/jwks", "https"),
        ("issuer: https://id.example.com, jwks_url: http://127.0.0.1.evil.example/jwks", "https"),
        ("issuer: https://id.example.com, jwks_url: file:///etc/passwd", "https"),
    ] {
        let yaml = format!(
            "auth: {{ users: {{ jwt: {{ audience: a, {line} }} }} }}\nupstreams: {{ api: builtin:echo }}\nroutes:\n  - {{ name: api, match: {{ path: /x }}, auth: users, upstream: api }}\n"
        );
        let finished = Gateway::builder(&yaml).spawn_expecting_failure().await;
        assert_eq!(finished.code(), 1, "{line}");
        assert!(
            finished.stderr.contains(says) && finished.stderr.contains("gateway.yaml:5:"),
            "{}",
            finished.stderr
        );
    }
}
