//! Following the primary that Sentinel names, through failovers.

use std::sync::Arc;

use super::super::fixture::{Following, Redis, server, try_server, until, until_heard};
use super::super::{Loss, Server};
use crate::authn::revocable::Revocable;
use crate::clock::Clock;
use crate::revocation::Standing::{Good, Revoked};
use crate::revocation::entry::{Entry, Issuer, Lifetime, Name};
use crate::revocation::store::Store;

fn subject(name: &str) -> Revocable {
    Revocable::new(name, Some(1000))
}

/// A primary, its replica and a Sentinel that knows both.
struct Group {
    primary: Redis,
    replica: Redis,
    sentinel: Redis,
}

impl Group {
    async fn start() -> Self {
        let primary = Redis::start_with(&["--repl-diskless-sync-delay", "0"]);
        let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
        until("replication", || {
            let info: String = redis::from_redis_value(replica.run(&["INFO", "replication"])).unwrap();
            info.contains("master_link_status:up")
        })
        .await;
        let sentinel = Redis::start_sentinel(&primary);
        until("the Sentinel knows both", || {
            let info: String = redis::from_redis_value(sentinel.run(&["INFO", "sentinel"])).unwrap();
            info.contains("status=ok") && info.contains("slaves=1")
        })
        .await;
        Self { primary, replica, sentinel }
    }

    /// Waits until the replica has become the primary, and changes to its keys are asked for.
    async fn replica_is_followed(&self) {
        let says = |words: &[&str], what: &str| {
            self.replica.ask::<String>(words).is_some_and(|text| text.contains(what))
        };
        until("the failover", || says(&["INFO", "replication"], "role:master")).await;
        until("the new primary is followed", || says(&["CLIENT", "LIST"], "flags=tB")).await;
    }

