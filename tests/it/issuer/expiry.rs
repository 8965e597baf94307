//! A token that is remembered ends when it ends.

use std::time::Duration;

use crate::harness::problem::assert_problem;

use super::{Stand, until};

#[tokio::test]
async fn a_remembered_token_expires_all_the_same() {
    let stand = Stand::start().await;
    let token = stand.issuer.token().expires_in(Duration::from_secs(3));
    let bearer = token.bearer();
    stand.ask(&bearer).await.assert_status(200);
    stand.ask(&bearer).await.assert_status(200);
    let hits = stand.gateway.metrics().await.count("portcullis_auth_cache_hits_total", &[("auth", "users")]);
    assert_eq!(hits, 1, "it is remembered");
    let answer = until(401, || stand.ask(&bearer)).await;
    assert_problem(&answer, 401, "credential_expired");
    let exp = token.claims()["exp"].as_u64().unwrap();
    assert!(portcullis::clock::Clock::system().unix_seconds() >= exp, "not before its time");
    let line = stand.gateway.wait_for_access(|line| line["status"] == 401).await;
    assert_eq!(line["reason"], "expired");
}
