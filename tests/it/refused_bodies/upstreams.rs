//! Responses of upstreams, and about upstreams, that come while the client is still sending.

use super::{discarded, gateway};
use crate::harness::client::{Connection, Request};
use crate::harness::gateway::Gateway;
use crate::harness::port::ReservedPort;
use crate::harness::upstream::{Answer, Upstream};

/// More than sockets hold on the way to the upstream, in pieces.
const BODY: usize = 12 << 20;

/// Sends a body of which the upstream reads nothing. Returns the status, and whether the connection was kept.
async fn post(connection: &mut Connection, path: &str) -> (u16, bool) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY}\r\n\r\n");
    connection.write(head).await;
    for _ in 0..BODY >> 20 {
        connection.write(vec![b'x'; 1 << 20]).await;
    }
    let answer = connection.response_to("POST").await;
    let kept = answer.header("Connection").is_some_and(|value| value == "keep-alive");
    (answer.status, kept)
}

/// Sends the same body over HTTP/2 to its end, whatever comes meanwhile, and returns the status.
async fn post_by_http2(gateway: &Gateway, path: &str) -> u16 {
    let http2 = gateway.https().http2().await;
    let mut stream = http2.open_stream(&Request::new("POST", path)).await.unwrap();
    for _ in 0..BODY >> 20 {
        stream.send(&vec![b'x'; 1 << 20]).await.unwrap();
    }
    stream.finish().unwrap();
    stream.response().await.unwrap().status
}

/// An upstream that answers and closes without reading the body.
#[tokio::test]
async fn client_reads_early_response_of_an_upstream() {
    let upstream = Upstream::start();
    let early = "HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly";
    upstream.answer("/public/early", Answer::raw_then_close(early).before_body());
    let gateway = gateway(upstream.url(), "{}").await;
    let mut connection = gateway.https().connect().await;
    assert_eq!(post(&mut connection, "/public/early").await, (422, true));
    connection.get("/public/next").await.assert_status(200);
    discarded(&gateway, "completed", 1).await;
    assert_eq!(post_by_http2(&gateway, "/public/early").await, 422);
    discarded(&gateway, "completed", 2).await;
    let _ = upstream.expect_violations();
}

/// An upstream that cannot be reached: the client has not begun to send its body when that is known.
#[tokio::test]
async fn client_reads_bad_gateway_while_it_sends() {
    let port = ReservedPort::take();
    let gateway = gateway(format!("http://{}", port.address()), "{}").await;
    let mut connection = gateway.https().connect().await;
    for _ in 0..2 {
        assert_eq!(post(&mut connection, "/public/x").await, (502, true));
    }
    discarded(&gateway, "completed", 2).await;
    assert_eq!(post_by_http2(&gateway, "/public/x").await, 502);
    discarded(&gateway, "completed", 3).await;
}

/// A body without a length that turns out to be too large: the rest is discarded, in chunks and over HTTP/2.
#[tokio::test]
async fn client_reads_content_too_large_while_it_sends() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::sink());
    let gateway = gateway(upstream.url(), "{ request_body_bytes: 1MiB }").await;
    let mut connection = gateway.https().connect().await;
    connection
        .write("POST /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let chunk = [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    for _ in 0..8 {
        connection.write(&chunk).await;
    }
    connection.write("0\r\n\r\n").await;
    let answer = connection.response_to("POST").await;
    assert_eq!((answer.status, answer.header("Connection")), (413, Some("keep-alive")), "{answer:?}");
    connection.get("/public/next").await.assert_status(200);
    discarded(&gateway, "completed", 1).await;
    assert_eq!(post_by_http2(&gateway, "/public/x").await, 413);
    discarded(&gateway, "completed", 2).await;
    assert!(upstream.take().iter().all(|request| !request.complete || request.path() == "/public/next"));
}

/// In front of an `h2c://` upstream all requests, and in front of `https://` those over HTTP/2, take another way through the
/// gateway. The client reads its response there as well.
#[tokio::test]
async fn client_reads_refusals_in_front_of_http2_upstreams() {
    for scheme in ["https", "h2c"] {
        let port = ReservedPort::take();
        let gateway = gateway(format!("{scheme}://{}", port.address()), "{}").await;
        for (path, status) in [("/v1/x", 401), ("/public/x", 502)] {
            let mut connection = gateway.https().connect().await;
            assert_eq!(post(&mut connection, path).await.0, status, "{scheme} {path}");
            assert_eq!(post_by_http2(&gateway, path).await, status, "{scheme} {path}");
        }
        discarded(&gateway, "completed", 4).await;
    }
}
