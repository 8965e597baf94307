//! Keys that are fetched: rotation (J11), outages (J12) and floods of unknown keys (J10), in the time of the test alone.
//!
//! The test is the one who fetches: it holds the [`Tending`] that a task of the proxy holds otherwise.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, advance};

use super::super::{BURST, COOL_DOWN, Gone, Tending};
use super::signer::{Signer, jwk_set, jwks};
use super::*;

fn fetched() -> (Bench, Arc<Method>, Tending) {
    let bench = Bench::new();
    let method = bench.compile(&yaml("jwks_url: https://id.example.com/keys\n"));
    let tending = method.key_source().unwrap().tend().unwrap();
    (bench, method, tending)
}

/// Presents `token` in a task of its own, and gives back the outcome and how long it took.
fn present(method: &Arc<Method>, token: &str) -> tokio::task::JoinHandle<(&'static str, Duration)> {
    let (method, token) = (method.clone(), token.to_owned());
    tokio::spawn(async move {
        let start = Instant::now();
        let attempt = method.attempt(Token::from(&*token), NOW).await;
        (outcome(&attempt), start.elapsed())
    })
}

fn token(signer: &Signer) -> String {
    signer.token(&claims(&json!({})))
}

const NO_TIME: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn without_keys_nothing_is_verified_and_nobody_waits() {
    let (_bench, method, mut tending) = fetched();
    let signer = Signer::ed25519("a");
    let source = method.key_source().unwrap().clone();
    assert!(!source.is_ready());
    assert_eq!(present(&method, &token(&signer)).await.unwrap(), ("keys_unavailable", NO_TIME));
    // What can be refused without keys is refused for what it is.
    assert_eq!(present(&method, "x").await.unwrap(), ("malformed", NO_TIME));
    tending.asked().await.unwrap();
    tending.begin().unwrap().accept(jwks(&[&signer]).as_bytes(), NOW).unwrap();
    assert!(source.is_ready());
    assert_eq!(present(&method, &token(&signer)).await.unwrap(), ("verified", NO_TIME));
    let series = source.series();
    assert_eq!((series.keys(), series.last_success()), (1, Some(NOW)));
    assert_eq!((series.succeeded.get(), series.failed.get()), (1, 0));
}

/// J11: the first token of a new key passes after one fetch; tokens of a removed key fail.
#[tokio::test(start_paused = true)]
async fn an_issuer_changes_its_key() {
    let (_bench, method, mut tending) = fetched();
    let (old, new) = (Signer::ed25519("old"), Signer::p256("new"));
    tending.begin().unwrap().accept(jwks(&[&old]).as_bytes(), NOW).unwrap();
    let by_old = token(&old);
    assert_eq!(present(&method, &by_old).await.unwrap().0, "verified");
    let waiting: Vec<_> = (0..100).map(|_| present(&method, &token(&new))).collect();
    tending.asked().await.unwrap();
    let round = tending.begin().unwrap();
    advance(Duration::from_millis(300)).await;
    assert!(waiting.iter().all(|task| !task.is_finished()));
    let refreshed = round.accept(jwks(&[&new]).as_bytes(), NOW).unwrap();
    assert!(refreshed.changed && refreshed.keys == 1);
    for task in waiting {
        let (outcome, waited) = task.await.unwrap();
        assert_eq!(outcome, "verified");
        assert!(waited <= Duration::from_millis(310), "{waited:?}");
    }
    assert!(method.remembered(Token::from(&*by_old)).is_none());
    assert_eq!(present(&method, &by_old).await.unwrap(), ("unknown_key", NO_TIME));
}

/// Where keys have no names, a signature that none of them made may be of a newer one.
#[tokio::test(start_paused = true)]
async fn an_issuer_without_names_changes_its_key() {
    let (_bench, method, mut tending) = fetched();
    let (old, new) = (Signer::ed25519(None), Signer::ed25519(None));
    tending.begin().unwrap().accept(jwks(&[&old]).as_bytes(), NOW).unwrap();
    let waiting = present(&method, &token(&new));
    tending.asked().await.unwrap();
    tending.begin().unwrap().accept(jwks(&[&new]).as_bytes(), NOW).unwrap();
    assert_eq!(waiting.await.unwrap().0, "verified");
    assert_eq!(present(&method, &token(&old)).await.unwrap(), ("bad_signature", NO_TIME));
}

