//! User files as rows, and what a pair meets.

use std::sync::LazyLock;

use super::*;
use crate::authn::credential::{self, Accepted, Found};
use crate::authn::guessing::{Kind, Limiter, Memory};
use crate::clock::Clock;
use crate::request::{Connection, Parts, Request, Transport};
use crate::units::Quota;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};

fn compile(lines: &str, previous: Option<&Method>, pool: &HashingPool) -> Result<Method, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("users"), lines).unwrap();
    std::fs::write(folder.path().join("auth.yaml"), "users: users\nrealm: Internal tools\nscopes: [tools]\n")
        .unwrap();
    let mut loading = Loading::new(Clock::manual(0), &|_| None, &[]);
    let config = loading.root_document(&folder.path().join("auth.yaml")).unwrap();
    let metrics = Metrics::new("0", "0").unwrap();
    let method = Method::compile(&"staff".into(), &config, pool, previous, &metrics, &mut loading);
    let shown = loading.problems.render(false);
    assert!(!shown.contains("hunter2"), "{shown}");
    method.ok_or_else(|| {
        loading
            .problems
            .sorted()
            .iter()
            .map(|p| format!("{}: {}", p.place().unwrap().line(), p.what()))
            .collect()
    })
}

fn pair(user: &str, password: &str) -> Pair {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("a"));
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
    let connection = Connection { peer: [127, 0, 0, 1].into(), transport: Transport::Tls, certificate: None };
    let parts =
        Parts { method: "GET", target: b"/", authority: None, headers: &headers, connection: &connection };
    match credential::find(&Request::parse(parts).unwrap(), Accepted { basic: true, ..Accepted::default() }) {
        Found::Basic(pair) => pair,
        other => panic!("{other:?}"),
    }
}

/// A guess that nothing limits.
fn free() -> Guess<'static> {
    static LIMITER: LazyLock<Limiter> =
        LazyLock::new(|| Limiter::new(Memory::new(), Quota::Unlimited, Quota::Unlimited));
    LIMITER.guess(Kind::Password, [127, 0, 0, 1].into(), b"")
}

/// A pool with one thread, which ends with the pool.
fn pool() -> HashingPool {
    let (pool, worker) = HashingPool::new();
    std::thread::spawn(move || worker.run());
    pool
}

