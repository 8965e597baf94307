//! Who may follow the list: users with few rights, wrong passwords, replicas, TLS.

use std::sync::Arc;

use super::super::fixture::{Following, Redis, run, server, until};
use crate::authn::revocable::{Kind, Revocable};
use crate::clock::Clock;
use crate::revocation::Standing::{Good, Revoked, Unknown};
use crate::revocation::entry::{Entry, Issuer, Lifetime, Name};
use crate::revocation::store::{Cursor, Store};

const RIGHTS: [&str; 10] = [
    "+hello",
    "+select",
    "+client|tracking",
    "+ping",
    "+info",
    "+scan",
    "+pttl",
    "+getrange",
    "+get",
    "+set",
];

fn subject(name: &str) -> Revocable {
    Revocable::new(name, Some(1000))
}

fn section(redis: &Redis, rest: &str) -> Arc<super::super::Server> {
    Arc::new(server(&format!("{{ url: \"redis://127.0.0.1:{}/1\"{rest} }}", redis.port)))
}

/// A user with exactly the rights that are documented, in a database other than the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_minimal_rights() {
    let redis = Redis::start();
    let mut client = redis.client();
    let user = ["ACL", "SETUSER", "gateway", "on", ">hunter2", "resetkeys", "~portcullis:*", "nocommands"];
    run(&mut client, &[&user[..], &RIGHTS].concat());
    let login = ", username: gateway, password: \"${REDIS_PASSWORD}\"";
    let following = Following::begin(section(&redis, login));
    following.in_touch().await;
    run(&mut client, &["SELECT", "1"]);
    run(&mut client, &["SET", "portcullis:revoked:sub:mallory", "1000"]);
    following.stands(&subject("mallory"), Revoked).await;
    run(&mut client, &["DEL", "portcullis:revoked:sub:mallory"]);
    following.stands(&subject("mallory"), Good).await;
    // Without the right to write it, there is no epoch, and everything else works.
    run(&mut client, &["ACL", "SETUSER", "gateway", "-set"]);
    run(&mut client, &["DEL", "portcullis:revocation-epoch"]);
    run(&mut client, &["SET", "portcullis:revoked:sub:mallory", "1000"]);
    following.stands(&subject("mallory"), Revoked).await;
    following.in_touch().await;
    run(&mut client, &["FLUSHDB"]);
    run(&mut client, &["SET", "portcullis:revoked:sub:trudy", "1000"]);
    following.stands(&subject("trudy"), Revoked).await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    // Each of the others is needed (but `HELLO` by some versions only): without it the list counts as unknown, not as empty.
    for right in RIGHTS.iter().filter(|right| !["+hello", "+set"].contains(right)) {
        run(&mut client, &["ACL", "SETUSER", "gateway", &right.replace('+', "-")]);
        run(&mut client, &["CLIENT", "KILL", "USER", "gateway"]);
        following.stands(&subject("alice"), Unknown).await;
        run(&mut client, &["ACL", "SETUSER", "gateway", right]);
        following.stands(&subject("alice"), Good).await;
    }
    assert!(following.lives());
}

