//! gRPC through the gateway: HTTP/2 on both sides, streams in both directions, and the status in the trailers.

mod clients;
mod refusals;

use crate::harness::client::Request;
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::tls::{Authority, server_config};
use crate::harness::upstream::{GrpcUpstream, MISPLACED};

async fn gateway_to(upstream: &str) -> Gateway {
    Gateway::builder(
        r"
        auth: { partners: { api_key: { keys: keys.yaml } } }
        upstreams: { app: {app} }
        routes: [{ name: app, match: { path: /** }, auth: partners, upstream: app }]
        ",
    )
    .with("app", upstream)
    .file("ca.crt", Authority::shared().pem())
    .file("keys.yaml", keys_yaml(&[&ApiKey::of("acme")]))
    .start()
    .await
}

fn call(path: &str) -> Request {
    let key = ApiKey::of("acme");
    Request::new("POST", path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("X-API-Key", &key.key)
}

/// An upstream in the clear, and one over TLS, each with its gateway.
async fn both() -> [(GrpcUpstream, Gateway); 2] {
    let clear = GrpcUpstream::start();
    let certificate = Authority::shared().server(&["127.0.0.1"]);
    let tls = GrpcUpstream::start_tls(server_config(&certificate, None, &["h2"]));
    let gateways = [
        gateway_to(&format!("\"h2c://{}\"", clear.address())).await,
        gateway_to(&format!("{{ targets: [\"{}\"], tls: {{ ca: ca.crt }} }}", tls.url())).await,
    ];
    let [first, second] = gateways;
    [(clear, first), (tls, second)]
}

#[tokio::test]
async fn a_unary_call_ends_with_its_status() {
    for (upstream, gateway) in both().await {
        let http2 = gateway.https().http2().await;
        let mut stream = http2.open_stream(&call("/shop.Orders/Unary")).await.unwrap();
        let message = vec![7; 100_000];
        stream.send(&message).await.unwrap();
        stream.send_trailers(&[("x-checksum", "42")]).unwrap();
        let answer = stream.response().await.unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/grpc")));
        let mut body = Vec::new();
        while let Some(piece) = stream.data().await.unwrap() {
            body.extend_from_slice(&piece);
        }
        assert!(body == message, "{} bytes came back", body.len());
        let trailers = stream.trailers().await.unwrap();
        assert_eq!(
            (trailers.get("grpc-status"), trailers.get("grpc-message")),
            (Some("0"), Some("well done"))
        );
        let recorded = upstream.calls();
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].headers.get("x-auth-subject"), Some("acme"));
        assert_eq!(recorded[0].headers.get("x-api-key"), None);
        assert_eq!((&*recorded[0].path, &*recorded[0].authority), ("/shop.Orders/Unary", "localhost"));
        assert!(recorded[0].complete);
    }
}

/// Each message arrives before the next one is sent, in both directions, on one stream.
#[tokio::test]
async fn a_stream_goes_both_ways_at_once() {
    for (_upstream, gateway) in both().await {
        let http2 = gateway.https().http2().await;
        let mut stream = http2.open_stream(&call("/shop.Orders/Bidi")).await.unwrap();
        stream.send(b"0").await.unwrap();
        stream.response().await.unwrap().assert_status(200);
        assert_eq!(stream.data().await.unwrap().as_deref(), Some(&b"0"[..]));
        for number in 1..20 {
            let message = number.to_string();
            stream.send(message.as_bytes()).await.unwrap();
            assert_eq!(stream.data().await.unwrap().as_deref(), Some(message.as_bytes()));
        }
        stream.finish().unwrap();
        while stream.data().await.unwrap().is_some() {}
        assert_eq!(stream.trailers().await.unwrap().get("grpc-status"), Some("0"));
    }
}

/// Trailers end a response. What they say of its framing, its content, a credential or an identity never reaches the client.
/// Row F11.
#[tokio::test]
async fn drops_response_trailers_that_name_framing_credentials_or_identity() {
    for (_upstream, gateway) in both().await {
        let http2 = gateway.https().http2().await;
        let mut stream = http2.open_stream(&call("/shop.Orders/Trailers")).await.unwrap();
        stream.send(b"message").await.unwrap();
        stream.finish().unwrap();
        let head = stream.response().await.unwrap();
        head.assert_status(200);
        while stream.data().await.unwrap().is_some() {}
        let trailers = stream.trailers().await.unwrap();
        assert_eq!(
            (trailers.get("grpc-status"), trailers.get("grpc-message")),
            (Some("0"), Some("well done"))
        );
        for (name, value) in MISPLACED {
            assert!(!trailers.contains(name), "{name}: {trailers:?}");
            assert_ne!(head.header(name), Some(value), "{name}: {head:?}");
        }
    }
}

/// A call that fails at once has its status in the only header block there is.
#[tokio::test]
async fn a_call_that_fails_has_its_status_in_its_head() {
    for (_upstream, gateway) in both().await {
        for (path, status) in [("/shop.Orders/Fail", "7"), ("/shop.Orders/Unknown", "12")] {
            let answer = gateway.https().post(path).headers(&fields()).body("x").over_http2().await;
            assert_eq!((answer.status, answer.header("grpc-status")), (200, Some(status)));
        }
        let answer = gateway.https().post("/shop.Orders/Unary").body("x").over_http2().await;
        assert_eq!(answer.status, 401);
    }
}

fn fields() -> [(&'static str, &'static str); 2] {
    static KEY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    [("content-type", "application/grpc"), ("X-API-Key", KEY.get_or_init(|| ApiKey::of("acme").key))]
}

/// Many calls share the connections of either side.
#[tokio::test]
async fn calls_overlap_on_one_connection() {
    for (upstream, gateway) in both().await {
        let http2 = gateway.https().http2().await;
        let mut streams = Vec::new();
        for _ in 0..50 {
            let mut stream = http2.open_stream(&call("/shop.Orders/Bidi")).await.unwrap();
            stream.send(b"a").await.unwrap();
            streams.push(stream);
        }
        for stream in streams.iter_mut().rev() {
            stream.response().await.unwrap().assert_status(200);
            assert_eq!(stream.data().await.unwrap().as_deref(), Some(&b"a"[..]));
            stream.finish().unwrap();
            while stream.data().await.unwrap().is_some() {}
            assert_eq!(stream.trailers().await.unwrap().get("grpc-status"), Some("0"));
        }
        assert_eq!(upstream.calls().len(), 50);
    }
}
