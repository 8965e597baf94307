//! What a token must say: from whom, for whom, and from when to when (RFC 7519 section 4.1).

use std::time::Duration;

use portcullis::clock::Clock;
use serde_json::json;

use super::stand::Stand;
use crate::harness::issuer::Token;

fn now() -> u64 {
    Clock::system().unix_seconds()
}

/// The token with one claim replaced by this text, whatever it is; empty text leaves the claim out.
fn with_raw(token: Token, name: &str, text: &str) -> String {
    if text.is_empty() {
        return token.without(name).sign();
    }
    let token = token.claim(name, "@@@");
    let claims = token.claims().to_string().replace("\"@@@\"", text);
    token.raw_claims(claims).sign()
}

/// J06, CVE-2026-25537: a time that cannot be read is never taken for a time that is not there.
#[tokio::test]
async fn times_that_are_no_times_are_refused() {
    let stand = Stand::start().await;
    let soon = (now() + 60).to_string();
    for (name, text, reason) in [
        ("exp", "", "missing_claim"),
        ("exp", "null", "missing_claim"),
        ("exp", &format!("\"{soon}\""), "missing_claim"),
        ("exp", "\"never\"", "missing_claim"),
        ("exp", "-1", "missing_claim"),
        ("exp", "true", "missing_claim"),
        ("exp", &format!("[{soon}]"), "missing_claim"),
        ("exp", &format!("{{\"$numberLong\":{soon}}}"), "missing_claim"),
        ("exp", "1e400", "malformed"),
        ("exp", "NaN", "malformed"),
        ("exp", "Infinity", "malformed"),
        ("exp", "0x7fffffff", "malformed"),
        ("exp", &format!("0{soon}"), "malformed"),
        ("exp", "1e300", "lifetime_too_long"),
        ("exp", "18446744073709551616", "lifetime_too_long"),
        ("exp", "0", "expired"),
        ("exp", "1", "expired"),
        ("exp", "1e-300", "expired"),
        ("nbf", "null", "missing_claim"),
        ("nbf", "\"0\"", "missing_claim"),
        ("nbf", "-1", "missing_claim"),
        ("nbf", "false", "missing_claim"),
        ("nbf", "1e400", "malformed"),
        ("nbf", "1e300", "not_yet_valid"),
        ("iat", "null", "missing_claim"),
        ("iat", "\"yesterday\"", "missing_claim"),
        ("iat", "-1", "missing_claim"),
        ("iat", "1e400", "malformed"),
        ("iat", "1e300", "issued_in_future"),
    ] {
        stand.refuses(&format!("{name}: {text}"), &with_raw(stand.token(), name, text), reason).await;
    }
    // A number with a fraction is a NumericDate (RFC 7519 section 2), and so is one with an exponent.
    for (name, text) in [
        ("exp", format!("{soon}.75")),
        ("exp", format!("{soon}e0")),
        ("nbf", format!("{}.5", now() - 60)),
        ("nbf", "0".to_owned()),
        ("iat", format!("{}.25", now() - 60)),
        ("iat", String::new()),
    ] {
        stand.accepts(&format!("{name}: {text}"), &with_raw(stand.token(), name, &text)).await;
    }
}

/// J07: a token ends with its `exp`, begins with its `nbf`, and lives no longer than the policy accepts, give or take the
/// leeway of 30 seconds.
#[tokio::test]
async fn times_are_held_to() {
    let stand = Stand::start().await;
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
    let token = || stand.token();
    let at = |name: &str, time: u64| token().claim(name, time).sign();
    stand.refuses("ended a minute ago", &token().issued(2 * minute, minute).sign(), "expired").await;
    stand.refuses("ended at the leeway", &at("exp", now() - 30), "expired").await;
    stand.accepts("ended within the leeway", &at("exp", now() - 15)).await;
    stand.refuses("begins in a minute", &at("nbf", now() + 60), "not_yet_valid").await;
    stand.accepts("begins within the leeway", &at("nbf", now() + 15)).await;
    stand.refuses("issued in a minute", &at("iat", now() + 60), "issued_in_future").await;
    stand.accepts("issued within the leeway", &at("iat", now() + 15)).await;
    stand.accepts("a day", &token().issued(minute, day).sign()).await;
    let longer = token().issued(minute, day + Duration::from_secs(1));
    stand.refuses("a second more than a day", &longer.sign(), "lifetime_too_long").await;
    // Without a time of issue the lifetime counts from now.
    stand
        .refuses("two days from now", &token().without("iat").expires_in(2 * day).sign(), "lifetime_too_long")
        .await;
    stand.accepts("an hour from now", &token().without("iat").expires_in(60 * minute).sign()).await;
    // An old token that lives on is a long-lived one, however soon it ends.
    let old = token().issued(300 * day, 300 * day + minute);
    stand.refuses("ten months, and one minute left", &old.sign(), "lifetime_too_long").await;
}

