//! Nodes are killed, replaced, emptied and cut off.

use std::time::Duration;

use super::group::Group;
use super::{key, name_at, names, subject};
use crate::revocation::Standing::{Good, Revoked, Unknown};
use crate::revocation::redis::fixture::{Following, until, until_heard};

#[tokio::test(flavor = "multi_thread")]
async fn without_one_node_nothing_is_known_and_nothing_is_lifted() {
    let mut group = Group::start().await;
    for name in names() {
        group.run(&["SET", &key(&name), "1000"]);
    }
    let following = Following::begin(group.section(""));
    following.stands(&subject("alice"), Good).await;
    group.nodes[2].kill();
    following.stands(&subject("alice"), Unknown).await;
    until("down", || following.series("portcullis_redis_up") == "0").await;
    // It comes back empty, since it saved nothing.
    group.nodes[2].restart();
    following.stands(&subject("alice"), Good).await;
    until("up", || following.series("portcullis_redis_up") == "1").await;
    until_heard(&following).await;
    for name in names() {
        assert_eq!(following.standing(&subject(&name)), Revoked, "{name}");
    }
    // What other nodes have is lifted when it is removed, as ever.
    let other = name_at(0);
    group.run(&["DEL", &key(&other)]);
    following.stands(&subject(&other), Good).await;
    let lost = name_at(2);
    group.run(&["SET", &key(&lost), "1000"]);
    group.run(&["DEL", &key(&lost)]);
    following.stands(&subject(&lost), Good).await;
    assert!(following.lives());
}

/// What is removed while the gateway is not connected to its node is lifted, as long as it is the same list.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_made_good() {
    let group = Group::start().await;
    let (kept, lifted, written) = (names()[0].clone(), name_at(1), "mallory");
    for name in [&kept, &lifted] {
        group.run(&["SET", &key(name), "1000"]);
    }
    let following = Following::begin(group.section(""));
    following.stands(&subject(&lifted), Revoked).await;
    for round in 0..3 {
        let mut changes = redis::pipe();
        changes.atomic().cmd("DEL").arg(key(&lifted));
        let mut client = group.nodes[1].client();
        super::run(&mut client, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        changes.exec(&mut client).unwrap();
        group.run(&["SET", &key(written), "1000"]);
        following.stands(&subject(written), Revoked).await;
        following.stands(&subject(&lifted), Good).await;
        assert_eq!(following.standing(&subject(&kept)), Revoked, "{round}");
        group.run(&["SET", &key(&lifted), "1000"]);
        group.run(&["DEL", &key(written)]);
        following.stands(&subject(&lifted), Revoked).await;
        following.stands(&subject(written), Good).await;
    }
    assert!(following.lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_emptied_node_lifts_nothing() {
    let group = Group::start().await;
    for name in names() {
        group.run(&["SET", &key(&name), "1000"]);
    }
    let following = Following::begin(group.section(""));
    following.stands(&subject("alice"), Good).await;
    group.nodes[1].run(&["FLUSHALL"]);
    let trudy =
        (0..1000).map(|number| format!("trudy{number}")).find(|name| Group::home(&key(name)) == 1).unwrap();
    group.run(&["SET", &key(&trudy), "1000"]);
    following.stands(&subject(&trudy), Revoked).await;
    // Neither by the look at everything that follows, nor by the next one.
    for _ in 0..2 {
        group.nodes[0].run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        following.stands(&subject("alice"), Good).await;
        until_heard(&following).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for name in names() {
        assert_eq!(following.standing(&subject(&name)), Revoked, "{name}");
    }
    assert!(following.lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_without_an_owner_is_an_outage() {
    let options = ["--cluster-node-timeout", "5000", "--cluster-require-full-coverage", "no"];
    let group = Group::start_with(0, &options).await;
    let following = Following::begin(group.section(""));
    following.stands(&subject("alice"), Good).await;
    group.nodes[2].run(&["CLUSTER", "DELSLOTS", "16383"]);
    following.stands(&subject("alice"), Unknown).await;
    group.nodes[2].run(&["CLUSTER", "ADDSLOTS", "16383"]);
    following.stands(&subject("alice"), Good).await;
    assert!(following.lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over() {
    let mut group = Group::start_with(1, &["--cluster-node-timeout", "1000"]).await;
    for name in names() {
        group.run(&["SET", &key(&name), "1000"]);
    }
    let following = Following::begin(group.section(""));
    following.stands(&subject("alice"), Good).await;
    let trudy = name_at(0);
    let mut others =
        (0..1000).map(|number| format!("other{number}")).filter(|name| Group::home(&key(name)) == 0);
    let oscar = &others.next().unwrap();
    group.nodes[0].run(&["DEL", &key(&trudy)]);
    following.stands(&subject(&trudy), Good).await;
    until("replication", || {
        let size: Option<i64> = group.nodes[3].ask(&["DBSIZE"]);
        size == group.nodes[0].ask(&["DBSIZE"])
    })
    .await;
    let everybody_else: Vec<String> = names().into_iter().filter(|name| *name != trudy).collect();
    // First it dies.
    group.nodes[0].kill();
    following.stands(&subject("alice"), Unknown).await;
    following.stands(&subject("alice"), Good).await;
    for name in &everybody_else {
        assert_eq!(following.standing(&subject(name)), Revoked, "{name}");
    }
    group.run(&["SET", &key(&trudy), "1000"]);
    following.stands(&subject(&trudy), Revoked).await;
    // It comes back as a replica, and takes over again in good order.
    group.nodes[0].restart();
    until("a replica that is in touch", || {
        let info = group.nodes[0].ask::<String>(&["INFO", "replication"]);
        info.is_some_and(|info| info.contains("role:slave") && info.contains("link_status:up"))
    })
    .await;
    let mut looks = 0;
    until("the failover", || {
        // An order that came too early comes to nothing.
        if looks % 1000 == 0 {
            let _: Option<redis::Value> = group.nodes[0].ask(&["CLUSTER", "FAILOVER"]);
        }
        looks += 1;
        let info = group.nodes[0].ask::<String>(&["INFO", "replication"]);
        info.is_some_and(|info| info.contains("role:master"))
    })
    .await;
    until("a write", || group.try_run(&["SET", &key(oscar), "1000"]).is_some()).await;
    following.stands(&subject(oscar), Revoked).await;
    following.stands(&subject("alice"), Good).await;
    for name in &everybody_else {
        assert_eq!(following.standing(&subject(name)), Revoked, "{name}");
    }
    group.run(&["DEL", &key(&trudy)]);
    following.stands(&subject(&trudy), Good).await;
    assert!(following.lives());
}

/// A node that is stopped answers nothing, and proves nothing when it goes on after it was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_sleeps_through_its_replacement() {
    let group = Group::start_with(1, &["--cluster-node-timeout", "1000"]).await;
    let following = Following::begin(group.section(""));
    following.stands(&subject("alice"), Good).await;
    group.nodes[0].pause();
    following.stands(&subject("alice"), Unknown).await;
    following.stands(&subject("alice"), Good).await;
    let trudy = name_at(0);
    group.nodes[3].run(&["SET", &key(&trudy), "1000"]);
    following.stands(&subject(&trudy), Revoked).await;
    group.nodes[0].resume();
    until("a replica", || {
        let info = group.nodes[0].ask::<String>(&["INFO", "replication"]);
        info.is_some_and(|info| info.contains("role:slave"))
    })
    .await;
    until_heard(&following).await;
    assert_eq!(following.standing(&subject(&trudy)), Revoked);
    following.stands(&subject("alice"), Good).await;
    assert!(following.lives());
}
