//! A Redis Cluster: the list is whole only when every slot is heard of, and whatever happens to its nodes lifts nothing.

mod outages;

use serde_json::json;

use super::{Caller, Cast, entry};
use crate::harness::cluster::Cluster;
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::process::{portcullis_command, run};
use crate::harness::tls::{Authority, Leaf};

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

/// TLS from node to node and to the gateway, and a user with exactly the rights that docs/revocation.md lists.
#[tokio::test]
async fn a_cluster_with_tls_and_a_user_with_few_rights() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/revocation.md")).unwrap();
    let rights = |opening: &str| {
        let line = page.lines().find_map(|line| line.trim().strip_prefix(opening));
        line.expect("docs/revocation.md says which rights are needed").to_owned()
    };
    let alone = rights("ACL SETUSER portcullis on >PASSWORD ");
    let further = rights("ACL SETUSER portcullis +asking ");
    let acl = format!("user default off\nuser portcullis on >pw {alone} +asking {further}");
    let cast = Cast::new();
    let certificate = Authority::shared().sign(Leaf::peer(&["127.0.0.1"]));
    let cluster = Cluster::start_with(0, 5000, |builder| {
        builder
            .acl(&acl)
            .tls(&certificate)
            .option("tls-cluster", &["yes"])
            .option("tls-replication", &["yes"])
    })
    .await;
    let yaml = r#"
        redis: { cluster: {seeds}, username: portcullis, password: "${REDIS_PASSWORD}", ca: ca.crt }
    "#;
    let gateway = cast
        .gateway_with(yaml)
        .with("seeds", cluster.seeds())
        .env("REDIS_PASSWORD", "pw-of-the-cluster")
        .file("ca.crt", Authority::shared().pem());
    for node in &cluster.nodes {
        node.cli(&["ACL", "SETUSER", "portcullis", "resetpass", ">pw-of-the-cluster"]).await;
    }
    let gateway = gateway.start().await;
    let mut callers = callers(&cast, &cluster, &gateway).await;
    for (name, caller) in &mut callers {
        caller.ask().await.assert_status(200);
        let body = json!({ "kind": "sub", "id": name });
        gateway.admin().post("/revocations").json(&body).await.assert_status(201);
        caller.answered_but(401, &[200]).await;
    }
    let listed = gateway.admin().get("/revocations").await.json();
    assert_eq!(listed["revocations"].as_array().map(Vec::len), Some(3), "{listed}");
    for (name, caller) in &mut callers {
        let target = format!("/revocations?kind=sub&id={name}");
        gateway.admin().call("DELETE", &target).await.assert_status(200);
        caller.answered_but(200, &[401]).await;
    }
    // Each of those that only a cluster needs is needed, but `ASKING`, which is for slots that are moving.
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    for right in further.split(' ') {
        let (right, one) = (right.trim_start_matches('+'), &cluster.nodes[1]);
        one.cli(&["ACL", "SETUSER", "portcullis", &format!("-{right}")]).await;
        one.cli(&["CLIENT", "KILL", "USER", "portcullis"]).await;
        acme.answered_but(503, &[200]).await;
        one.cli(&["ACL", "SETUSER", "portcullis", &format!("+{right}")]).await;
        acme.answered_but(200, &[503]).await;
    }
    assert!(!gateway.everything_logged().contains("pw-of-the-cluster"), "the password is in a log");
}
