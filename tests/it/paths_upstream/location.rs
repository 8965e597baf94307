//! `X-Forwarded-Prefix`, and references in responses (`Location`, `Content-Location`) back to the client's URLs.

use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::process::{portcullis_command, run};
use crate::harness::tls::{Authority, server_config};
use crate::harness::upstream::{Answer, GrpcUpstream, Upstream};

const YAML: &str = r#"
    upstreams:
      plain: { targets: ["{target}"]{tls} }
      based: { targets: ["{target}/api"], host: upstream{tls} }
    routes:
      - { name: untouched, match: { path: /untouched/** }, auth: public, upstream: plain }
      - { name: stripped, match: { path: /v1/** }, auth: public, upstream: plain, rewrite: { strip_prefix: /v1 } }
      - { name: based, match: { path: /orders/** }, auth: public, upstream: based }
      - { name: both, match: { path: /shop/v1/** }, auth: public, upstream: based, rewrite: { strip_prefix: /shop/v1 } }
"#;

async fn gateway_to(target: &str, tls: bool) -> Gateway {
    Gateway::builder(YAML)
        .with("target", target)
        .with("tls", if tls { ", tls: { ca: ca.crt }" } else { "" })
        .file("ca.crt", Authority::shared().pem())
        .start()
        .await
}

/// An upstream that refers to what the client's `X-Refer-To` says.
fn referring() -> Answer {
    Answer::from_fn(|request| {
        let to = request.header("X-Refer-To").unwrap_or_default();
        Answer::status(201, "made")
            .header("Location", to)
            .header("Content-Location", to)
            .header("X-Other", to)
    })
}

/// Path that the client asks for, reference of the upstream, and reference that the client gets. `{target}` stands for the
/// authority of the upstream.
const CASES: [(&str, &str, &str); 25] = [
    ("/v1/orders/Redirect", "/orders/", "/v1/orders/"),
    ("/v1/orders/Redirect", "/orders/?page=2#top", "/v1/orders/?page=2#top"),
    ("/v1/orders/Redirect", "7", "/v1/orders/7"),
    ("/v1/orders/Redirect", "../carts/./7", "/v1/carts/7"),
    ("/v1/orders/Redirect", "http://{target}/orders?x#y", "/v1/orders?x#y"),
    ("/v1/orders/Redirect", "https://api.example.com/orders", "/v1/orders"),
    ("/v1/orders/Redirect", "http://api.example.com/orders", "/v1/orders"),
    ("/v1/orders/Redirect", "/v1/orders/", "/v1/orders/"),
    ("/v1/orders/Redirect", "/v1x/orders", "/v1/v1x/orders"),
    ("/v1/orders/Redirect", "?page=2", "?page=2"),
    ("/orders/Redirect", "/api/orders/", "/orders/"),
    ("/orders/Redirect", "http://{target}/api/orders/", "/orders/"),
    ("/orders/Redirect", "//{target}/api/orders/", "/orders/"),
    ("/orders/Redirect", "/login", "/login"),
    ("/orders/Redirect", "/apix", "/apix"),
    ("/shop/v1/Redirect", "/api/orders/", "/shop/v1/orders/"),
    ("/shop/v1/Redirect", "orders/", "/shop/v1/orders/"),
    ("/shop/v1/Redirect", "http://{target}/api", "/shop/v1"),
    // Hostile, or somebody else's: no other host is made of it, and nothing is changed.
    ("/v1/orders/Redirect", "//evil.example/a", "//evil.example/a"),
    ("/orders/Redirect", "/api//evil.example/a", "/api//evil.example/a"),
    ("/orders/Redirect", "/api/\\evil.example", "/api/\\evil.example"),
    ("/v1/orders/Redirect", "http://{target}@evil.example/", "http://{target}@evil.example/"),
    ("/v1/orders/Redirect", "http://127.0.0.1:1/orders", "http://127.0.0.1:1/orders"),
    ("/v1/orders/Redirect", "https://login.example.com/?next=/v1", "https://login.example.com/?next=/v1"),
    ("/untouched/Redirect", "http://{target}/orders/", "http://{target}/orders/"),
];

async fn check(name: &str, gateway: &Gateway, target: &str) {
    let client: Client = gateway.https().host("api.example.com");
    for (path, refer_to, expected) in CASES {
        let (refer_to, expected) =
            (refer_to.replace("{target}", target), expected.replace("{target}", target));
        for http2 in [false, true] {
            let call = client.get(path).header("X-Refer-To", &refer_to);
            let response = if http2 { call.over_http2().await } else { call.await };
            let place = format!("{name}, {path}, {refer_to}, http2 {http2}");
            assert_eq!(response.status, 201, "{place}");
            for header in ["Location", "Content-Location"] {
                assert_eq!(response.header(header), Some(&*expected), "{place}, {header}");
            }
            assert_eq!(response.header("X-Other"), Some(&*refer_to), "{place}");
        }
    }
}

#[tokio::test]
async fn maps_references_of_http_upstreams() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(referring());
    let gateway = gateway_to(&upstream.url(), false).await;
    check("http", &gateway, &upstream.address().to_string()).await;
}

#[tokio::test]
async fn maps_references_of_https_upstreams() {
    let certificate = Authority::shared().server(&["127.0.0.1"]);
    let upstream = Upstream::start_tls(server_config(&certificate, None, &["http/1.1"]));
    upstream.answer_otherwise(referring());
    let gateway = gateway_to(&upstream.url(), true).await;
    check("https", &gateway, &upstream.address().to_string()).await;
}

#[tokio::test]
async fn maps_references_of_h2c_upstreams() {
    let upstream = GrpcUpstream::start();
    let gateway = gateway_to(&format!("h2c://{}", upstream.address()), false).await;
    check("h2c", &gateway, &upstream.address().to_string()).await;
}

/// What a client says of a prefix is removed, and `Connection` removes nothing of the gateway's (rows H03, H05 and B04).
#[tokio::test]
async fn sends_the_prefix_that_it_removed_and_none_of_the_client() {
    let upstream = Upstream::start();
    let gateway = gateway_to(&upstream.url(), false).await;
    let forged = [
        ("X-Forwarded-Prefix", "/evil"),
        ("x-forwarded_prefix", "/evil"),
        ("X.Forwarded.Prefix", "/evil"),
        ("Connection", "close, X-Forwarded-Prefix"),
    ];
    for (path, expected) in [
        ("/v1/orders", Some("/v1")),
        ("/shop/v1", Some("/shop/v1")),
        ("/orders", None),
        ("/untouched/a", None),
    ] {
        gateway.https().get(path).headers(&forged).await.assert_status(200);
        let received = upstream.take_one();
        assert_eq!(received.header("X-Forwarded-Prefix"), expected, "{path}");
        let text = format!("{:?}", received.headers);
        assert!(!text.contains("evil"), "{path}: {text}");
        gateway.https().get(path).headers(&forged[..3]).over_http2().await.assert_status(200);
        assert_eq!(upstream.take_one().header("X-Forwarded-Prefix"), expected, "{path} over HTTP/2");
    }
}

/// A line break in a reference makes no other header and no other host. Those that the reader of responses does not accept
/// are a 502; it takes a line feed for the end of a line (RFC 9112 §2.2) and joins folded lines (§5.2).
#[tokio::test]
async fn keeps_references_with_line_breaks_harmless() {
    let upstream = Upstream::start();
    let gateway = gateway_to(&upstream.url(), false).await;
    for (location, expected) in [
        ("/a\rSet-Cookie: evil=1", None),
        ("/a\0", None),
        ("/a\r\n //evil.example", Some("/a //evil.example")),
        ("/a\nX-Line: 2", Some("/v1/a")),
    ] {
        let response = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        upstream.answer_otherwise(Answer::raw_then_close(response));
        for http2 in [false, true] {
            let client = gateway.https();
            let call = client.get("/v1/orders");
            let response = if http2 { call.over_http2().await } else { call.await };
            match expected {
                None => assert_problem(&response, 502, "upstream_failed"),
                Some(expected) => assert_eq!(response.header("Location"), Some(expected), "{location:?}"),
            }
            assert_eq!(response.header("Set-Cookie"), None, "{location:?}");
        }
    }
}

/// Each of two references is mapped, and both arrive.
#[tokio::test]
async fn maps_repeated_references_each_by_itself() {
    let upstream = Upstream::start();
    let two = Answer::status(302, "").header("Location", "/a").header("Location", "//evil.example/b");
    upstream.answer_otherwise(two);
    let gateway = gateway_to(&upstream.url(), false).await;
    let response = gateway.https().get("/v1/orders").await;
    let locations: Vec<&[u8]> = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("location"))
        .map(|(_, value)| value)
        .collect();
    assert_eq!(locations, [&b"/v1/a"[..], b"//evil.example/b"]);
}

/// A redirect to HTTPS stays one where the client came in the clear.
#[tokio::test]
async fn keeps_the_scheme_of_a_redirect_to_https() {
    let upstream = Upstream::start();
    let yaml = format!(
        "listen: [{{ address: \"127.0.0.1:0\", tls: true }}, {{ address: \"127.0.0.1:0\", plaintext: true }}]\n{}",
        crate::harness::text::dedent(YAML)
    );
    let gateway = Gateway::builder(&yaml).with("target", upstream.url()).with("tls", "").start().await;
    upstream.answer_otherwise(Answer::status(301, "").header("Location", "https://localhost/orders"));
    let response = gateway.http().get("/v1/orders").await;
    assert_eq!(response.header("Location"), Some("https://localhost/v1/orders"));
    let response = gateway.https().get("/v1/orders").await;
    assert_eq!(response.header("Location"), Some("/v1/orders"));
}

/// `explain` and `routes` show the prefix.
#[tokio::test]
async fn shows_the_prefix_that_is_removed() {
    let gateway = gateway_to("http://orders:8080", false).await;
    let file = gateway.path("gateway.yaml");
    for (arguments, expected) in [
        (&["explain", "GET", "https://localhost/v1/orders"][..], "  x-forwarded-prefix: /v1\n"),
        (&["routes"], "  plain (without /v1)\n"),
        (&["routes"], "  based (without /shop/v1, under /api, host of the target)\n"),
    ] {
        let finished = run(portcullis_command().args(arguments).arg("--config").arg(&file)).await;
        assert!(finished.assert_success().stdout.contains(expected), "{arguments:?}: {}", finished.stdout);
    }
}
