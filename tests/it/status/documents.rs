//! What the documents of the page say, and that it is what the logs and the policy say.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Cast, WITH_TOKEN, now, refused};
use crate::harness::deadline::within;
use crate::harness::gateway::Gateway;
use crate::harness::issuer::Issuer;
use crate::harness::redis::Redis;
use crate::harness::upstream::Upstream;

/// The page is one document with one style and one script of our own, and nothing is taken from elsewhere.
#[tokio::test]
async fn the_page_brings_everything_along() {
    let gateway = Cast::new().gateway("").start().await;
    let admin = gateway.admin();
    for (path, kind) in [
        ("/status", "text/html; charset=utf-8"),
        ("/status/page.css", "text/css; charset=utf-8"),
        ("/status/page.js", "text/javascript; charset=utf-8"),
        ("/status/now", "application/json"),
        ("/status/policy", "application/json"),
        ("/status/session", "application/json"),
        ("/status/revocations", "application/json"),
        ("/status/nothing", "application/json"),
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, if path.ends_with("nothing") { 404 } else { 200 }, "{answer:?}");
        for (field, value) in [
            ("Content-Type", kind),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            (
                "Content-Security-Policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                 img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            ),
        ] {
            assert_eq!(answer.header(field), Some(value), "{path}");
        }
        let text = answer.text().replace("http://www.w3.org/2000/svg", "");
        let is_fixed = !kind.ends_with("json");
        assert!(
            !is_fixed || !(text.contains("http:") || text.contains("https:") || text.contains("//cdn")),
            "{path}"
        );
        for method in ["PUT", "PATCH", "OPTIONS", "TRACE"] {
            let status = admin.call(method, path).await.status;
            assert!([403, 404, 405].contains(&status), "{method} {path}: {status}");
        }
    }
    // Ways of putting markup or script into a page that would read what came with requests.
    let script = admin.get("/status/page.js").await;
    for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
        assert!(!script.text().contains(word), "{word}");
    }
}