    /// The group, behind a first Sentinel that is not there.
    fn server(&self) -> Arc<Server> {
        let nodes = format!("[\"redis://127.0.0.1:1\", \"redis://127.0.0.1:{}\"]", self.sentinel.port);
        Arc::new(server(&format!("{{ sentinel: {{ service: mymaster, nodes: {nodes} }} }}")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary() {
    let mut group = Group::start().await;
    let following = Following::begin(group.server());
    following.stands(&subject("alice"), Good).await;
    group.primary.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    following.stands(&subject("mallory"), Revoked).await;
    group.primary.kill();
    // Whether the list becomes too old meanwhile depends on how fast the Sentinel is.
    group.replica_is_followed().await;
    until_heard(&following).await;
    following.stands(&subject("alice"), Good).await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    let store = Store::redis(group.server(), Clock::system());
    let name = Name::new(crate::authn::revocable::Kind::Sub, "trudy", Issuer::Any).unwrap();
    let entry = Entry::new(name, Lifetime::Endless, "", 1000).unwrap();
    store.add(&entry).await.unwrap();
    following.stands(&subject("trudy"), Revoked).await;
    assert_eq!(group.replica.run(&["EXISTS", "portcullis:revoked:sub:trudy"]), redis::Value::Int(1));
    assert!(following.lives());
}

/// The old primary goes on answering, as a replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_primary() {
    let group = Group::start().await;
    let following = Following::begin(group.server());
    following.stands(&subject("alice"), Good).await;
    // A replica that has just been found is no good one yet.
    let mut client = group.sentinel.client();
    until("the order", || redis::cmd("SENTINEL").arg("FAILOVER").arg("mymaster").exec(&mut client).is_ok())
        .await;
    group.replica_is_followed().await;
    until_heard(&following).await;
    group.replica.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    following.stands(&subject("mallory"), Revoked).await;
    assert!(following.lives());
}

/// An old primary that is cut off from the others goes on answering, and only Sentinel knows better.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_does_not_know_that_it_was_replaced() {
    let (old, new) = (Redis::start(), Redis::start());
    let sentinel = Redis::start_sentinel(&old);
    old.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    new.run(&["SET", "portcullis:revoked:sub:trudy", "1000"]);
    let node = format!("redis://127.0.0.1:{}", sentinel.port);
    let section = format!("{{ sentinel: {{ service: mymaster, nodes: [\"{node}\"] }} }}");
    let following = Following::begin(Arc::new(server(&section)));
    following.stands(&subject("mallory"), Revoked).await;
    following.stands(&subject("trudy"), Good).await;
    sentinel.run(&["SENTINEL", "REMOVE", "mymaster"]);
    sentinel.run(&["SENTINEL", "MONITOR", "mymaster", "127.0.0.1", &new.port.to_string(), "1"]);
    following.stands(&subject("trudy"), Revoked).await;
    assert_eq!(following.standing(&subject("mallory")), Revoked, "nobody lifted it");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_do_not_know() {
    let primary = Redis::start();
    let sentinel = Redis::start_sentinel(&primary);
    let ask = async |nodes: &str, service: &str| {
        let section = format!("{{ sentinel: {{ service: {service}, nodes: [{nodes}] }} }}");
        server(&section).connect(None).await.map(|link| link.endpoint.port)
    };
    let good = format!("\"redis://127.0.0.1:{}\"", sentinel.port);
    assert_eq!(ask(&good, "mymaster").await.unwrap(), primary.port);
    assert_eq!(ask(&format!("\"redis://127.0.0.1:1\", {good}"), "mymaster").await.unwrap(), primary.port);
    let unknown = ask(&good, "other").await.unwrap_err().to_string();
    assert_eq!(unknown, "no Sentinel knows the primary: Sentinel knows no service called `other`");
    let nobody = ask("\"redis://127.0.0.1:1\"", "mymaster").await.unwrap_err();
    assert!(matches!(&nobody, Loss::Sentinel(inner) if matches!(**inner, Loss::Connect(_))), "{nobody}");
    let plain = ask(&format!("\"redis://127.0.0.1:{}\"", primary.port), "mymaster").await.unwrap_err();
    assert!(matches!(&plain, Loss::Sentinel(inner) if matches!(**inner, Loss::Refused(_))), "{plain}");
}

#[test]
fn sections() {
    let good = server(
        "{ sentinel: { service: mymaster, nodes: [\"redis://a\", \"redis://b:1\"], database: 3, \
         password: \"${REDIS_PASSWORD}\" } }",
    );
    assert_eq!(good.to_string(), "`mymaster` of Sentinel, database 3");
    assert!(!format!("{good:?}").contains("hunter2"));
    for (section, expect) in [
        ("{ sentinel: { nodes: [\"redis://a\"] } }", "`service` is missing here"),
        ("{ sentinel: { service: m } }", "`nodes` is missing here"),
        ("{ sentinel: { service: m, nodes: [] } }", "at least one Sentinel must stand here"),
        ("{ sentinel: { service: \"\", nodes: [\"redis://a\"] } }", "this is no name of a service"),
        ("{ sentinel: { service: m, nodes: [\"a:26379\"] } }", "this is no address of a Redis"),
        ("{ sentinel: { service: m, nodes: [\"redis://a/1\"] } }", "a Sentinel has no databases"),
        ("{ sentinel: { service: m, nodes: [\"redis://:x@a\"] } }", "a password stands in the url"),
        (
            "{ sentinel: { service: m, nodes: [\"redis://a\", \"rediss://b\"] } }",
            "some of these speak TLS and some do not",
        ),
        (
            "{ url: \"redis://a\", sentinel: { service: m, nodes: [\"redis://a\"] } }",
            "`url` and `sentinel` both say where Redis is",
        ),
        (
            "{ sentinel: { service: m, nodes: [\"redis://a\"], username: x } }",
            "`username` needs a `password`",
        ),
        ("{}", "`redis` does not say where Redis is"),
    ] {
        let problems = try_server(section).expect_err(section);
        assert!(problems.contains(expect), "{section}: {problems}");
    }
}
