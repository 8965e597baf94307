//! The audit log: every refusal, and every change of what refusals are decided by, with who asked for it.

use std::collections::HashMap;
use std::fs;

use serde_json::{Value, json};

use super::stand::{PASSWORD, Row, Stand};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::{Gateway, Reload};
use crate::harness::issuer::{Issuer, JWKS_PATH, SigningKey};
use crate::harness::redis::Redis;

const FILE: &str = "audit.log";

fn is_refusal(row: &Row) -> bool {
    matches!(row.outcome, "refused" | "reported")
}

/// Each refusal has the line that the access log has, and what is let in has none.
#[tokio::test]
async fn every_refusal_has_one_line() {
    let stand = Stand::start().await;
    let mut expected: Vec<String> = Vec::new();
    for row in stand.rows() {
        let id = stand.send(&row).await;
        if is_refusal(&row) {
            expected.push(id);
        }
    }
    // One that is refused before its head is read to the end, and a secret where none belongs.
    let mut connection = stand.gateway.https().connect().await;
    connection.write("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    let answer = connection.response().await;
    answer.assert_status(400);
    expected.push(answer.header("X-Request-Id").unwrap().to_owned());
    let answer = stand.gateway.https().get("/v1/pcl_k_4fQ9xT_abc").await;
    answer.assert_status(401);
    expected.push(answer.header("X-Request-Id").unwrap().to_owned());
    assert!(stand.gateway.terminate().await.success());

    let access: HashMap<String, Value> = stand
        .gateway
        .access_log()
        .into_iter()
        .map(|line| (line["request_id"].as_str().unwrap().to_owned(), line))
        .collect();
    let lines = stand.gateway.log_file(FILE);
    let mut refusals: Vec<Value> =
        lines.iter().filter(|line| line["event"] == "request_refused").cloned().collect();
    let ids: Vec<&str> = refusals.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    expected.sort();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected, "one line for each refusal");
    for line in &mut refusals {
        line.as_object_mut().unwrap().remove("event");
        assert_eq!(*line, access[line["request_id"].as_str().unwrap()]);
        assert!(line["reason"] != "ok" && line["status"].as_u64() > Some(0), "{line}");
    }
    let text = fs::read_to_string(stand.gateway.path(FILE)).unwrap();
    let digest = keys_yaml(&[&stand.key]);
    let digest = digest.split("sha256: ").nth(1).unwrap().split_whitespace().next().unwrap();
    for secret in [&stand.key.key, PASSWORD, digest, "eyJ", "pcl_"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

const YAML: &str = r#"
    redis: { url: "{redis}" }
    log: { audit: "file:audit.log" }
    auth:
      partners: { api_key: { keys: keys.yaml } }
      users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
    upstreams: { echo: builtin:echo }
    routes: [{ name: all, match: { path: /** }, auth: [partners, users], upstream: echo }]
"#;

/// The members that an event has beside its time.
fn without_time(mut line: Value) -> Value {
    assert!(line.as_object_mut().unwrap().remove("time").is_some(), "{line}");
    line
}

/// Waits for the event of this name that is the last one by then, and returns it.
async fn last(gateway: &Gateway, count: usize) -> Value {
    gateway.wait_for_line(FILE, |_| gateway.log_file(FILE).len() >= count).await;
    let lines = gateway.log_file(FILE);
    assert_eq!(lines.len(), count, "one line for each event: {lines:#?}");
    without_time(lines.last().unwrap().clone())
}

#[tokio::test]
async fn every_change_of_policy_keys_and_revocations_is_recorded() {
    let (mut redis, issuer, key) = (Redis::start().await, Issuer::start(), ApiKey::of("acme"));
    let gateway = Gateway::builder(YAML)
        .with("redis", redis.url())
        .with("issuer", issuer.url())
        .file("keys.yaml", keys_yaml(&[&key]))
        .start()
        .await;
    // The keys and the list may come in either order.
    last(&gateway, 4).await;
    let start: Vec<Value> = gateway.log_file(FILE).into_iter().map(without_time).collect();
    let pid = gateway.process().pid();
    assert_eq!(start[0], json!({ "event": "started", "version": env!("CARGO_PKG_VERSION"), "pid": pid }));
    let first = start[1]["policy"].as_str().unwrap().to_owned();
    assert_eq!(start[1], json!({ "event": "policy_loaded", "policy": first, "by": "start" }));
    let regained = json!({ "event": "redis_regained", "server": start[2..].iter().find_map(|line| line["server"].as_str()), "entries": 0 });
    let origin = start[2..].iter().find_map(|line| line["origin"].as_str()).unwrap();
    assert!(origin.contains(&issuer.url()), "{origin}");
    let changed = json!({ "event": "keys_changed", "auth": "users", "origin": origin, "keys": 1 });
    assert!(start[2..].contains(&regained) && start[2..].contains(&changed), "{start:#?}");

    // Who asked is told: a signal, or a file that has changed; and what was loaded, but only by what tells it apart.
    assert_eq!(gateway.reload().await, Reload::Accepted);
    assert_eq!(last(&gateway, 5).await, json!({ "event": "policy_loaded", "policy": first, "by": "signal" }));
    gateway.write("keys.yaml", &keys_yaml(&[&key, &ApiKey::of("globex")]));
    let second = last(&gateway, 6).await;
    assert_eq!((&second["event"], &second["by"]), (&json!("policy_loaded"), &json!("file")));
    assert_ne!(second["policy"], first);
    gateway.write("keys.yaml", &keys_yaml(&[&key]));
    assert_eq!(last(&gateway, 7).await, json!({ "event": "policy_loaded", "policy": first, "by": "file" }));
    gateway.write_yaml(&YAML.replace("upstream: echo", "upstream: eco"));
    let refused = last(&gateway, 8).await;
    assert_eq!((&refused["event"], &refused["by"]), (&json!("policy_refused"), &json!("file")));
    assert!(refused["policy"] != first && refused["problems"].to_string().contains("eco"), "{refused}");
    gateway.write_yaml(YAML);
    assert_eq!(last(&gateway, 9).await["event"], "policy_loaded");

    let by = json!({ "principal": "loopback", "source": "127.0.0.1" });
    let body = json!({ "kind": "sub", "id": "alice", "for": "1h", "reason": "left" });
    let answer = gateway.admin().post("/revocations").json(&body).await;
    answer.assert_status(201);
    let until = answer.json()["expires"].clone();
    assert!(until.is_string(), "{answer:?}");
    assert_eq!(
        last(&gateway, 10).await,
        json!({ "event": "revocation_added", "by": by, "revoked": "sub:alice", "until": until, "reason": "left" })
    );
    gateway.admin().call("DELETE", "/revocations?kind=sub&id=alice").await.assert_status(200);
    assert_eq!(
        last(&gateway, 11).await,
        json!({ "event": "revocation_lifted", "by": by, "revoked": "sub:alice" })
    );
    gateway.admin().call("DELETE", "/revocations?kind=sub&id=alice").await.assert_status(404);

    redis.stop();
    let lost = last(&gateway, 12).await;
    assert_eq!((&lost["event"], &lost["server"]), (&json!("redis_lost"), &regained["server"]));
    redis.start_again().await;
    assert_eq!(last(&gateway, 13).await["event"], "redis_regained");

    let other = SigningKey::es256("es256-2");
    let fetches = issuer.fetches(JWKS_PATH);
    issuer.rotate(vec![other.clone(), issuer.key()]);
    gateway.https().get("/").header("Authorization", &issuer.token().bearer()).await.assert_status(200);
    assert_eq!(issuer.fetches(JWKS_PATH), fetches + 1);
    assert_eq!(
        last(&gateway, 14).await,
        json!({ "event": "keys_changed", "auth": "users", "origin": origin, "keys": 2 })
    );

    assert!(gateway.terminate().await.success());
    let lines: Vec<Value> = gateway.log_file(FILE).into_iter().map(without_time).collect();
    assert_eq!(lines[14]["event"], "stopping");
    assert_eq!(lines[15], json!({ "event": "stopped" }));
    assert_eq!(lines.len(), 16);
}

/// A gateway whose admin listener takes this token.
async fn with_admin_token(token: &str) -> Gateway {
    Gateway::builder(
        r#"
        admin: { address: "127.0.0.1:0", token: "${TOKEN}" }
        log: { audit: "file:audit.log" }
        upstreams: { echo: builtin:echo }
        routes: [{ name: all, match: { path: /** }, auth: public, upstream: echo }]
        "#,
    )
    .env("TOKEN", token)
    .start()
    .await
}

#[tokio::test]
async fn whoever_may_not_revoke_is_recorded() {
    let gateway = with_admin_token("admin-token-3Vb8Yc1Nd4Gh6Jk3").await;
    let body = json!({ "kind": "key", "id": "k_acme" });
    let admin = gateway.admin();
    for (token, origin, status) in [
        ("guess-9Rk4Tz", None, 401),
        ("admin-token-3Vb8Yc1Nd4Gh6Jk3", Some("https://evil.example"), 403),
        ("admin-token-3Vb8Yc1Nd4Gh6Jk3", None, 201),
    ] {
        let mut call =
            admin.post("/revocations").json(&body).header("Authorization", &format!("Bearer {token}"));
        if let Some(origin) = origin {
            call = call.header("Origin", origin);
        }
        call.await.assert_status(status);
    }
    assert!(gateway.terminate().await.success());
    let lines: Vec<Value> = gateway.log_file(FILE).into_iter().map(without_time).collect();
    let by = |principal: &str| json!({ "principal": principal, "source": "127.0.0.1" });
    assert!(lines[2..4].iter().all(|line| line["asked"] == "POST /revocations"), "{lines:#?}");
    let events: Vec<(&str, u64, &Value)> = lines[2..5]
        .iter()
        .map(|line| {
            (line["event"].as_str().unwrap(), line["status"].as_u64().unwrap_or_default(), &line["by"])
        })
        .collect();
    let (nobody, token) = (by("nobody"), by("admin_token"));
    assert_eq!(
        events,
        [("admin_refused", 401, &nobody), ("admin_refused", 403, &nobody), ("revocation_added", 0, &token)]
    );
    assert_eq!(lines[4]["until"], Value::Null, "it stands until it is lifted");
    for secret in ["guess-9Rk4Tz", "admin-token-3Vb8Yc1Nd4Gh6Jk3"] {
        assert!(!gateway.everything_logged().contains(secret), "{secret}");
    }
}

/// Whoever may do nothing asks without end: that makes few lines, which count all of it, and hides no change.
#[tokio::test]
async fn a_flood_of_refused_requests_makes_few_lines() {
    let token = "admin-token-3Vb8Yc1Nd4Gh6Jk3-5Mn7Pq9R";
    let gateway = with_admin_token(token).await;
    let admin = gateway.admin();
    let bearer = format!("Bearer {token}");
    for round in 0..100 {
        // Without a token, with a wrong one, by a method that nobody knows, and to sign in.
        admin.get("/revocations").await.assert_status(401);
        let wrong =
            admin.call("DELETE", "/revocations?kind=key&id=a").header("Authorization", "Bearer guess");
        assert!([401, 429].contains(&wrong.await.status));
        admin.call(&format!("M{}", "X".repeat(round * 20)), "/revocations").await.assert_status(401);
        if round % 10 == 0 {
            let body = json!({ "kind": "key", "id": format!("k_{round}") });
            let good = admin.post("/revocations").json(&body).header("Authorization", &bearer);
            good.await.assert_status(201);
        }
    }
    assert!(gateway.terminate().await.success());
    let lines = gateway.log_file(FILE);
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!(of("revocation_added").len(), 10, "{lines:#?}");
    let refused = of("admin_refused");
    let all: u64 = refused.iter().map(|line| 1 + line["left_out"].as_u64().unwrap_or_default()).sum();
    assert_eq!(all, 300, "{refused:#?}");
    // Ten one by one; on a machine that takes minutes for this, one more now and then.
    assert!((11..20).contains(&refused.len()), "{refused:#?}");
    assert!(refused.iter().all(|line| line["asked"].as_str().unwrap().len() <= 100), "{refused:#?}");
    assert_eq!(lines.last().unwrap()["event"], "stopped");
}

/// Who has signed in to the status page and out of it, and who has tried to.
#[tokio::test]
async fn signing_in_and_out_is_recorded() {
    let token = "admin-token-3Vb8Yc1Nd4Gh6Jk3-5Mn7Pq9R";
    let gateway = with_admin_token(token).await;
    let admin = gateway.admin().with_header("Origin", "http://localhost");
    let sign_in = async |token: &str| admin.post("/status/session").json(&json!({ "token": token })).await;
    sign_in("guess-9Rk4Tz").await.assert_status(401);
    let answer = sign_in(token).await;
    answer.assert_status(200);
    let cookie = answer.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let repeat = answer.json()["repeat"].as_str().unwrap().to_owned();
    let fields = [("Cookie", cookie.as_str()), ("X-Portcullis-Session", repeat.as_str())];
    admin.call("DELETE", "/status/session").headers(&fields[..1]).await.assert_status(403);
    admin.call("DELETE", "/status/session").headers(&fields).await.assert_status(200);
    admin.get("/status/now").headers(&fields).await.assert_status(401);
    assert!(gateway.terminate().await.success());
    let lines: Vec<Value> = gateway.log_file(FILE).into_iter().map(without_time).collect();
    let by = |principal: &str| json!({ "principal": principal, "source": "127.0.0.1" });
    let refused = |asked: &str, status: u16, reason: &str| json!({ "event": "admin_refused", "by": by("nobody"), "asked": asked, "status": status, "reason": reason });
    assert_eq!(
        lines[2..7],
        [
            refused("POST /status/session", 401, "the admin token is needed"),
            json!({ "event": "signed_in", "by": by("admin_token") }),
            refused("DELETE /status/session", 403, "this does not come from a page of the session"),
            json!({ "event": "signed_out", "by": by("admin_session") }),
            refused("GET /status/now", 401, "the admin token is needed"),
        ]
    );
    for secret in ["guess-9Rk4Tz", token, &repeat, &cookie] {
        assert!(!gateway.everything_logged().contains(secret), "{secret}");
    }
}

/// A list that does not answer may have heard of a change all the same, so that it is recorded who asked for it.
#[tokio::test]
async fn a_change_that_may_have_been_made_is_recorded() {
    let (mut redis, issuer, key) = (Redis::start().await, Issuer::start(), ApiKey::of("acme"));
    let gateway = Gateway::builder(YAML)
        .with("redis", redis.url())
        .with("issuer", issuer.url())
        .file("keys.yaml", keys_yaml(&[&key]))
        .start()
        .await;
    redis.stop();
    let body = json!({ "kind": "sub", "id": "alice", "reason": "left" });
    gateway.admin().post("/revocations").json(&body).await.assert_status(503);
    gateway.admin().call("DELETE", "/revocations?kind=sub&id=bob").await.assert_status(503);
    assert!(gateway.terminate().await.success());
    let by = json!({ "principal": "loopback", "source": "127.0.0.1" });
    let lines = gateway.log_file(FILE);
    let failed: Vec<&Value> = lines.iter().filter(|line| line["event"] == "revocation_failed").collect();
    assert_eq!(failed.len(), 2, "{lines:#?}");
    for (line, revoked) in failed.iter().zip(["sub:alice", "sub:bob"]) {
        assert_eq!((&line["by"], &line["revoked"]), (&by, &json!(revoked)));
        assert!(line["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{line}");
    }
}