/// A refusal has the fields of its line in the access log; what was let through is not among them.
#[tokio::test]
async fn the_last_refusals_are_those_of_the_access_log() {
    let cast = Cast::new();
    let gateway = cast.gateway("").start().await;
    cast.ask(&gateway).await.assert_status(200);
    let secret = "pcl_k_4fQ9xT_0123456789";
    let mut lines = vec![
        refused(&gateway, "GET", "/v1/orders?api=1", &[]).await,
        refused(&gateway, "GET", &format!("/v1/{secret}/x"), &[("X-API-Key", "wrong-key")]).await,
        refused(&gateway, "POST", "/v1/orders", &[cast.key.header()]).await,
        refused(&gateway, "GET", "/nothing/here", &[]).await,
        refused(&gateway, "GET", "/docs/../v1", &[]).await,
    ];
    let mut raw = gateway.https().connect().await;
    raw.write("GET /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n").await;
    let answer = raw.only_response().await;
    assert_eq!(answer.status, 400);
    let id = answer.json()["request_id"].clone();
    lines.push(gateway.wait_for_access(|line| line["request_id"] == id).await);
    let now = now(&gateway, &[]).await;
    let shown = now["refusals"].as_array().unwrap();
    assert_eq!(shown.len(), lines.len(), "{shown:#?}");
    for (number, (line, refusal)) in lines.iter().zip(shown.iter().rev()).enumerate() {
        assert_eq!(refusal["number"], number + 1);
        for field in ["time", "request_id", "client", "method", "route", "status", "reason"] {
            assert_eq!(refusal[field], line[field], "{field}: {refusal}");
        }
        for field in ["auth", "auth_method", "subject", "key_id"] {
            assert_eq!(refusal.get(field).unwrap_or(&Value::Null), &line[field], "{field}: {refusal}");
        }
        for field in ["host", "path"] {
            let logged = line.get(field).cloned().unwrap_or_else(|| json!(""));
            assert_eq!(refusal[field], logged, "{field}: {refusal}");
        }
    }
    let text = now.to_string();
    for hidden in [secret, "wrong-key", cast.key.key.as_str(), "api=1"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

/// However many are refused, the newest hundred are kept, and memory does not grow with them.
#[tokio::test]
async fn a_flood_of_refusals_is_kept_in_a_bounded_place() {
    const MANY: u64 = 1_000;
    let cast = Cast::new();
    let gateway = cast.gateway("").start().await;
    let long = "x".repeat(900);
    let client = gateway.https();
    let mut connection = client.connect().await;
    for number in 0..MANY {
        connection.get(&format!("/nothing/{number}/{long}")).await.assert_status(404);
    }
    gateway
        .wait_for_access(|line| line["path"].as_str().is_some_and(|path| path.starts_with("/nothing/999/")))
        .await;
    let answer = gateway.admin().get("/status/now").await;
    assert!(answer.body.len() < 250_000, "{} bytes", answer.body.len());
    let now = answer.json();
    let numbers: Vec<u64> =
        now["refusals"].as_array().unwrap().iter().map(|each| each["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (MANY - 99..=MANY).rev().collect::<Vec<_>>());
    assert_eq!(now["answered"]["none"]["statuses"]["404"], MANY);
    cast.upstream.assert_nothing();
}

/// Who may do what is what `portcullis routes --matrix` says.
#[tokio::test]
async fn the_policy_is_the_one_that_decides() {
    let cast = Cast::new();
    let gateway = cast.gateway("").start().await;
    let policy = gateway.admin().get("/status/policy").await.json();
    assert_eq!(policy["auth"], json!(["partners"]));
    let rows = policy["rows"].as_array().unwrap();
    let orders: Vec<&Value> = rows.iter().filter(|row| row["route"] == "orders").collect();
    assert_eq!(orders.len(), 2, "{policy:#}");
    assert_eq!(orders[0]["scopes"], json!(["orders:read"]));
    assert_eq!(orders[0]["may"], json!([{ "listed": { "may": 1, "of": 1 } }]));
    assert_eq!(orders[1]["may"], json!([{ "listed": { "may": 0, "of": 1 } }]));
    assert!(rows.iter().any(|row| row["route"] == "docs" && row["public"] == true), "{policy:#}");
    // A reload is seen by its number, and one that is refused as what it is.
    let before = now(&gateway, &[]).await["policy"].clone();
    assert_eq!((&before["number"], &before["newer_refused"]), (&json!(1), &json!(false)));
    gateway.reload().await;
    assert_eq!(now(&gateway, &[]).await["policy"]["number"], 2);
    gateway.write("keys.yaml", "keys: [nonsense]\n");
    gateway.reload().await;
    let after = now(&gateway, &[]).await["policy"].clone();
    assert_eq!((&after["number"], &after["newer_refused"]), (&json!(2), &json!(true)));
}

/// Upstreams, issuer, list and certificate while they work and while they do not. The list's health and `waiting_for`
/// are of one reading, so a document never contradicts itself.
#[tokio::test]
async fn reports_health_of_each_dependency_from_one_reading() {
    let (upstream, gone, issuer, redis) =
        (Upstream::start(), Upstream::start(), Issuer::start(), Redis::start().await);
    gone.stop().await;
    let gateway = Gateway::builder(
        r#"
        redis: { url: "{redis}" }
        auth: { users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } } }
        upstreams: { api: "{upstream}", gone: "{gone}", lost: "http://no-such-host.invalid:80" }
        routes:
          - { name: api, match: { path: /v1/** }, auth: users, upstream: api }
          - { name: gone, match: { path: /gone }, auth: public, upstream: gone }
          - { name: lost, match: { path: /lost }, auth: public, upstream: lost }
        "#,
    )
    .with("upstream", upstream.url())
    .with("gone", gone.url())
    .with("issuer", issuer.url())
    .with("redis", redis.url())
    .start()
    .await;
    // Said a moment after the list was read.
    gateway.wait_for_metric("portcullis_redis_up", &[], |up| up > 0.5).await;
    let health = |now: &Value, part: &str, name: &str| {
        let all = now[part].as_array().unwrap().clone();
        all.into_iter().find(|each| each["name"] == name).unwrap()["health"].clone()
    };
    let first = now(&gateway, &[]).await;
    assert_eq!(first["waiting_for"], Value::Null);
    assert_eq!(health(&first, "upstreams", "api"), "unknown");
    assert_eq!(health(&first, "upstreams", "lost"), "bad");
    let issuer_now = &first["issuers"][0];
    assert_eq!((&issuer_now["auth"], &issuer_now["health"]), (&json!("users"), &json!("good")), "{first:#}");
    assert!(issuer_now["age_seconds"].as_u64().is_some_and(|age| age < 60), "{issuer_now}");
    let list = &first["revocations"];
    assert_eq!(
        (&list["store"], &list["redis_up"], &list["health"]),
        (&json!("redis"), &json!(true), &json!("good"))
    );
    let certificate = &first["certificates"][0];
    assert!(certificate["certificate"].as_str().unwrap().ends_with("server.crt"), "{certificate}");
    assert!(certificate["names"].as_array().unwrap().contains(&json!("localhost")), "{certificate}");

    gateway.https().get("/v1/x").header("Authorization", &issuer.token().bearer()).await.assert_status(200);
    gateway.https().get("/gone").await.assert_status(502);
    let second = within("the answers to be counted", async {
        loop {
            let now = now(&gateway, &[]).await;
            if health(&now, "upstreams", "api") == "good" && health(&now, "upstreams", "gone") == "bad" {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let gone_now =
        second["upstreams"].as_array().unwrap().iter().find(|each| each["name"] == "gone").unwrap();
    assert_eq!((&gone_now["failures"], &gone_now["last_failure"]["kind"]), (&json!(1), &json!("connect")));
    // It is no good again before it has answered; then it is, with a doubt.
    gone.start_again();
    gateway.https().get("/gone").await.assert_status(200);
    within("the upstream to be heard of", async {
        while health(&now(&gateway, &[]).await, "upstreams", "gone") != "doubtful" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    redis.pause();
    within("the list to be out of touch", async {
        loop {
            let now = now(&gateway, &[]).await;
            if now["revocations"]["health"] == "bad" {
                let waiting = now["waiting_for"].as_str().unwrap_or_default();
                assert!(waiting.starts_with("the revocation list"), "{now:#}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    redis.resume();
}

/// Where there is a token, the page itself is for everybody who gets here, and says nothing about the gateway.
#[tokio::test]
async fn a_token_guards_what_is_shown() {
    let cast = Cast::new();
    let gateway = cast.gateway(WITH_TOKEN).start().await;
    let admin = gateway.admin();
    let page = admin.get("/status").await;
    for word in ["orders", "docs", "partners", "acme", env!("CARGO_PKG_VERSION")] {
        assert!(!page.text().contains(&format!(">{word}<")), "{word}");
    }
    for path in ["/status/now", "/status/policy", "/status/revocations"] {
        for token in ["", "Bearer", "Bearer wrong", "Basic correct-horse-battery-staple"] {
            let answer = admin.get(path).header("Authorization", token).await;
            assert_eq!(answer.status, 401, "{path} {token}");
            assert_eq!(answer.json().as_object().unwrap().len(), 1, "{answer:?}");
        }
        admin.get(path).header("Authorization", &format!("Bearer {}", super::TOKEN)).await.assert_status(200);
    }
    assert_eq!(admin.get("/status/session").await.json(), json!({ "mode": "signed_out" }));
    // Without a token, an address that others can reach shows nothing at all.
    let gateway = cast.gateway("admin: { address: \"0.0.0.0:0\" }").start().await;
    let admin = crate::harness::client::Client::plain(([127, 0, 0, 1], gateway.admin_port()).into());
    for path in ["/status/now", "/status/policy", "/status/revocations", "/status/session"] {
        admin.get(path).await.assert_status(403);
    }
}
