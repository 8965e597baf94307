//! HTTP/2, by library and frame by frame, against the gRPC upstream.

use h2::Reason;

use crate::harness::client::{
    Client, Failure, Frame, Http2Stream, Outcome, Request, block, flag, kind, literal,
};
use crate::harness::tls::{Authority, ClientTls, server_config};
use crate::harness::upstream::{GrpcUpstream, RecordedCall, Upstream};

const HEAD: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/echo.Echo/Unary")];

#[tokio::test]
async fn a_unary_call_with_trailers() {
    let upstream = GrpcUpstream::start();
    let client = Client::plain(upstream.address()).with_header("x-all", "1");
    let http2 = client.http2().await;
    // More than a window, so that flow control has to work in both directions.
    let body = vec![b'x'; 3 << 20];
    let answer = http2.post("/echo.Echo/Unary").header("te", "trailers").body(body.clone()).await;
    assert_eq!((answer.status, answer.version.as_str()), (200, "HTTP/2"));
    assert_eq!(answer.trailers.get("grpc-status"), Some("0"));
    assert!(answer.body == body);
    let answer = http2.get("/echo.Echo/Fail").await;
    assert_eq!((answer.header("grpc-status"), answer.body.len()), (Some("7"), 0));
    assert_eq!(client.get("/").over_http2().await.header("grpc-status"), Some("12"));
    let calls = upstream.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!((calls[0].path.as_str(), calls[0].method.as_str()), ("/echo.Echo/Unary", "POST"));
    assert_eq!((calls[0].authority.as_str(), calls[0].headers.get("x-all")), ("localhost", Some("1")));
    assert!(calls[0].complete && calls[0].body == body);
}

#[tokio::test]
async fn both_directions_stream() {
    let authority = Authority::shared();
    let upstream = GrpcUpstream::start_tls(server_config(&authority.server(&["localhost"]), None, &["h2"]));
    assert_eq!(upstream.url(), format!("https://{}", upstream.address()));
    let client = Client::tls(upstream.address(), ClientTls::trusting(authority));
    let http2 = client.http2().await;
    assert_eq!(http2.tls().protocol.as_deref(), Some("h2"));
    let mut stream: Http2Stream = http2.open_stream(&Request::new("POST", "/echo.Echo/Bidi")).await.unwrap();
    stream.send(b"one").await.unwrap();
    assert_eq!(stream.response().await.unwrap().status, 200);
    assert_eq!(stream.data().await.unwrap().unwrap(), "one");
    stream.send(b"two").await.unwrap();
    assert_eq!(stream.data().await.unwrap().unwrap(), "two");
    stream.send_trailers(&[("x-checksum", "12")]).unwrap();
    assert_eq!(stream.data().await.unwrap(), None);
    assert_eq!(stream.trailers().await.unwrap().get("grpc-status"), Some("0"));
    let call: RecordedCall = upstream.calls().remove(0);
    assert_eq!((call.body.as_slice(), call.trailers.get("x-checksum")), (&b"onetwo"[..], Some("12")));

    let mut stream = http2.open_stream(&Request::new("POST", "/echo.Echo/Bidi")).await.unwrap();
    stream.reset(Reason::CANCEL);
    assert_eq!(stream.response().await.unwrap_err().reason(), Some(Reason::CANCEL));
    let mut stream = http2.open_stream(&Request::new("POST", "/echo.Echo/Bidi")).await.unwrap();
    stream.finish().unwrap();
    assert_eq!(stream.response().await.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_not_there_fails_with_a_reason() {
    let upstream = Upstream::start();
    let client = Client::plain(upstream.address());
    let outcome = client.get("/").over_http2().outcome().await;
    assert!(matches!(outcome, Err(Failure::Http2(..))), "{outcome:?}");
    let mut http2 = client.http2().await;
    assert!(http2.closed().await.is_err());
    assert!(!upstream.expect_violations().is_empty());
    upstream.stop().await;
    assert!(matches!(client.try_http2().await.err(), Some(Failure::Refused(_))));
}

#[tokio::test]
async fn frames_are_answered_or_refused() {
    let upstream = GrpcUpstream::start();
    let client = Client::plain(upstream.address());
    let mut frames = client.frames().await;
    frames.headers(1, &block(&HEAD), false).await;
    frames.data(1, b"hello", true).await;
    assert_eq!(frames.outcome(1).await, Outcome::Answered(200, b"hello".to_vec()));

    // A block in two pieces.
    let whole = block(&HEAD);
    frames.frame(kind::HEADERS, flag::END_STREAM, 3, &whole[..10]).await;
    frames.frame(kind::CONTINUATION, flag::END_HEADERS, 3, &whole[10..]).await;
    assert_eq!(frames.outcome(3).await, Outcome::Answered(200, Vec::new()));

    let refused: [(&str, Vec<u8>); 4] = [
        ("upper case", literal("X-Upper", "1")),
        ("connection", literal("connection", "close")),
        ("transfer-encoding", literal("transfer-encoding", "chunked")),
        ("CR LF in a value", literal("x", "a\r\nb: c")),
    ];
    for (name, field) in refused {
        let mut frames = client.frames().await;
        frames.headers(1, &[block(&HEAD), field].concat(), true).await;
        let outcome = frames.outcome(1).await;
        let protocol_error = [Outcome::Reset(1), Outcome::GoAway(1)];
        assert!(protocol_error.contains(&outcome), "{name}: {outcome:?}");
    }
    assert_eq!(upstream.calls().len(), 2);

    let mut frames = client.frames().await;
    frames.frame(kind::PING, 0, 0, &[7; 8]).await;
    loop {
        let frame = frames.next().await.unwrap();
        if frame.kind == kind::PING {
            let expect = Frame { kind: kind::PING, flags: flag::ACK, stream: 0, payload: vec![7; 8] };
            assert_eq!(frame, expect);
            break;
        }
    }
    frames.frame(kind::DATA, 0, 0, b"on stream zero").await;
    assert_eq!(frames.outcome(1).await, Outcome::GoAway(1));
}

#[tokio::test]
async fn a_connection_that_is_closed_without_a_word_is_an_outcome() {
    let upstream = Upstream::start();
    let mut frames = Client::plain(upstream.address()).frames().await;
    frames.raw(b"not a frame").await;
    let outcome = frames.outcome(1).await;
    assert_eq!(outcome, Outcome::Closed);
    assert!(!upstream.expect_violations().is_empty());
}