/// A forged token asks for nothing: its key is known, or would not be known under any name.
#[tokio::test(start_paused = true)]
async fn forged_tokens_cause_no_fetch() {
    let (_bench, method, mut tending) = fetched();
    let signer = Signer::ed25519("a");
    tending.begin().unwrap().accept(jwks(&[&signer]).as_bytes(), NOW).unwrap();
    let forger = Signer::ed25519("a");
    let payload = claims(&json!({})).to_string();
    for (header, expect) in [
        (json!({ "alg": "EdDSA", "kid": "a" }), "bad_signature"),
        (json!({ "alg": "ES256", "kid": "a" }), "wrong_algorithm"),
        (json!({ "alg": "EdDSA" }), "bad_signature"),
        (json!({ "alg": "none", "kid": "b" }), "wrong_algorithm"),
        (json!({ "alg": "HS256", "kid": "b" }), "wrong_algorithm"),
        (json!({ "alg": "EdDSA", "kid": "b", "jwk": forger.jwk() }), "malformed"),
        (json!({ "alg": "EdDSA", "kid": "b", "crit": ["x"] }), "malformed"),
        (json!({ "alg": "EdDSA", "kid": 1 }), "malformed"),
        (json!({ "alg": "EdDSA", "typ": "x", "kid": "b" }), "wrong_type"),
    ] {
        let token = forger.sign("EdDSA", &header.to_string(), &payload);
        assert_eq!(present(&method, &token).await.unwrap(), (expect, NO_TIME), "{header}");
    }
    let elsewhere = forger.token(&claims(&json!({ "iss": "https://evil.example" })));
    assert_eq!(present(&method, &elsewhere).await.unwrap(), ("absent", NO_TIME));
    let asked = tokio::time::timeout(COOL_DOWN, tending.asked()).await;
    assert!(asked.is_err(), "nobody asked");
}

/// J12: an answer without usable keys changes nothing, whatever it is.
#[tokio::test(start_paused = true)]
async fn outages_take_no_keys_away() {
    let (_bench, method, mut tending) = fetched();
    let signer = Signer::ed25519("a");
    tending.begin().unwrap().accept(jwks(&[&signer]).as_bytes(), NOW).unwrap();
    let secret = jwk_set([json!({ "kty": "oct", "k": "AAAA", "kid": "a" })]);
    let by_a = token(&signer);
    identify(&method, &by_a).await;
    let bad = [
        "",
        "{}",
        "[]",
        "null",
        "<html>Service Unavailable</html>",
        "{\"keys\":[]}",
        "{\"keys\":[{}]}",
        &secret,
    ];
    for document in bad {
        assert!(tending.begin().unwrap().accept(document.as_bytes(), NOW + 5).is_err(), "{document}");
        assert!(method.remembered(Token::from(&*by_a)).is_some(), "{document}");
        assert_eq!(present(&method, &token(&signer)).await.unwrap(), ("verified", NO_TIME), "{document}");
    }
    tending.begin().unwrap().fail(&"it is down");
    drop(tending.begin().unwrap());
    assert_eq!(present(&method, &token(&signer)).await.unwrap(), ("verified", NO_TIME));
    let series = method.key_source().unwrap().series();
    assert_eq!((series.keys(), series.succeeded.get(), series.failed.get()), (1, 1, 9));
}

