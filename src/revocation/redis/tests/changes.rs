//! What other programs write is enforced, and what they take out is not.

use super::super::fixture::{Following, Redis, run, until, until_heard};
use super::token;
use crate::authn::revocable::{Kind, Revocable, issuer_hash};
use crate::revocation::Standing::{Good, Revoked};

/// R01: any program revokes with one `SET`.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_set_revokes_and_a_del_lifts() {
    let redis = Redis::start();
    let following = Following::ready(&redis).await;
    let hash = issuer_hash("https://id.example.com");
    let client = Revocable::new("svc", Some(1000)).with(Kind::Client, "batch");
    let key = Revocable::new("acme", Some(1000)).with(Kind::Key, "k_1");
    let user = Revocable::new("bob", None).with(Kind::User, "bob");
    for (key, value, credential) in [
        ("jti:*:t1".to_owned(), "", token("alice", "t1")),
        (format!("jti:{hash}:t2"), "", token("alice", "t2")),
        ("sub:carol".to_owned(), "1000", token("carol", "t3")),
        ("sub:dave".to_owned(), "1000.999 left", token("dave", "t3")),
        ("sid:s-1".to_owned(), "", token("erin", "t4")),
        ("client:batch".to_owned(), "1795251600", client),
        ("key:k_1".to_owned(), "leaked", key),
        ("user:bob".to_owned(), "", user),
    ] {
        let name = format!("portcullis:revoked:{key}");
        assert_eq!(following.standing(&credential), Good, "{name}");
        redis.run(&["SET", &name, value, "EX", "3600"]);
        following.stands(&credential, Revoked).await;
        redis.run(&["DEL", &name]);
        following.stands(&credential, Good).await;
    }
    assert!(following.lives());
}

/// R02 and R03: entries with a time.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_with_a_time_denies_up_to_its_second() {
    let redis = Redis::start();
    let following = Following::ready(&redis).await;
    let issued = |at: Option<u64>| Revocable::new("alice", at);
    redis.run(&["SET", "portcullis:revoked:sub:alice", "1000", "EX", "3600"]);
    following.stands(&issued(Some(1000)), Revoked).await;
    for (at, expect) in [(Some(999), Revoked), (Some(1001), Good), (None, Revoked)] {
        assert_eq!(following.standing(&issued(at)), expect, "{at:?}");
    }
    // A later time takes the place of an earlier one, and a value that is no time denies everything.
    redis.run(&["SET", "portcullis:revoked:sub:alice", "2000", "EX", "3600"]);
    following.stands(&issued(Some(2000)), Revoked).await;
    assert_eq!(following.standing(&issued(Some(2001))), Good);
    for garbage in ["", "soon", "-5", "1795251600000", "\u{0}", "99999999999999999999999999999999999999"] {
        redis.run(&["SET", "portcullis:revoked:sub:alice", "1"]);
        following.stands(&issued(Some(3000)), Good).await;
        redis.run(&["SET", "portcullis:revoked:sub:alice", garbage]);
        following.stands(&issued(Some(4_000_000_000)), Revoked).await;
    }
}

/// Whatever stands under a key, the subject it names is out; whatever names nobody harms nobody.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_neither_fatal_nor_a_way_in() {
    let redis = Redis::start();
    let mut client = redis.client();
    redis::cmd("SET").arg(&b"portcullis:revoked:sub:\xff\xfe"[..]).arg("1").exec(&mut client).unwrap();
    redis::cmd("SET").arg("portcullis:revoked:sub:binary").arg(&b"\xff\xfe\0"[..]).exec(&mut client).unwrap();
    redis::cmd("SET")
        .arg("portcullis:revoked:sub:huge")
        .arg(vec![b'1'; 20_000_000])
        .exec(&mut client)
        .unwrap();
    for words in [
        &["LPUSH", "portcullis:revoked:sub:list", "1"][..],
        &["HSET", "portcullis:revoked:sub:hash", "a", "1"],
        &["XADD", "portcullis:revoked:jti:*:stream", "*", "a", "1"],
        &["SET", "portcullis:revoked:", "x"],
        &["SET", "portcullis:revoked:sub:", "x"],
        &["SET", "portcullis:revoked:jti:bare", "x"],
        &["SET", "portcullis:revoked:nobody:x", "x"],
        &["SET", "portcullis:revoked:sub:a\r\nb", "x"],
    ] {
        run(&mut client, words);
    }
    let check = |following: &Following| {
        for subject in ["list", "hash", "binary", "huge", "a\r\nb"] {
            assert_eq!(following.standing(&Revocable::new(subject, Some(1))), Revoked, "{subject}");
        }
        assert_eq!(following.standing(&token("x", "stream")), Revoked);
        assert_eq!(following.standing(&token("x", "bare")), Good);
        assert_eq!(following.standing(&token("", "")), Good);
    };
    let following = Following::ready(&redis).await;
    check(&following);
    for words in [
        &["LPUSH", "portcullis:revoked:sub:later", "1"][..],
        &["SET", "portcullis:revoked:nobody:y", "x"],
        &["SET", "portcullis:revoked:sub:end", "x"],
    ] {
        run(&mut client, words);
    }
    following.stands(&Revocable::new("end", Some(1)), Revoked).await;
    assert_eq!(following.standing(&Revocable::new("later", Some(1))), Revoked);
    check(&following);
    assert!(following.lives());
}

