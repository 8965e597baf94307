//! Bodies, large and slow: they pass as they come, in both directions, and the gateway never holds one.

mod stream_idle;

use std::time::Duration;

use aws_lc_rs::digest;
use portcullis::hex;

use crate::harness::client::{Connection, Failure, Request};
use crate::harness::deadline::{eventually, within_time};
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::{Answer, Upstream};

const YAML: &str = r#"
    limits: { request_body_bytes: {body} }
    upstreams: { files: "{upstream}" }
    routes: [{ name: files, match: { path: /** }, auth: public, upstream: files }]
"#;

async fn gateway(upstream: &Upstream, body: &str) -> Gateway {
    Gateway::builder(YAML).with("upstream", upstream.url()).with("body", body).start().await
}

const GIB: u64 = 1 << 30;

/// What the gateway may use more while a large body passes than before it: buffers of sockets and of TLS, and what the
/// allocator keeps.
const MOST_MEMORY: u64 = 32 << 20;

/// The test's own work in an unoptimized build is most of the time that a body of 1 GiB takes.
const LARGE: Duration = Duration::from_secs(120);

/// The peak of what the gateway uses while `work` is done.
async fn peak_during<T>(gateway: &Gateway, work: impl Future<Output = T>) -> (T, u64) {
    let mut peak = 0;
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return (done, peak),
            () = tokio::time::sleep(Duration::from_millis(20)) => peak = peak.max(gateway.rss_bytes()),
        }
    }
}

#[tokio::test]
async fn a_gibibyte_goes_up_in_flat_memory() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::sink());
    let gateway = gateway(&upstream, "1GiB").await;
    gateway.https().post("/warm").body(vec![0; 1 << 20]).await.assert_status(200);
    upstream.take();
    let before = gateway.rss_bytes();
    let piece = vec![7; 1 << 20];
    let upload = async {
        let mut connection = gateway.https().connect().await;
        let head = format!("POST /large HTTP/1.1\r\nHost: localhost\r\nContent-Length: {GIB}\r\n\r\n");
        connection.write(head).await;
        for _ in 0..GIB >> 20 {
            connection.write(&piece).await;
        }
        connection.response_to("POST").await
    };
    let (answer, peak) = peak_during(&gateway, within_time(LARGE, "the upload", upload)).await;
    answer.assert_status(200);
    let received = upstream.take_one();
    assert_eq!((received.body_length, received.header("Content-Length")), (GIB, Some("1073741824")));
    let mut hash = digest::Context::new(&digest::SHA256);
    (0..GIB >> 20).for_each(|_| hash.update(&piece));
    assert_eq!(received.body_sha256, Some(hex::encode(hash.finish().as_ref())));
    assert!(peak < before + MOST_MEMORY, "{} MiB more", (peak - before) >> 20);
    let line = gateway.wait_for_access(|line| line["path"] == "/large").await;
    assert_eq!(line["received_bytes"], GIB);
}

#[tokio::test]
async fn a_gibibyte_comes_down_in_flat_memory() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::download(GIB)).answer("/warm", Answer::download(1 << 20));
    let gateway = gateway(&upstream, "1MiB").await;
    gateway.https().get("/warm").await.assert_status(200);
    let before = gateway.rss_bytes();
    let download = async {
        let mut connection = gateway.https().connect().await;
        connection.write("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        connection.head_to("GET").await.assert_status(200);
        let mut length = 0;
        while let Some(piece) = connection.piece().await {
            length += piece.len() as u64;
        }
        length
    };
    let (length, peak) = peak_during(&gateway, within_time(LARGE, "the download", download)).await;
    assert_eq!(length, GIB);
    assert!(peak < before + MOST_MEMORY, "{} MiB more", (peak - before) >> 20);
    let line = gateway.wait_for_access(|line| line["path"] == "/large").await;
    assert_eq!(line["sent_bytes"], GIB);
}

/// A client that does not read stops the upstream, instead of filling the gateway.
#[tokio::test]
async fn a_client_that_does_not_read_fills_nothing() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::download(GIB)).answer("/warm", Answer::download(1 << 20));
    let gateway = gateway(&upstream, "1MiB").await;
    gateway.https().get("/warm").await.assert_status(200);
    let before = gateway.rss_bytes();
    let mut connections = Vec::new();
    for _ in 0..4 {
        let mut connection = gateway.https().connect().await;
        connection.write("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        connection.head_to("GET").await.assert_status(200);
        connections.push(connection);
    }
    let ((), peak) = peak_during(&gateway, tokio::time::sleep(Duration::from_millis(500))).await;
    assert!(peak < before + MOST_MEMORY, "{} MiB more", (peak - before) >> 20);
}

/// Each event arrives before the next one is sent.
#[tokio::test]
async fn events_arrive_as_they_are_sent() {
    let upstream = Upstream::start();
    let events = upstream.events("/events");
    let gateway = gateway(&upstream, "1MiB").await;
    let mut connection = gateway.https().connect().await;
    connection.write("GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n").await;
    let head = connection.head_to("GET").await;
    assert_eq!(head.header("Content-Type"), Some("text/event-stream"));
    let http2 = gateway.https().http2().await;
    let mut stream = http2.open_stream(&Request::get("/events")).await.unwrap();
    stream.finish().unwrap();
    stream.response().await.unwrap().assert_status(200);
    events.wait_for_subscribers(2).await;
    for number in 0..20 {
        events.send(&format!("number {number}"));
        let expected = format!("data: number {number}\n\n");
        assert_eq!(connection.content_until("\n\n").await, expected);
        assert_eq!(stream.data().await.unwrap().as_deref(), Some(expected.as_bytes()));
    }
    events.end();
    assert_eq!(connection.piece().await, None);
    // The end may come in a piece of its own.
    while let Some(piece) = stream.data().await.unwrap() {
        assert!(piece.is_empty());
    }
    // The connection is as good as before.
    connection.get("/after").await.assert_status(200);
}

/// A client that goes away ends the stream at the upstream, which would otherwise feed it for ever.
#[tokio::test]
async fn a_client_that_leaves_ends_the_events() {
    let upstream = Upstream::start();
    let events = upstream.events("/events");
    let gateway = gateway(&upstream, "1MiB").await;
    let mut connection = gateway.https().connect().await;
    connection.write("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    connection.head_to("GET").await.assert_status(200);
    let http2 = gateway.https().http2().await;
    let mut stream = http2.open_stream(&Request::get("/events")).await.unwrap();
    stream.finish().unwrap();
    stream.response().await.unwrap().assert_status(200);
    events.wait_for_subscribers(2).await;
    drop(connection);
    events.wait_for_subscribers(1).await;
    stream.reset(h2::Reason::CANCEL);
    events.wait_for_subscribers(0).await;
}

/// The pieces of an upload reach the upstream as they are sent, over either version of HTTP.
#[tokio::test]
async fn pieces_of_an_upload_arrive_as_they_are_sent() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "1MiB").await;
    let mut connection = gateway.https().connect().await;
    connection.write("POST /1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let http2 = gateway.https().http2().await;
    let mut stream = http2.open_stream(&Request::new("POST", "/2")).await.unwrap();
    for length in 1..=10 {
        connection.write("1\r\na\r\n").await;
        stream.send(b"b").await.unwrap();
        eventually(format!("{length} pieces of each"), || {
            let requests = upstream.requests();
            let came = |path: &str| {
                requests.iter().any(|request| request.path() == path && request.body_length == length)
            };
            (came("/1") && came("/2")).then_some(())
        })
        .await;
    }
    connection.write("0\r\n\r\n").await;
    stream.finish().unwrap();
    connection.response_to("POST").await.assert_status(200);
    stream.response().await.unwrap().assert_status(200);
}

/// D04: a body that is announced as too large is refused before a byte of it is asked for or passed on.
#[tokio::test]
async fn an_announced_body_that_is_too_large_goes_nowhere() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "1KiB").await;
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut connection = gateway.https().connect().await;
        let head = format!("POST /a HTTP/1.1\r\nHost: localhost\r\n{expect}Content-Length: 1025\r\n\r\n");
        connection.write(head).await;
        let answer = connection.response_to("POST").await;
        assert_problem(&answer, 413, "body_too_large");
        assert!(answer.informational.is_empty(), "{answer:?}");
    }
    let http2 = gateway.https().http2().await;
    let mut stream =
        http2.open_stream(&Request::new("POST", "/a").header("Content-Length", "1025")).await.unwrap();
    assert_eq!(stream.response().await.unwrap().status, 413);
    upstream.assert_nothing();
    assert_eq!(upstream.connections(), 0);
    gateway.https().post("/fits").body(vec![0; 1024]).await.assert_status(200);
}

/// D04: a body that turns out to be too large is cut off there; what came before has passed, because nothing is kept.
#[tokio::test]
async fn a_body_that_turns_out_to_be_too_large_is_cut_off() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "1MiB").await;
    let before = gateway.rss_bytes();
    let mut connection = gateway.https().connect().await;
    connection.write("POST /1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = [&b"10000\r\n"[..], &vec![b'a'; 1 << 16], b"\r\n"].concat();
    for _ in 0..1024 {
        if connection.try_write(&chunk).await.is_err() {
            break;
        }
    }
    let answer = connection.try_response_to("POST").await;
    if let Ok(answer) = &answer {
        assert_problem(answer, 413, "body_too_large");
    }
    gateway.wait_for_access(|line| line["status"] == 413 && line["path"] == "/1").await;
    let http2 = gateway.https().http2().await;
    let request = Request::new("POST", "/2");
    let mut stream = http2.open_stream(&request).await.unwrap();
    for _ in 0..1024 {
        if stream.send(&chunk).await.is_err() {
            break;
        }
    }
    gateway.wait_for_access(|line| line["status"] == 413 && line["path"] == "/2").await;
    let received: u64 = upstream.requests().iter().map(|request| request.body_length).sum();
    assert!(received <= 2 << 20, "{received} bytes went upstream");
    assert!(gateway.rss_bytes() < before + MOST_MEMORY);
    assert!(upstream.requests().iter().all(|request| !request.complete));
    // The half of a request is not the beginning of the next one.
    gateway.https().get("/next").await.assert_status(200);
}

/// RFC 9110 section 10.1.1: the client is told to go on when the upstream says so, and the body passes after that.
#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_from_the_upstream() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "1MiB").await;
    let mut connection = gateway.https().connect().await;
    for turn in 0..3 {
        connection.write(EXPECTING).await;
        let interim = connection.some_bytes().await.unwrap_or_else(|| panic!("{turn}"));
        assert_eq!(String::from_utf8_lossy(&interim).lines().next(), Some("HTTP/1.1 100 Continue"), "{turn}");
        connection.write("hello").await;
        let answer = connection.response_to("POST").await;
        answer.assert_status(200);
        assert!(answer.informational.is_empty(), "100 came twice: {answer:?}");
        let received = upstream.take_one();
        assert_eq!((received.text(), received.header("Expect")), ("hello", Some("100-continue")), "{turn}");
    }
    assert_eq!(upstream.connections(), 1, "the connection was not used again");
}

/// An upstream that answers instead of saying 100 is believed: the body is not asked for, and since the client may send
/// it all the same, the connection is not used for another request.
#[tokio::test]
async fn an_upstream_that_declines_the_body_is_believed() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::status(403, "no").closing().before_body());
    let gateway = gateway(&upstream, "1MiB").await;
    for _ in 0..5 {
        let mut connection = gateway.https().connect().await;
        connection.write(EXPECTING).await;
        let answer = connection.response_to("POST").await;
        assert_eq!((answer.status, answer.text()), (403, "no"));
        assert!(answer.informational.is_empty(), "{answer:?}");
    }
    upstream.answer_otherwise(Answer::ok("fine"));
    assert_eq!(gateway.https().get("/after").await.text(), "fine");
}

/// F08 (CVE-2025-32094): a request that is refused is not asked to go on.
#[tokio::test]
async fn a_refused_request_is_not_asked_to_go_on() {
    let upstream = Upstream::start();
    let gateway = Gateway::builder(
        r#"
        auth: { partners: { api_key: { keys: keys.yaml } } }
        upstreams: { files: "{upstream}" }
        routes: [{ name: files, match: { path: /** }, auth: partners, upstream: files }]
        "#,
    )
    .with("upstream", upstream.url())
    .file("keys.yaml", "keys: []\n")
    .start()
    .await;
    let mut connection = gateway.https().connect().await;
    connection.write(EXPECTING).await;
    let answer = connection.response_to("POST").await;
    assert_problem(&answer, 401, "no_credential");
    assert!(answer.informational.is_empty(), "{answer:?}");
    upstream.assert_nothing();
}

const EXPECTING: &str =
    "POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

/// Trailers of an HTTP/1.1 upstream reach an HTTP/2 client, and a HEAD has no body over either version.
#[tokio::test]
async fn answers_keep_their_form() {
    let upstream = Upstream::start();
    upstream.answer("/chunks", Answer::chunks(&["a", "bc"]).trailer("X-Sum", "3"));
    upstream.answer("/close", Answer::until_close("till the end"));
    upstream.answer("/empty", Answer::status(204, ""));
    upstream.answer("/hint", Answer::ok("x").informational(103, &[("Link", "</a.css>")]));
    let gateway = gateway(&upstream, "1MiB").await;
    let mut http1: Connection = gateway.https().connect().await;
    let http2 = gateway.https().http2().await;
    for (path, status, text) in
        [("/chunks", 200, "abc"), ("/close", 200, "till the end"), ("/empty", 204, ""), ("/hint", 200, "x")]
    {
        let answer = http1.get(path).await;
        assert_eq!((answer.status, answer.text()), (status, text), "{path}");
        let answer = http2.get(path).await;
        assert_eq!((answer.status, answer.text()), (status, text), "{path}");
        let answer = http1.call("HEAD", path).await;
        assert_eq!((answer.status, answer.text()), (status, ""), "{path}");
        let answer = http2.call("HEAD", path).await;
        assert_eq!((answer.status, answer.text()), (status, ""), "{path}");
    }
}

/// An answer that breaks off must not look like a whole one.
#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let upstream = Upstream::start();
    upstream.answer("/half", Answer::half("half"));
    let broken = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    upstream.answer("/chunk", Answer::raw_then_close(broken));
    let gateway = gateway(&upstream, "1MiB").await;
    for path in ["/half", "/chunk"] {
        let failure = gateway.https().get(path).outcome().await.unwrap_err();
        // What had come so far may still have been on its way to the client.
        let seen = matches!(failure, Failure::Truncated(_) | Failure::Unanswered(_));
        assert!(seen, "{path}: {failure:?}");
        let failure = gateway.https().get(path).over_http2().outcome().await.unwrap_err();
        assert!(matches!(failure, Failure::Http2(..)), "{path}: {failure:?}");
    }
}
