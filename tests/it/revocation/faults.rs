//! The wire to Redis breaks in every way that wires do, and Redis refuses in every way that it does: the gateway never lets
//! anything pass for longer than it may, never blames the caller, and is well again by itself.

use std::time::{Duration, Instant};

use super::{Caller, Cast, PUBLIC, entry, lift, revoke};
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::proxy::{Fault, FaultyProxy};
use crate::harness::redis::Redis;
use crate::harness::tls::Authority;

/// As short as the file may say, so that faults take hold soon.
const SHORT: &str = "revocation: { max_stale: 500ms }";

const SHORT_STALE: Duration = Duration::from_millis(500);

/// One round of a fault: nothing passes any more, what is revoked meanwhile is refused as soon as anything passes again.
async fn outlasts(
    gateway: &Gateway,
    cast: &Cast,
    redis: &Redis,
    what: &str,
    begin: impl AsyncFn(),
    end: impl AsyncFn(),
) {
    let mut acme = Caller::new(gateway, &cast.acme()).await;
    let mut bob = Caller::new(gateway, &Cast::bob()).await;
    assert_eq!(acme.ask().await.status, 200, "{what}");
    assert_eq!(bob.ask().await.status, 200, "{what}");
    begin().await;
    let refused = acme.answered_but(503, &[200]).await;
    assert_problem(&refused, 503, "revocation_unavailable");
    gateway.https().get(PUBLIC).await.assert_status(200);
    revoke(redis, "user:bob", "").await;
    assert_eq!(bob.ask().await.status, 503, "{what}");
    end().await;
    acme.answered_but(200, &[503]).await;
    // Whoever passes now is judged by a list that is younger than the fault.
    assert_problem(&bob.ask().await, 401, "credential_revoked");
    lift(redis, "user:bob").await;
    bob.answered(200).await;
}

/// R04: whatever happens to the bytes on their way.
async fn wire(faults: &[Fault]) {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let proxy = FaultyProxy::to(redis.address());
    let gateway = cast.gateway(&format!("redis://{}/0", proxy.address()), SHORT).start().await;
    for fault in faults {
        let (begin, end) = (async || proxy.set(*fault).await, async || proxy.set(Fault::None).await);
        outlasts(&gateway, &cast, &redis, &format!("{fault:?}"), begin, end).await;
    }
    // A gateway without Redis tries again and again, but not as fast as it can: less often than every 20 ms.
    assert!(proxy.connections() < 1000, "{}", proxy.connections());
    assert!(gateway.log().len() < 200, "an outage is news once for each of its reasons");
}

#[tokio::test]
async fn a_wire_that_hangs_or_is_too_slow() {
    wire(&[Fault::Hang, Fault::Delay(Duration::from_secs(1)), Fault::Throttle(500)]).await;
}

#[tokio::test]
async fn a_wire_that_is_cut() {
    wire(&[Fault::Refuse, Fault::Reset, Fault::CutAfter(0), Fault::CutAfter(3), Fault::CutAfter(200)]).await;
}

#[tokio::test]
async fn a_wire_that_brings_garbage() {
    wire(&[Fault::Garbage]).await;
}

/// A wire that is slow but not too slow is no outage, and the promise is kept.
#[tokio::test]
async fn a_wire_that_is_slow_within_reason() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let proxy = FaultyProxy::to(redis.address());
    proxy.set(Fault::Delay(Duration::from_millis(20))).await;
    let gateway = cast
        .gateway(&format!("redis://{}/0", proxy.address()), "revocation: { max_stale: 2s }")
        .start()
        .await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    for _ in 0..3 {
        let since = revoke(&redis, "key:k_acme", "").await;
        acme.refused_since(since, Duration::from_secs(2)).await;
        lift(&redis, "key:k_acme").await;
        acme.answered(200).await;
    }
}

/// The Redis process stands still: the kernel accepts connections and nobody answers.
#[tokio::test]
async fn a_redis_that_stands_still() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), SHORT).start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    redis.pause();
    let gone = Instant::now();
    loop {
        let asked = gone.elapsed();
        let answer = acme.ask().await;
        if answer.status == 503 {
            break;
        }
        answer.assert_status(200);
        assert!(asked <= SHORT_STALE, "let through {asked:?} after Redis stood still");
    }
    redis.resume();
    acme.answered_but(200, &[503]).await;
    let since = revoke(&redis, "key:k_acme", "").await;
    acme.refused_since(since, SHORT_STALE).await;
}

