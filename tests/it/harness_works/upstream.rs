//! The recording upstream, asked by the raw client.

use std::time::Duration;

use tokio::time::Instant;

use super::failure;
use crate::harness::client::{Client, End, Failure};
use crate::harness::credentials::sha256;
use crate::harness::deadline::eventually;
use crate::harness::upstream::{Answer, Upstream};

fn client(upstream: &Upstream) -> Client {
    Client::plain(upstream.address())
}

#[tokio::test]
async fn requests_are_recorded_byte_for_byte() {
    let upstream = Upstream::start();
    upstream.assert_nothing();
    let request = "POST /a%2Fb?c=d HTTP/1.1\r\nHost: x\r\nX-Odd-CASE: 1\r\nContent-Length: 5\r\n\r\nhello";
    let mut connection = client(&upstream).connect().await;
    connection.write(request).await;
    assert_eq!(connection.response_to("POST").await.text(), "ok");
    assert_eq!(upstream.bytes(), [request.as_bytes()]);
    assert!(failure(|| upstream.assert_nothing()).contains("hello"));
    let recorded = upstream.take_one();
    assert_eq!((recorded.method.as_str(), recorded.target.as_str()), ("POST", "/a%2Fb?c=d"));
    assert_eq!((recorded.path(), recorded.version.as_str()), ("/a%2Fb", "HTTP/1.1"));
    assert_eq!((recorded.text(), recorded.body_length, recorded.complete), ("hello", 5, true));
    assert_eq!(recorded.header("x-odd-case"), Some("1"));
    assert!(recorded.headers.names().any(|name| name == "X-Odd-CASE"));
    upstream.assert_nothing();
    assert!(failure(|| upstream.take_one()).contains("received []"));
    assert_eq!((upstream.connections(), upstream.open_connections()), (1, 1));
    drop(connection);
    eventually("the end of the connection", || (upstream.open_connections() == 0).then_some(())).await;
}

