//! What becomes of the connection or the stream, byte by byte and frame by frame. Row B01.

use super::{discarded, gateway};
use crate::harness::client::{Connection, End, Frames, Outcome, block, flag, kind};
use crate::harness::credentials::ApiKey;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

/// A request that a server would serve if it took a body for one.
const INSIDE: &str = "GET /public/inside HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length,
}

impl Framing {
    fn head(self, target: &str, length: usize, lines: &str) -> String {
        let framing = match self {
            Self::Chunked => "Transfer-Encoding: chunked".to_owned(),
            Self::Length => format!("Content-Length: {length}"),
        };
        format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n{lines}\r\n")
    }

    fn piece(self, piece: &str) -> String {
        match self {
            Self::Chunked => format!("{:x}\r\n{piece}\r\n", piece.len()),
            Self::Length => piece.to_owned(),
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::Chunked => "0\r\n\r\n",
            Self::Length => "",
        }
    }
}

/// Sends a good request, which must be the only one that the upstream received.
async fn serves_next_request(connection: &mut Connection, upstream: &Upstream) {
    let key = ApiKey::of("acme");
    connection.get("/v1/next").headers(&[key.header()]).await.assert_status(200);
    assert_eq!(upstream.take_one().path(), "/v1/next");
}

#[tokio::test]
async fn keeps_connection_when_refused_body_ends() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{}").await;
    let (mut connection, mut count) = (gateway.https().connect().await, 0);
    for (target, status) in [("/v1/x", 401), ("/admin", 401), ("/nowhere", 404), ("/public//x", 400)] {
        for framing in [Framing::Length, Framing::Chunked] {
            for repeat in [1, 20_000] {
                let piece = INSIDE.repeat(repeat);
                connection.write(framing.head(target, 2 * piece.len(), "")).await;
                connection.write(framing.piece(&piece)).await;
                let answer = connection.response_to("POST").await;
                assert_eq!(answer.status, status, "{answer:?}");
                assert_eq!(answer.header("Connection"), Some("keep-alive"), "{target} {framing:?}");
                connection.write(framing.piece(&piece)).await;
                connection.write(framing.end()).await;
                upstream.assert_nothing();
                serves_next_request(&mut connection, &upstream).await;
                count += 1;
            }
        }
    }
    discarded(&gateway, "completed", count).await;
}

/// A request that is in the same packet as the end of a discarded body is a request of its own.
#[tokio::test]
async fn serves_pipelined_request_after_discarded_body() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{}").await;
    for framing in [Framing::Length, Framing::Chunked] {
        let mut connection = gateway.https().connect().await;
        let body = framing.piece(INSIDE) + framing.end();
        let next = "GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n";
        connection.write(framing.head("/v1/x", INSIDE.len(), "") + &body + next).await;
        assert_problem(&connection.response_to("POST").await, 401, "no_credential");
        assert_problem(&connection.response().await, 401, "no_credential");
        serves_next_request(&mut connection, &upstream).await;
    }
}

/// The client may omit the body, so what it sends next has no certain meaning. The gateway says that it closes, and reads
/// nothing as a request any more.
#[tokio::test]
async fn closes_gracefully_after_refusing_an_expectation() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ request_body_bytes: 1MiB }").await;
    for (target, length, status) in [("/v1/x", 5, 401), ("/public/x", 2 << 20, 413)] {
        let mut connection = gateway.https().connect().await;
        connection.write(Framing::Length.head(target, length, "Expect: 100-continue\r\n")).await;
        let answer = connection.response_to("POST").await;
        assert_eq!((answer.status, answer.informational.len()), (status, 0), "{answer:?}");
        assert_eq!(answer.header("Connection"), Some("close"));
        assert_eq!(connection.closed().await, End::Closed);
        // What comes all the same is discarded, and resets nothing.
        connection.write(INSIDE).await;
        assert_eq!(connection.closed().await, End::Closed);
        upstream.assert_nothing();
    }
    // A client that did not wait reads its response as well.
    let mut connection = gateway.https().connect().await;
    connection.write(Framing::Length.head("/v1/x", 5, "Expect: 100-continue\r\n") + "hello").await;
    assert_eq!(connection.only_response().await.status, 401);
    // Both bodies of five bytes came whole.
    discarded(&gateway, "completed", 2).await;
    upstream.assert_nothing();
}

