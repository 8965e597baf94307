//! Tokens that name keys which nobody has, by the thousand.

use std::time::{Duration, Instant};

use crate::harness::deadline::within;
use crate::harness::issuer::{Serving, SigningKey, Token};
use crate::harness::problem::assert_problem;

use super::{Stand, until};

/// How many tokens there are, and over how many connections.
const TOKENS: usize = 10_000;
const CONNECTIONS: usize = 8;

/// J10, GHSA-fhv5-28vv-h8m8: tokens that name made-up keys cause three fetches at once, and one in ten seconds after that,
/// however many they are. Good tokens pass all the while, and a key that the issuer publishes meanwhile is found.
#[tokio::test]
async fn bounds_fetches_in_a_flood_of_unknown_keys() {
    let stand = Stand::start().await;
    let before = stand.issuer.key_fetches();
    let started = Instant::now();
    let workers = (0..CONNECTIONS).map(|worker| flood(&stand, worker));
    let passed: usize = futures(workers).await.into_iter().sum();
    let most = 3 + usize::try_from(started.elapsed().as_secs() / 10).unwrap() + 1;
    let fetched = stand.issuer.key_fetches() - before;
    assert!((1..=most).contains(&fetched), "{fetched} fetches in {:?}", started.elapsed());
    assert_eq!(stand.upstream.take().len(), passed, "only requests with good tokens reached the upstream");
    assert_eq!(passed, TOKENS / 50);
    let all = u64::try_from(TOKENS).unwrap();
    let refused = async {
        loop {
            let metrics = stand.gateway.metrics().await;
            let count = |reason| {
                let labels = [("auth", "users"), ("result", "refused"), ("reason", reason)];
                metrics.count("portcullis_auth_decisions_total", &labels)
            };
            if count("unknown_key") + count("key_fetch_pending") == all {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("every refusal to be counted", refused).await;
    let new = SigningKey::es256("es256-2");
    stand.issuer.add(new.clone());
    until(200, || async { stand.ask(&stand.issuer.token().signed_by(&new).bearer()).await }).await;
}

/// Sends its share of tokens with unknown keys, every fiftieth followed by a good one, and returns how many were good.
async fn flood(stand: &Stand, worker: usize) -> usize {
    let mut connection = stand.gateway.https().connect().await;
    let mut passed = 0;
    for at in 0..TOKENS / CONNECTIONS {
        let token: Token = stand.issuer.token().header("kid", format!("random-{worker}-{at}"));
        // No key, so no signature either: it would never be looked at.
        let bearer = token.signature([1; 64]).bearer();
        let response = connection.get("/v1/x").header("Authorization", &bearer).await;
        assert!([401, 503].contains(&response.status), "{response:?}");
        if at % 50 == 0 {
            let good = stand.issuer.token().bearer();
            connection.get("/v1/x").header("Authorization", &good).await.assert_status(200);
            passed += 1;
        }
    }
    passed
}

/// While the issuer is asked and does not answer, those who wait for it are those with unknown keys, and not for ever.
#[tokio::test]
async fn an_issuer_that_hangs_holds_up_nobody_with_a_known_key() {
    let stand = Stand::start().await;
    stand.issuer.serve_keys(&Serving::Hang);
    let unknown = async {
        let started = Instant::now();
        let response = stand.ask_with_unknown_key().await;
        assert_problem(&response, 503, "keys_unavailable");
        started.elapsed()
    };
    let all = futures((0..20).map(|_| stand.ask_with_unknown_key()));
    let known = async {
        let mut connection = stand.gateway.https().connect().await;
        let mut longest = Duration::ZERO;
        while stand.gateway.metrics().await.count("portcullis_jwks_fetches_total", &[("result", "failure")])
            == 0
        {
            let started = Instant::now();
            let good = stand.issuer.token().bearer();
            connection.get("/v1/x").header("Authorization", &good).await.assert_status(200);
            longest = longest.max(started.elapsed());
        }
        longest
    };
    let (waited, _, longest) = tokio::join!(unknown, all, known);
    assert!(waited < Duration::from_secs(8), "it waited for {waited:?}");
    assert!(longest < Duration::from_secs(3), "a good token waited for {longest:?}");
    assert_eq!(stand.issuer.key_fetches(), 2, "one at the start, and one for all unknown keys");
}

/// All of them at the same time.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut results: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in all.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}
