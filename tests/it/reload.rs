//! Reloads under load: the new policy holds from one moment on, a broken file changes nothing, and no request notices.

mod refused;

use std::time::Duration;

use serde_json::json;

use crate::harness::client::{Client, Load, Request, Response};
use crate::harness::credentials::{ApiKey, basic, htpasswd_argon2id, keys_yaml};
use crate::harness::deadline::{eventually, within};
use crate::harness::gateway::{Gateway, LogLine, RELOAD_REFUSED, RELOADED, Reload};
use crate::harness::issuer::{Issuer, Serving};
use crate::harness::problem::assert_problem;
use crate::harness::process::{Signal, portcullis};
use crate::harness::tls::Authority;
use crate::harness::upstream::{Answer, Upstream};

const OPEN: &str = r#"
    upstreams: { app: "{upstream}" }
    routes: [{ name: app, match: { path: /app }, auth: public, upstream: app }]
"#;

const WITH_NEWS: &str = r#"
    upstreams: { app: "{upstream}" }
    routes:
      - { name: app, match: { path: /app }, auth: public, upstream: app }
      - { name: news, match: { path: /news }, auth: public, upstream: app }
"#;

const BROKEN: &str = r#"
    upstreams: { app: "{upstream}" }
    routes: [{ name: app, match: { path: /app }, auth: public, upstream: ap }]
"#;

/// 1 when the last reload was accepted, otherwise 0.
const METRIC: &str = "portcullis_config_last_reload_successful";

async fn open(upstream: &Upstream) -> Gateway {
    Gateway::builder(OPEN).with("upstream", upstream.url()).start().await
}

