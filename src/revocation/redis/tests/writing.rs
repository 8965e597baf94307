//! What the command line and the admin API write, list and lift.

use super::super::fixture::{Following, Redis, run, server};
use super::token;
use crate::authn::revocable::{Kind, Revocable, issuer_hash};
use crate::clock::Clock;
use crate::revocation::Standing::{Good, Revoked};
use crate::revocation::entry::{Entry, Issuer, Lifetime, Name};
use crate::revocation::store::{Cursor, Failure, Listed, Page, Store};

fn store(redis: &Redis) -> Store {
    Store::redis(redis.server(), Clock::system())
}

fn name(kind: Kind, id: &str, issuer: Issuer<'_>) -> Name {
    Name::new(kind, id, issuer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_written_in_the_layout() {
    let redis = Redis::start();
    let store = store(&redis);
    let issuer = "https://id.example.com";
    let hash = issuer_hash(issuer);
    for (kind, id, whose, lifetime, reason, key, value, ttl) in [
        (Kind::Sub, "alice", Issuer::Any, Lifetime::Seconds(60), "left", "sub:alice", "1000 left", 60),
        (Kind::Client, "c", Issuer::Any, Lifetime::Endless, "", "client:c", "1000", -1),
        (Kind::Jti, "t", Issuer::Any, Lifetime::Seconds(60), "", "jti:*:t", "", 60),
        (Kind::Jti, "t", Issuer::Named(issuer), Lifetime::Endless, "x", &format!("jti:{hash}:t"), "x", -1),
        (Kind::Key, "k", Issuer::Any, Lifetime::Endless, "", "key:k", "", -1),
    ] {
        store.add(&Entry::new(name(kind, id, whose), lifetime, reason, 1000).unwrap()).await.unwrap();
        let key = format!("portcullis:revoked:{key}");
        let found: (String, i64) = redis::pipe().get(&key).ttl(&key).query(&mut redis.client()).unwrap();
        assert_eq!(found, (value.to_owned(), ttl), "{key}");
    }
    assert!(matches!(redis.run(&["GET", "portcullis:revocation-epoch"]), redis::Value::BulkString(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn written_entries_are_enforced_and_lifted() {
    let redis = Redis::start();
    let following = Following::ready(&redis).await;
    let store = following.list.store();
    let target = name(Kind::Jti, "t1", Issuer::Named("https://id.example.com"));
    let entry = Entry::new(target.clone(), Lifetime::Seconds(3600), "", 1000).unwrap();
    assert!(!store.remove(&target).await.unwrap());
    store.add(&entry).await.unwrap();
    following.stands(&token("alice", "t1"), Revoked).await;
    assert!(store.remove(&target).await.unwrap());
    following.stands(&token("alice", "t1"), Good).await;
    // What Redis has lost and the gateway kept is lifted in the same way.
    store.add(&entry).await.unwrap();
    following.stands(&token("alice", "t1"), Revoked).await;
    redis.run(&["FLUSHALL"]);
    redis.run(&["SET", "portcullis:revoked:sub:trudy", "1000"]);
    following.stands(&Revocable::new("trudy", None), Revoked).await;
    following.in_touch().await;
    assert_eq!(following.standing(&token("alice", "t1")), Revoked);
    assert!(!store.remove(&target).await.unwrap());
    following.stands(&token("alice", "t1"), Good).await;
    assert_eq!(redis.run(&["EXISTS", &target.key()]), redis::Value::Int(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn listing() {
    let redis = Redis::start();
    let clock = Clock::manual(1_795_251_600);
    let store = Store::redis(redis.server(), clock);
    let mut client = redis.client();
    for words in [
        &["SET", "portcullis:revoked:sub:alice", "1795251600 left the company", "EX", "3600"][..],
        &["SET", "portcullis:revoked:sub:bob", "soon", "EX", "3600"],
        &["SET", "portcullis:revoked:jti:0123456789abcdef:a:b", "stolen"],
        &["SET", "portcullis:revoked:jti:bare", ""],
        &["HSET", "portcullis:revoked:key:k", "a", "1"],
        &["SET", "unrelated", "x"],
    ] {
        run(&mut client, words);
    }
    let all = store.list(None, &Cursor::default(), 100).await.unwrap();
    let listed =
        |kind, id: &str, issuer_hash: Option<&str>, until: Option<&str>, expires: bool, reason: &str| {
            Listed {
                kind,
                id: id.to_owned(),
                issuer_hash: issuer_hash.map(str::to_owned),
                issued_until: until.map(str::to_owned),
                expires: expires.then(|| "2026-11-21T09:59:59Z".to_owned()),
                reason: reason.to_owned(),
            }
        };
    let mut entries = all.entries;
    entries.sort_by(|left, right| (left.kind, &left.id).cmp(&(right.kind, &right.id)));
    for entry in &mut entries {
        // Whether the TTL has lost a millisecond by now is a matter of luck.
        entry.expires = entry.expires.take().map(|end| end.replace("10:00:00", "09:59:59"));
    }
    let expect = [
        listed("jti", "a:b", Some("0123456789abcdef"), None, false, "stolen"),
        listed("key", "k", None, None, false, ""),
        listed("sub", "alice", None, Some("2026-11-21T09:00:00Z"), true, "left the company"),
        listed("sub", "bob", None, None, true, ""),
    ];
    assert_eq!((entries.as_slice(), all.next), (&expect[..], None));
    let json =
        serde_json::to_string(&Page { entries: vec![expect[2].clone()], next: Some(Cursor::new("17")) });
    assert_eq!(
        json.unwrap(),
        r#"{"entries":[{"kind":"sub","id":"alice","issued_until":"2026-11-21T09:00:00Z","expires":"2026-11-21T09:59:59Z","reason":"left the company"}],"next":"17"}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_bounded_and_cover_everything() {
    let redis = Redis::start();
    super::changes::fill(&redis, "t", 5_000);
    let script = "for i = 1, 20000 do redis.call('SET', 'unrelated:' .. i, '') end";
    redis.run(&["EVAL", script, "0"]);
    redis.run(&["SET", "portcullis:revoked:key:k1", ""]);
    let store = store(&redis);
    for (kind, limit, expect) in
        [(None, 100, 5_001), (Some(Kind::Jti), 1_000_000, 5_000), (Some(Kind::Key), 1, 1)]
    {
        let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
        loop {
            let page = store.list(kind, &cursor, limit).await.unwrap();
            assert!(page.entries.len() <= 2 * limit.clamp(100, 1000), "{}", page.entries.len());
            seen.extend(page.entries.into_iter().map(|listed| listed.id));
            match page.next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), expect, "{kind:?}");
    }
    for cursor in ["x", "-1", "1 2", "99999999999999999999999"] {
        let page = store.list(None, &Cursor::new(cursor), 10).await;
        assert!(matches!(page, Err(Failure::Cursor)), "{cursor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_said() {
    let mut redis = Redis::start();
    let primary = redis.port.to_string();
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &primary]);
    let entry = Entry::new(name(Kind::Key, "k", Issuer::Any), Lifetime::Endless, "", 1000).unwrap();
    let failure = store(&replica).add(&entry).await.unwrap_err().to_string();
    assert_eq!(failure, "Redis cannot be used: this Redis is a read-only replica");
    let failure = store(&replica).remove(entry.name()).await.unwrap_err().to_string();
    assert!(failure.starts_with("Redis cannot be used: "), "{failure}");
    redis.pause();
    let section = format!("{{ url: \"redis://127.0.0.1:{primary}\", timeouts: {{ connect: 100ms }} }}");
    let hung = Store::redis(std::sync::Arc::new(server(&section)), Clock::system());
    let failure = hung.add(&entry).await.unwrap_err().to_string();
    assert_eq!(failure, "Redis cannot be used: no connection in time");
    redis.kill();
    let failure = store(&redis).add(&entry).await.unwrap_err().to_string();
    assert!(failure.starts_with("Redis cannot be used: cannot connect: Connection refused"), "{failure}");
}
