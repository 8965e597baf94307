//! Bodies over HTTP/2 in every form that they may have and may not have: what may pass arrives whole and in the form that
//! HTTP/1.1 has for it, and what may not never arrives as a whole request.

use super::{gateway, head, is_at_rest, upstreams};
use crate::harness::client::{Frames, Outcome, flag, kind, literal};
use crate::harness::deadline::eventually;
use crate::harness::upstream::{Answer, Upstream};

/// `PADDED` (RFC 9113 section 6.1).
const PADDED: u8 = 0x8;

/// Flags and payloads of `DATA`.
type Pieces = Vec<(u8, Vec<u8>)>;

/// A kind, flags, and a payload.
type Frame<'a> = (u8, u8, &'a [u8]);

/// `DATA` with as many bytes of padding as there may be.
fn padded(content: &[u8]) -> Vec<u8> {
    [&[255], content, &[0; 255][..]].concat()
}

async fn answered(frames: &mut Frames, stream: u32, what: &str) {
    assert_eq!(frames.outcome(stream).await, Outcome::Answered(200, b"ok".to_vec()), "{what}");
}

/// Requests for which it does not matter how their bodies were cut into frames.
#[tokio::test]
async fn a_body_is_what_its_frames_carry() {
    for upstream in upstreams() {
        let gateway = gateway(&upstream.url(), "{}", "{}").await;
        let mut frames = gateway.https().frames().await;
        let mut stream = 1;
        // A method, its announced length, frames with their flags, and what the upstream receives.
        let end = flag::END_STREAM;
        let rows: Vec<(&str, Option<&str>, Pieces, &[u8])> = vec![
            ("POST", None, vec![(end, vec![])], b""),
            ("POST", Some("0"), vec![(end, vec![])], b""),
            ("POST", Some("0"), vec![(PADDED | end, padded(b""))], b""),
            ("POST", None, vec![(0, b"a".to_vec()), (end, vec![])], b"a"),
            ("POST", Some("1"), vec![(0, b"a".to_vec()), (end, vec![])], b"a"),
            ("POST", None, vec![(0, vec![]), (0, b"a".to_vec()), (0, vec![]), (end, b"b".to_vec())], b"ab"),
            ("POST", Some("2"), vec![(PADDED, padded(b"a")), (PADDED | end, padded(b"b"))], b"ab"),
            ("GET", None, vec![(end, b"content of GET".to_vec())], b"content of GET"),
            ("DELETE", Some("4"), vec![(end, b"body".to_vec())], b"body"),
            ("OPTIONS", None, vec![(end, vec![])], b""),
        ];
        for (method, length, pieces, body) in rows {
            let mut block = head(method, "/x");
            block.extend(length.map(|length| literal("content-length", length)).unwrap_or_default());
            frames.headers(stream, &block, false).await;
            for (flags, payload) in &pieces {
                frames.frame(kind::DATA, *flags, stream, payload).await;
            }
            answered(&mut frames, stream, &format!("{method} {length:?} {pieces:?}")).await;
            let received = upstream.take_one();
            assert_eq!(
                (received.method.as_str(), &received.body[..]),
                (method, body),
                "{length:?} {pieces:?}"
            );
            assert!(received.complete);
            stream += 2;
        }
        is_at_rest(&gateway).await;
        // One connection carried all of them, so nothing was left on it.
        assert_eq!(upstream.connections(), 1);
    }
}

/// Padding counts for the window (RFC 9113 section 6.9.1): a client that pads is not left without any.
#[tokio::test]
async fn padding_uses_up_no_window() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "{}", "{}").await;
    let mut frames = gateway.https().frames().await;
    frames.headers(1, &head("POST", "/x"), false).await;
    // Never more under way than the first window has, and three times as much of it in all.
    let mut window = 65_535_i64;
    for number in 1..=800 {
        let piece = padded(b"x");
        let size = i64::try_from(piece.len()).unwrap();
        while window < size {
            let frame = frames.next().await.expect("more window");
            if frame.kind == kind::WINDOW_UPDATE && frame.stream == 0 {
                window += i64::from(u32::from_be_bytes(frame.payload[..4].try_into().unwrap()));
            }
        }
        window -= size;
        frames.frame(kind::DATA, PADDED, 1, &piece).await;
        if number % 50 == 0 {
            // Many small frames that nobody has taken yet would be taken for a flood.
            let came = || upstream.requests().iter().any(|request| request.body_length == number);
            eventually("what was sent at the upstream", || came().then_some(())).await;
        }
    }
    frames.data(1, b"", true).await;
    answered(&mut frames, 1, "padded").await;
    assert_eq!(upstream.take_one().body_length, 800);
}