/// J10: see GHSA-fhv5-28vv-h8m8. Made-up keys cause no more fetches than the bucket has, and known keys never wait.
#[tokio::test(start_paused = true)]
async fn fetches_no_more_than_the_bucket_allows_in_a_flood_of_unknown_keys() {
    let (_bench, method, mut tending) = fetched();
    let signer = Signer::ed25519("known");
    let set = jwks(&[&signer]);
    tending.begin().unwrap().accept(set.as_bytes(), NOW).unwrap();
    let fetches = Arc::new(std::sync::Mutex::new(Vec::new()));
    let start = Instant::now();
    let log = fetches.clone();
    tokio::spawn(async move {
        while tending.asked().await.is_ok() {
            let round = tending.begin().unwrap();
            log.lock().unwrap().push(start.elapsed().as_secs());
            tokio::time::sleep(Duration::from_millis(200)).await;
            round.accept(set.as_bytes(), NOW).unwrap();
        }
    });
    let payload = claims(&json!({})).to_string();
    let mut tasks = Vec::new();
    for at in 0..10_000 {
        let header = json!({ "alg": "EdDSA", "kid": format!("random-{at}") }).to_string();
        tasks.push(present(&method, &signer.sign("EdDSA", &header, &payload)));
        if at % 100 == 0 {
            let known = signer.token(&claims(&json!({ "jti": at.to_string() })));
            assert_eq!(present(&method, &known).await.unwrap(), ("verified", NO_TIME), "{at}");
            // A hundred steps of a quarter of a second: 25 seconds in all.
            advance(Duration::from_millis(250)).await;
        }
    }
    let mut undecided = 0;
    for task in tasks {
        let (outcome, waited) = task.await.unwrap();
        assert!(["unknown_key", "key_fetch_pending"].contains(&outcome), "{outcome}");
        // For the end of the fetch that was under way, and for its own.
        assert!(waited <= Duration::from_millis(750), "{waited:?}");
        undecided += usize::from(outcome == "key_fetch_pending");
    }
    assert!(undecided > 9_000, "{undecided}");
    let fetches = fetches.lock().unwrap().clone();
    let burst = fetches.iter().filter(|second| **second < COOL_DOWN.as_secs()).count();
    assert_eq!(burst, BURST as usize, "{fetches:?}");
    let later = &fetches[burst..];
    assert!((1..=3).contains(&later.len()), "{fetches:?}");
    assert!(later.windows(2).all(|pair| pair[1] - pair[0] >= 9), "{fetches:?}");
}