fn cheap(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn shown(attempt: &Attempt) -> &str {
    match attempt {
        Attempt::Absent => "absent",
        Attempt::Failed(reason) => reason.label(),
        Attempt::Verified(_) => "verified",
    }
}

#[tokio::test]
async fn pairs() {
    let pool = pool();
    let lines = format!("# people\n\nalice:{}\nbob:{}\n", cheap("hunter2"), cheap("hunter3"));
    let method = compile(&lines, None, &pool).unwrap();
    for (user, password, expect) in [
        ("alice", "hunter2", "verified"),
        ("alice", "hunter3", "bad_password"),
        ("bob", "hunter3", "verified"),
        ("carol", "hunter2", "absent"),
        ("Alice", "hunter2", "absent"),
    ] {
        assert_eq!(shown(&method.attempt(&pair(user, password), &free()).await), expect, "{user}");
    }
    let Attempt::Verified(alice) = method.attempt(&pair("alice", "hunter2"), &free()).await else {
        panic!("alice is known")
    };
    assert_eq!((alice.subject.as_str(), alice.scopes.join(" ").as_str()), ("alice", "tools"));
    let carol = pair("carol", "hunter2");
    let refused = method.refuse_stranger(&carol, method.decoy(&carol).unwrap(), &free()).await;
    assert_eq!(refused, Reason::BadPassword);
}

#[tokio::test]
async fn a_verified_pair_is_remembered_until_its_line_changes() {
    let pool = pool();
    let lines = format!("alice:{}\n", cheap("hunter2"));
    let method = compile(&lines, None, &pool).unwrap();
    assert!(method.remembered(&pair("alice", "hunter2")).is_none());
    assert_eq!(shown(&method.attempt(&pair("alice", "hunter2"), &free()).await), "verified");
    assert!(method.remembered(&pair("alice", "hunter2")).is_some());
    assert!(method.remembered(&pair("alice", "hunter3")).is_none());

    let same = compile(&lines, Some(&method), &pool).unwrap();
    assert!(same.remembered(&pair("alice", "hunter2")).is_some());
    let changed = compile(&format!("alice:{}\n", cheap("hunter3")), Some(&method), &pool).unwrap();
    assert!(changed.remembered(&pair("alice", "hunter2")).is_none());
    assert_eq!(shown(&changed.attempt(&pair("alice", "hunter2"), &free()).await), "bad_password");
}

#[tokio::test]
async fn a_burst_of_one_pair_is_hashed_once() {
    // No thread works for this pool, so every verification that is queued stays there to be counted.
    let (pool, worker) = HashingPool::new();
    let method = Arc::new(compile(&format!("alice:{}\n", cheap("hunter2")), None, &pool).unwrap());
    let attempts: Vec<_> = (0..50)
        .map(|_| {
            let method = method.clone();
            tokio::spawn(async move {
                shown(&method.attempt(&pair("alice", "hunter2"), &free()).await).to_owned()
            })
        })
        .collect();
    // All of them are on this thread and behind each other, so each has had its turn when this one comes again.
    tokio::task::yield_now().await;
    assert_eq!(method.series.cache_misses.get(), 1);
    assert_eq!(method.under_way.lock().unwrap().len(), 1);
    std::thread::spawn(move || worker.run());
    for attempt in attempts {
        assert_eq!(attempt.await.unwrap(), "verified");
    }
    assert!(method.under_way.lock().unwrap().is_empty());
}

#[test]
fn what_is_wrong_with_a_user_file_is_said() {
    let (pool, _worker) = HashingPool::new();
    let hash = cheap("x");
    for (lines, expect) in [
        (format!("alice:{hash}\nalice:{hash}\n"), "2: the user `alice` is listed twice"),
        (
            "alice:hunter2\n".to_owned(),
            "1: a plain-text or unknown form of password is not accepted: user `alice`",
        ),
        (
            "alice:{SHA}hunter2=\n".to_owned(),
            "1: `{SHA}` is an unsalted SHA-1 and is not accepted: user `alice`",
        ),
        ("alice:$apr1$hunter2\n".to_owned(), "1: MD5-crypt (`$apr1$`, `$1$`) is not accepted: user `alice`"),
        ("hunter2\n".to_owned(), "1: a line is `name:hash`"),
        (format!(":{hash}\n"), "1: this name cannot be passed on in a header"),
        (format!("apikey:{hash}\n"), "1: the name `apikey` stands for an API key in HTTP Basic"),
        ("# nobody\n".to_owned(), "1: this file lists no user"),
    ] {
        assert_eq!(compile(&lines, None, &pool).unwrap_err(), [expect], "{lines}");
    }
}

/// Unknown names cost what known ones do, in the same proportion, and each costs the same wherever and whenever it is
/// asked for (K04, CVE-2026-40263).
#[test]
fn what_an_unknown_name_costs_says_nothing() {
    let line = |name: usize| {
        let salt = format!("{name:016}");
        let cost = if name.is_multiple_of(4) { 5 } else { 4 };
        let hash = bcrypt::hash_with_salt("x", cost, salt.as_bytes().try_into().unwrap()).unwrap();
        format!("user-{name}:{}\n", hash.format_for_version(bcrypt::Version::TwoB))
    };
    let more: Vec<String> = (0..401).map(line).collect();
    let lines = &more[..400];
    let shuffled: Vec<String> = lines.iter().rev().cloned().collect();
    let (pool, _worker) = HashingPool::new();
    let [first, second, edited] =
        [lines, &shuffled, &more].map(|lines| compile(&lines.concat(), None, &pool).unwrap());
    let cost = |method: &Method, name: usize| {
        let pair = pair(&format!("stranger-{name}"), "x");
        let decoy = method.decoy(&pair).unwrap();
        decoy.hash.expose()[4..6].parse::<u32>().unwrap()
    };
    let names = 0..2_000_usize;
    let slow = names.clone().filter(|name| cost(&first, *name) == 5).count();
    // A quarter of the known names is slow; hashes do not stand evenly on the ring, so it is about that.
    assert!((300..700).contains(&slow), "{slow}");
    assert!(names.clone().all(|name| cost(&first, name) == cost(&second, name)));
    assert!(names.filter(|name| cost(&first, *name) != cost(&edited, *name)).count() < 100);
    // Of two files on a route, the one with the nearer hash decides, so each counts by the number of its users.
    let few = compile(&more[400], None, &pool).unwrap();
    let nearer = (0..2_000_usize).filter(|name| {
        let pair = pair(&format!("stranger-{name}"), "x");
        few.decoy(&pair).unwrap().distance() < first.decoy(&pair).unwrap().distance()
    });
    assert!(nearer.count() < 100);
}
