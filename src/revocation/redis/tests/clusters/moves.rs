//! Slots go from one node to another, with the entries in them.

use super::group::Group;
use super::{key, name_at, subject};
use crate::authn::revocable::Kind;
use crate::clock::Clock;
use crate::revocation::Standing::{Good, Revoked};
use crate::revocation::entry::{Entry, Issuer, Lifetime, Name};
use crate::revocation::redis::cluster::slot_of;
use crate::revocation::redis::fixture::{Following, until_heard};
use crate::revocation::store::Store;

/// Each subject's entry is in the same slot, that of `{tag}`.
fn in_slot(tag: &str, name: &str) -> String {
    format!("{{{tag}}}{name}")
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_hold_while_their_slot_is_moved_and_afterwards() {
    let group = Group::start().await;
    let tag = name_at(0);
    let slot = slot_of(tag.as_bytes());
    let (from, to) = (Group::home(&format!("{{{tag}}}")), (Group::home(&format!("{{{tag}}}")) + 1) % 3);
    let all: Vec<String> = (0..50).map(|number| in_slot(&tag, &format!("u{number}"))).collect();
    for name in &all {
        group.run(&["SET", &key(name), "1000", "EX", "3600"]);
    }
    let following = Following::begin(group.section(""));
    following.stands(&subject("alice"), Good).await;
    let store = Store::redis(group.section(""), Clock::system());
    let holds = |when: &str, names: &[String]| {
        for name in names {
            assert_eq!(following.standing(&subject(name)), Revoked, "{when}: {name}");
        }
    };
    group.begin_to_move(slot, from, to);
    // What is written now is written to the new node, with `ASKING`.
    group.run(&["SET", &key(&in_slot(&tag, "new")), "1000"]);
    following.stands(&subject(&in_slot(&tag, "new")), Revoked).await;
    let written = Name::new(Kind::Sub, &in_slot(&tag, "newer"), Issuer::Any).unwrap();
    store.add(&Entry::new(written.clone(), Lifetime::Endless, "", 1000).unwrap()).await.unwrap();
    following.stands(&subject(&in_slot(&tag, "newer")), Revoked).await;
    holds("before the keys are moved", &all);
    group.move_keys(slot, from, to);
    until_heard(&following).await;
    holds("when the keys are moved", &all);
    // What is lifted now is lifted on the new node, and looked for everywhere before it is believed.
    group.run(&["DEL", &key(&all[0])]);
    following.stands(&subject(&all[0]), Good).await;
    assert!(store.remove(&written).await.unwrap());
    following.stands(&subject(&in_slot(&tag, "newer")), Good).await;
    holds("while the slot has two nodes", &all[1..]);
    group.finish_move(slot, from, to);
    until_heard(&following).await;
    holds("when the slot is moved", &all[1..]);
    group.run(&["DEL", &key(&all[1])]);
    following.stands(&subject(&all[1]), Good).await;
    group.run(&["SET", &key(&all[0]), "1000"]);
    following.stands(&subject(&all[0]), Revoked).await;
    holds("afterwards", &all[2..]);
    following.stands(&subject("alice"), Good).await;
    assert_eq!(following.list.mirror.count(Kind::Sub), 50);
    assert!(following.lives());
}

/// A node that joins takes a slot over, and gives it back and leaves.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_and_leave() {
    let mut group = Group::start().await;
    let tag = name_at(1);
    let (slot, from) = (slot_of(tag.as_bytes()), Group::home(&format!("{{{tag}}}")));
    let (old, new) = (in_slot(&tag, "old"), in_slot(&tag, "new"));
    group.run(&["SET", &key(&old), "1000"]);
    let following = Following::begin(group.section(""));
    following.stands(&subject(&old), Revoked).await;
    let joining = super::Redis::start_with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"]);
    joining.run(&["CLUSTER", "SET-CONFIG-EPOCH", "9"]);
    group.nodes[0].run(&["CLUSTER", "MEET", "127.0.0.1", &joining.port.to_string()]);
    group.nodes.push(joining);
    group.agrees().await;
    following.stands(&subject("alice"), Good).await;
    group.begin_to_move(slot, from, 3);
    group.move_keys(slot, from, 3);
    group.finish_move(slot, from, 3);
    group.run(&["SET", &key(&new), "1000"]);
    following.stands(&subject(&new), Revoked).await;
    assert_eq!(following.standing(&subject(&old)), Revoked);
    following.stands(&subject("alice"), Good).await;
    group.begin_to_move(slot, 3, from);
    group.move_keys(slot, 3, from);
    group.finish_move(slot, 3, from);
    following.stands(&subject("alice"), Good).await;
    let leaving = group.id(3);
    for node in &group.nodes[..3] {
        node.run(&["CLUSTER", "FORGET", &leaving]);
    }
    group.nodes.remove(3).kill();
    until_heard(&following).await;
    for name in [&old, &new] {
        assert_eq!(following.standing(&subject(name)), Revoked, "{name}");
        group.run(&["DEL", &key(name)]);
        following.stands(&subject(name), Good).await;
    }
    assert!(following.lives());
}
