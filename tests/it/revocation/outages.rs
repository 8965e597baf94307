//! Redis is stopped, started again empty, emptied while it runs, or never there (R04 and R05): within `max_stale` the last
//! known list counts, after that `on_outage` says what happens, and all of it ends by itself.

use std::time::Instant;

use super::{Caller, Cast, GUARDED, MAX_STALE, PUBLIC, entry, lift, revoke};
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::redis::Redis;

/// Asks until the gateway says that it cannot decide, which it does at the latest `max_stale` after Redis was last there.
async fn unavailable_since(caller: &mut Caller<'_>, gone: Instant) {
    loop {
        let asked = gone.elapsed();
        let answer = caller.ask().await;
        if answer.status == 503 {
            assert_problem(&answer, 503, "revocation_unavailable");
            assert_eq!(answer.header("Retry-After"), Some("1"), "{answer:?}");
            assert!(!answer.headers.contains("WWW-Authenticate"), "no credential is at fault: {answer:?}");
            return;
        }
        // R04: neither refused as if the caller were at fault, nor let through for too long.
        answer.assert_status(200);
        assert!(asked <= MAX_STALE, "let through {asked:?} after Redis was stopped");
    }
}

/// R04: without Redis the list counts for `max_stale` and is unknown after that; what is known to be revoked is refused as
/// such all the while, whoever has no good credential is told so, and public routes are as they always are. R05: a Redis
/// that comes back empty has not lifted anything, and new entries hold.
#[tokio::test]
async fn a_redis_that_is_stopped_and_comes_back_empty() {
    let cast = Cast::new();
    let mut redis = Redis::start().await;
    revoke(&redis, "user:bob", "").await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let mut bob = Caller::new(&gateway, &Cast::bob()).await;
    acme.ask().await.assert_status(200);
    assert_problem(&bob.ask().await, 401, "credential_revoked");

    redis.stop();
    unavailable_since(&mut acme, Instant::now()).await;
    cast.upstream.take();
    let answer = acme.ask().await;
    assert_problem(&answer, 503, "revocation_unavailable");
    let id = answer.json()["request_id"].clone();
    let line = gateway.wait_for_access(|line| line["request_id"] == id).await;
    assert_eq!(
        (&*line["reason"].to_string(), line["status"].as_u64()),
        ("\"revocation_unavailable\"", Some(503))
    );
    assert_problem(&bob.ask().await, 401, "credential_revoked");
    assert_problem(&gateway.https().get(GUARDED).await, 401, "no_credential");
    let wrong = gateway.https().get(GUARDED).header("X-API-Key", "pcl_wrong").await;
    assert_eq!(wrong.status, 401, "{wrong:?}");
    cast.upstream.assert_nothing();
    gateway.https().get(PUBLIC).await.assert_status(200);
    gateway.admin().get("/readyz").await.assert_status(503);
    gateway.admin().get("/healthz").await.assert_status(200);
    gateway.wait_for_metric("portcullis_revocation_staleness_seconds", &[], |age| age > 1.0).await;
    assert_eq!(gateway.metrics().await.sum("portcullis_redis_up", &[]), Some(0.0));
    gateway
        .wait_for_log(|line| line.level == "error" && line.message.starts_with("revocation list: lost"))
        .await;

    redis.start_again().await;
    acme.answered(200).await;
    assert_problem(&bob.ask().await, 401, "credential_revoked");
    gateway.wait_for_log(|line| line.message.contains("was emptied or replaced")).await;
    gateway.wait_for_log(|line| line.message.contains("again after")).await;
    gateway.wait_for_metric("portcullis_redis_up", &[], |up| up > 0.5).await;
    gateway.wait_for_metric("portcullis_revocation_staleness_seconds", &[], |age| age < 0.001).await;
    gateway.admin().get("/readyz").await.assert_status(200);
    let since = revoke(&redis, "key:k_acme", "").await;
    acme.refused_since(since, MAX_STALE).await;
    lift(&redis, "key:k_acme").await;
    acme.answered(200).await;
    // What Redis has lost is lifted by whoever says so by name.
    let lifted = gateway.admin().call("DELETE", "/revocations?kind=user&id=bob").await;
    assert!([200, 404].contains(&lifted.status), "{lifted:?}");
    bob.answered(200).await;
}