#[tokio::test]
async fn pipelined_and_chunked_requests_are_told_apart() {
    let upstream = Upstream::start();
    let mut connection = client(&upstream).connect().await;
    let chunked =
        "POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nt: u\r\n\r\n";
    connection.write(format!("{chunked}GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    connection.response_to("POST").await;
    connection.only_response().await;
    let requests = upstream.wait_for_requests(2).await;
    assert_eq!(requests[0].text(), "abc");
    assert_eq!(requests[0].trailers.get("t"), Some("u"));
    assert_eq!((requests[1].target.as_str(), requests[1].connection), ("/2", 0));
}

#[tokio::test]
async fn a_request_that_breaks_off_is_recorded_as_incomplete() {
    let upstream = Upstream::start();
    let mut connection = client(&upstream).connect().await;
    connection.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel").await;
    connection.finish_writing().await;
    connection.closed().await;
    let recorded = upstream.take_one();
    assert_eq!((recorded.text(), recorded.complete), ("hel", false));
}

#[tokio::test]
async fn what_is_no_http_is_a_violation() {
    let upstream = Upstream::start();
    let mut connection = client(&upstream).connect().await;
    connection
        .write("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    assert_eq!(connection.only_response().await.status, 400);
    let violations = upstream.expect_violations();
    assert!(violations.len() == 1 && violations[0].contains("ambiguous"), "{violations:?}");
    let mut connection = client(&upstream).connect().await;
    connection.write("GET / HTTP/9.9\r\nHost: x\r\n\r\n").await;
    connection.only_response().await;
    assert!(failure(move || drop(upstream)).contains("HTTP/9.9"));
}

#[tokio::test]
async fn answers_of_every_kind() {
    let upstream = Upstream::start();
    upstream
        .answer("/status", Answer::status(418, "tea").header("X-A", "b"))
        .answer("/json", Answer::json(&serde_json::json!({ "a": 1 })))
        .answer("/chunks", Answer::chunks(&["a", "bc"]).trailer("X-T", "u"))
        .answer("/until-close", Answer::until_close("all"))
        .answer("/closing", Answer::ok("bye").closing())
        .answer("/hints", Answer::ok("final").informational(103, &[("Link", "<a>")]))
        .answer("/download", Answer::download(1_000_000))
        .answer("/function", Answer::from_fn(|request| Answer::ok(request.text().to_uppercase())))
        .answer("/echo", Answer::echo());
    let client = client(&upstream);

    let answer = client.get("/status?query").await;
    assert_eq!((answer.status, answer.text(), answer.header("x-a")), (418, "tea", Some("b")));
    assert_eq!(client.get("/json").await.json()["a"], 1);
    let answer = client.get("/chunks").await;
    assert_eq!((answer.text(), answer.trailers.get("x-t")), ("abc", Some("u")));
    assert_eq!(client.get("/until-close").await.text(), "all");
    assert_eq!(client.get("/closing").await.header("connection"), Some("close"));
    let answer = client.get("/hints").await;
    assert_eq!((answer.text(), answer.informational[0].status), ("final", 103));
    assert_eq!(client.get("/download").await.body.len(), 1_000_000);
    assert_eq!(client.post("/function").body("shout").await.text(), "SHOUT");
    let answer = client.post("/echo?q").headers(&[("X-A", "1"), ("x-a", "2")]).body("b").await.json();
    assert_eq!((&answer["method"], &answer["target"]), (&"POST".into(), &"/echo?q".into()));
    assert_eq!((&answer["headers"]["x-a"], &answer["body"]), (&["1", "2"][..].into(), &"b".into()));
    assert_eq!(client.get("/other").await.text(), "ok");
    upstream.answer_otherwise(Answer::status(404, ""));
    assert_eq!(client.get("/other").await.status, 404);
    let answer = client.call("HEAD", "/status").await;
    assert_eq!((answer.header("content-length"), answer.body.len()), (Some("3"), 0));
}

#[tokio::test]
async fn answers_that_are_none() {
    let upstream = Upstream::start();
    upstream
        .answer("/close", Answer::close())
        .answer("/reset", Answer::reset())
        .answer("/half", Answer::half("a"))
        .answer("/garbage", Answer::garbage())
        .answer("/raw", Answer::raw("HTTP/1.1 200 OK\r\n"))
        .answer("/cut", Answer::raw_then_close("HTTP/1.1 200 OK\r\n"));
    let outcome = async |path: &str| client(&upstream).get(path).outcome().await.unwrap_err();
    assert!(matches!(outcome("/close").await, Failure::Unanswered(text) if text.contains("closed")));
    assert!(matches!(outcome("/reset").await, Failure::Unanswered(text) if text.contains("reset")));
    assert!(matches!(outcome("/half").await, Failure::Truncated(_)));
    assert!(matches!(outcome("/garbage").await, Failure::Violation(_)));
    assert!(matches!(outcome("/cut").await, Failure::Truncated(_)));
    let mut connection = client(&upstream).connect().await;
    connection.write("GET /raw HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(connection.some_bytes().await.unwrap(), b"HTTP/1.1 200 OK\r\n");
    upstream.answer("/hang", Answer::hang());
    let mut connection = client(&upstream).connect().await;
    connection.write("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n").await;
    upstream.wait_for_requests(6).await;
    assert!(connection.is_idle().await);
    upstream.stop().await;
    assert_ne!(connection.closed().await, End::Truncated);
}

#[tokio::test]
async fn delays_and_early_answers() {
    let upstream = Upstream::start();
    let delay = Duration::from_millis(50);
    upstream.answer("/late", Answer::default().after(delay)).answer("/early", Answer::ok("no").before_body());
    let asked = Instant::now();
    client(&upstream).get("/late").await;
    assert!(asked.elapsed() >= delay);

    let mut connection = client(&upstream).connect().await;
    connection.write("POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n").await;
    assert_eq!(connection.response_to("POST").await.text(), "no");
    connection.write("abc").await;
    assert_eq!(connection.get("/").await.text(), "ok");
    assert_eq!(upstream.requests()[1].text(), "abc");

    let mut connection = client(&upstream).connect().await;
    connection.write("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
    assert_eq!(connection.some_bytes().await.unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write("abc").await;
    connection.response_to("POST").await;
}

#[tokio::test]
async fn a_sink_counts_and_hashes() {
    let upstream = Upstream::start();
    upstream.answer("/up", Answer::sink());
    let body = "0123456789".repeat(100_000);
    client(&upstream).post("/up").body(body.clone()).await;
    let recorded = upstream.take_one();
    assert_eq!((recorded.body_length, recorded.body.len()), (1_000_000, 0));
    assert_eq!(recorded.body_sha256, Some(sha256(&body)));
    assert!(upstream.bytes()[0].len() < 200_000, "a sink does not keep what it swallows");
}

#[tokio::test]
async fn events_come_when_the_test_says_so() {
    let upstream = Upstream::start();
    let events = upstream.events("/events");
    let mut connection = client(&upstream).connect().await;
    connection.write("GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(connection.head_to("GET").await.header("content-type"), Some("text/event-stream"));
    events.wait_for_subscribers(1).await;
    for text in ["one", "two"] {
        events.send(text);
        assert_eq!(connection.content_until("\n\n").await, format!("data: {text}\n\n"));
    }
    events.send("a");
    events.send("b");
    assert_eq!(
        connection.content_until("a").await + &connection.content_until("b\n").await,
        "data: a\n\ndata: b\n"
    );
    events.end();
    assert_eq!(connection.piece().await.unwrap(), b"\n");
    assert_eq!(connection.piece().await, None);
    events.wait_for_subscribers(0).await;
    connection.write("GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await;
    events.wait_for_subscribers(1).await;
    connection.reset();
    events.wait_for_subscribers(0).await;
}

#[tokio::test]
async fn down_and_up_again_on_the_same_port() {
    let upstream = Upstream::start();
    let client = client(&upstream);
    let mut open = client.connect().await;
    assert_eq!(open.get("/").await.status, 200);
    upstream.stop().await;
    open.closed().await;
    assert!(matches!(client.get("/").outcome().await, Err(Failure::Refused(_))));
    upstream.start_again();
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(upstream.url(), format!("http://{}", client.address()));
}
