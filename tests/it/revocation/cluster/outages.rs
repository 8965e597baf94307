//! Nodes of a cluster are killed, replaced and emptied, and slots go from one to another.

use std::time::Duration;

use super::{callers, gateway};
use crate::harness::cluster::Cluster;
use crate::harness::deadline::within_time;
use crate::harness::problem::assert_problem;
use crate::revocation::{Caller, Cast, GUARDED, PUBLIC, entry};

/// Asks until the answer is 200, which after a failover takes seconds, and takes 503 until then.
async fn passes_again(caller: &mut Caller<'_>) {
    within_time(Duration::from_secs(30), "the answer 200", async {
        loop {
            let answer = caller.ask().await;
            match answer.status {
                200 => return,
                _ => assert_problem(&answer, 503, "revocation_unavailable"),
            }
        }
    })
    .await;
}

async fn revoke(cluster: &Cluster, name: &str) {
    cluster.cli(&["SET", &entry(&format!("sub:{name}")), "4000000000", "EX", "3600"]).await;
}

/// R04: one node of three is killed, and a third of the list is not heard of: that is as good as nothing. R05: it comes
/// back empty, which lifts nothing.
#[tokio::test]
async fn a_list_without_one_of_its_nodes_is_unknown() {
    let cast = Cast::new();
    let mut cluster = Cluster::start().await;
    let gateway = gateway(&cast, &cluster).await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let mut callers = callers(&cast, &cluster, &gateway).await;
    for (name, caller) in &mut callers {
        revoke(&cluster, name).await;
        caller.answered_but(401, &[200]).await;
    }
    cluster.nodes[2].stop();
    acme.answered_but(503, &[200]).await;
    cast.upstream.take();
    let answer = acme.ask().await;
    assert_problem(&answer, 503, "revocation_unavailable");
    assert_eq!(answer.header("Retry-After"), Some("1"), "{answer:?}");
    let id = answer.json()["request_id"].clone();
    let line = gateway.wait_for_access(|line| line["request_id"] == id).await;
    assert_eq!(line["reason"], "revocation_unavailable");
    for (_, caller) in &mut callers {
        assert_problem(&caller.ask().await, 401, "credential_revoked");
    }
    assert_problem(&gateway.https().get(GUARDED).await, 401, "no_credential");
    cast.upstream.assert_nothing();
    gateway.https().get(PUBLIC).await.assert_status(200);
    gateway.admin().get("/readyz").await.assert_status(503);
    gateway.wait_for_metric("portcullis_redis_up", &[], |value| value < 0.5).await;
    cluster.nodes[2].start_again().await;
    passes_again(&mut acme).await;
    for (_, caller) in &mut callers {
        assert_problem(&caller.ask().await, 401, "credential_revoked");
    }
    gateway.wait_for_metric("portcullis_redis_up", &[], |value| value > 0.5).await;
}

/// A primary dies and its replica takes over: nobody has to do anything, and nothing was lifted.
#[tokio::test]
async fn a_replica_that_takes_over_is_followed() {
    let cast = Cast::new();
    let mut cluster = Cluster::start_with(1, 1000, |builder| builder).await;
    let gateway = gateway(&cast, &cluster).await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let mut callers = callers(&cast, &cluster, &gateway).await;
    revoke(&cluster, &callers[0].0).await;
    callers[0].1.answered_but(401, &[200]).await;
    let key = entry(&format!("sub:{}", callers[0].0));
    within_time(Duration::from_secs(10), "replication", async {
        while !cluster.nodes[3].cli(&["KEYS", "*"]).await.contains(&key) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    cluster.nodes[0].stop();
    acme.answered_but(503, &[200]).await;
    assert_problem(&callers[0].1.ask().await, 401, "credential_revoked");
    passes_again(&mut acme).await;
    assert_problem(&callers[0].1.ask().await, 401, "credential_revoked");
    // What is written to the new primary holds, and so does lifting.
    cluster.cli(&["SET", &entry("key:k_acme"), "", "EX", "3600"]).await;
    acme.answered_but(401, &[200]).await;
    cluster.cli(&["DEL", &key]).await;
    callers[0].1.answered_but(200, &[401]).await;
}

/// A slot goes from node to node with the entries in it, there and back again, and not one request passes meanwhile.
#[tokio::test]
async fn nothing_passes_while_a_slot_is_moved() {
    let cast = Cast::new();
    let cluster = Cluster::start().await;
    let gateway = gateway(&cast, &cluster).await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let mut bob = Caller::new(&gateway, &Cast::bob()).await;
    let (from, slot) = cluster.home(&entry("user:bob")).await;
    let to = (from + 1) % 3;
    cluster.cli(&["SET", &entry("user:bob"), "", "EX", "3600"]).await;
    bob.answered_but(401, &[200]).await;
    // Others in the same slot, so that the move takes a while. The braces say by what the slot is chosen.
    for number in 0..100 {
        let key = format!("portcullis:revoked:sub:{{{}}}{number}", entry("user:bob"));
        cluster.cli(&["SET", &key, "1000", "EX", "3600"]).await;
    }
    cast.upstream.take();
    let moving = async {
        cluster.move_slot(&slot, from, to).await;
        cluster.move_slot(&slot, to, from).await;
        cluster.move_slot(&slot, from, to).await;
    };
    let hammering = async {
        loop {
            assert_problem(&bob.ask().await, 401, "credential_revoked");
        }
    };
    tokio::select! {
        () = moving => {}
        () = hammering => {}
    }
    // Also not when everything was looked through for what has gone.
    within_time(Duration::from_secs(30), "a look at everything", async {
        let since = std::time::Instant::now();
        while since.elapsed() < Duration::from_secs(3) {
            assert_problem(&bob.ask().await, 401, "credential_revoked");
        }
    })
    .await;
    cast.upstream.assert_nothing();
    acme.answered_but(200, &[503]).await;
    cluster.cli(&["DEL", &entry("user:bob")]).await;
    bob.answered_but(200, &[401]).await;
}

/// R05: one node is emptied, which is announced by it, and nobody is lifted by that.
#[tokio::test]
async fn an_emptied_node_lifts_nothing() {
    let cast = Cast::new();
    let cluster = Cluster::start().await;
    let gateway = gateway(&cast, &cluster).await;
    let mut callers = callers(&cast, &cluster, &gateway).await;
    for (name, caller) in &mut callers {
        revoke(&cluster, name).await;
        caller.answered_but(401, &[200]).await;
    }
    cluster.nodes[1].cli(&["FLUSHALL"]).await;
    let later = cluster.name_at(1, "later").await;
    revoke(&cluster, &later).await;
    let token = cast.issuer.token().claim("sub", later.as_str());
    Caller::new(&gateway, &("Authorization", token.bearer())).await.answered(401).await;
    gateway.wait_for_log(|line| line.message.contains("was emptied or replaced")).await;
    for (_, caller) in &mut callers {
        assert_problem(&caller.ask().await, 401, "credential_revoked");
    }
    let (name, caller) = &mut callers[1];
    revoke(&cluster, name).await;
    cluster.cli(&["DEL", &entry(&format!("sub:{name}"))]).await;
    caller.answered_but(200, &[401]).await;
}
