//! The path in the URL of a target, which stands in front of the path of each request.

use crate::harness::gateway::Gateway;
use crate::harness::process::{portcullis_command, run};
use crate::harness::tls::{Authority, server_config};
use crate::harness::upstream::{Answer, GrpcUpstream, Upstream};

const YAML: &str = r#"
    upstreams:
      based: { targets: ["{target}/api/v2/"]{tls} }
      plain: { targets: ["{target}"]{tls} }
    routes:
      - { name: whole, match: { path: /v1/** }, auth: public, upstream: based }
      - { name: stripped, match: { path: /shop/v1/** }, auth: public, upstream: based, rewrite: { strip_prefix: /shop/v1 } }
      - { name: root, match: { host: root.example.com, path: /** }, auth: public, upstream: based }
      - { name: plain, match: { path: /plain/** }, auth: public, upstream: plain }
"#;

async fn gateway_to(target: &str, tls: bool) -> Gateway {
    Gateway::builder(YAML)
        .with("target", target)
        .with("tls", if tls { ", tls: { ca: ca.crt }" } else { "" })
        .file("ca.crt", Authority::shared().pem())
        .start()
        .await
}

/// Host, path that the client asks for, and target that the upstream gets.
const CASES: [(&str, &str, &str); 14] = [
    ("localhost", "/v1/orders/7?page=/v1/2", "/api/v2/v1/orders/7?page=/v1/2"),
    ("localhost", "/v1", "/api/v2/v1"),
    ("localhost", "/v1/", "/api/v2/v1/"),
    ("localhost", "/v1?x", "/api/v2/v1?x"),
    ("localhost", "/shop/v1/orders/7?page=2", "/api/v2/orders/7?page=2"),
    ("localhost", "/shop/v1", "/api/v2"),
    ("localhost", "/shop/v1/", "/api/v2/"),
    ("localhost", "/shop/v1?x=/", "/api/v2?x=/"),
    ("localhost", "/%73hop/v1/a%20b/c;d=e", "/api/v2/a%20b/c;d=e"),
    ("localhost", "/shop/v1/shop/v1/api/v2", "/api/v2/shop/v1/api/v2"),
    ("localhost", "/plain/orders", "/plain/orders"),
    ("root.example.com", "/", "/api/v2/"),
    ("root.example.com", "/?x=1", "/api/v2/?x=1"),
    ("root.example.com", "/api/v2", "/api/v2/api/v2"),
];

#[tokio::test]
async fn puts_the_base_path_in_front_of_every_request() {
    let certificate = Authority::shared().server(&["127.0.0.1", "root.example.com"]);
    let clear = Upstream::start();
    let tls = Upstream::start_tls(server_config(&certificate, None, &["http/1.1"]));
    for upstream in [&clear, &tls] {
        let gateway = gateway_to(&upstream.url(), upstream.url().starts_with("https")).await;
        for (host, path, expected) in CASES {
            let client = gateway.https().host(host);
            client.get(path).await.assert_status(200);
            assert_eq!(upstream.take_one().target, expected, "{host}{path}");
            client.get(path).over_http2().await.assert_status(200);
            assert_eq!(upstream.take_one().target, expected, "{host}{path} over HTTP/2");
        }
        // Neither the prefix nor the route is a matter of letters.
        for path in ["/shop/v1x/orders", "/v1x", "/shop/v/1"] {
            gateway.https().get(path).await.assert_status(404);
            upstream.assert_nothing();
        }
    }
}

#[tokio::test]
async fn puts_the_base_path_in_front_of_requests_over_h2c() {
    let upstream = GrpcUpstream::start();
    let gateway = gateway_to(&format!("h2c://{}", upstream.address()), false).await;
    for http2 in [false, true] {
        let client = gateway.https();
        let call = client.post("/shop/v1/orders.Orders/Unary").body("x");
        if http2 { call.over_http2().await } else { call.await }.assert_status(200);
        let call = upstream.calls().pop().unwrap();
        assert_eq!((&*call.path, call.complete), ("/api/v2/orders.Orders/Unary", true));
    }
}

#[tokio::test]
async fn puts_the_base_path_in_front_of_an_upgrade() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let gateway = gateway_to(&upstream.url(), false).await;
    let websocket = gateway.https().websocket("/shop/v1/ws?room=1", &[]).await;
    websocket.unwrap_or_else(|response| panic!("{response:?}")).echo("hello").await;
    assert_eq!(upstream.take_one().target, "/api/v2/ws?room=1");
}

/// A reload replaces the base path without losing what is known of the target.
#[tokio::test]
async fn follows_a_reload_to_another_base_path() {
    let upstream = Upstream::start();
    let gateway = gateway_to(&upstream.url(), false).await;
    gateway.https().get("/v1/a").await.assert_status(200);
    assert_eq!(upstream.take_one().target, "/api/v2/v1/a");
    gateway.reload_with(&YAML.replace("/api/v2/", "/api/v3")).await;
    gateway.https().get("/v1/a").await.assert_status(200);
    assert_eq!(upstream.take_one().target, "/api/v3/v1/a");
    gateway.reload_with(&YAML.replace("/api/v2/", "")).await;
    gateway.https().get("/v1/a").await.assert_status(200);
    assert_eq!(upstream.take_one().target, "/v1/a");
}

/// `explain`, `routes` and policy tests know the path that the upstream gets.
#[tokio::test]
async fn shows_the_path_that_the_upstream_receives() {
    let gateway = gateway_to("http://orders:8080", false).await;
    let file = gateway.path("gateway.yaml");
    for (arguments, expected) in [
        (
            &["explain", "GET", "https://localhost/shop/v1/orders?page=2"][..],
            "upstream  based (http://orders:8080), /api/v2/orders?page=2, with\n",
        ),
        (&["explain", "GET", "https://localhost/shop/v1", "--format", "json"], "\"target\": \"/api/v2\""),
        (&["routes"], "  based (under /api/v2)\n"),
    ] {
        let finished = run(portcullis_command().args(arguments).arg("--config").arg(&file)).await;
        assert!(finished.assert_success().stdout.contains(expected), "{arguments:?}: {}", finished.stdout);
    }
    let test = |path: &str| {
        let expect = format!("expect: {{ upstream_path: {path:?} }}");
        gateway.write(
            "tests.yaml",
            &format!("tests: [{{ name: path, request: GET https://localhost/shop/v1/a?b, {expect} }}]\n"),
        );
        let mut command = portcullis_command();
        command.arg("test").arg(gateway.path("tests.yaml")).arg("--config").arg(&file);
        async move { run(&mut command).await }
    };
    test("/api/v2/a?b").await.assert_success();
    let failed = test("/api/v2/a").await;
    assert_eq!(failed.code(), 1);
    let difference = "upstream_path: expected /api/v2/a, got /api/v2/a?b";
    assert!(failed.stdout.contains(difference), "{}{}", failed.stdout, failed.stderr);
    let malformed = test("api/v2/a").await;
    assert!(malformed.stderr.contains("a path begins with `/`"), "{}", malformed.stderr);
}
