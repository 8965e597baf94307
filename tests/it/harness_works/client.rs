//! The raw client, against bytes that a server of a few lines sends.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::failure_of;
use crate::harness::background::Task;
use crate::harness::client::{Client, End, Failure};
use crate::harness::deadline::within_time;
use crate::harness::port::ReservedPort;
use crate::harness::upstream::{Answer, Upstream};

/// Sends these bytes to everyone who sends something, and closes.
fn saying(bytes: &'static [u8]) -> (SocketAddr, Task) {
    let port = ReservedPort::take();
    let listener = port.listen();
    let address = port.address();
    let task = Task::start(async move {
        let _reserved = port;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            // Whatever else comes is read, so that the end is no reset.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    (address, task)
}

#[tokio::test]
async fn exactly_one_response_and_then_the_end() {
    for (name, bytes, expect) in [
        ("one", &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..], None),
        ("until the end", b"HTTP/1.1 200 OK\r\n\r\nok", None),
        (
            "two",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
            Some("HTTP/1.1 200 OK"),
        ),
        (
            "a byte too many",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX",
            Some("bytes instead of the end: X"),
        ),
        ("half", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Some("broke off")),
        ("half a head", b"HTTP/1.1 200 OK\r\nConte", Some("broke off")),
        ("none", b"", Some("no answer")),
        (
            "two lengths",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            Some("ambiguous"),
        ),
        ("no HTTP", b"220 smtp\r\n\r\n", Some("not HTTP/1.1")),
    ] {
        let (address, _task) = saying(bytes);
        let only = async move {
            let mut connection = Client::plain(address).connect().await;
            connection.write("GET / HTTP/1.1\r\n\r\n").await;
            connection.only_response().await
        };
        match expect {
            None => assert_eq!(only.await.text(), "ok", "{name}"),
            Some(expect) => {
                let failed = failure_of(only).await;
                assert!(failed.contains(expect), "{name}: {failed}");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_reused() {
    let upstream = Upstream::start();
    let client = Client::plain(upstream.address()).host("api.example.com:8443").with_header("X-All", "1");
    let mut connection = client.connect().await;
    for path in ["/1", "/2"] {
        assert_eq!(connection.get(path).header("X-One", path).await.status, 200);
        assert!(connection.is_idle().await);
    }
    connection.post("/3").json(&serde_json::json!([1])).await.assert_status(200);
    connection.call("GET", "/4").header("host", "other").await;
    let requests = upstream.take();
    assert!(requests.iter().all(|request| request.connection == 0 && request.header("x-all") == Some("1")));
    assert_eq!(requests[1].header("x-one"), Some("/2"));
    assert_eq!(requests[2].header("content-type"), Some("application/json"));
    assert_eq!(requests[2].text(), "[1]");
    let hosts: Vec<_> = requests.iter().map(|request| request.header("host").unwrap()).collect();
    assert_eq!(hosts, ["api.example.com:8443", "api.example.com:8443", "api.example.com:8443", "other"]);
}

#[tokio::test]
async fn an_early_answer_is_read_before_the_reset_that_follows() {
    let upstream = Upstream::start();
    upstream.answer("/", Answer::status(413, "too much").closing().before_body());
    // Far more than the socket buffers hold, so that the request cannot be written to its end.
    let outcome = Client::plain(upstream.address()).post("/").body(vec![b'x'; 32 << 20]).outcome().await;
    assert_eq!(outcome.unwrap().status, 413);
    let recorded = upstream.take_one();
    assert!(!recorded.complete && recorded.body.is_empty());
}

#[tokio::test]
async fn a_client_comes_from_where_it_says() {
    let listener = ReservedPort::take().listen();
    let client = Client::plain(listener.local_addr().unwrap());
    for (client, expect) in
        [(client.clone(), Ipv4Addr::LOCALHOST), (client.source([127, 0, 0, 2].into()), [127, 0, 0, 2].into())]
    {
        let (connection, accepted) = tokio::join!(client.connect(), listener.accept());
        assert_eq!(accepted.unwrap().1.ip(), expect);
        drop(connection);
    }
}

#[tokio::test]
async fn ends_are_told_apart() {
    let (address, _task) = saying(b"");
    let mut connection = Client::plain(address).connect().await;
    connection.write("x").await;
    assert_eq!(connection.closed().await, End::Closed);
    assert_eq!(connection.some_bytes().await, None);

    let upstream = Upstream::start();
    upstream.answer("/", Answer::reset());
    let mut connection = Client::plain(upstream.address()).connect().await;
    connection.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(connection.closed().await, End::Reset);
    assert!(connection.try_write(vec![0; 32 << 20]).await.is_err());
    assert!(matches!(connection.try_response_to("GET").await, Err(Failure::Unanswered(_))));

    let refused = Client::plain(ReservedPort::take().address()).try_connect().await;
    assert!(matches!(refused, Err(Failure::Refused(_))));
}

#[tokio::test]
async fn a_failing_test_says_what_it_waited_for() {
    let upstream = Upstream::start();
    upstream.answer("/", Answer::hang());
    let mut connection = Client::plain(upstream.address()).connect().await;
    connection.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let wait = async move { connection.response().await };
    let short = std::time::Duration::from_millis(10);
    let failed =
        failure_of(async move { within_time(short, "an answer that never comes", wait).await }).await;
    assert!(
        failed.contains("client.rs") && failed.contains("10ms in vain for an answer that never comes"),
        "{failed}"
    );
    let upstream = Upstream::start();
    upstream.answer("/shown", Answer::ok("shown"));
    let client = Client::plain(upstream.address());
    let answer = client.get("/shown").await;
    let failed = super::failure(|| answer.assert_status(404).status);
    assert!(failed.contains("shown"), "{failed}");
    upstream.stop().await;
    let failed = failure_of(async move { client.get("/a").await }).await;
    assert!(failed.contains("GET /a: no connection"), "{failed}");
}
