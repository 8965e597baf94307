//! Following a Redis Cluster: the whole list, from all of its nodes, through everything that happens to them.

mod group;
mod moves;
mod outages;
mod sections;

use crate::authn::revocable::{Kind, Revocable};
use crate::clock::Clock;
use crate::revocation::Standing::{Good, Revoked};
use crate::revocation::entry::{Entry, Issuer, Lifetime, Name};
use crate::revocation::redis::fixture::{Following, Redis, run, until};
use crate::revocation::store::{Cursor, Store};
use group::Group;

fn subject(name: &str) -> Revocable {
    Revocable::new(name, Some(1000))
}

fn key(name: &str) -> String {
    format!("portcullis:revoked:sub:{name}")
}

/// Names of which some belong to each of the nodes.
fn names() -> Vec<String> {
    let names: Vec<String> = (0..30).map(|number| format!("user{number}")).collect();
    for at in 0..group::PRIMARIES {
        assert!(names.iter().any(|name| Group::home(&key(name)) == at));
    }
    names
}

/// A name whose entry belongs to the node at this position.
fn name_at(at: usize) -> String {
    names().into_iter().find(|name| Group::home(&key(name)) == at).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_on_any_node_is_enforced_listed_and_lifted() {
    let group = Group::start().await;
    let names = names();
    let (before, after) = names.split_at(15);
    for name in before {
        group.run(&["SET", &key(name), "1000", "EX", "3600"]);
    }
    let following = Following::begin(group.section(""));
    following.stands(&subject("alice"), Good).await;
    for name in before {
        assert_eq!(following.standing(&subject(name)), Revoked, "{name}");
    }
    until("up", || following.series("portcullis_redis_up") == "1").await;
    // What any program writes, and what is written through the store.
    let store = Store::redis(group.section(""), Clock::system());
    for (at, name) in after.iter().enumerate() {
        if at % 2 == 0 {
            group.run(&["SET", &key(name), "1000", "EX", "3600"]);
        } else {
            let name = Name::new(Kind::Sub, name, Issuer::Any).unwrap();
            store.add(&Entry::new(name, Lifetime::Seconds(3600), "why", 1000).unwrap()).await.unwrap();
        }
        following.stands(&subject(name), Revoked).await;
    }
    for (kind, limit) in [(None, 1000), (None, 7), (Some(Kind::Sub), 3), (Some(Kind::Key), 10)] {
        let (mut cursor, mut listed) = (Cursor::default(), Vec::new());
        loop {
            let page = store.list(kind, &cursor, limit).await.unwrap();
            listed.extend(page.entries.into_iter().map(|entry| entry.id));
            match page.next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        listed.sort();
        let mut expect = if kind == Some(Kind::Key) { Vec::new() } else { names.clone() };
        expect.sort();
        assert_eq!(listed, expect, "{kind:?} {limit}");
    }
    for cursor in ["x", "x:1", "7", &format!("{}:x", group.id(0))] {
        let failure = store.list(None, &Cursor::new(cursor), 10).await.unwrap_err();
        assert!(matches!(failure, crate::revocation::store::Failure::Cursor), "{cursor}: {failure}");
    }
    for (at, name) in names.iter().enumerate() {
        if at % 2 == 0 {
            group.run(&["DEL", &key(name)]);
        } else {
            let name = Name::new(Kind::Sub, name, Issuer::Any).unwrap();
            assert!(store.remove(&name).await.unwrap() && !store.remove(&name).await.unwrap());
        }
        following.stands(&subject(name), Good).await;
    }
    assert!(following.lives());
}
