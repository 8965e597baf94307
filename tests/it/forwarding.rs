//! What an upstream is told about a request: the path, the caller, and the way that it came.

use serde_json::{Value, json};

use crate::harness::client::{Client, Response};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::{Answer, Recorded, Upstream};

async fn gateway(upstream: &Upstream, trusted: &str) -> Gateway {
    Gateway::builder(
        r#"
        listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]
        trusted_proxies: {trusted}
        upstreams: { app: "{upstream}", demo: builtin:echo }
        auth: { partners: { api_key: { keys: keys.yaml } } }
        routes:
          - { name: app, match: { path: /** }, auth: public, upstream: app }
          - { name: v1, match: { path: /v1/** }, auth: public, upstream: app, rewrite: { strip_prefix: /v1 } }
          - { name: demo, match: { path: /demo/** }, auth: partners, upstream: demo, rewrite: { strip_prefix: /demo } }
        "#,
    )
    .with("upstream", upstream.url())
    .with("trusted", trusted)
    .file("keys.yaml", keys_yaml(&[&ApiKey::of("acme").scopes(&["a", "b"])]))
    .start()
    .await
}

#[tokio::test]
async fn a_prefix_is_taken_off_by_whole_segments() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "[]").await;
    for (asked, sent) in [
        ("/v1/orders/42?a=/v1/b", "/orders/42?a=/v1/b"),
        ("/v1", "/"),
        ("/v1/", "/"),
        ("/v1?x=1", "/?x=1"),
        ("/v1/v1/x", "/v1/x"),
        ("/v1/a%20b/c;d=e", "/a%20b/c;d=e"),
        ("/v11/x", "/v11/x"),
        ("/other/v1/x", "/other/v1/x"),
    ] {
        gateway.https().get(asked).await.assert_status(200);
        assert_eq!(upstream.take_one().target, sent, "{asked}");
        gateway.https().get(asked).over_http2().await.assert_status(200);
        assert_eq!(upstream.take_one().target, sent, "{asked} over HTTP/2");
    }
    // Some upstreams would take it for `/v1/x`, so it is not passed on as another path.
    gateway.https().get("/V1/x").await.assert_status(404);
    upstream.assert_nothing();
}

/// Nobody is believed by default: what a client says about the way it came is replaced.
#[tokio::test]
async fn what_a_client_says_of_its_way_is_replaced() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "[]").await;
    for client in [gateway.https(), gateway.http()] {
        let proto = if client.address().port() == gateway.https_port(0) { "https" } else { "http" };
        client.get("/a").headers(CLAIMS).await.assert_status(200);
        let received = upstream.take_one();
        assert_eq!(received.header("X-Forwarded-For"), Some("127.0.0.1"));
        assert_eq!(received.header("X-Forwarded-Proto"), Some(proto));
        assert_eq!(received.header("X-Forwarded-Host"), Some("localhost"));
        let forwarded = format!("for=127.0.0.1;host=\"localhost\";proto={proto}");
        assert_eq!(received.header("Forwarded"), Some(&*forwarded));
        for name in ["X-Forwarded-Port", "X-Forwarded-Prefix", "X-Real-IP"] {
            assert_eq!(received.header(name), None, "{name}");
        }
        assert_ne!(received.header("X-Request-Id"), Some("0af7651916cd43dd"));
        // What belongs to a trace is the client's business, and passes.
        assert_eq!(received.header("traceparent"), Some(TRACE));
        assert_eq!(received.header("tracestate"), Some("vendor=1"));
    }
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const CLAIMS: &[(&str, &str)] = &[
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "public.example.com"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Prefix", "/api"),
    ("Forwarded", "for=203.0.113.7;proto=https"),
    ("X-Real-IP", "203.0.113.7"),
    ("X-Request-Id", "0af7651916cd43dd"),
    ("traceparent", TRACE),
    ("tracestate", "vendor=1"),
];

/// Of a trusted proxy the client's address and the scheme are read. The gateway adds itself, and removes all other headers of
/// the family: a proxy that does not set them passes on those of its client.
#[tokio::test]
async fn forwards_the_client_that_a_trusted_proxy_names() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "[127.0.0.1/32]").await;
    gateway.http().get("/a").headers(CLAIMS).await.assert_status(200);
    let received = upstream.take_one();
    assert_eq!(received.header("X-Forwarded-For"), Some("203.0.113.7, 127.0.0.1"));
    assert_eq!(received.header("X-Forwarded-Proto"), Some("https"));
    assert_eq!(received.header("X-Forwarded-Host"), Some("localhost"));
    assert_eq!(received.header("X-Forwarded-Port"), None);
    assert_eq!(received.header("X-Forwarded-Prefix"), None);
    let forwarded = "for=203.0.113.7;proto=https, for=127.0.0.1;host=\"localhost\";proto=http";
    assert_eq!(received.header("Forwarded"), Some(forwarded));
    assert_eq!(received.header("X-Request-Id"), Some("0af7651916cd43dd"));
    assert_eq!(received.header("X-Real-IP"), None);
    let line = gateway.wait_for_access(|line| line["path"] == "/a").await;
    assert_eq!((&line["client"], &line["request_id"]), (&"203.0.113.7".into(), &"0af7651916cd43dd".into()));
    // Another address is not trusted, though it is the same machine.
    let stranger = gateway.http().source([127, 0, 0, 2].into());
    stranger.get("/b").headers(CLAIMS).await.assert_status(200);
    assert_eq!(upstream.take_one().header("X-Forwarded-For"), Some("127.0.0.2"));
    let line = gateway.wait_for_access(|line| line["path"] == "/b").await;
    assert_eq!(line["client"], "127.0.0.2");
}

/// The client is the first address from the right that is not a trusted proxy; what stands left of it is hearsay.
#[tokio::test]
async fn the_client_is_found_behind_several_proxies() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "[127.0.0.1/32, 10.0.0.0/8]").await;
    for (path, sent, client) in [
        ("/1", "203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("/2", "198.51.100.1, 203.0.113.7, 10.0.0.1, 10.0.0.2", "203.0.113.7"),
        ("/3", "10.0.0.1", "10.0.0.1"),
        ("/4", "203.0.113.7, unknown, 10.0.0.1", "10.0.0.1"),
        ("/5", "2001:db8::1", "2001:db8::1"),
        ("/6", "", "127.0.0.1"),
    ] {
        gateway.http().get(path).header("X-Forwarded-For", sent).await.assert_status(200);
        let line = gateway.wait_for_access(|line| line["path"] == path).await;
        assert_eq!(line["client"], client, "{sent}");
    }
}

/// One identifier stands in the answer, at the upstream and in the log.
#[tokio::test]
async fn a_request_has_one_identifier() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "[]").await;
    let answer = gateway.https().get("/a").await;
    let received: Recorded = upstream.take_one();
    let id = answer.header("X-Request-Id").unwrap();
    assert_eq!(received.header("X-Request-Id"), Some(id));
    gateway.wait_for_access(|line| line["request_id"] == id && line["path"] == "/a").await;
    // An upstream that names it otherwise is left in its belief.
    upstream.answer_otherwise(Answer::ok("x").header("X-Request-Id", "theirs"));
    assert_eq!(gateway.https().get("/b").await.header("X-Request-Id"), Some("theirs"));
    let refused = gateway.https().get("/demo").await;
    assert_problem(&refused, 401, "no_credential");
    let id = refused.header("X-Request-Id").unwrap();
    gateway.wait_for_access(|line| line["request_id"] == id && line["status"] == 401).await;
}

/// `builtin:echo` shows what an upstream would see: the identity, and no credential.
#[tokio::test]
async fn the_echo_shows_what_an_upstream_would_see() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "[]").await;
    let key = ApiKey::of("acme");
    let client: Client = gateway.https();
    let check = |answer: &Response| {
        answer.assert_status(200);
        let echo: Value = answer.json();
        assert_eq!((&echo["method"], &echo["path"]), (&json!("POST"), &json!("/x?y=1")));
        assert_eq!((&echo["body"], &echo["body_bytes"]), (&json!("hello"), &json!(5)));
        assert_eq!(echo["headers"]["x-auth-subject"], "acme");
        assert_eq!(echo["headers"]["x-auth-scopes"], "a b");
        assert_eq!(echo["headers"]["x-forwarded-for"], "127.0.0.1");
        assert!(echo["headers"].get("x-api-key").is_none(), "{echo}");
    };
    for _ in 0..3 {
        let call = client.post("/demo/x?y=1").headers(&[key.header()]).body("hello");
        check(&call.await);
        let call = client.post("/demo/x?y=1").headers(&[key.header()]).body("hello").over_http2();
        check(&call.await);
    }
    let large = client.post("/demo/x").headers(&[key.header()]).body(vec![b'a'; 1 << 20]).await;
    assert_eq!(large.json()["body_bytes"], 1 << 20);
    upstream.assert_nothing();
}