/// Each command of `portcullis revoke` works with exactly the rights that the documentation lists for it, and a missing right
/// is named.
#[tokio::test(flavor = "multi_thread")]
async fn names_missing_right_of_each_command() {
    let redis = Redis::start();
    let mut client = redis.client();
    let following = Following::ready(&redis).await;
    let login = ", username: gateway, password: \"${REDIS_PASSWORD}\"";
    let store = Store::redis(section(&redis, login), Clock::system());
    let name = Name::new(Kind::Sub, "mallory", Issuer::Any).unwrap();
    let entry = Entry::new(name.clone(), Lifetime::Endless, "", 1000).unwrap();
    let mallory = subject("mallory");
    let to_connect = ["+hello", "+select"];
    let set_rights = |client: &mut redis::Connection, rights: &[&str], without: &str| {
        let user = ["ACL", "SETUSER", "gateway", "reset", "on", ">hunter2", "~portcullis:*", "nocommands"];
        let rights: Vec<&str> = rights.iter().copied().filter(|right| *right != without).collect();
        run(client, &[&user[..], &to_connect, &rights].concat());
    };
    for (what, rights) in [
        ("revoke", &["+set"][..]),
        ("lift", &["+del"]),
        ("lift what Redis has lost", &["+del", "+set", "+multi", "+exec"]),
        ("list", &["+scan", "+pttl", "+getrange"]),
    ] {
        for without in [&[""], rights].concat() {
            run(&mut client, &["SELECT", "1"]);
            run(&mut client, &["SET", "portcullis:revoked:sub:mallory", "1000"]);
            if what == "lift what Redis has lost" {
                run(&mut client, &["FLUSHDB"]);
            }
            set_rights(&mut client, rights, without);
            let result = match what {
                "revoke" => store.add(&entry).await,
                "list" => store.list(None, &Cursor::default(), 10).await.map(|_| ()),
                _ => store.remove(&name).await.map(|_| ()),
            };
            match (without.strip_prefix('+'), result) {
                (None, result) => result.unwrap(),
                (Some(command), Err(error)) => {
                    let text = error.to_string();
                    let named = format!("no right to run `{}`", command.to_uppercase());
                    let cure = format!("`ACL SETUSER USER +{command}`");
                    assert!(
                        text.contains(&named) && text.contains(&cure),
                        "{what} without {without}: {text}"
                    );
                }
                (Some(command), Ok(())) => panic!("{what} works without {command}"),
            }
        }
    }
    set_rights(&mut client, &["+del", "+set", "+multi", "+exec", "resetkeys", "~other:*"], "");
    let text = store.add(&entry).await.unwrap_err().to_string();
    assert!(text.contains("may not use the keys of the revocation list"), "{text}");
    assert_eq!(following.standing(&mallory), Good, "another database is another list");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_that_becomes_right() {
    let redis = Redis::start_with(&["--requirepass", "other"]);
    let none = Following::begin(section(&redis, ""));
    let wrong = Following::begin(section(&redis, ", password: \"${REDIS_PASSWORD}\""));
    let mut client = redis.client();
    run(&mut client, &["AUTH", "other"]);
    let refused = |client: &mut redis::Connection| {
        let info: String = redis::cmd("INFO").arg("errorstats").query(client).unwrap();
        info.contains("errorstat_WRONGPASS") && info.contains("errorstat_NOAUTH")
    };
    until("both refused", || refused(&mut client)).await;
    for following in [&none, &wrong] {
        assert_eq!(following.standing(&subject("alice")), Unknown);
        assert_eq!(following.series("portcullis_redis_up"), "0");
    }
    run(&mut client, &["CONFIG", "SET", "requirepass", "hunter2"]);
    wrong.stands(&subject("alice"), Good).await;
    assert_eq!(none.standing(&subject("alice")), Unknown);
    assert!(none.lives() && wrong.lives());
}

/// A read-only replica can be followed while it has its primary, and not when it has lost it.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_replica() {
    let mut primary = Redis::start_with(&["--repl-diskless-sync-delay", "0"]);
    primary.run(&["SET", "portcullis:revoked:sub:before", "1000"]);
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let following = Following::begin(replica.server());
    following.stands(&subject("before"), Revoked).await;
    following.stands(&subject("alice"), Good).await;
    primary.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    following.stands(&subject("mallory"), Revoked).await;
    primary.run(&["DEL", "portcullis:revoked:sub:before"]);
    following.stands(&subject("before"), Good).await;
    primary.run(&["FLUSHALL"]);
    primary.run(&["SET", "portcullis:revoked:sub:trudy", "1000"]);
    following.stands(&subject("trudy"), Revoked).await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    // The replica goes on answering, and that proves nothing any more.
    primary.kill();
    following.stands(&subject("alice"), Unknown).await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    // It becomes the primary itself.
    replica.run(&["REPLICAOF", "NO", "ONE"]);
    following.stands(&subject("alice"), Good).await;
    assert_eq!(following.standing(&subject("mallory")), Revoked);
    replica.run(&["SET", "portcullis:revoked:sub:oscar", "1000"]);
    following.stands(&subject("oscar"), Revoked).await;
    assert!(following.lives());
}

/// A node of a cluster holds a part of the list only, which must not pass for the whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_is_refused() {
    let redis = Redis::start_with(&["--cluster-enabled", "yes"]);
    let following = Following::begin(redis.server());
    until("it was asked", || {
        let info: String = redis::from_redis_value(redis.run(&["INFO", "commandstats"])).unwrap();
        info.contains("cmdstat_client|tracking:calls=3")
    })
    .await;
    assert_eq!(following.standing(&subject("alice")), Unknown);
    assert!(following.lives());
}

/// TLS: the authority in the file is believed, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified() {
    let make = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        rcgen::generate_simple_self_signed(names).unwrap()
    };
    let (own, other) = (make(&["127.0.0.1"]), make(&["127.0.0.1"]));
    let folder = tempfile::TempDir::new().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let (cert, key) = (write("cert.pem", own.cert.pem()), write("key.pem", own.signing_key.serialize_pem()));
    let foreign = write("other.pem", other.cert.pem());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redis = Redis::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ]);
    let with = |host: &str, ca: &str| {
        Arc::new(server(&format!("{{ url: \"rediss://{host}:{port}\", ca: \"{ca}\" }}")))
    };
    let following = Following::begin(with("127.0.0.1", &cert));
    following.stands(&subject("alice"), Good).await;
    redis.run(&["SET", "portcullis:revoked:sub:mallory", "1000"]);
    following.stands(&subject("mallory"), Revoked).await;
    for (host, ca, expect) in [
        ("127.0.0.1", &foreign, "TLS failed: invalid peer certificate"),
        ("localhost", &cert, "TLS failed: invalid peer certificate: certificate not valid for name"),
    ] {
        let loss = with(host, ca).connect(None).await.map(|_| ()).unwrap_err().to_string();
        assert!(loss.starts_with(expect), "{loss}");
    }
    // TLS spoken to a port without it.
    let plain = server(&format!("{{ url: \"rediss://127.0.0.1:{}\", ca: \"{cert}\" }}", redis.port));
    let loss = plain.connect(None).await.map(|_| ()).unwrap_err();
    assert!(matches!(loss, super::super::Loss::Tls(_) | super::super::Loss::ConnectTimeout), "{loss}");
}
