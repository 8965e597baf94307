//! `/revocations` on the admin listener and `portcullis revoke` write what the contract says, to Redis or to memory; and
//! nobody gets there by a browser, from another name, or over the listeners of clients.

use serde_json::{Value, json};

use super::{Caller, Cast, entry};
use crate::harness::client::{Client, Response};
use crate::harness::gateway::Gateway;
use crate::harness::process::{portcullis_command, run};
use crate::harness::redis::Redis;
use portcullis::authn::revocable::issuer_hash;

const ISSUER: &str = "https://id.example.com";

/// What stands under a key: its value, and how many seconds it still stands (−1 without end, −2 when it is not there).
async fn stands(redis: &Redis, name: &str) -> (String, i64) {
    let value = redis.cli(&["GET", &entry(name)]).await;
    let seconds = redis.cli(&["TTL", &entry(name)]).await;
    (value, seconds.parse().unwrap())
}

/// Whether a time to live is what it should be, a few seconds later.
fn about(seconds: i64, expected: i64) -> bool {
    if expected < 0 { seconds == expected } else { (expected - 60..=expected).contains(&seconds) }
}

/// Whether a value is as wanted, where `now` stands for a time in seconds that is not long ago.
fn is_like(value: &str, wanted: &str) -> bool {
    let Some(rest) = wanted.strip_prefix("now") else { return value == wanted };
    let now = portcullis::clock::Clock::system().unix_seconds();
    let (time, after) = value.split_at(value.find(' ').unwrap_or(value.len()));
    time.parse::<u64>().is_ok_and(|time| (now - 60..=now).contains(&time)) && after == rest
}

/// A way to revoke: the body for the admin API, the arguments for the command line, and what then stands in Redis: under
/// which name, with which value, for how many seconds.
type Row = (Value, &'static [&'static str], String, &'static str, i64);

fn rows() -> Vec<Row> {
    const DAY: i64 = 86_400;
    // The longest that a token of this policy can live: 24 hours, and the leeway.
    const TOKEN: i64 = DAY + 30;
    let hash = issuer_hash(ISSUER);
    vec![
        (json!({"kind": "key", "id": "k_1"}), &["--key", "k_1"], "key:k_1".into(), "", -1),
        (json!({"kind": "user", "id": "bob"}), &["--user", "bob"], "user:bob".into(), "", -1),
        (json!({"kind": "sub", "id": "alice"}), &["--sub", "alice"], "sub:alice".into(), "now", -1),
        (json!({"kind": "jti", "id": "t-1"}), &["--jti", "t-1"], "jti:*:t-1".into(), "", TOKEN),
        (
            json!({"kind": "jti", "id": "t:2", "issuer": ISSUER}),
            &["--jti", "t:2", "--issuer", ISSUER],
            format!("jti:{hash}:t:2"),
            "",
            TOKEN,
        ),
        (json!({"kind": "sid", "id": "s 1"}), &["--sid", "s 1"], "sid:s 1".into(), "", TOKEN),
        (json!({"kind": "client", "id": "shop"}), &["--client", "shop"], "client:shop".into(), "now", TOKEN),
        (
            json!({"kind": "sub", "id": "zoë", "for": "1h", "reason": "left the company"}),
            &["--sub", "zoë", "--for", "1h", "--reason", "left the company"],
            "sub:zoë".into(),
            "now left the company",
            3600,
        ),
        (
            json!({"kind": "jti", "id": "t-3", "for": "never", "reason": "stolen: laptop"}),
            &["--jti", "t-3", "--for", "never", "--reason", "stolen: laptop"],
            "jti:*:t-3".into(),
            "stolen: laptop",
            -1,
        ),
        (
            json!({"kind": "key", "id": "*", "for": "90d"}),
            &["--key", "*", "--for", "90d"],
            "key:*".into(),
            "",
            90 * DAY,
        ),
    ]
}

