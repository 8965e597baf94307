//! Clients that ask and do not read, and bodies that stop in the middle: an answer that nobody takes is given up, and is
//! not collected in memory.

use super::{gateway, most_memory, others_are_served};
use crate::harness::client::{Request, block, flag, kind, literal};
use crate::harness::credentials::ApiKey;
use crate::harness::deadline::eventually;
use crate::harness::upstream::{Answer, Upstream};

const LIMITS: &str = "{ body_timeout: 500ms, idle_timeout: 75s }";

/// How much memory unread answers may take.
const MORE: u64 = 48 << 20;

/// Waits until so many requests have reached the upstream and the gateway has let go of it, over HTTP/1 as over HTTP/2
/// (CVE-2019-9517): not because it was sent everything, but because nobody takes it.
async fn is_let_go(upstream: &Upstream, what: &str, requests: usize) {
    eventually(format!("{requests} requests at the upstream"), || {
        (upstream.requests().len() >= requests).then_some(())
    })
    .await;
    eventually(format!("the end of {what} at the upstream"), || {
        (upstream.open_connections() == 0).then_some(())
    })
    .await;
}

/// The head of an HTTP/2 request for more than anybody takes.
fn ask_for_large(key: &ApiKey) -> Vec<u8> {
    let mut head = block(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/v1/large"),
    ]);
    head.extend(literal("x-api-key", &key.key));
    head
}

#[tokio::test]
async fn an_answer_that_nobody_reads_over_http1() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    upstream.answer("/v1/large", Answer::download(1 << 30).closing());
    let gateway = gateway(&upstream, &key, LIMITS).await;
    let before = most_memory(&gateway);
    let (name, value) = key.header();
    let mut connections = Vec::new();
    for _ in 0..20 {
        let mut connection = gateway.https().connect().await;
        connection
            .write(format!("GET /v1/large HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n\r\n"))
            .await;
        connections.push(connection);
    }
    gateway.wait_for_metric("portcullis_connections", &[], |open| open < 0.5).await;
    is_let_go(&upstream, "the answers", 20).await;
    let after = most_memory(&gateway);
    assert!(after < before + MORE, "{before} and then {after} bytes");
    others_are_served(&gateway, &key).await;
}

#[tokio::test]
async fn answers_that_nobody_reads_over_http2() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    upstream.answer("/v1/large", Answer::download(1 << 30).closing());
    let gateway = gateway(&upstream, &key, LIMITS).await;
    let before = most_memory(&gateway);
    let head = ask_for_large(&key);
    let mut frames = gateway.https().frames().await;
    // Windows of the largest size, so that nothing but the limits of the gateway keeps it from collecting.
    frames.frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
    for number in 0..50_u32 {
        frames.frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, number * 2 + 1, &head).await;
    }
    is_let_go(&upstream, "the answers", 50).await;
    let after = most_memory(&gateway);
    assert!(after < before + MORE, "{before} and then {after} bytes");
    others_are_served(&gateway, &key).await;
}

/// A window of nothing: the client takes not even the first byte.
#[tokio::test]
async fn an_answer_for_which_there_is_no_window() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    upstream.answer("/v1/large", Answer::download(1 << 30).closing());
    let gateway = gateway(&upstream, &key, LIMITS).await;
    let head = ask_for_large(&key);
    let mut frames = gateway.https().frames().await;
    frames.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
    frames.headers(1, &head, true).await;
    is_let_go(&upstream, "the answer", 1).await;
    others_are_served(&gateway, &key).await;
}

/// A body that stops in the middle over HTTP/2 ends its request, and not the connection that others are on.
#[tokio::test]
async fn a_body_that_pauses_over_http2() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, LIMITS).await;
    let connection = gateway.https().http2().await;
    let (name, value) = key.header();
    let mut request = Request::new("POST", "/v1/upload").header(name, value);
    request = request.header("content-length", "10");
    let mut stream = connection.open_stream(&request).await.unwrap();
    stream.send(b"half").await.unwrap();
    stream.response().await.unwrap().assert_status(408);
    is_let_go(&upstream, "the request", 1).await;
    assert!(upstream.requests().iter().all(|request| !request.complete));
    // The connection itself is good for other requests.
    connection.get("/v1/a").headers(&[key.header()]).await.assert_status(200);
}