/// Where the next request would begin is not known after a malformed or too large head, and after a body that cannot be
/// discarded whole. The response still arrives, and no reset follows it, while the client sends on.
#[tokio::test]
async fn closes_gracefully_when_framing_is_lost() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ discard_body_bytes: 16MiB }").await;
    let field = "x".repeat(40 << 10);
    for (head, status) in [
        (format!("POST /v1/x HTTP/1.1\r\nHost: a\r\nHost: b\r\nX: {INSIDE}"), 400),
        (format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\nX: {field}\r\n\r\n"), 431),
        ("CONNECT /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 405),
        (
            "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
            400,
        ),
        (Framing::Length.head("/v1/x", 1 << 40, ""), 413),
        (Framing::Length.head("/v1/x", 4 << 20, "Connection: close\r\n"), 401),
    ] {
        let mut connection = gateway.https().connect().await;
        connection.write(&head).await;
        // More than both sockets can hold: the gateway has to read it.
        for _ in 0..4 {
            connection.write(INSIDE.repeat((1 << 20) / INSIDE.len())).await;
        }
        let answer = connection.response_to("POST").await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("Connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
        assert_eq!(connection.closed().await, End::Closed, "{status}");
        upstream.assert_nothing();
    }
}

/// A redirect to HTTPS is an early response like any other.
#[tokio::test]
async fn redirects_an_upload_and_keeps_the_connection() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{}").await;
    let mut connection = gateway.http().connect().await;
    for _ in 0..2 {
        let answer = connection.post("/v1/x").body(vec![b'x'; 1 << 20]).await;
        assert_eq!((answer.status, answer.header("Connection")), (308, Some("keep-alive")), "{answer:?}");
    }
    discarded(&gateway, "completed", 2).await;
    upstream.assert_nothing();
}

fn post(path: &str, others: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path)];
    block(&[&pseudo[..], others].concat())
}

/// Sends `length` bytes of a body as fast as windows allow, and returns the error code if the stream is reset before.
async fn upload(frames: &mut Frames, stream: u32, length: usize) -> Option<u32> {
    let (mut window, mut of_connection, mut sent) = (65_535_usize, 65_535_usize, 0);
    loop {
        while sent < length && window.min(of_connection) > 0 {
            let piece = (length - sent).min(window).min(of_connection).min(16 << 10);
            sent += piece;
            (window, of_connection) = (window - piece, of_connection - piece);
            frames.data(stream, &vec![b'x'; piece], sent == length).await;
        }
        if sent == length {
            return None;
        }
        let frame = frames.next().await.expect("a connection that goes on");
        let number = |bytes: &[u8]| bytes.get(..4).map(|it| u32::from_be_bytes(it.try_into().unwrap()));
        match frame.kind {
            kind::WINDOW_UPDATE => {
                let more = usize::try_from(number(&frame.payload).unwrap()).unwrap();
                *(if frame.stream == 0 { &mut of_connection } else { &mut window }) += more;
            }
            kind::RST_STREAM if frame.stream == stream => return number(&frame.payload),
            _ => {}
        }
    }
}

/// The windows of the stream and of the connection are updated until the body has ended. No `RST_STREAM` is sent, and the
/// other streams of the connection are served.
#[tokio::test]
async fn reads_refused_http2_body_to_its_end() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ request_body_bytes: 1MiB }").await;
    let large = (3_000_000).to_string();
    for (path, others, status) in [
        ("/v1/x", &[][..], 401),
        ("/v1/x", &[("expect", "100-continue")], 401),
        ("/nowhere", &[], 404),
        ("/public/..;/x", &[], 400),
        ("/public/x", &[("content-length", large.as_str())], 413),
    ] {
        let mut frames = gateway.https().frames().await;
        frames.headers(1, &post(path, others), false).await;
        let outcome = frames.outcome(1).await;
        assert!(matches!(&outcome, Outcome::Answered(answered, _) if *answered == status), "{outcome:?}");
        assert_eq!(upload(&mut frames, 1, 3_000_000).await, None, "{path}");
        upstream.assert_nothing();
        let key = ApiKey::of("acme");
        let (name, value) = key.header();
        let fields =
            [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/v1/next")];
        let name = name.to_ascii_lowercase();
        frames.headers(3, &block(&[&fields[..], &[(&name, value)]].concat()), true).await;
        let outcome = frames.outcome(3).await;
        assert!(matches!(outcome, Outcome::Answered(200, _)), "{outcome:?}");
        assert_eq!(upstream.take_one().path(), "/v1/next");
    }
    discarded(&gateway, "completed", 5).await;
}

/// At the limit the stream ends with `RST_STREAM(NO_ERROR)` (RFC 9113 §8.1), after the whole response.
#[tokio::test]
async fn resets_http2_stream_with_no_error_at_the_limit() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ discard_body_bytes: 1MiB }").await;
    let mut frames = gateway.https().frames().await;
    frames.frame(kind::HEADERS, flag::END_HEADERS, 1, &post("/v1/x", &[])).await;
    assert!(matches!(frames.outcome(1).await, Outcome::Answered(401, _)));
    assert_eq!(upload(&mut frames, 1, 8 << 20).await, Some(0));
    discarded(&gateway, "limit", 1).await;
    upstream.assert_nothing();
}
