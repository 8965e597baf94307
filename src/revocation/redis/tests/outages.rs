//! R04 and R05: Redis is down, hung, emptied or replaced, and is well again.

use std::time::{Duration, Instant};

use super::super::fixture::{Following, Redis, run, server, until, until_heard};
use super::changes::fill;
use super::token;
use crate::authn::Reason;
use crate::authn::revocable::{Kind, Revocable};
use crate::revocation::Standing::{Good, Revoked, Unknown};
use crate::revocation::{OnOutage, Policy};

fn subject(name: &str) -> Revocable {
    Revocable::new(name, Some(1000))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nothing_is_known_and_nothing_waits() {
    let mut redis = Redis::start();
    redis.kill();
    let following = Following::begin(redis.server());
    let revocations = following.list.under(Policy::default());
    assert_eq!(following.standing(&subject("alice")), Unknown);
    assert_eq!(revocations.confirm(&subject("alice")), Err(Reason::RevocationUnavailable));
    let allowing = Policy { on_outage: OnOutage::Allow, ..Policy::default() };
    assert_eq!(following.list.under(allowing).confirm(&subject("alice")), Ok(()));
    until("staleness", || {
        following.series("portcullis_revocation_staleness_seconds").parse::<f64>().unwrap() > 0.5
    })
    .await;
    assert!(!following.list.mirror.has_been_read() && following.series("portcullis_redis_up") == "0");
    redis.restart();
    following.stands(&subject("alice"), Good).await;
    until("up", || following.series("portcullis_redis_up") == "1").await;
    until("no staleness", || following.series("portcullis_revocation_staleness_seconds") == "0").await;
    assert!(following.lives());
}

/// The server is killed: the list counts for `max_stale`, then it is unknown, except for what is known to be revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_and_an_empty_one_in_its_place() {
    let mut redis = Redis::start();
    redis.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    let following = Following::ready(&redis).await;
    redis.kill();
    following.stands(&subject("alice"), Unknown).await;
    assert!(following.list.mirror.age(Instant::now()) > Some(Policy::default().max_stale));
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    until("down", || following.series("portcullis_redis_up") == "0").await;
    let patient = Policy { max_stale: Duration::from_secs(3600), ..Policy::default() };
    assert_eq!(following.list.under(patient).standing(&subject("alice")), Good);
    // Nothing was saved, so the next server is empty: nobody was lifted by that.
    redis.restart();
    following.stands(&subject("alice"), Good).await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    redis.run(&["SET", "portcullis:revoked:sub:trudy", "1000"]);
    following.stands(&subject("trudy"), Revoked).await;
    // It is not lifted by yet another disconnection, but by being removed by name.
    let before = clients(&redis);
    redis.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    until("another connection", || clients(&redis).iter().any(|client| !before.contains(client))).await;
    until_heard(&following).await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    redis.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    redis.run(&["DEL", "portcullis:revoked:sub:mallory"]);
    following.stands(&subject("mallory"), Good).await;
}

/// R05: `FLUSHALL` does not mean that nobody is revoked.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_lifts_nothing() {
    let redis = Redis::start();
    fill(&redis, "t", 5_000);
    redis.run(&["SET", "portcullis:revoked:sub:mallory", "1000", "EX", "3600"]);
    let following = Following::ready(&redis).await;
    let epoch = redis.run(&["GET", "portcullis:revocation-epoch"]);
    let mut client = redis.client();
    // The last entry is announced in the same moment as the flush: that it is gone then does not mean it was lifted.
    run(&mut client, &["SET", "portcullis:revoked:sub:mallory", "1000"]);
    run(&mut client, &["FLUSHALL"]);
    run(&mut client, &["SET", "portcullis:revoked:sub:trudy", "1000"]);
    following.stands(&subject("trudy"), Revoked).await;
    following.in_touch().await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    assert_eq!(following.list.mirror.count(Kind::Jti), 5_000);
    until("a new epoch", || !matches!(redis.run(&["GET", "portcullis:revocation-epoch"]), redis::Value::Nil))
        .await;
    assert_ne!(redis.run(&["GET", "portcullis:revocation-epoch"]), epoch);
    run(&mut client, &["SET", "portcullis:revoked:jti:*:t7", "", "EX", "3600"]);
    run(&mut client, &["DEL", "portcullis:revoked:jti:*:t7"]);
    following.stands(&token("x", "t7"), Good).await;
    assert_eq!(following.standing(&token("x", "t8")), Revoked);
    assert!(following.lives());
}

/// The epoch alone tells that the list is another one, without a word from Redis about it.
#[tokio::test(flavor = "multi_thread")]
async fn another_epoch_is_another_list() {
    let redis = Redis::start();
    redis.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    let following = Following::ready(&redis).await;
    let mut client = redis.client();
    let script = "redis.call('SET', 'portcullis:revocation-epoch', 'x'); redis.call('DEL', 'portcullis:revoked:sub:mallory')";
    run(&mut client, &["EVAL", script, "0"]);
    run(&mut client, &["SET", "portcullis:revoked:sub:trudy", "1000"]);
    following.stands(&subject("trudy"), Revoked).await;
    following.in_touch().await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
}

