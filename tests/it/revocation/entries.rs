//! How long entries stand, and what stands under keys that are no proper entries.

use std::time::Instant;

use super::{Caller, Cast, GUARDED, MAX_STALE, entry, revoke};
use crate::harness::problem::assert_problem;
use crate::harness::redis::Redis;

/// An entry with a time to live ends by itself, on a gateway that has lost Redis as well.
#[tokio::test]
async fn an_entry_ends_when_its_time_is_over_even_without_redis() {
    let cast = Cast::new();
    let mut redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), "revocation: { on_outage: allow }").start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let mut bob = Caller::new(&gateway, &Cast::bob()).await;
    redis.cli(&["SET", &entry("key:k_acme"), "", "EX", "2"]).await;
    let since = Instant::now();
    redis.cli(&["SET", &entry("user:bob"), ""]).await;
    acme.refused_since(since, MAX_STALE).await;
    bob.refused_since(Instant::now(), MAX_STALE).await;
    redis.stop();
    acme.answered(200).await;
    assert_problem(&bob.ask().await, 401, "credential_revoked");
}

/// The longest time to live of an entry counts: it is made longer, shorter and endless like any key in Redis.
#[tokio::test]
async fn the_time_to_live_can_be_changed() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let since = revoke(&redis, "key:k_acme", "").await;
    acme.refused_since(since, MAX_STALE).await;
    redis.cli(&["PEXPIRE", &entry("key:k_acme"), "50"]).await;
    acme.answered(200).await;
    assert_eq!(redis.cli(&["EXISTS", &entry("key:k_acme")]).await, "0");
}

/// Other programs name entries by renaming, by transactions and by scripts; what counts is what stands there in the end.
#[tokio::test]
async fn however_an_entry_comes_about_it_counts() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let key = &*entry("key:k_acme");
    let script = "redis.call('SET', KEYS[1], '')";
    for (what, commands) in [
        ("a rename", vec![vec!["SET", "elsewhere", ""], vec!["RENAME", "elsewhere", key]]),
        ("a script", vec![vec!["EVAL", script, "1", key]]),
        ("SETEX", vec![vec!["SETEX", key, "60", ""]]),
        ("MSET", vec![vec!["MSET", key, "", "other", "1"]]),
        ("a set in place of a text", vec![vec!["SADD", key, "why"]]),
        ("a hash in place of a text", vec![vec!["HSET", key, "by", "me"]]),
        ("COPY", vec![vec!["SET", "elsewhere", ""], vec!["COPY", "elsewhere", key]]),
    ] {
        for command in &commands {
            redis.cli(command).await;
        }
        let since = Instant::now();
        acme.refused_since(since, MAX_STALE).await;
        redis.cli(&["UNLINK", key]).await;
        acme.answered(200).await;
        assert_eq!(redis.cli(&["EXISTS", key]).await, "0", "{what}");
    }
}

/// What names no credential revokes nobody, and the log says so, in one line whatever the key is made of.
#[tokio::test]
async fn what_names_no_credential_is_said_and_revokes_nobody() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    for name in [
        "",
        "key",
        "key:",
        "jti:no-issuer",
        "jti::x",
        "subject:alice",
        "Key:k_acme",
        "key:k_acme\n",
        "key:*",
        "*",
    ] {
        redis.cli(&["SET", &entry(name), "1"]).await;
    }
    redis.cli(&["SET", "portcullis:revoked", "1"]).await;
    redis.cli(&["SET", &entry("\r\n\u{1b}[31m{\"level\":\"x\"}"), "1"]).await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    for (name, value) in [cast.acme(), Cast::bob(), ("Authorization", cast.issuer.token().bearer())] {
        gateway.https().get(GUARDED).header(name, &value).await.assert_status(200);
    }
    let line = gateway.wait_for_log(|line| line.message.contains("names no credential")).await;
    assert_eq!(line.level, "warn");
    assert_eq!(
        gateway.log().len(),
        gateway.process().stderr.count(),
        "every line of the log is one JSON object"
    );
    // Entries beside them count.
    let since = revoke(&redis, "key:k_acme", "").await;
    Caller::new(&gateway, &cast.acme()).await.refused_since(since, MAX_STALE).await;
}