/// R05: `FLUSHALL` and `FLUSHDB` are noticed, lift nothing, and leave a list that works.
#[tokio::test]
async fn an_emptied_redis_is_noticed_and_lifts_nothing() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    revoke(&redis, "user:bob", "").await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let mut bob = Caller::new(&gateway, &Cast::bob()).await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    for (round, command) in ["FLUSHALL", "FLUSHDB", "FLUSHALL"].into_iter().enumerate() {
        let position = gateway.log_position();
        let epoch = redis.cli(&["GET", "portcullis:revocation-epoch"]).await;
        assert_ne!(epoch, "nil", "the list is marked");
        redis.cli(&[command]).await;
        let line = gateway
            .wait_for_log_after(position, |line| line.message.contains("was emptied or replaced"))
            .await;
        assert_eq!(line.level, "error");
        let since = revoke(&redis, "key:k_acme", "").await;
        acme.refused_since(since, MAX_STALE).await;
        assert_problem(&bob.ask().await, 401, "credential_revoked");
        lift(&redis, "key:k_acme").await;
        acme.answered(200).await;
        let marked = redis.cli(&["GET", "portcullis:revocation-epoch"]).await;
        assert!(marked != epoch && marked != "nil", "{round}: {marked}");
    }
    // Written again and then lifted, it is lifted.
    revoke(&redis, "user:bob", "").await;
    lift(&redis, "user:bob").await;
    bob.answered(200).await;
}

/// `on_outage: allow` goes on with the last known list for as long as it takes, and metrics say so.
#[tokio::test]
async fn an_outage_may_be_sat_out_with_the_last_known_list() {
    let cast = Cast::new();
    let mut redis = Redis::start().await;
    revoke(&redis, "user:bob", "").await;
    let gateway = cast.gateway(&redis.url(), "revocation: { on_outage: allow }").start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let mut bob = Caller::new(&gateway, &Cast::bob()).await;
    redis.stop();
    gateway.wait_for_metric("portcullis_revocation_staleness_seconds", &[], |age| age > 1.5).await;
    assert_eq!(gateway.metrics().await.sum("portcullis_redis_up", &[]), Some(0.0));
    acme.ask().await.assert_status(200);
    assert_problem(&bob.ask().await, 401, "credential_revoked");
    assert!(gateway.access_log().iter().all(|line| line["status"] != 503));
    redis.start_again().await;
    let since = revoke(&redis, "key:k_acme", "").await;
    // The outage ends when the gateway has noticed that it has, and only then is the promise of a second kept again.
    acme.answered(401).await;
    assert_problem(&bob.ask().await, 401, "credential_revoked");
    gateway.wait_for_metric("portcullis_redis_up", &[], |up| up > 0.5).await;
    assert!(since.elapsed() < crate::harness::deadline::DEADLINE);
}

/// A gateway that starts without Redis is not ready and lets nobody pass, and is well as soon as there is one.
#[tokio::test]
async fn a_gateway_that_starts_before_redis_waits_for_it() {
    let cast = Cast::new();
    let mut redis = Redis::start().await;
    redis.stop();
    let gateway = cast.gateway(&redis.url(), "").start_unready().await;
    gateway.wait_for_log(|line| line.message.starts_with("revocation list: lost")).await;
    gateway.admin().get("/readyz").await.assert_status(503);
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    assert_problem(&acme.ask().await, 503, "revocation_unavailable");
    cast.upstream.assert_nothing();
    gateway.https().get(PUBLIC).await.assert_status(200);
    redis.start_again().await;
    acme.answered(200).await;
    gateway.admin().get("/readyz").await.assert_status(200);
}

/// The policy for outages can be changed in the middle of one, without a restart.
#[tokio::test]
async fn a_reload_changes_what_an_outage_means() {
    let cast = Cast::new();
    let mut redis = Redis::start().await;
    revoke(&redis, "user:bob", "").await;
    let gateway = cast.gateway(&redis.url(), "revocation: { on_outage: deny } # here").start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    redis.stop();
    unavailable_since(&mut acme, Instant::now()).await;
    rewrite(&gateway, "revocation: { on_outage: allow } # here").await;
    acme.ask().await.assert_status(200);
    rewrite(&gateway, "revocation: { on_outage: deny, max_stale: 1h } # here").await;
    acme.ask().await.assert_status(200);
    rewrite(&gateway, "revocation: { on_outage: deny, max_stale: 500ms } # here").await;
    assert_problem(&acme.ask().await, 503, "revocation_unavailable");
    // Nothing that was known is forgotten by a reload.
    let mut bob = Caller::new(&gateway, &Cast::bob()).await;
    assert_problem(&bob.ask().await, 401, "credential_revoked");
    redis.start_again().await;
    acme.answered(200).await;
    assert_eq!(redis.cli(&["EXISTS", &entry("user:bob")]).await, "0");
    assert_problem(&bob.ask().await, 401, "credential_revoked");
}

/// Replaces the line of the file that is marked, and reloads.
async fn rewrite(gateway: &Gateway, line: &str) {
    let text = std::fs::read_to_string(gateway.path("gateway.yaml")).unwrap();
    let text: String = text
        .lines()
        .map(|old| if old.ends_with("# here") { format!("{line}\n") } else { format!("{old}\n") })
        .collect();
    // Braces of the file itself are no placeholders, so it is written as it is.
    std::fs::write(gateway.path("gateway.yaml"), text).unwrap();
    assert_eq!(gateway.reload().await, crate::harness::gateway::Reload::Accepted);
}