/// Emptied while the gateway is not connected, and marked anew by someone else or by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_emptied_unseen_lifts_nothing() {
    let redis = Redis::start();
    redis.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    let following = Following::ready(&redis).await;
    for (round, mark) in [None, Some("someone's"), None].into_iter().enumerate() {
        let trudy = format!("trudy{round}");
        let mut changes = redis::pipe();
        changes.atomic().cmd("FLUSHALL");
        changes.cmd("SET").arg(format!("portcullis:revoked:sub:{trudy}")).arg("1000");
        if let Some(mark) = mark {
            changes.cmd("SET").arg("portcullis:revocation-epoch").arg(mark);
        }
        let mut client = redis.client();
        run(&mut client, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        changes.exec(&mut client).unwrap();
        following.stands(&subject(&trudy), Revoked).await;
        until_heard(&following).await;
        assert_eq!(following.standing(&subject("mallory")), Revoked, "{round}");
        assert_eq!(following.standing(&subject("alice")), Good, "{round}");
    }
}

/// What is removed while the gateway is not connected is lifted, as long as it is the same list.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_made_good() {
    let redis = Redis::start();
    for name in ["mallory", "trudy"] {
        redis.run(&["SET", &format!("portcullis:revoked:sub:{name}"), "1000"]);
    }
    let following = Following::ready(&redis).await;
    for round in 0..10 {
        // In one transaction: the connection is cut, and the list changes before there can be another one.
        let mut changes = redis::pipe();
        changes.atomic();
        changes.cmd("DEL").arg("portcullis:revoked:sub:mallory");
        changes.cmd("SET").arg("portcullis:revoked:sub:oscar").arg("1000");
        let mut client = redis.client();
        run(&mut client, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        changes.exec(&mut client).unwrap();
        following.stands(&subject("oscar"), Revoked).await;
        following.stands(&subject("mallory"), Good).await;
        assert_eq!(following.standing(&subject("trudy")), Revoked, "{round}");
        run(&mut client, &["SET", "portcullis:revoked:sub:mallory", "1000"]);
        run(&mut client, &["DEL", "portcullis:revoked:sub:oscar"]);
        following.stands(&subject("mallory"), Revoked).await;
        following.stands(&subject("oscar"), Good).await;
    }
    assert!(following.lives());
}

/// A server that holds the connection and says nothing is as good as none.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_server() {
    let redis = Redis::start();
    redis.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    let following = Following::ready(&redis).await;
    redis.pause();
    following.stands(&subject("alice"), Unknown).await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    until("down", || following.series("portcullis_redis_up") == "0").await;
    // A new gateway cannot even begin.
    let late = Following::begin(redis.server());
    assert_eq!(late.standing(&subject("alice")), Unknown);
    redis.resume();
    following.stands(&subject("alice"), Good).await;
    late.stands(&subject("mallory"), Revoked).await;
    assert!(following.lives() && late.lives());
}

/// A server that only pauses is believed again without being read anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_not_an_outage() {
    let redis = Redis::start();
    let patient = format!("{{ url: \"redis://127.0.0.1:{}\", timeouts: {{ response: 20s }} }}", redis.port);
    let following = Following::begin(std::sync::Arc::new(server(&patient)));
    following.in_touch().await;
    let connected = clients(&redis);
    redis.pause();
    following.stands(&subject("alice"), Unknown).await;
    redis.resume();
    redis.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    following.stands(&subject("alice"), Good).await;
    following.stands(&subject("mallory"), Revoked).await;
    assert_eq!(clients(&redis), connected, "the connection is still the same one");
}

/// The identifiers of the connections that follow the list.
fn clients(redis: &Redis) -> Vec<String> {
    let list: String = redis::from_redis_value(redis.run(&["CLIENT", "LIST"])).unwrap();
    let tracking = |line: &&str| line.split(' ').any(|word| word.starts_with("flags=") && word.contains('t'));
    list.lines().filter(tracking).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// An address where somebody else answers, or nobody speaks.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_redis_is_survived() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"", b"+OK\r\n", b"%1\r\n", &[0xff; 4096]] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = calls.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                use std::io::{Read, Write};
                let Ok(mut stream) = stream else { continue };
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let _ = stream.read(&mut [0; 64]);
                let _ = stream.write_all(answer);
            }
        });
        let section = format!("{{ url: \"redis://127.0.0.1:{port}\" }}");
        let following = Following::begin(std::sync::Arc::new(server(&section)));
        until("three attempts", || calls.load(std::sync::atomic::Ordering::Relaxed) >= 3).await;
        assert_eq!(following.standing(&subject("alice")), Unknown);
        assert!(following.lives(), "{answer:?}");
    }
}