/// A password that is wrong, or becomes wrong: nothing passes, the log says why and never what, and once Redis takes it
/// all is well without a restart.
#[tokio::test]
async fn a_password_that_is_wrong() {
    let cast = Cast::new();
    let redis = Redis::builder().password("the-old-one").start().await;
    let yaml = r#"
        redis: { url: "{redis}", password: "${REDIS_PASSWORD}" }
        revocation: { max_stale: 500ms }
    "#;
    let gateway = cast
        .gateway_with(yaml)
        .with("redis", redis.url())
        .env("REDIS_PASSWORD", "hunter2-hunter2")
        .start_unready()
        .await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let line = gateway.wait_for_log(|line| line.message.starts_with("revocation list: lost")).await;
    assert!(line.message.contains("WRONGPASS"), "{line:?}");
    assert_problem(&acme.ask().await, 503, "revocation_unavailable");
    redis.cli(&["ACL", "SETUSER", "default", "resetpass", ">hunter2-hunter2"]).await;
    acme.answered_but(200, &[503]).await;
    redis.cli(&["ACL", "SETUSER", "default", "resetpass", ">another"]).await;
    redis.cli(&["CLIENT", "KILL", "USER", "default"]).await;
    acme.answered_but(503, &[200]).await;
    redis.cli(&["ACL", "SETUSER", "default", "resetpass", ">hunter2-hunter2"]).await;
    acme.answered_but(200, &[503]).await;
    assert!(!gateway.everything_logged().contains("hunter2"), "the password is in a log");
    assert!(!gateway.admin().get("/metrics").await.text().contains("hunter2"));
}

/// No password where Redis wants one (`NOAUTH`), and a user who was taken away.
#[tokio::test]
async fn a_redis_that_wants_a_password() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), SHORT).start().await;
    let begin = async || {
        redis.cli(&["ACL", "SETUSER", "default", "resetpass", ">secret"]).await;
        redis.cli(&["CLIENT", "KILL", "USER", "default"]).await;
    };
    let end = async || {
        redis.cli(&["ACL", "SETUSER", "default", "nopass"]).await;
    };
    outlasts(&gateway, &cast, &redis, "NOAUTH", begin, end).await;
    gateway.wait_for_log(|line| line.message.contains("NOAUTH")).await;
}

/// A user with the rights that docs/revocation.md lists, and with one less.
#[tokio::test]
async fn a_user_with_few_rights() {
    let cast = Cast::new();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/revocation.md")).unwrap();
    let rights =
        page.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER portcullis on >PASSWORD "));
    let rights = rights.expect("docs/revocation.md says which rights are needed");
    let redis =
        Redis::builder().acl(&format!("user default off\nuser portcullis on >pw {rights}")).start().await;
    let yaml = r#"
        redis: { url: "{redis}", username: portcullis, password: "${REDIS_PASSWORD}" }
        revocation: { max_stale: 500ms }
    "#;
    let gateway =
        cast.gateway_with(yaml).with("redis", redis.url()).env("REDIS_PASSWORD", "pw").start().await;
    let begin = async || {
        redis.cli(&["ACL", "SETUSER", "portcullis", "-scan"]).await;
    };
    let end = async || {
        redis.cli(&["ACL", "SETUSER", "portcullis", "+scan"]).await;
    };
    outlasts(&gateway, &cast, &redis, "NOPERM", begin, end).await;
    gateway.wait_for_log(|line| line.message.contains("has no right to run")).await;
    // The same rights are enough to revoke and to lift.
    let body = serde_json::json!({ "kind": "key", "id": "k_acme" });
    gateway.admin().post("/revocations").json(&body).await.assert_status(201);
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    acme.answered(401).await;
    gateway.admin().call("DELETE", "/revocations?kind=key&id=k_acme").await.assert_status(200);
    acme.answered(200).await;
}