/// What both ways write is read back with a plain client of Redis, and lifting removes it.
#[tokio::test]
async fn both_ways_write_the_layout_of_the_contract() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    for (body, arguments, name, value, seconds) in rows() {
        for by_admin in [true, false] {
            if by_admin {
                let answer = gateway.admin().post("/revocations").json(&body).await;
                answer.assert_status(201);
                assert_eq!(
                    (&answer.json()["kind"], &answer.json()["id"]),
                    (&body["kind"], &body["id"]),
                    "{answer:?}"
                );
            } else {
                revoke(&gateway, arguments).await.assert_success();
            }
            let (found, ttl) = stands(&redis, &name).await;
            assert!(
                is_like(&found, value) && about(ttl, seconds),
                "{name} by_admin={by_admin}: {found:?} {ttl}"
            );
            if by_admin {
                let mut query = form_urlencoded::Serializer::new(String::new());
                for field in ["kind", "id", "issuer"] {
                    if let Some(text) = body[field].as_str() {
                        query.append_pair(field, text);
                    }
                }
                let target = format!("/revocations?{}", query.finish());
                gateway.admin().call("DELETE", &target).await.assert_status(200);
                gateway.admin().call("DELETE", &target).await.assert_status(404);
            } else {
                let what = arguments.iter().position(|argument| ["--for", "--reason"].contains(argument));
                let what = &arguments[..what.unwrap_or(arguments.len())];
                revoke(&gateway, &[what, &["--lift"]].concat()).await.assert_success();
            }
            assert_eq!(stands(&redis, &name).await, ("nil".to_owned(), -2), "{name} by_admin={by_admin}");
        }
    }
}

/// Runs `portcullis revoke` on the file of a gateway.
async fn revoke(gateway: &Gateway, arguments: &[&str]) -> crate::harness::process::Finished {
    let file = gateway.path("gateway.yaml");
    run(portcullis_command().arg("revoke").arg("--config").arg(file).args(arguments)).await
}

/// What is listed is what was written, by whomever, page by page.
#[tokio::test]
async fn the_list_is_shown_in_pages() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    for number in 0..250 {
        redis.cli(&["SET", &entry(&format!("key:k_{number}")), "why", "EX", "100"]).await;
    }
    redis.cli(&["SET", &entry("sub:alice"), "1795251600 left"]).await;
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let answer = gateway.admin().get(&format!("/revocations?limit=50&cursor={cursor}")).await;
        answer.assert_status(200);
        let page = answer.json();
        for listed in page["revocations"].as_array().unwrap() {
            seen.insert(format!("{} {} {}", listed["kind"], listed["id"], listed["reason"]));
        }
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen.len(), 251);
    assert!(seen.contains("\"sub\" \"alice\" \"left\"") && seen.contains("\"key\" \"k_7\" \"why\""));
    let shown = revoke(&gateway, &["--list"]).await;
    assert!(shown.assert_success().stdout.contains("alice"), "{shown:?}");
    let only = gateway.admin().get("/revocations?kind=sub").await.json();
    assert_eq!(only["revocations"].as_array().map(Vec::len), Some(1), "{only}");
}

/// A list in memory holds at once on this gateway; the command line cannot reach it and says so.
#[tokio::test]
async fn a_list_in_memory() {
    let cast = Cast::new();
    let gateway = cast.gateway_with("revocation: { store: memory }").start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    acme.ask().await.assert_status(200);
    let token = cast.issuer.token();
    let credential = ("Authorization", token.bearer());
    let mut alice = Caller::new(&gateway, &credential).await;
    alice.ask().await.assert_status(200);
    for (caller, kind, id) in [(&mut acme, "key", "k_acme"), (&mut alice, "jti", token.jti())] {
        let body = json!({ "kind": kind, "id": id, "for": "1h", "reason": "a test" });
        gateway.admin().post("/revocations").json(&body).await.assert_status(201);
        // Not eventually: with the answer it holds.
        caller.ask().await.assert_status(401);
        let listed = gateway.admin().get("/revocations").await.json();
        assert_eq!(
            (&listed["revocations"][0]["id"], &listed["revocations"][0]["reason"]),
            (&json!(id), &json!("a test"))
        );
        let target = format!("/revocations?kind={kind}&id={id}");
        gateway.admin().call("DELETE", &target).await.assert_status(200);
        caller.ask().await.assert_status(200);
        gateway.admin().call("DELETE", &target).await.assert_status(404);
    }
    let body = json!({ "kind": "key", "id": "k_acme", "for": "1s" });
    gateway.admin().post("/revocations").json(&body).await.assert_status(201);
    acme.answered(401).await;
    acme.answered(200).await;
    let refused = revoke(&gateway, &["--key", "k_acme"]).await;
    assert!(refused.code() != 0 && refused.stderr.contains("admin API"), "{refused:?}");
}

