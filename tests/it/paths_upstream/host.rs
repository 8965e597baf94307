//! `host` of an upstream: the `Host` or `:authority` that it receives, for every protocol on either side.

use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::port::ReservedPort;
use crate::harness::process::{portcullis_command, run};
use crate::harness::tls::{Authority, server_config};
use crate::harness::upstream::{Answer, GrpcUpstream, Upstream};

const YAML: &str = r#"
    upstreams:
      kept: { targets: [{targets}]{tls} }
      written: { targets: [{targets}], host: preserve{tls} }
      own: { targets: [{targets}], host: upstream{tls} }
      fixed: { targets: [{targets}], host: "Orders.Example.com:8080"{tls} }
    routes:
      - { name: kept, match: { path: /kept/** }, auth: public, upstream: kept }
      - { name: written, match: { path: /written/** }, auth: public, upstream: written }
      - { name: own, match: { path: /own/** }, auth: public, upstream: own }
      - { name: fixed, match: { path: /fixed/** }, auth: public, upstream: fixed }
"#;

async fn gateway_to(targets: &[&str], tls: bool) -> Gateway {
    let targets: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
    Gateway::builder(YAML)
        .with("targets", targets.join(", "))
        .with("tls", if tls { ", tls: { ca: ca.crt, server_name: orders.internal }" } else { "" })
        .file("ca.crt", Authority::shared().pem())
        .start()
        .await
}

/// What an upstream received of the host: its own field, and the ones that say what the client asked for.
struct Received {
    host: String,
    forwarded_host: Option<String>,
    forwarded: Option<String>,
}

/// Sends a request for each policy over HTTP/1.1 and HTTP/2, and compares the hosts that the upstream received.
async fn check(name: &str, gateway: &Gateway, authority: &str, take: impl Fn() -> Received) {
    let client: Client = gateway.https().host("api.example.com");
    for (path, expected) in [
        ("/kept/Unary", "api.example.com"),
        ("/written/Unary", "api.example.com"),
        ("/own/Unary", authority),
        ("/fixed/Unary", "orders.example.com:8080"),
    ] {
        for http2 in [false, true] {
            let call = client.post(path).header("X-Forwarded-Host", "evil.example").body("x");
            if http2 { call.over_http2().await } else { call.await }.assert_status(200);
            let Received { host, forwarded_host, forwarded } = take();
            let place = format!("{name}, {path}, http2 {http2}");
            assert_eq!(host, expected, "{place}");
            assert_eq!(forwarded_host.as_deref(), Some("api.example.com"), "{place}");
            assert!(forwarded.is_some_and(|text| text.contains("host=\"api.example.com\"")), "{place}");
        }
    }
}

fn of_http1(upstream: &Upstream) -> Received {
    let request = upstream.take_one();
    let field = |name| request.header(name).map(str::to_owned);
    Received {
        host: field("Host").unwrap(),
        forwarded_host: field("X-Forwarded-Host"),
        forwarded: field("Forwarded"),
    }
}

fn of_http2(upstream: &GrpcUpstream) -> Received {
    let call = upstream.calls().pop().unwrap();
    let field = |name| call.headers.get(name).map(str::to_owned);
    assert_eq!(field("host"), None, "`host` beside `:authority`");
    Received {
        host: call.authority.clone(),
        forwarded_host: field("x-forwarded-host"),
        forwarded: field("forwarded"),
    }
}

#[tokio::test]
async fn sends_the_configured_host_to_http_upstreams() {
    let upstream = Upstream::start();
    let gateway = gateway_to(&[&upstream.url()], false).await;
    check("http", &gateway, &upstream.address().to_string(), || of_http1(&upstream)).await;
}

/// The name in the TLS handshake stays that of `tls: { server_name: … }`, whatever `Host` says.
#[tokio::test]
async fn sends_the_configured_host_to_https_upstreams() {
    let certificate = Authority::shared().server(&["orders.internal"]);
    let one = Upstream::start_tls(server_config(&certificate, None, &["http/1.1"]));
    let gateway = gateway_to(&[&one.url()], true).await;
    check("https by HTTP/1.1", &gateway, &one.address().to_string(), || of_http1(&one)).await;
    assert!(one.server_names().iter().all(|name| name.as_deref() == Some("orders.internal")));

    let two = GrpcUpstream::start_tls(server_config(&certificate, None, &["h2", "http/1.1"]));
    let gateway = gateway_to(&[&two.url()], true).await;
    // A client of HTTP/1.1 gets HTTP/1.1 upstream, which this one does not speak.
    let client = gateway.https().host("api.example.com").http2().await;
    for (path, expected) in [
        ("/kept/Unary", "api.example.com"),
        ("/own/Unary", &*two.address().to_string()),
        ("/fixed/Unary", "orders.example.com:8080"),
    ] {
        client.post(path).body("x").await.assert_status(200);
        let received = of_http2(&two);
        assert_eq!(
            (&*received.host, received.forwarded_host.as_deref()),
            (expected, Some("api.example.com")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn sends_the_configured_host_to_h2c_upstreams() {
    let upstream = GrpcUpstream::start();
    let gateway = gateway_to(&[&format!("h2c://{}", upstream.address())], false).await;
    check("h2c", &gateway, &upstream.address().to_string(), || of_http2(&upstream)).await;
}

#[tokio::test]
async fn sends_the_configured_host_with_an_upgrade() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let gateway = gateway_to(&[&upstream.url()], false).await;
    for (path, expected) in [("/kept/ws", "localhost"), ("/own/ws", &*upstream.address().to_string())] {
        let websocket = gateway.https().websocket(path, &[]).await;
        websocket.unwrap_or_else(|response| panic!("{response:?}")).echo("hello").await;
        let received = of_http1(&upstream);
        assert_eq!(
            (&*received.host, received.forwarded_host.as_deref()),
            (expected, Some("localhost")),
            "{path}"
        );
    }
}

/// After a failover the request names the target that gets it, and not the one that was tried first.
#[tokio::test]
async fn sends_the_host_of_the_target_that_gets_the_request() {
    let dead = ReservedPort::take();
    let upstream = Upstream::start();
    let gateway = gateway_to(&[&format!("http://{}", dead.address()), &upstream.url()], false).await;
    for _ in 0..4 {
        gateway.https().get("/own/a").await.assert_status(200);
        assert_eq!(of_http1(&upstream).host, upstream.address().to_string());
    }
    let calls = GrpcUpstream::start();
    let targets = [dead.address(), calls.address()].map(|address| format!("h2c://{address}"));
    let gateway = gateway_to(&targets.each_ref().map(String::as_str), false).await;
    for _ in 0..4 {
        gateway.https().post("/own/Unary").body("x").over_http2().await.assert_status(200);
        assert_eq!(of_http2(&calls).host, calls.address().to_string());
    }
}

/// `explain` and `routes` show which host the upstream receives, and policy tests can expect it.
#[tokio::test]
async fn shows_the_host_that_the_upstream_receives() {
    let upstream = Upstream::start();
    let gateway = gateway_to(&["http://orders:80", &upstream.url()], false).await;
    let single = gateway_to(&["https://[::1]:443"], true).await;
    for (gateway, arguments, expected) in [
        (&gateway, &["explain", "GET", "https://api.example.com/kept/a"][..], "  host: api.example.com\n"),
        (&gateway, &["explain", "GET", "https://api.example.com/own/a"], "  host: (that of the target)\n"),
        (
            &gateway,
            &["explain", "GET", "https://api.example.com/fixed/a"],
            "  host: orders.example.com:8080\n",
        ),
        (
            &gateway,
            &["explain", "GET", "https://api.example.com/fixed/a"],
            "  x-forwarded-host: api.example.com\n",
        ),
        (&single, &["explain", "GET", "https://api.example.com/own/a"], "  host: [::1]\n"),
        (&gateway, &["routes"], "own (2 targets, host of the target)\n"),
        (&gateway, &["routes"], "fixed (2 targets, host orders.example.com:8080)\n"),
        (&single, &["routes"], "  own (host of the target)\n"),
    ] {
        let file = gateway.path("gateway.yaml");
        let finished = run(portcullis_command().args(arguments).arg("--config").arg(&file)).await;
        assert!(finished.assert_success().stdout.contains(expected), "{arguments:?}: {}", finished.stdout);
    }
    let tests = "tests:\n  - { name: host, request: GET https://api.example.com/fixed/a, expect: { upstream: { Host: orders.example.com:8080 } } }\n";
    single.write("tests.yaml", tests);
    let file = single.path("gateway.yaml");
    let command = &mut portcullis_command();
    run(command.arg("test").arg(single.path("tests.yaml")).arg("--config").arg(&file)).await.assert_success();
}