/// A read-only replica is followed like any other Redis, for as long as it hears from its primary; it takes no entries.
#[tokio::test]
async fn a_read_only_replica() {
    let cast = Cast::new();
    let primary = Redis::builder().option("repl-diskless-sync-delay", &["0"]).start().await;
    let replica = replica_of(&primary).await;
    let gateway = cast.gateway(&replica.url(), SHORT).start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    revoke(&primary, "key:k_acme", "").await;
    acme.answered(401).await;
    let body = serde_json::json!({ "kind": "user", "id": "bob" });
    let answer = gateway.admin().post("/revocations").json(&body).await;
    answer.assert_status(503);
    assert!(answer.json()["error"].as_str().unwrap().contains("read-only"), "{answer:?}");
    lift(&primary, "key:k_acme").await;
    acme.answered(200).await;
    // It has lost its primary: it answers, but hears of nothing.
    let primary_port = primary.address().port().to_string();
    replica.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    acme.answered_but(503, &[200]).await;
    replica.cli(&["REPLICAOF", "127.0.0.1", &primary_port]).await;
    acme.answered_but(200, &[503]).await;
}

pub(super) async fn replica_of(primary: &Redis) -> Redis {
    let port = primary.address().port().to_string();
    let replica = Redis::builder()
        .option("replicaof", &["127.0.0.1", &port])
        .option("masteruser", &["harness"])
        .option("masterauth", &["harness"])
        .start()
        .await;
    crate::harness::deadline::within("replication", async {
        while !replica.cli(&["INFO", "replication"]).await.contains("master_link_status:up") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    replica
}

/// A Redis whose memory is full takes no entries and says so; what is there counts, and what is removed is lifted.
#[tokio::test]
async fn a_redis_without_memory() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    revoke(&redis, "user:bob", "").await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let mut bob = Caller::new(&gateway, &Cast::bob()).await;
    assert_problem(&bob.ask().await, 401, "credential_revoked");
    acme.ask().await.assert_status(200);
    let body = serde_json::json!({ "kind": "key", "id": "k_acme" });
    let answer = gateway.admin().post("/revocations").json(&body).await;
    answer.assert_status(503);
    assert!(answer.json()["error"].as_str().unwrap().contains("OOM"), "{answer:?}");
    lift(&redis, "user:bob").await;
    bob.answered(200).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    gateway.admin().post("/revocations").json(&body).await.assert_status(201);
    acme.answered(401).await;
    assert_eq!(redis.cli(&["EXISTS", &entry("key:k_acme")]).await, "1");
}

/// `rediss://`: only with a certificate for the host, from an authority that was named.
#[tokio::test]
async fn a_redis_over_tls() {
    let cast = Cast::new();
    let redis = Redis::builder().tls(&Authority::shared().server(&["127.0.0.1"])).start().await;
    let yaml = r#"
        redis: { url: "{redis}", ca: ca.crt }
        revocation: { max_stale: 500ms }
    "#;
    let builder = || cast.gateway_with(yaml).with("redis", redis.url());
    let gateway = builder().file("ca.crt", Authority::shared().pem()).start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let since = revoke(&redis, "key:k_acme", "").await;
    acme.refused_since(since, SHORT_STALE).await;
    let body = serde_json::json!({ "kind": "user", "id": "bob" });
    gateway.admin().post("/revocations").json(&body).await.assert_status(201);
    assert_eq!(redis.cli(&["EXISTS", &entry("user:bob")]).await, "1");

    let stranger = Authority::new("a stranger");
    let gateway = builder().file("ca.crt", stranger.pem()).start_unready().await;
    gateway.wait_for_log(|line| line.message.contains("TLS failed")).await;
    assert_problem(&Caller::new(&gateway, &Cast::bob()).await.ask().await, 503, "revocation_unavailable");

    // A certificate for another host is as good as none.
    let by_name = redis.url().replace("127.0.0.1", "localhost");
    let gateway = cast
        .gateway_with(yaml)
        .with("redis", by_name)
        .file("ca.crt", Authority::shared().pem())
        .start_unready()
        .await;
    gateway.wait_for_log(|line| line.message.contains("TLS failed")).await;
    assert_problem(&Caller::new(&gateway, &Cast::bob()).await.ask().await, 503, "revocation_unavailable");
}