/// A key of our own making, as it was copied.
const WHOLE_KEY: &str = "pcl_k_4fQ9xT_0123456789abcdefghijklmnopqrstuvwxyz0123456abc";

/// What makes no sense is refused with a word about it, and nothing is written.
#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let long = "x".repeat(2000);
    for body in [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{\"kind\":\"key\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":7}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"a\",\"id\":\"b\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"a\\r\\nSET x\"}".to_owned(),
        "{\"kind\":\"nobody\",\"id\":\"a\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"a\",\"until\":\"1h\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"a\",\"for\":\"0s\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"a\",\"for\":\"-1h\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"a\",\"for\":\"1e9h\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"a\",\"for\":\"9999999d\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"a\",\"reason\":\"a\\nb\"}".to_owned(),
        "{\"kind\":\"key\",\"id\":\"a\",\"issuer\":\"https://id\"}".to_owned(),
        "{\"kind\":\"jti\",\"id\":\"a\",\"issuer\":\"\"}".to_owned(),
        format!("{{\"kind\":\"key\",\"id\":\"{long}\"}}"),
        format!("{{\"kind\":\"key\",\"id\":\"a\",\"reason\":\"{long}\"}}"),
        "{\"kind\":\"key\",\"id\":\"a\"} trailing".to_owned(),
        // The credentials themselves, which would be written down and revoke nothing.
        json!({ "kind": "key", "id": WHOLE_KEY }).to_string(),
        json!({ "kind": "key", "id": cast.key.key }).to_string(),
        json!({ "kind": "jti", "id": cast.issuer.token().sign() }).to_string(),
        "[".repeat(10_000),
    ] {
        let call = gateway.admin();
        let answer =
            call.post("/revocations").header("Content-Type", "application/json").body(body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.json()["error"].as_str().is_some_and(|text| !text.is_empty()), "{answer:?}");
    }
    let refused = revoke(&gateway, &["--key", WHOLE_KEY]).await;
    assert!(refused.code() != 0 && !format!("{refused:?}").contains(WHOLE_KEY), "{refused:?}");
    assert!(
        !gateway.everything_logged().contains(WHOLE_KEY) && !gateway.everything_logged().contains(".eyJ")
    );
    let large = json!({ "kind": "key", "id": "a", "reason": "x".repeat(1 << 20) });
    gateway.admin().post("/revocations").json(&large).await.assert_status(413);
    for query in [
        "",
        "?kind=key",
        "?id=a",
        "?kind=key&id=a&id=b",
        "?kind=key&id=a&x=1",
        "?kind=none&id=a",
        "?kind=key&id=",
    ] {
        gateway.admin().call("DELETE", &format!("/revocations{query}")).await.assert_status(400);
    }
    for query in ["?kind=none", "?limit=x", "?cursor=x", "?nonsense=1", "?limit=1&limit=2"] {
        gateway.admin().get(&format!("/revocations{query}")).await.assert_status(400);
    }
    for method in ["PUT", "PATCH", "OPTIONS"] {
        gateway.admin().call(method, "/revocations").await.assert_status(405);
    }
    assert_eq!(redis.cli(&["KEYS", "portcullis:revoked:*"]).await, "");
    assert!(!gateway.everything_logged().contains(&cast.key.key));
}

const BODY: &str = r#"{"kind":"key","id":"k_acme"}"#;

async fn post(client: &Client, headers: &[(&str, &str)]) -> Response {
    client.post("/revocations").headers(headers).body(BODY).await
}