/// Tokens of one unknown key cost one fetch in each cool-down, however often they come, and leave the rest to others.
#[tokio::test(start_paused = true)]
async fn takes_one_fetch_for_a_key_that_the_issuer_does_not_have() {
    let (_bench, method, mut tending) = fetched();
    let (known, unknown) = (Signer::ed25519("known"), Signer::ed25519("unknown"));
    tending.begin().unwrap().accept(jwks(&[&known]).as_bytes(), NOW).unwrap();
    let set = jwks(&[&known]);
    let fetched = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = fetched.clone();
    let task = tokio::spawn(async move {
        while tending.asked().await.is_ok() {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tending.begin().unwrap().accept(set.as_bytes(), NOW).unwrap();
        }
    });
    for second in 0..40 {
        for _ in 0..5 {
            assert_eq!(
                present(&method, &token(&unknown)).await.unwrap(),
                ("unknown_key", NO_TIME),
                "{second}"
            );
        }
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(fetched.load(std::sync::atomic::Ordering::Relaxed), 4);
    task.abort();
}

/// Keys that an issuer changes again and again: each is found at once while fetches are available, and after that as soon
/// as the next one is. No token of the issuer is ever said to be invalid.
#[tokio::test(start_paused = true)]
async fn finds_each_of_several_keys_that_follow_each_other() {
    let (_bench, method, mut tending) = fetched();
    let set = Arc::new(std::sync::Mutex::new(jwks(&[&Signer::ed25519("0")])));
    tending.begin().unwrap().accept(set.lock().unwrap().as_bytes(), NOW).unwrap();
    let published = set.clone();
    tokio::spawn(async move {
        while tending.asked().await.is_ok() {
            let document = published.lock().unwrap().clone();
            tending.begin().unwrap().accept(document.as_bytes(), NOW).unwrap();
        }
    });
    for name in ["1", "2", "3"] {
        let signer = Signer::ed25519(name);
        *set.lock().unwrap() = jwks(&[&signer]);
        assert_eq!(present(&method, &token(&signer)).await.unwrap(), ("verified", NO_TIME), "{name}");
    }
    let last = Signer::ed25519("last");
    *set.lock().unwrap() = jwks(&[&last]);
    assert_eq!(present(&method, &token(&last)).await.unwrap(), ("key_fetch_pending", NO_TIME));
    advance(COOL_DOWN * 9 / 10).await;
    assert_eq!(present(&method, &token(&last)).await.unwrap(), ("key_fetch_pending", NO_TIME));
    // The fetch comes without a further request.
    advance(COOL_DOWN / 10).await;
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(present(&method, &token(&last)).await.unwrap(), ("verified", NO_TIME));
}

/// Tokens of a key that the issuer has removed are invalid at once, and cost no fetch.
#[tokio::test(start_paused = true)]
async fn rejects_a_removed_key_without_a_fetch() {
    let (_bench, method, mut tending) = fetched();
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    tending.begin().unwrap().accept(jwks(&[&old]).as_bytes(), NOW).unwrap();
    tending.begin().unwrap().accept(jwks(&[&new]).as_bytes(), NOW).unwrap();
    assert_eq!(present(&method, &token(&old)).await.unwrap(), ("unknown_key", NO_TIME));
    let asked = tokio::time::timeout(COOL_DOWN / 2, tending.asked()).await;
    assert!(asked.is_err(), "no fetch was asked for");
}

/// Waiting for keys ends, whatever the task that fetches them does. The token is not said to be invalid before a fetch has
/// shown it.
#[tokio::test(start_paused = true)]
async fn waits_for_a_fetch_no_longer_than_five_seconds() {
    let (_bench, method, mut tending) = fetched();
    let (known, unknown) = (Signer::ed25519("known"), Signer::ed25519("unknown"));
    tending.begin().unwrap().accept(jwks(&[&known]).as_bytes(), NOW).unwrap();
    let pending = ("key_fetch_pending", Duration::from_secs(5));
    // No task fetches.
    assert_eq!(present(&method, &token(&unknown)).await.unwrap(), pending);
    // The fetch takes too long.
    let round = tending.begin().unwrap();
    advance(COOL_DOWN).await;
    assert_eq!(present(&method, &token(&unknown)).await.unwrap(), pending);
    drop(round);
    // The fetch fails.
    advance(COOL_DOWN).await;
    let waiting = present(&method, &token(&unknown));
    tokio::task::yield_now().await;
    tending.asked().await.unwrap();
    drop(tending.begin().unwrap());
    assert_eq!(waiting.await.unwrap(), ("key_fetch_pending", NO_TIME));
    // The next one succeeds without the key.
    let waiting = present(&method, &token(&unknown));
    tokio::task::yield_now().await;
    tending.asked().await.unwrap();
    tending.begin().unwrap().accept(jwks(&[&known]).as_bytes(), NOW).unwrap();
    assert_eq!(waiting.await.unwrap(), ("unknown_key", NO_TIME));
    // It has just been done.
    assert_eq!(present(&method, &token(&unknown)).await.unwrap(), ("unknown_key", NO_TIME));
}

/// What is being fetched when a new key is first seen may be older than it: the fetch after that counts.
#[tokio::test(start_paused = true)]
async fn a_fetch_under_way_is_not_the_one_to_wait_for() {
    let (_bench, method, mut tending) = fetched();
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    tending.begin().unwrap().accept(jwks(&[&old]).as_bytes(), NOW).unwrap();
    let under_way = tending.begin().unwrap();
    let waiting = present(&method, &token(&new));
    tokio::task::yield_now().await;
    under_way.accept(jwks(&[&old]).as_bytes(), NOW).unwrap();
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    tending.asked().await.unwrap();
    tending.begin().unwrap().accept(jwks(&[&old, &new]).as_bytes(), NOW).unwrap();
    assert_eq!(waiting.await.unwrap(), ("verified", NO_TIME));
}

#[tokio::test(start_paused = true)]
async fn a_source_is_tended_once_and_ends_with_its_policy() {
    let (_bench, method, mut tending) = fetched();
    let source = method.key_source().unwrap();
    assert!(source.tend().is_none());
    tending.begin().unwrap().fail(&"it is down");
    drop(tending);
    let mut tending = source.tend().expect("the first one gave it up");
    let asked = tokio::spawn(async move { (tending.asked().await, tending.begin().err()) });
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    drop(method);
    assert_eq!(asked.await.unwrap(), (Err(Gone), Some(Gone)));
}
