//! An issuer that changes its keys.

use std::time::Instant;

use crate::harness::issuer::SigningKey;
use crate::harness::problem::assert_problem;

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

/// A rotation right after a fetch is seen when the cool-down is over, and not before.
#[tokio::test]
async fn a_rotation_within_the_cool_down_is_seen_after_it() {
    let stand = Stand::start().await;
    let asked = Instant::now();
    stand.ask_with_unknown_key().await;
    assert_eq!(stand.issuer.key_fetches(), 2);
    let new = SigningKey::es256("es256-2");
    stand.issuer.rotate(vec![new.clone()]);
    until(200, || async { stand.ask(&stand.issuer.token().signed_by(&new).bearer()).await }).await;
    assert!(asked.elapsed().as_secs() >= 9, "after {:?}", asked.elapsed());
    assert_eq!(stand.issuer.key_fetches(), 3);
}