/// An entry ends when its TTL does, also when Redis says nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_expires_by_itself() {
    let mut redis = Redis::start();
    let following = Following::ready(&redis).await;
    redis.run(&["SET", "portcullis:revoked:jti:*:t1", "", "PX", "1500"]);
    following.stands(&token("alice", "t1"), Revoked).await;
    redis.kill();
    let mirror = following.list.mirror.clone();
    let revoked = || mirror.revokes(&token("alice", "t1"), std::time::Instant::now());
    assert!(revoked());
    until("the end of the entry", || !revoked()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_ttl_is_followed() {
    let redis = Redis::start();
    let following = Following::ready(&redis).await;
    let revoked = |after: u64| {
        let later = std::time::Instant::now() + std::time::Duration::from_secs(after);
        following.list.mirror.revokes(&token("alice", "t1"), later)
    };
    redis.run(&["SET", "portcullis:revoked:jti:*:t1", "", "EX", "100"]);
    following.stands(&token("alice", "t1"), Revoked).await;
    assert!(revoked(90) && !revoked(102));
    redis.run(&["EXPIRE", "portcullis:revoked:jti:*:t1", "1000"]);
    until("the longer life", || revoked(900)).await;
    redis.run(&["PERSIST", "portcullis:revoked:jti:*:t1"]);
    until("the endless life", || revoked(1_000_000)).await;
    redis.run(&["RENAME", "portcullis:revoked:jti:*:t1", "portcullis:revoked:jti:*:t2"]);
    following.stands(&token("alice", "t2"), Revoked).await;
    assert_eq!(following.standing(&token("alice", "t1")), Good);
}

/// What is there before, written while the list is read, and taken out while it is read.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_while_the_list_is_read() {
    let redis = Redis::start();
    fill(&redis, "old", 20_000);
    let following = Following::begin(redis.server());
    let writer = {
        let mut client = redis.client();
        std::thread::spawn(move || {
            for number in 0..2_000 {
                run(
                    &mut client,
                    &["SET", &format!("portcullis:revoked:jti:*:new{number}"), "", "EX", "3600"],
                );
                run(&mut client, &["DEL", &format!("portcullis:revoked:jti:*:old{number}")]);
            }
        })
    };
    following.in_touch().await;
    writer.join().unwrap();
    until_heard(&following).await;
    let standing = |name: &str, number: u32| following.standing(&token("x", &format!("{name}{number}")));
    for number in 0..2_000 {
        assert_eq!((standing("new", number), standing("old", number)), (Revoked, Good), "{number}");
    }
    for number in 2_000..20_000 {
        assert_eq!(standing("old", number), Revoked, "{number}");
    }
    assert_eq!(following.list.mirror.count(Kind::Jti), 20_000);
}

/// Many changes in one go, more than are read in one round trip.
#[tokio::test(flavor = "multi_thread")]
async fn bursts_are_followed() {
    let redis = Redis::start();
    let following = Following::ready(&redis).await;
    fill(&redis, "burst", 30_000);
    until("30,000 entries", || following.list.mirror.count(Kind::Jti) == 30_000).await;
    assert_eq!(following.standing(&token("x", "burst29999")), Revoked);
    redis.run(&[
        "EVAL",
        "for i = 0, 29998 do redis.call('DEL', 'portcullis:revoked:jti:*:burst' .. i) end",
        "0",
    ]);
    until("one entry", || following.list.mirror.count(Kind::Jti) == 1).await;
}

/// Writes `count` entries in one go.
pub(super) fn fill(redis: &Redis, name: &str, count: u32) {
    let script = "for i = 0, ARGV[2] - 1 do redis.call('SET', 'portcullis:revoked:jti:*:' .. ARGV[1] .. i, '', 'EX', 3600) end";
    redis.run(&["EVAL", script, "0", name, &count.to_string()]);
}

/// Keys that come with another database are not announced. Its epoch tells, and where that is the same, the patrol
/// finds them.
#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_database_is_noticed() {
    for copies_epoch in [false, true] {
        let redis = Redis::start();
        redis.run(&["SET", "portcullis:revoked:sub:before", "x"]);
        let following = Following::ready(&redis).await;
        let mut client = redis.client();
        if copies_epoch {
            run(
                &mut client,
                &["COPY", "portcullis:revocation-epoch", "portcullis:revocation-epoch", "DB", "1"],
            );
        }
        run(&mut client, &["SELECT", "1"]);
        run(&mut client, &["SET", "portcullis:revoked:sub:after", "x"]);
        run(&mut client, &["SWAPDB", "0", "1"]);
        following.stands(&Revocable::new("after", Some(1)), Revoked).await;
        assert_eq!(following.standing(&Revocable::new("before", Some(1))), Revoked, "nobody lifted it");
    }
}