/// Waits until the gateway has taken note of the file by itself.
async fn waits_for_status(client: &Client, path: &str, status: u16) {
    within(format!("{path} to be answered {status}"), async {
        while client.get(path).await.status != status {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

fn loads(gateway: &Gateway, path: &str) -> Vec<Load> {
    let request = || Request::get(path);
    vec![
        Load::of(&gateway.https(), request()).connections(6).rate(2_000.0).start(),
        Load::of(&gateway.https(), request()).connections(2).rate(60.0).each_on_a_fresh_connection().start(),
    ]
}

async fn stop(loads: Vec<Load>) {
    for load in loads {
        load.wait_for_more(20).await;
        load.stop().await.assert_all(200);
    }
}

/// L05, L06: an edit, a mistake and its mending, all while requests are served.
#[tokio::test]
async fn under_load_no_request_fails() {
    let upstream = Upstream::start();
    let gateway = open(&upstream).await;
    let loads = loads(&gateway, "/app");
    let client = gateway.https();
    loads[0].wait_for_more(200).await;
    assert_eq!(client.get("/news").await.status, 404);
    // Edited in place, as an editor may, without a signal.
    gateway.write_yaml(WITH_NEWS);
    waits_for_status(&client, "/news", 200).await;
    gateway.wait_for_metric(METRIC, &[], |value| value > 0.5).await;

    let position = gateway.log_position();
    gateway.write_yaml(BROKEN);
    let line = gateway.wait_for_log_after(position, |line| line.level == "error").await;
    assert!(line.message.starts_with("reload refused"), "{line:?}");
    assert!(line.message.contains("gateway.yaml:6:"), "the line is not named: {line:?}");
    gateway.wait_for_metric(METRIC, &[], |value| value < 0.5).await;
    client.get("/news").await.assert_status(200);
    loads[0].wait_for_more(200).await;
    let path = gateway.path("gateway.yaml");
    let check = portcullis(["check", "--config", path.to_str().unwrap()]).await;
    let said = format!("{}{}", check.stdout, check.stderr);
    assert_ne!(check.code(), 0);
    assert!(said.contains("gateway.yaml:6:") && said.contains("did you mean `app`"), "{said}");

    gateway.write_in_place("gateway.yaml", &format!("{PREAMBLE}{}", OPEN.replace("\n    ", "\n")));
    waits_for_status(&client, "/news", 404).await;
    gateway.wait_for_metric(METRIC, &[], |value| value > 0.5).await;
    for _ in 0..5 {
        gateway.reload_with(WITH_NEWS).await;
        client.get("/news").await.assert_status(200);
        gateway.reload_with(OPEN).await;
        client.get("/news").await.assert_status(404);
    }
    stop(loads).await;
}

const PREAMBLE: &str = r#"version: 1
listen: [{ address: "127.0.0.1:0", tls: true }]
admin: { address: "127.0.0.1:0" }
tls: { certificates: [{ cert: server.crt, key: server.key }] }
"#;

/// L06: a request sees one policy from start to end: what one stamps never arrives where the other sends.
#[tokio::test]
async fn a_request_sees_one_policy() {
    let (first, second) = (Upstream::start(), Upstream::start());
    for upstream in [&first, &second] {
        upstream.answer_otherwise(Answer::from_fn(|request| {
            let stamps = [request.header("X-Auth-A").is_some(), request.header("X-Auth-B").is_some()];
            Answer::json(&json!(stamps))
        }));
    }
    let key = ApiKey::of("acme");
    let policy = |stamp: &str, upstream: &str| {
        format!(
            r#"
            auth: {{ partners: {{ api_key: {{ keys: keys.yaml }} }} }}
            identity: {{ headers: {{ {stamp}: subject }} }}
            upstreams: {{ app: "{upstream}" }}
            routes: [{{ name: app, match: {{ path: /app }}, auth: partners, upstream: app }}]
            "#
        )
    };
    let (a, b) = (policy("X-Auth-A", &first.url()), policy("X-Auth-B", &second.url()));
    let gateway = Gateway::builder(&a).file("keys.yaml", keys_yaml(&[&key])).start().await;
    let check = |answer: &Response| {
        let stamps = answer.json();
        if stamps == json!([true, false]) || stamps == json!([false, true]) {
            Ok(())
        } else {
            Err(format!("stamped {stamps}"))
        }
    };
    let request = || Request::get("/app").header("X-API-Key", &key.key);
    let load = Load::of(&gateway.https(), request()).connections(6).expecting(check).start();
    for _ in 0..10 {
        gateway.reload_with(&b).await;
        load.wait_for_more(30).await;
        gateway.reload_with(&a).await;
        load.wait_for_more(30).await;
    }
    load.stop().await.assert_all(200);
    for (upstream, own, other) in [(&first, "X-Auth-A", "X-Auth-B"), (&second, "X-Auth-B", "X-Auth-A")] {
        let requests = upstream.requests();
        assert!(!requests.is_empty());
        for request in requests {
            assert_eq!((request.header(own), request.header(other)), (Some("acme"), None));
        }
    }
}

/// A request that has begun keeps the policy that it began with, also for its body.
#[tokio::test]
async fn a_request_under_way_keeps_its_policy() {
    let upstream = Upstream::start();
    let gateway = open(&upstream).await;
    let mut upload = gateway.https().connect().await;
    upload.write("POST /app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n").await;
    upload.write([b'a'; 1000]).await;
    eventually("the request", || (!upstream.requests().is_empty()).then_some(())).await;
    gateway.reload_with(&format!("{OPEN}    limits: {{ request_body_bytes: 1KiB }}\n")).await;
    upload.write([b'a'; 1000]).await;
    upload.response_to("POST").await.assert_status(200);
    let answer = upload.post("/app").body(vec![b'a'; 2000]).await;
    assert_problem(&answer, 413, "body_too_large");
}

/// What only a restart can change is named, and the rest of the file takes effect.
#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let upstream = Upstream::start();
    let gateway = open(&upstream).await;
    for (name, text) in [
        (
            "listen",
            r#"listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]"#,
        ),
        ("admin", r#"admin: { address: "127.0.0.2:0" }"#),
        ("redis", r#"redis: { url: "redis://127.0.0.1:1/0" }"#),
    ] {
        let position = gateway.log_position();
        gateway.write_yaml(&format!("{WITH_NEWS}\n    {text}\n"));
        assert_eq!(gateway.reload().await, Reload::Accepted, "{name}");
        let named = format!("`{name}`");
        let line = gateway
            .wait_for_log_after(position, |line| line.level == "warn" && line.message.contains(&named))
            .await;
        assert!(line.message.contains("restart"), "{line:?}");
        gateway.https().get("/news").await.assert_status(200);
        gateway.reload_with(OPEN).await;
        gateway.https().get("/news").await.assert_status(404);
    }
}

/// Keys and users are read again when their files change; a file that is broken leaves the old ones in force.
#[tokio::test]
async fn keys_and_users_are_read_again() {
    let upstream = Upstream::start();
    let (acme, other) = (ApiKey::of("acme"), ApiKey::of("other"));
    let gateway = Gateway::builder(
        r#"
        auth: { partners: { api_key: { keys: keys.yaml } }, staff: { basic: { users: staff.htpasswd, realm: Staff } } }
        upstreams: { app: "{upstream}" }
        routes:
          - { name: keys, match: { path: /keys }, auth: partners, upstream: app }
          - { name: staff, match: { path: /staff }, auth: staff, upstream: app }
        "#,
    )
    .with("upstream", upstream.url())
    .file("keys.yaml", keys_yaml(&[&acme]))
    .file("staff.htpasswd", htpasswd_argon2id("ann", "before"))
    .start()
    .await;
    let with_key = |key: &ApiKey| gateway.https().with_header("X-API-Key", &key.key);
    let as_ann = |password: &str| gateway.https().with_header("Authorization", &basic("ann", password));
    with_key(&acme).get("/keys").await.assert_status(200);
    with_key(&other).get("/keys").await.assert_status(401);
    gateway.write("keys.yaml", &keys_yaml(&[&other]));
    waits_for_status(&with_key(&other), "/keys", 200).await;
    with_key(&acme).get("/keys").await.assert_status(401);
    as_ann("before").get("/staff").await.assert_status(200);
    gateway.write_in_place("staff.htpasswd", &htpasswd_argon2id("ann", "after"));
    waits_for_status(&as_ann("after"), "/staff", 200).await;
    // K06: what was remembered of the old password is gone with its line.
    as_ann("before").get("/staff").await.assert_status(401);
    let position = gateway.log_position();
    gateway.write("keys.yaml", "keys: [{ id: k, owner: acme, sha256: short }]\n");
    gateway
        .wait_for_log_after(position, |line| {
            line.message.starts_with("reload refused") && line.message.contains("keys.yaml:1:")
        })
        .await;
    with_key(&other).get("/keys").await.assert_status(200);
}

/// L05: certificates and keys that are missing, broken or of different pairs leave the old ones in force.
#[tokio::test]
async fn broken_files_beside_the_policy_change_nothing() {
    let upstream = Upstream::start();
    let gateway = open(&upstream).await;
    let own = ["server.crt", "server.key"].map(|name| std::fs::read_to_string(gateway.path(name)).unwrap());
    let other = Authority::shared().server(&["localhost"]);
    let load = Load::of(&gateway.https(), Request::get("/app")).connections(2).rate(200.0).start();
    let rows: [(&str, &str, Option<&str>); 8] = [
        ("the certificate is missing", "server.crt", None),
        ("the key is missing", "server.key", None),
        ("the certificate is empty", "server.crt", Some("")),
        ("the key is empty", "server.key", Some("")),
        ("half a certificate", "server.crt", Some(&own[0][..own[0].len() / 2])),
        ("half a key", "server.key", Some(&own[1][..own[1].len() / 2])),
        ("a key of another pair", "server.key", Some(&other.key_pem)),
        ("a certificate where the key was", "server.key", Some(&own[0])),
    ];
    for (name, file, text) in rows {
        match text {
            None => std::fs::remove_file(gateway.path(file)).unwrap(),
            Some(text) => gateway.write(file, text),
        }
        let position = gateway.log_position();
        gateway.signal(Signal::Hangup);
        let refused = |line: &LogLine| line.message.starts_with(RELOAD_REFUSED);
        let said = gateway.wait_for_log_after(position, refused).await.message;
        assert!(said.contains("gateway.yaml:4:"), "{name}: {said}");
        let secret = own[1].lines().nth(1).unwrap();
        assert!(!said.contains(secret), "{name}: {said}");
        gateway.wait_for_metric(METRIC, &[], |value| value < 0.5).await;
        gateway.https().get("/app").await.assert_status(200);
        let position = gateway.log_position();
        gateway.write("server.crt", &own[0]);
        gateway.write("server.key", &own[1]);
        gateway.signal(Signal::Hangup);
        gateway.wait_for_log_after(position, |line| line.message.starts_with(RELOADED)).await;
        gateway.wait_for_metric(METRIC, &[], |value| value > 0.5).await;
    }
    load.wait_for_more(20).await;
    load.stop().await.assert_all(200);
}

/// Many signals at once are one reload or several, and never the end.
#[tokio::test]
async fn signals_in_a_row_are_harmless() {
    let upstream = Upstream::start();
    let gateway = open(&upstream).await;
    let load = Load::of(&gateway.https(), Request::get("/app")).connections(2).start();
    for _ in 0..20 {
        gateway.signal(Signal::Hangup);
    }
    gateway.write_yaml(WITH_NEWS);
    gateway.signal(Signal::Hangup);
    // What the log says first may be about a signal before.
    gateway.https().wait_for("/news", 200).await;
    load.wait_for_more(20).await;
    load.stop().await.assert_all(200);
}

/// A reload may wait for the keys of an issuer. What changes meanwhile is read after it.
#[tokio::test]
async fn a_file_that_changes_during_a_reload_is_read_again() {
    let upstream = Upstream::start();
    let issuer = Issuer::start();
    let slow = r#"
        auth: { users: { jwt: { issuer: "{issuer}", audience: a } } }
        upstreams: { app: "{upstream}" }
        routes:
          - { name: app, match: { path: /app }, auth: users, upstream: app }
    "#;
    let with_news = format!(
        "{slow}\n          - {{ name: news, match: {{ path: /news }}, auth: public, upstream: app }}\n"
    );
    issuer.serve_keys(&Serving::Slowly(Duration::from_secs(1)));
    let gateway =
        Gateway::builder(OPEN).with("upstream", upstream.url()).with("issuer", issuer.url()).start().await;
    gateway.write_yaml(slow);
    gateway.signal(Signal::Hangup);
    eventually("a reload that waits for keys", || (issuer.key_fetches() > 0).then_some(())).await;
    gateway.write_yaml(&with_news);
    waits_for_status(&gateway.https(), "/news", 200).await;
}

/// The same for a file that the running policy did not name: it is not looked at before the reload is over.
#[tokio::test]
async fn a_new_file_that_changes_during_a_reload_is_read_again() {
    let upstream = Upstream::start();
    let issuer = Issuer::start();
    let key = ApiKey::of("acme");
    issuer.serve_keys(&Serving::Slowly(Duration::from_secs(1)));
    let gateway = Gateway::builder(OPEN)
        .with("upstream", upstream.url())
        .with("issuer", issuer.url())
        .file("keys.yaml", "keys: []\n")
        .start()
        .await;
    gateway.write_yaml(
        r#"
        auth:
          users: { jwt: { issuer: "{issuer}", audience: a } }
          partners: { api_key: { keys: keys.yaml } }
        upstreams: { app: "{upstream}" }
        routes: [{ name: app, match: { path: /app }, auth: [users, partners], upstream: app }]
        "#,
    );
    gateway.signal(Signal::Hangup);
    eventually("a reload that waits for keys", || (issuer.key_fetches() > 0).then_some(())).await;
    gateway.write("keys.yaml", &keys_yaml(&[&key]));
    within("the new key to be good", async {
        while gateway.https().get("/app").headers(&[key.header()]).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