/// A web page in an operator's browser can send requests to this machine: as a form, as text, from its own origin, or
/// under a name that it has made to point here (DNS rebinding). None of them may write or read.
#[tokio::test]
async fn a_web_page_cannot_revoke_or_lift() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let admin = gateway.admin();
    let json = ("Content-Type", "application/json");
    for kind in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
    ] {
        assert_eq!(post(&admin, &[("Content-Type", kind)]).await.status, 415, "{kind}");
    }
    for (what, field) in [
        ("another name", ("Host", "attacker.example")),
        ("another name with the port", ("Host", "attacker.example:9180")),
        ("a name that begins like an address", ("Host", "127.0.0.1.attacker.example")),
        ("a name that begins like localhost", ("Host", "localhost.attacker.example")),
        ("an address of another machine", ("Host", "192.0.2.7")),
        ("another origin", ("Origin", "https://attacker.example")),
        ("an origin that is hidden", ("Origin", "null")),
        ("another origin on this machine", ("Origin", "http://localhost:3000")),
        ("a cross-site request", ("Sec-Fetch-Site", "cross-site")),
        ("a request from a sibling", ("Sec-Fetch-Site", "same-site")),
    ] {
        assert_eq!(post(&admin, &[json, field]).await.status, 403, "{what}");
        let deleted = admin.call("DELETE", "/revocations?kind=key&id=k_acme").header(field.0, field.1).await;
        assert_eq!(deleted.status, 403, "{what}");
        let listed = admin.get("/revocations").header(field.0, field.1).await;
        assert_eq!(listed.status, 403, "{what}");
        let asked = admin.call("OPTIONS", "/revocations").header(field.0, field.1).await;
        assert!(!asked.headers.contains("Access-Control-Allow-Origin"), "{what}: {asked:?}");
    }
    assert_eq!(redis.cli(&["KEYS", "portcullis:revoked:*"]).await, "");
    // The same from this machine by its own name.
    let own = format!("http://127.0.0.1:{}", gateway.admin_port());
    let host = format!("127.0.0.1:{}", gateway.admin_port());
    for headers in [
        &[json][..],
        &[json, ("Host", "127.0.0.1"), ("Sec-Fetch-Site", "none")],
        &[json, ("Host", "[::1]:9180")],
        &[json, ("Host", &host), ("Origin", &own), ("Sec-Fetch-Site", "same-origin")],
        &[("Content-Type", "Application/JSON; charset=utf-8")],
    ] {
        assert_eq!(post(&admin, headers).await.status, 201, "{headers:?}");
    }
}

/// With a token, nothing is read or written without it; on an address that others can reach, nothing at all without one.
#[tokio::test]
async fn a_token_guards_the_list() {
    let cast = Cast::new();
    let yaml = r#"
        admin: { address: "127.0.0.1:0", token: "${ADMIN_TOKEN}" }
    "#;
    let gateway = cast.gateway_with(yaml).env("ADMIN_TOKEN", "correct-horse-battery-staple").start().await;
    let admin = gateway.admin();
    let json = ("Content-Type", "application/json");
    for token in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer correct-horse-battery-stapl",
        "Bearer correct-horse-battery-staple2",
        "Basic correct-horse-battery-staple",
        "correct-horse-battery-staple",
    ] {
        let answer = post(&admin, &[json, ("Authorization", token)]).await;
        assert_eq!(answer.status, 401, "{token}");
        assert!(answer.headers.contains("WWW-Authenticate"), "{answer:?}");
        assert_eq!(admin.get("/revocations").header("Authorization", token).await.status, 401, "{token}");
    }
    let good = ("Authorization", "Bearer correct-horse-battery-staple");
    assert_eq!(post(&admin, &[json, good]).await.status, 201);
    admin.get("/metrics").await.assert_status(200);
    assert!(!gateway.everything_logged().contains("correct-horse"));

    let gateway = cast.gateway_with("admin: { address: \"0.0.0.0:0\" }").start().await;
    let admin = Client::plain(([127, 0, 0, 1], gateway.admin_port()).into());
    assert_eq!(post(&admin, &[json]).await.status, 403);
    admin.get("/revocations").await.assert_status(403);
}

/// L04: nothing of the admin listener is to be had from the listeners of clients.
#[tokio::test]
async fn the_listeners_of_clients_know_nothing_of_it() {
    let cast = Cast::new();
    let gateway = cast.gateway_with("revocation: { store: memory }").start().await;
    for path in ["/metrics", "/healthz", "/readyz", "/revocations"] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = gateway.https().call(method, path).header("X-API-Key", &cast.key.key).await;
            crate::harness::problem::assert_problem(&answer, 404, "no_route");
        }
    }
    cast.upstream.assert_nothing();
    // Nor does the admin listener forward anything.
    gateway.admin().get(super::PUBLIC).await.assert_status(404);
    cast.upstream.assert_nothing();
}
