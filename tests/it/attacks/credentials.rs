//! Credentials that are doubled, misspelt or missing, as far as the form of the request goes.

use super::*;
use crate::harness::credentials::basic;
use crate::harness::problem::assert_unaccepted_credential;

/// Two credentials are never sorted out in favour of the better one (Kong's `ERR_DUPLICATE_API_KEY`).
/// Row H11.
#[tokio::test]
async fn two_credentials_are_refused() {
    let stand = Stand::start().await;
    let (good, other) = (&stand.user.key, &stand.admin.key);
    for lines in [
        vec![format!("X-API-Key: {good}"), format!("X-API-Key: {other}")],
        vec![format!("X-API-Key: {good}"), format!("X-API-Key: {good}")],
        vec![format!("X-API-Key: {good}"), format!("x-api-key: {other}")],
        vec![format!("X-API-Key: {good}, {other}")],
        vec![format!("X-API-Key: {good}"), format!("Authorization: ApiKey {other}")],
        vec![format!("X-API-Key: {good}"), format!("Authorization: {}", basic("apikey", other))],
        vec![format!("Authorization: ApiKey {good}"), format!("Authorization: ApiKey {other}")],
        vec![format!("Authorization: ApiKey {good}"), "Authorization: Bearer x".to_owned()],
        vec!["Authorization: ".to_owned(), format!("Authorization: ApiKey {good}")],
        vec![format!("Authorization: ApiKey {good}, ApiKey {other}")],
        vec![format!("Authorization: Bearer x, ApiKey {good}")],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = stand.only_answer(get("/v1/x", &lines)).await;
        stand.assert_refused(&answer, 400, "multiple_credentials").await;
    }
    stand.assert_only_this_arrives().await;
}

/// One scheme, one run of spaces, one word (Keycloak GHSA-gv94-wp4h-vv8p).
/// Row H12.
#[tokio::test]
async fn the_form_of_a_credential_is_strict() {
    let stand = Stand::start().await;
    let key = &stand.user.key;
    for good in
        [format!("ApiKey {key}"), format!("apikey {key}"), format!("APIKEY  {key}"), format!("ApiKey {key} ")]
    {
        let answer = stand.only_answer(get("/v1/x", &[&format!("Authorization: {good}")])).await;
        answer.assert_status(200);
        assert_eq!(stand.upstream.take_one().header("Authorization"), None);
    }
    for bad in [
        format!("ApiKey\t{key}"),
        format!("ApiKey {key} x"),
        format!("ApiKey\u{a0}{key}"),
        format!("ApiKey {key}\tx"),
        format!("ApiKey {key};x"),
        format!("ApiKey={key}"),
        format!("ApiKey \"{key}\""),
        "ApiKey".to_owned(),
        "ApiKey ".to_owned(),
        key.clone(),
        format!("Token {key}"),
    ] {
        let answer = stand.only_answer(get("/v1/x", &[&format!("Authorization: {bad}")])).await;
        assert_eq!(answer.status, 401, "{bad:?}: {answer:?}");
        let document = answer.json();
        match document["code"].as_str().unwrap() {
            "no_credential" => assert_unaccepted_credential(&answer, &["api_key"]),
            code => assert_problem(&answer, 401, code),
        }
        stand.upstream.assert_nothing();
    }
}

/// Nobody is let in for what they say they are (oauth2-proxy GHSA-5hvv-m4w4-gf6v).
/// Row H14.
#[tokio::test]
async fn no_user_agent_is_let_in_without_a_credential() {
    let stand = Stand::start().await;
    for line in [
        "User-Agent: GoogleHC/1.0",
        "User-Agent: kube-probe/1.30",
        "User-Agent: ELB-HealthChecker/2.0",
        "User-Agent: Prometheus/2.53",
        "X-Health-Check: 1",
        "X-Internal: true",
        "Cookie: session=admin; user=root",
    ] {
        stand.refuses(get("/v1/healthz", &[line]), 401, "no_credential").await;
    }
}

/// The credential stays here.
/// Row H16.
#[tokio::test]
async fn the_credential_does_not_go_upstream() {
    let stand = Stand::start().await;
    let key = &stand.user.key;
    for line in [
        format!("X-API-Key: {key}"),
        format!("x-api-KEY:   {key}"),
        format!("Authorization: ApiKey {key}"),
        format!("aUTHORIZATION: {}", basic("apikey", key)),
    ] {
        stand.only_answer(get("/v1/x", &[&line])).await.assert_status(200);
        let received = stand.upstream.take_one();
        assert_eq!((received.header("X-API-Key"), received.header("Authorization")), (None, None));
        assert_eq!(received.header("X-Auth-Subject"), Some("acme"));
    }
    let secret = key.as_bytes();
    let bytes = stand.upstream.bytes().concat();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret), "the key went upstream");
}
