//! An issuer that goes away and comes back.

use crate::harness::client::{Load, Request};
use crate::harness::issuer::{Issuer, SigningKey};
use crate::harness::problem::{assert_problem, challenges};
use crate::harness::upstream::Upstream;

use super::{Stand, builder, partner, until};

/// Keys that are good stay good: nothing valid is refused, nothing invalid passes, and the metrics tell.
#[tokio::test]
async fn an_outage_of_the_issuer_is_not_one_of_the_gateway() {
    let stand = Stand::start().await;
    let (key, stranger) = (stand.issuer.key(), SigningKey::es256("es256-1"));
    let remembered = stand.issuer.token().bearer();
    stand.ask(&remembered).await.assert_status(200);
    let request = Request::get("/v1/x").header("Authorization", &remembered);
    let load = Load::of(&stand.gateway.https(), request).connections(2).rate(100.0).start();

    stand.issuer.stop().await;
    stand.ask_with_unknown_key().await;
    stand.wait_for_fetches("failure", 1).await;
    assert!(stand.accepts_new(&key).await);
    assert!(!stand.accepts_new(&stranger).await);
    assert_eq!(stand.gateway.admin().get("/readyz").await.status, 200, "what it has is enough to decide");
    let warned = stand.gateway.wait_for_log(|line| line.message.contains("cannot read the keys of")).await;
    assert_eq!(warned.level, "warn");

    // It comes back with another key, which is found without anyone's help.
    let new = SigningKey::eddsa("ed-2");
    stand.issuer.add(new.clone());
    stand.issuer.start_again();
    stand.wait_for_fetches("success", 2).await;
    assert!(stand.accepts_new(&new).await && stand.accepts_new(&key).await);
    load.wait_for_more(10).await;
    load.stop().await.assert_all(200);
}

#[tokio::test]
async fn until_the_keys_were_seen_once_nobody_can_decide() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start());
    issuer.stop().await;
    let gateway = builder(&issuer, &upstream).start_unready().await;
    let stand = Stand { gateway, upstream, issuer };
    stand.wait_for_fetches("failure", 1).await;

    let answer = stand.ask(&stand.issuer.token().bearer()).await;
    assert_problem(&answer, 503, "keys_unavailable");
    let seconds: u32 = answer.header("Retry-After").expect("when to try again").parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert!(challenges(&answer).is_empty(), "the caller did nothing wrong: {answer:?}");
    let line = stand.gateway.wait_for_access(|line| line["status"] == 503).await;
    assert_eq!(
        (line["reason"].as_str(), line["outcome"].as_str()),
        (Some("keys_unavailable"), Some("refused"))
    );
    assert!(line["subject"].is_null(), "nobody was verified: {line}");
    // What can be told without keys is told.
    assert_problem(&stand.ask("Bearer x").await, 401, "malformed_credential");
    let other = stand.issuer.token().claim("iss", "https://evil.example").bearer();
    assert_problem(&stand.ask(&other).await, 401, "invalid_credential");
    stand.upstream.assert_nothing();

    let ready = stand.gateway.admin().get("/readyz").await;
    let waiting = "not ready\nwaiting: the keys of issuer `users` have not been read yet\n";
    assert_eq!((ready.status, ready.text()), (503, waiting));
    assert_eq!(stand.gateway.admin().get("/healthz").await.status, 200);
    // Others are not held up by it.
    let key = partner();
    stand.gateway.https().get("/keys").headers(&[key.header()]).await.assert_status(200);

    stand.issuer.start_again();
    until(200, || async { stand.gateway.admin().get("/readyz").await }).await;
    stand.ask(&stand.issuer.token().bearer()).await.assert_status(200);
}
