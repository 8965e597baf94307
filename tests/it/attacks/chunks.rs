//! Chunked bodies: where one ends must be the same for everyone who reads it (CVE-2023-25725, the HTTP Garden).

use super::*;
use crate::harness::deadline::eventually;

/// The head of a request with a chunked body, over a connection that would be kept.
fn chunked(target: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
}

/// What no strict reader takes for a chunked body, each after a good first chunk.
fn malformed() -> Vec<String> {
    let long = "x".repeat(1 << 20);
    [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "-1\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "\r\n",
        ";x\r\nhello\r\n0\r\n\r\n",
        "g\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "5;x\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\n X: folded\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nGET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &format!("5;{long}\r\nhello\r\n0\r\n\r\n"),
        &format!("0\r\nX: {long}\r\n\r\n"),
        &format!("0\r\n{}\r\n", "X: y\r\n".repeat(1000)),
        &format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(64)),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A body that arrives with its head is refused before anyone is asked.
/// Row F09.
#[tokio::test]
async fn malformed_chunks_are_refused_before_anything_is_forwarded() {
    let stand = Stand::start().await;
    for bad in malformed().iter().filter(|bad| bad.len() < 1000) {
        for start in ["", "5\r\nhello\r\n"] {
            let bytes = format!("{}{start}{bad}GET /public/smuggled HTTP/1.1\r\n", chunked("/public/x"));
            stand.refuses(bytes, 400, "malformed_chunked_body").await;
        }
    }
    stand.assert_only_this_arrives().await;
}

/// A body that goes wrong on its way ends the request: the upstream never sees an end of it, the client is told once, and
/// neither connection is used again.
/// Row F09.
#[tokio::test]
async fn malformed_chunks_end_a_request_that_is_under_way() {
    let stand = Stand::start().await;
    for bad in malformed() {
        let mut connection = stand.gateway.https().connect().await;
        connection.write(chunked("/public/x") + "5\r\nhello\r\n").await;
        eventually("the first chunk at the upstream", || {
            stand.upstream.requests().iter().any(|request| request.body == b"hello").then_some(())
        })
        .await;
        let _ = connection.try_write(format!("{bad}GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let answer = connection.only_response().await;
        assert_problem(&answer, 400, "malformed_chunked_body");
        let id = answer.json()["request_id"].as_str().unwrap().to_owned();
        stand.assert_logged(&id, 400, "malformed_chunked_body").await;
        eventually("the end of the upstream's connection", || {
            (stand.upstream.open_connections() == 0).then_some(())
        })
        .await;
        let received = stand.upstream.take_one();
        assert!(!received.complete && received.body.starts_with(b"hello"), "{received:?}");
    }
    stand.assert_only_this_arrives().await;
    let metrics = stand.gateway.metrics().await;
    let labels = [("route", "open"), ("status", "400")];
    assert_eq!(metrics.count("portcullis_http_requests_total", &labels), malformed().len() as u64);
    assert_eq!(metrics.count("portcullis_upstream_failures_total", &[]), 0);
}

/// Extensions and trailers mean nothing here: they are neither passed on nor taken for header fields.
/// Row F11.
#[tokio::test]
async fn trailers_never_become_header_fields() {
    let stand = Stand::start().await;
    let mut connection = stand.gateway.https().connect().await;
    let body = "5;ext=1\r\nhello\r\n0\r\nAuthorization: ApiKey x\r\nX-Auth-Subject: root\r\n\
                X-API-Key: x\r\nContent-Length: 3\r\nHost: evil\r\n\r\n";
    // The key is good; what the trailers say does not matter to it.
    for _ in 0..2 {
        let key = &stand.user.key;
        let head = chunked("/v1/x")
            .replace("\r\n\r\n", &format!("\r\nTrailer: X-Auth-Subject\r\nX-API-Key: {key}\r\n\r\n"));
        connection.write(head + body).await;
        connection.response_to("POST").await.assert_status(200);
        let received = stand.upstream.take_one();
        assert_eq!((received.text(), received.header("X-Auth-Subject")), ("hello", Some("acme")));
        assert_eq!(received.header("X-API-Key"), None);
        assert_eq!(received.header("Authorization"), None);
        assert_eq!(received.header("Host"), Some("localhost"));
        assert_eq!(received.trailers.len(), 0, "{received:?}");
    }
    // A key in the trailers is no key.
    let trailer = format!("0\r\nX-API-Key: {}\r\n\r\n", stand.user.key);
    connection.write(chunked("/v1/x") + &trailer).await;
    let answer = connection.response_to("POST").await;
    stand.assert_refused(&answer, 401, "no_credential").await;
}

/// What follows a chunked body is the next request, and is judged as one.
/// Row F09.
#[tokio::test]
async fn what_follows_a_chunked_body_is_the_next_request() {
    let stand = Stand::start().await;
    let mut connection = stand.gateway.https().connect().await;
    let next = String::from_utf8(get("/admin", &[])).unwrap();
    connection.write(chunked("/public/x") + "5\r\nhello\r\n0\r\n\r\n" + &next).await;
    connection.response_to("POST").await.assert_status(200);
    assert_eq!(stand.upstream.take_one().text(), "hello");
    let answer = connection.only_response().await;
    stand.assert_refused(&answer, 401, "no_credential").await;
    // One byte after the other, it is the same.
    let mut connection = stand.gateway.https().connect().await;
    let bytes = chunked("/public/x") + "5\r\nhello\r\n3;x\r\nyou\r\n0\r\nX: y\r\n\r\n" + &next;
    for byte in bytes.as_bytes() {
        connection.write([*byte]).await;
    }
    connection.response_to("POST").await.assert_status(200);
    assert_eq!(stand.upstream.take_one().text(), "helloyou");
    let answer = connection.only_response().await;
    stand.assert_refused(&answer, 401, "no_credential").await;
}

/// A client that goes away in the middle of a body has sent no request.
#[tokio::test]
async fn a_body_that_breaks_off_is_never_completed() {
    let stand = Stand::start().await;
    for piece in ["5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\n\r"] {
        let mut connection = stand.gateway.https().connect().await;
        connection.write(chunked("/public/x") + piece).await;
        eventually("some of the body", || {
            stand.upstream.requests().iter().any(|request| request.body.starts_with(b"hel")).then_some(())
        })
        .await;
        connection.finish_writing().await;
        eventually("the end of the upstream's connection", || {
            (stand.upstream.open_connections() == 0).then_some(())
        })
        .await;
        assert!(!stand.upstream.take_one().complete, "{piece:?}");
    }
    stand.assert_only_this_arrives().await;
}
