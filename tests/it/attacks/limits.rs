//! Requests that are too large.

use super::*;
use crate::harness::client::Request;
use crate::harness::upstream::{Answer, Recorded};

/// Heads that are too large or have too many fields, by default and where the policy allows more than can be read.
/// Row D03.
#[tokio::test]
async fn large_heads_are_refused() {
    let stand = Stand::start().await;
    let long = |length: usize| "x".repeat(length);
    for lines in [
        vec![format!("X: {}", long(64 << 10))],
        vec![format!("Cookie: {}", long(1 << 20))],
        vec!["X: y".to_owned(); 1000],
        vec!["X: y".to_owned(); 99],
        vec![format!("{}: y", long(40 << 10))],
        vec![format!("X-API-Key: {}", long(40 << 10))],
        vec![format!("Authorization: Bearer {}", long(64 << 10))],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        stand.refuses(get("/public/x", &lines), 431, "head_too_large").await;
    }
    stand.refuses(get(format!("/public/{}", long(40 << 10)), &[]), 431, "head_too_large").await;
    stand.refuses(get(format!("/public/?{}", long(1 << 20)), &[]), 431, "head_too_large").await;
    // One that does not end is refused as soon as it is too large.
    stand.refuses(format!("GET /public/x HTTP/1.1\r\nX: {}", long(33 << 10)), 431, "head_too_large").await;
    stand.assert_only_this_arrives().await;
    let yaml = ROUTES.replace("limits: { ", "limits: { request_header_bytes: 4MiB, request_headers: 2000, ");
    let stand = Stand::with(&yaml).await;
    stand.refuses(get("/public/x", &["X: y"; 300]), 431, "head_too_large").await;
    stand.refuses(get(format!("/public/{}", long(70_000)), &[]), 431, "head_too_large").await;
    stand.refuses(get("/public/x", &[&format!("X: {}", long(2 << 20))]), 431, "head_too_large").await;
    stand.assert_only_this_arrives().await;
}

/// A body that announces too much is refused before it is sent, and one that does not announce it as soon as it is too
/// much. Neither is collected.
/// Row D04.
#[tokio::test]
async fn large_bodies_are_refused() {
    let stand = Stand::start().await;
    let head = |line: &str| format!("POST /public/x HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n");
    for length in ["1048577", "9223372036854775807"] {
        let request = head(&format!("Content-Length: {length}\r\nConnection: close"));
        stand.refuses(request, 413, "body_too_large").await;
    }
    let client = stand.gateway.https().http2().await;
    let answer = client.post("/public/x").body(vec![0; (1 << 20) + 1]).await;
    stand.assert_refused(&answer, 413, "body_too_large").await;
    // Exactly the limit passes.
    let answer = client.post("/public/x").body(vec![0; 1 << 20]).await;
    answer.assert_status(200);
    assert_eq!(stand.upstream.take_one().body_length, 1 << 20);
    // In chunks, nobody knows before.
    stand.upstream.answer("/public/x", Answer::sink());
    let mut connection = stand.gateway.https().connect().await;
    connection.write(head("Transfer-Encoding: chunked")).await;
    let chunk = [format!("{:x}\r\n", 64 << 10).as_bytes(), &vec![b'x'; 64 << 10], b"\r\n"].concat();
    for _ in 0..17 {
        if connection.try_write(&chunk).await.is_err() {
            break;
        }
    }
    let answer = connection.response_to("POST").await;
    assert_problem(&answer, 413, "body_too_large");
    let id = answer.json()["request_id"].as_str().unwrap().to_owned();
    stand.assert_logged(&id, 413, "body_too_large").await;
    never_completed(&stand);
    // The same by HTTP/2, where no length need be announced.
    let mut stream = client.open_stream(&Request::new("POST", "/public/x")).await.unwrap();
    for _ in 0..17 {
        if stream.send(&vec![0; 64 << 10]).await.is_err() {
            break;
        }
    }
    assert_eq!(stream.response().await.unwrap().status, 413);
    let second = |line: &Value| {
        line["protocol"] == "HTTP/2" && line["reason"] == "body_too_large" && line["route"] == "open"
    };
    let line = stand.gateway.wait_for_access(second).await;
    assert_eq!((&line["status"], &line["outcome"]), (&413.into(), &"refused".into()), "{line}");
    never_completed(&stand);
    stand
        .gateway
        .wait_for_count("portcullis_http_requests_total", &[("route", "open"), ("status", "413")], 5)
        .await;
    stand.upstream.answer("/public/after", Answer::ok("ok"));
    stand.gateway.https().get("/public/after").await.assert_status(200);
    let whole: Vec<_> = stand.upstream.take().into_iter().filter(|request| request.complete).collect();
    assert_eq!(whole.iter().map(Recorded::path).collect::<Vec<_>>(), ["/public/after"]);
}

/// Asserts that the request that was refused on its way, and is over, never was a whole one at the upstream. It need not
/// even have begun there: all of it may have been there to be refused before the upstream was connected.
fn never_completed(stand: &Stand) {
    let received = stand.upstream.requests();
    assert!(received.iter().all(|request| !request.complete), "{received:?}");
}
