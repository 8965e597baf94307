//! A Redis Cluster: the list is whole only when every slot is heard of, and whatever happens to its nodes lifts nothing.

mod outages;

use serde_json::json;

use super::{Caller, Cast, entry};
use crate::harness::cluster::Cluster;
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::process::{portcullis_command, run};

/// A gateway that follows the list in `cluster`.
async fn gateway(cast: &Cast, cluster: &Cluster) -> Gateway {
    cast.gateway_with("redis: { cluster: {seeds} }").with("seeds", cluster.seeds()).start().await
}

/// Users whose entries are on three different nodes, with a token each.
async fn callers<'a>(cast: &Cast, cluster: &Cluster, gateway: &'a Gateway) -> Vec<(String, Caller<'a>)> {
    let mut callers = Vec::new();
    for at in 0..3 {
        let name = cluster.name_at(at, "user").await;
        let token = cast.issuer.token().claim("sub", name.as_str());
        callers.push((name, Caller::new(gateway, &("Authorization", token.bearer())).await));
    }
    callers
}

/// Whatever the node, one `SET` is refused everywhere, and nothing of it reaches the upstream.
#[tokio::test]
async fn what_is_revoked_on_any_node_is_refused_until_it_is_lifted() {
    let cast = Cast::new();
    let cluster = Cluster::start().await;
    let gateway = gateway(&cast, &cluster).await;
    let mut callers = callers(&cast, &cluster, &gateway).await;
    for (name, caller) in &mut callers {
        caller.ask().await.assert_status(200);
        cluster.cli(&["SET", &entry(&format!("sub:{name}")), "4000000000", "EX", "3600"]).await;
        caller.answered_but(401, &[200]).await;
        cast.upstream.take();
        let answer = caller.ask().await;
        assert_problem(&answer, 401, "credential_revoked");
        let id = answer.json()["request_id"].clone();
        let line = gateway.wait_for_access(|line| line["request_id"] == id).await;
        assert_eq!(line["reason"], "revoked");
        cast.upstream.assert_nothing();
        cluster.cli(&["DEL", &entry(&format!("sub:{name}"))]).await;
        caller.answered_but(200, &[401]).await;
    }
    assert_eq!(gateway.metrics().await.sum("portcullis_redis_up", &[]), Some(1.0));
    gateway.admin().get("/readyz").await.assert_status(200);
}

/// The command line and the admin API write to whichever node it is, list them all, and lift.
#[tokio::test]
async fn a_cluster_is_written_to_and_listed_as_a_whole() {
    let cast = Cast::new();
    let cluster = Cluster::start().await;
    let gateway = gateway(&cast, &cluster).await;
    let mut callers = callers(&cast, &cluster, &gateway).await;
    let revoke = async |arguments: &[&str]| {
        let file = gateway.path("gateway.yaml");
        run(portcullis_command().arg("revoke").arg("--config").arg(file).args(arguments)).await
    };
    for (name, caller) in &mut callers {
        revoke(&["--sub", name, "--for", "1h"]).await.assert_success();
        caller.answered_but(401, &[200]).await;
        assert_ne!(cluster.cli(&["GET", &entry(&format!("sub:{name}"))]).await, "nil");
        revoke(&["--sub", name, "--lift"]).await.assert_success();
        caller.answered_but(200, &[401]).await;
        let body = json!({ "kind": "sub", "id": name, "for": "1h", "reason": "a test" });
        gateway.admin().post("/revocations").json(&body).await.assert_status(201);
        caller.answered_but(401, &[200]).await;
    }
    let mut names: Vec<&str> = callers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = gateway.admin().get(&format!("/revocations?limit=1&cursor={cursor}")).await;
        answer.assert_status(200);
        let page = answer.json();
        let entries = page["revocations"].as_array().unwrap();
        listed.extend(entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    listed.sort();
    assert_eq!(listed, names);
    let shown = revoke(&["--list"]).await;
    assert!(names.iter().all(|name| shown.assert_success().stdout.contains(name)), "{shown:?}");
    for (name, caller) in &mut callers {
        let target = format!("/revocations?kind=sub&id={name}");
        gateway.admin().call("DELETE", &target).await.assert_status(200);
        gateway.admin().call("DELETE", &target).await.assert_status(404);
        caller.answered_but(200, &[401]).await;
    }
}
