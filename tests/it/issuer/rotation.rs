//! An issuer that changes its keys.

use std::time::Duration;

use crate::harness::deadline::within_time;
use crate::harness::issuer::SigningKey;
use crate::harness::problem::{assert_problem, challenges};

use super::{Stand, until};

/// J11: the first token of a new key passes after one fetch; those of a key that is gone fail from then on, though they
/// were remembered.
#[tokio::test]
async fn a_new_key_is_fetched_and_a_removed_one_is_forgotten() {
    let stand = Stand::start().await;
    let (old, new) = (stand.issuer.key(), SigningKey::eddsa("ed-2"));
    let remembered = stand.issuer.token().bearer();
    for _ in 0..2 {
        stand.ask(&remembered).await.assert_status(200);
    }
    assert_eq!(stand.issuer.key_fetches(), 1);

    stand.issuer.rotate(vec![new.clone()]);
    stand.ask(&remembered).await.assert_status(200);
    assert!(stand.accepts_new(&new).await, "after one fetch");
    assert_eq!(stand.issuer.key_fetches(), 2);
    assert_problem(&stand.ask(&remembered).await, 401, "invalid_credential");
    assert!(!stand.accepts_new(&old).await);
    assert_eq!(
        stand.issuer.key_fetches(),
        2,
        "the removed key is worth no further fetch within the cool-down"
    );

    let taken = stand.upstream.take();
    assert_eq!(taken.len(), 4);
    let line = stand.gateway.wait_for_access(|line| line["status"] == 401).await;
    assert_eq!(line["reason"], "unknown_key");
    stand.gateway.wait_for_log(|line| line.message.contains("1 keys of")).await;
}

#[tokio::test]
async fn keys_overlap_for_as_long_as_the_issuer_publishes_both() {
    let stand = Stand::start().await;
    let (old, new) = (stand.issuer.key(), SigningKey::es384("ec-2"));
    let remembered = stand.issuer.token().bearer();
    stand.ask(&remembered).await.assert_status(200);
    stand.issuer.add(new.clone());
    assert!(stand.accepts_new(&new).await && stand.accepts_new(&old).await);
    stand.ask(&remembered).await.assert_status(200);
    let keys = stand.gateway.metrics().await.count("portcullis_jwks_keys", &[("auth", "users")]);
    assert_eq!((keys, stand.issuer.key_fetches()), (2, 2));
}

/// The same `kid` for another key is another key: what the old one signed counts no longer.
#[tokio::test]
async fn a_key_that_is_replaced_under_its_name_is_another_key() {
    let stand = Stand::start().await;
    let old = stand.issuer.key();
    let remembered = stand.issuer.token().bearer();
    stand.ask(&remembered).await.assert_status(200);
    let new = SigningKey::es256(old.kid());
    stand.issuer.rotate(vec![new.clone()]);
    // A known `kid` decides alone, so it takes a token with an unknown one to have the keys read again.
    stand.ask_with_unknown_key().await;
    assert!(stand.accepts_new(&new).await);
    assert!(!stand.accepts_new(&old).await);
    assert_problem(&stand.ask(&remembered).await, 401, "invalid_credential");
}

/// J11: rotations that follow each other within seconds. While fetches are available each new key passes at once; after
/// that its tokens get 503 with `Retry-After`, never 401, until the next fetch, which comes without a further request.
#[tokio::test]
async fn accepts_each_new_key_when_the_issuer_rotates_several_times_in_a_row() {
    let stand = Stand::start().await;
    for number in 1..=3 {
        let key = SigningKey::es256(&format!("burst-{number}"));
        stand.issuer.rotate(vec![key.clone()]);
        assert!(stand.accepts_new(&key).await, "rotation {number}");
        assert_eq!(stand.issuer.key_fetches(), 1 + number);
    }
    stand.upstream.take();
    let last = SigningKey::es256("last");
    stand.issuer.rotate(vec![last.clone()]);
    let bearer = stand.issuer.token().signed_by(&last).bearer();
    let pending = stand.ask(&bearer).await;
    assert_problem(&pending, 503, "keys_unavailable");
    assert_eq!(pending.header("Retry-After"), Some("10"));
    assert!(challenges(&pending).is_empty(), "the credential is not at fault: {pending:?}");
    stand.upstream.assert_nothing();
    let line = stand.gateway.wait_for_access(|line| line["status"] == 503).await;
    assert_eq!(line["reason"], "key_fetch_pending");
    // No request is sent meanwhile.
    let fetched = async {
        while stand.issuer.key_fetches() < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within_time(Duration::from_secs(60), "the fetch that was due", fetched).await;
    until(200, || async {
        let response = stand.ask(&bearer).await;
        assert_ne!(response.status, 401, "{response:?}");
        response
    })
    .await;
    assert_eq!(stand.issuer.key_fetches(), 5);
}