/// J08, CVE-2025-30144: the issuer is compared exactly, and one of the audiences must be ours exactly.
#[tokio::test]
async fn issuer_and_audience_are_compared_exactly() {
    let stand = Stand::start().await;
    let issuer = stand.issuer.url();
    let with = |name: &str, value: serde_json::Value| stand.token().claim(name, value).sign();
    for (value, reason) in [
        (json!(format!("{issuer}/")), "wrong_issuer"),
        (json!(format!(" {issuer}")), "wrong_issuer"),
        (json!(issuer.to_uppercase()), "wrong_issuer"),
        (json!(&issuer[..issuer.len() - 1]), "wrong_issuer"),
        (json!(format!("{issuer}.evil.example")), "wrong_issuer"),
        (json!(""), "wrong_issuer"),
        (json!([issuer.clone()]), "missing_claim"),
        (json!([issuer.clone(), "https://evil.example"]), "missing_claim"),
        (json!({ "iss": issuer.clone() }), "missing_claim"),
        (json!(null), "missing_claim"),
        (json!(1), "missing_claim"),
        // Another method of the route has this issuer, and other keys.
        (json!("https://legacy.example.com"), "wrong_algorithm"),
    ] {
        stand.refuses(&format!("iss: {value}"), &with("iss", value), reason).await;
    }
    stand.refuses("no iss", &stand.token().without("iss").sign(), "missing_claim").await;
    let ours = "https://api.example.com";
    for (value, reason) in [
        (json!("https://api.example.com/"), "wrong_audience"),
        (json!("https://api.example.com.evil.example"), "wrong_audience"),
        (json!("https://api.example.co"), "wrong_audience"),
        (json!("HTTPS://API.EXAMPLE.COM"), "wrong_audience"),
        (json!("https://x https://api.example.com"), "wrong_audience"),
        (json!(""), "wrong_audience"),
        (json!("*"), "wrong_audience"),
        (json!([]), "wrong_audience"),
        (json!(["a", "b"]), "wrong_audience"),
        (json!([[ours]]), "missing_claim"),
        (json!([ours, 1]), "missing_claim"),
        (json!({ "aud": ours }), "missing_claim"),
        (json!(null), "missing_claim"),
        (json!(true), "missing_claim"),
    ] {
        stand.refuses(&format!("aud: {value}"), &with("aud", value), reason).await;
    }
    stand.refuses("no aud", &stand.token().without("aud").sign(), "missing_claim").await;
    stand.accepts("a list", &with("aud", json!(["a", ours, "b"]))).await;
}

/// RFC 7519 section 4.1.2: a subject is a text, and one that a header carries unchanged.
#[tokio::test]
async fn subjects_that_cannot_be_passed_on_are_refused() {
    let stand = Stand::start().await;
    for (subject, reason) in [
        (json!("alice\r\nX-Auth-Roles: admin"), "malformed"),
        (json!("alice\0"), "malformed"),
        (json!(" alice"), "malformed"),
        (json!(""), "malformed"),
        (json!("a".repeat(513)), "malformed"),
        (json!(1), "missing_claim"),
        (json!(["alice"]), "missing_claim"),
        (json!(null), "missing_claim"),
    ] {
        let what = format!("sub: {subject:.40}");
        stand.refuses(&what, &stand.token().claim("sub", subject).sign(), reason).await;
    }
}