/// What contradicts itself ends its stream, or its connection, and the upstream never gets a whole request of it.
#[tokio::test]
async fn what_contradicts_itself_is_never_completed() {
    for upstream in upstreams() {
        upstream.answer("/hang", Answer::hang());
        let gateway = gateway(&upstream.url(), "{}", "{}").await;
        let forbidden = literal("connection", "close");
        let end = flag::END_STREAM;
        let trailers = flag::END_HEADERS | end;
        let rows: Vec<(&str, Option<&str>, bool, Vec<Frame<'_>>)> = vec![
            ("content that was said to be none", Some("0"), false, vec![(kind::DATA, end, b"GET /smuggled")]),
            ("a length without content", Some("5"), true, vec![]),
            ("a length and an empty end", Some("5"), false, vec![(kind::DATA, end, b"")]),
            ("more than the length", Some("1"), false, vec![(kind::DATA, 0, b"a"), (kind::DATA, end, b"b")]),
            (
                "less and then trailers",
                Some("5"),
                false,
                vec![(kind::DATA, 0, b"a"), (kind::HEADERS, trailers, b"")],
            ),
            (
                "a field of the connection in the trailers",
                None,
                false,
                vec![(kind::DATA, 0, b"a"), (kind::HEADERS, trailers, &forbidden)],
            ),
            (
                "trailers that are not the end",
                None,
                false,
                vec![(kind::DATA, 0, b"a"), (kind::HEADERS, flag::END_HEADERS, b""), (kind::DATA, end, b"b")],
            ),
            (
                "padding that is longer than its frame",
                None,
                false,
                vec![(kind::DATA, PADDED | end, &[9, b'a'])],
            ),
            ("padding of nothing", None, false, vec![(kind::DATA, PADDED | end, b"")]),
        ];
        for (what, length, ends, pieces) in rows {
            let mut frames = gateway.https().frames().await;
            let mut block = head("POST", "/hang");
            block.extend(length.map(|length| literal("content-length", length)).unwrap_or_default());
            frames.headers(1, &block, ends).await;
            for (kind, flags, payload) in pieces {
                frames.frame(kind, flags, 1, payload).await;
            }
            let outcome = frames.outcome(1).await;
            assert!(!matches!(outcome, Outcome::Answered(0..=399, _)), "{what}: {outcome:?}");
            drop(frames);
            is_at_rest(&gateway).await;
            eventually("the end at the upstream", || (upstream.open_connections() == 0).then_some(())).await;
            let received = upstream.take();
            assert!(received.len() <= 1, "{what}: {received:?}");
            for request in received {
                // Where it had all that was announced before the contradiction came, that is what it has.
                let announced = length.map(|length| length.parse::<u64>().unwrap());
                let whole = announced == Some(request.body_length);
                assert!(whole || !request.complete, "{what}: {request:?}");
            }
        }
        upstream.answer_otherwise(Answer::ok("ok"));
        gateway.https().get("/after").over_http2().await.assert_status(200);
    }
}

/// Pseudo-fields in trailers, which must not be there (RFC 9113 section 8.1), change nothing of what was decided on.
#[tokio::test]
async fn trailers_are_no_second_head() {
    for upstream in upstreams() {
        let gateway = gateway(&upstream.url(), "{}", "{}").await;
        let mut frames = gateway.https().frames().await;
        frames.headers(1, &head("POST", "/x"), false).await;
        frames.data(1, b"a", false).await;
        frames.headers(1, &head("DELETE", "/other"), true).await;
        let outcome = frames.outcome(1).await;
        assert!(matches!(outcome, Outcome::Answered(200, _) | Outcome::Reset(1)), "{outcome:?}");
        is_at_rest(&gateway).await;
        for request in upstream.take() {
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/x"));
            assert!(request.trailers.len() == 0 && request.body == b"a", "{request:?}");
        }
    }
}

/// An upstream that answers before it has read a body, and closes: the client gets that answer.
#[tokio::test]
async fn an_upstream_that_declines_a_body_is_believed() {
    for upstream in upstreams() {
        upstream.answer_otherwise(Answer::status(413, "no").closing().before_body());
        let gateway = gateway(&upstream.url(), "{}", "{}").await;
        let connection = gateway.https().http2().await;
        for _ in 0..5 {
            let mut stream =
                connection.open_stream(&crate::harness::client::Request::new("POST", "/x")).await.unwrap();
            let mut answer = stream.response().await.unwrap();
            while let Some(piece) = stream.data().await.unwrap() {
                answer.body.extend_from_slice(&piece);
            }
            assert_eq!((answer.status, answer.text()), (413, "no"));
        }
        is_at_rest(&gateway).await;
    }
}
