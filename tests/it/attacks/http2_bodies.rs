//! Bodies over HTTP/2 of requests that are refused, and what may follow a body.

use super::*;
use crate::harness::client::{Request, flag, kind};
use crate::harness::deadline::eventually;
use crate::harness::upstream::GrpcUpstream;

fn post_fields<'a>(path: &'a str, others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path)];
    [&pseudo[..], others].concat()
}

/// A refusal comes before the body, with no word that asks for it, and what is sent of the body all the same is neither
/// passed on nor in the way of other requests on the connection (Akamai CVE-2025-32094, pingora CVE-2025-4366).
/// Rows F07 and F08.
#[tokio::test]
async fn bodies_of_refused_requests_go_nowhere_by_http2() {
    let stand = Stand::start().await;
    let inside = get("/admin/inside", &[&format!("X-API-Key: {}", stand.admin.key)]);
    for (path, others, status) in [
        ("/v1/x", &[("expect", "100-continue")][..], 401),
        ("/v1/x", &[("expect", "100-continue"), ("content-length", "5000")], 401),
        ("/v1/x", &[("content-length", "5000")], 401),
        ("/nowhere", &[], 404),
        ("/public/..;/x", &[], 400),
        ("/public/x", &[("content-length", "1048577"), ("expect", "100-continue")], 413),
    ] {
        let mut frames = stand.gateway.https().frames().await;
        frames.frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&post_fields(path, others))).await;
        // The first word is the last: a 100 would be read as the answer here.
        match frames.outcome(1).await {
            Outcome::Answered(answered, body) => {
                assert_eq!(answered, status, "{path} {others:?}");
                let problem: Value = serde_json::from_slice(&body).expect("a problem document");
                assert_eq!(problem["status"], status, "{problem}");
            }
            outcome => panic!("{path} {others:?}: {outcome:?}"),
        }
        for _ in 0..20 {
            frames.frame(kind::DATA, 0, 1, &inside).await;
        }
        frames.frame(kind::DATA, flag::END_STREAM, 1, &inside).await;
        frames.headers(3, &block(&get_fields("/admin/y")), true).await;
        let next = frames.outcome(3).await;
        assert!(matches!(next, Outcome::Answered(401, _)), "{path} {others:?}: {next:?}");
        stand.upstream.assert_nothing();
    }
    stand.assert_only_this_arrives().await;
}

/// Trailer fields to an upstream that speaks HTTP/2, which could have them: none of ours is among them, and none of them
/// becomes a header field.
/// Row F11.
#[tokio::test]
async fn trailers_say_nothing_to_http2_upstreams_either() {
    let upstream = GrpcUpstream::start();
    let user = ApiKey::of("acme");
    let gateway = Gateway::builder(ROUTES)
        .with("upstream", upstream.url().replace("http://", "h2c://"))
        .file("keys.yaml", keys_yaml(&[&user]))
        .start()
        .await;
    let client = gateway.https().http2().await;
    let request = Request::new("POST", "/v1/Unary").header("X-API-Key", &user.key).header("te", "trailers");
    let mut stream = client.open_stream(&request).await.unwrap();
    stream.send(b"hello").await.unwrap();
    let trailers =
        [("x-auth-subject", "root"), ("x_auth_scopes", "admin"), ("x-api-key", "x"), ("x-own", "1")];
    stream.send_trailers(&trailers).unwrap();
    assert_eq!(stream.response().await.unwrap().status, 200);
    // The head of the answer comes before the upstream has read to the end.
    eventually("the whole call", || upstream.calls().iter().all(|call| call.complete).then_some(())).await;
    let calls = upstream.calls();
    let [call] = &calls[..] else { panic!("{calls:#?}") };
    assert_eq!(call.body, b"hello");
    assert_eq!(call.headers.all("x-auth-subject"), ["acme"]);
    for fields in [&call.headers, &call.trailers] {
        assert!(!fields.contains("x_auth_scopes") && !fields.contains("x-api-key"), "{call:#?}");
    }
    assert!(!call.trailers.contains("x-auth-subject") && !call.headers.contains("x-own"), "{call:#?}");
}
