//! HTTP/2: what has no meaning in it, and what it says differently from HTTP/1.

use super::*;
use crate::harness::client::{End, Failure, Request, flag, kind};
use crate::harness::deadline::eventually;
use h2::Reason;

/// `PROTOCOL_ERROR` (RFC 9113 section 7).
const PROTOCOL_ERROR: u32 = 1;

/// Fields that HTTP/2 does not have, or that would end a line in HTTP/1 (h2spec, RFC 9113 section 8.2).
/// Row F10.
#[tokio::test]
async fn fields_that_http2_does_not_have_end_the_stream() {
    let stand = Stand::start().await;
    let fields: [(&[u8], &[u8]); 17] = [
        (b"x", b"a\r\nX-Auth-Subject: root"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\0b"),
        (b"X-Upper", b"a"),
        (b"x-Auth-subject", b"a"),
        (b"x y", b"a"),
        (b"x\r\ny", b"a"),
        (b"x:y", b"a"),
        (b"", b"a"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"close"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"close"),
        (b"upgrade", b"websocket"),
        (b"te", b"gzip"),
        (b":path", b"/admin"),
    ];
    for (name, value) in fields {
        let mut head = block(&get_fields("/public/x"));
        head.extend(literal(name, value));
        let mut frames = stand.gateway.https().frames().await;
        frames.headers(1, &head, true).await;
        match frames.outcome(1).await {
            Outcome::Reset(PROTOCOL_ERROR) | Outcome::GoAway(_) | Outcome::Answered(400, _) => {}
            other => panic!("{}: {}: {other:?}", name.escape_ascii(), value.escape_ascii()),
        }
        stand.upstream.assert_nothing();
    }
    for fields in [
        &[
            (":method", "GET"),
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "a"),
            (":path", "/public/x"),
        ][..],
        &[(":scheme", "https"), (":authority", "localhost"), (":path", "/public/x")],
        &[(":method", "GET"), (":authority", "localhost"), (":path", "/public/x")],
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/public/x"),
            ("x", "y"),
            (":authority", "localhost"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/public/x"),
            (":status", "200"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/public/x"),
            (":x", "y"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/public/x"),
            ("trailer", ""),
        ],
    ] {
        let mut frames = stand.gateway.https().frames().await;
        frames.headers(1, &block(fields), true).await;
        match frames.outcome(1).await {
            Outcome::Reset(PROTOCOL_ERROR) | Outcome::GoAway(_) | Outcome::Answered(400, _) => {
                stand.upstream.assert_nothing();
            }
            Outcome::Answered(200, _) if fields.contains(&("trailer", "")) => {
                stand.upstream.take_one();
            }
            other => panic!("{fields:?}: {other:?}"),
        }
    }
    stand.assert_only_this_arrives().await;
}

/// An empty `:scheme` is malformed (RFC 9113 section 8.3.1).
/// Row F10.
#[tokio::test]
async fn rejects_http2_request_with_empty_scheme() {
    let stand = Stand::start().await;
    for path in ["/public/x", "/v1/x", "/nowhere"] {
        let fields = [
            (":method", "GET"),
            (":scheme", ""),
            (":authority", "localhost"),
            (":path", path),
            ("x-api-key", &stand.admin.key),
        ];
        stand.refuses_http2(&fields, 400, "malformed_scheme").await;
    }
    stand.assert_only_this_arrives().await;
}

/// A body that is not as long as it says is never passed on as a whole one (RFC 9113 section 8.1.1).
/// Row F10.
#[tokio::test]
async fn bodies_that_are_not_as_long_as_they_say_are_never_completed() {
    let stand = Stand::start().await;
    for (announced, sent) in [("5", "helloworld"), ("10", "hello")] {
        let mut head = block(&get_fields("/public/x"));
        head.extend(literal("content-length", announced));
        let mut frames = stand.gateway.https().frames().await;
        frames.headers(1, &head, false).await;
        let begun = || (!stand.upstream.requests().is_empty()).then_some(());
        eventually("the head at the upstream", begun).await;
        frames.data(1, sent.as_bytes(), true).await;
        match frames.outcome(1).await {
            Outcome::Reset(_) | Outcome::GoAway(_) => {}
            Outcome::Answered(status, _) => assert!((400..500).contains(&status), "{announced}: {status}"),
            Outcome::Closed => panic!("{announced}: closed without a word"),
        }
        let ended = || (stand.upstream.open_connections() == 0).then_some(());
        eventually("the end of the connection with half a request", ended).await;
        assert!(!stand.upstream.take_one().complete, "{announced}");
    }
    for length in ["+5", "5, 5", "", "5x", "99999999999999999999"] {
        let mut head = block(&get_fields("/public/x"));
        head.extend(literal("content-length", length));
        let mut frames = stand.gateway.https().frames().await;
        frames.headers(1, &head, false).await;
        frames.data(1, b"hello", true).await;
        match frames.outcome(1).await {
            Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Answered(400 | 413, _) => {}
            other => panic!("{length:?}: {other:?}"),
        }
        stand.upstream.assert_nothing();
    }
    stand.assert_only_this_arrives().await;
}

/// Trailers are not passed on, and never become header fields.
/// Row F11.
#[tokio::test]
async fn http2_trailers_never_become_header_fields() {
    let stand = Stand::start().await;
    let client = stand.gateway.https().http2().await;
    let request = Request::new("POST", "/v1/x").header("X-API-Key", &stand.user.key);
    let mut stream = client.open_stream(&request).await.unwrap();
    stream.send(b"hello").await.unwrap();
    stream.send_trailers(&[("x-auth-subject", "root"), ("authorization", "x"), ("x-api-key", "x")]).unwrap();
    assert_eq!(stream.response().await.unwrap().status, 200);
    let received = stand.upstream.take_one();
    assert_eq!((received.text(), received.header("X-Auth-Subject")), ("hello", Some("acme")));
    assert_eq!((received.header("Authorization"), received.header("X-API-Key")), (None, None));
    assert_eq!(received.trailers.len(), 0);
    // A key in the trailers is no key.
    let mut stream = client.open_stream(&Request::new("POST", "/v1/x")).await.unwrap();
    let _ = stream.send_trailers(&[("x-api-key", &stand.user.key)]);
    assert_eq!(stream.response().await.unwrap().status, 401);
    stand.upstream.assert_nothing();
}

/// `:authority` and `host` that differ, or that are no host.
/// Rows M01 and M02.
#[tokio::test]
async fn the_authority_has_one_meaning() {
    let stand = Stand::start().await;
    for authority in [
        "a,b",
        "user@localhost",
        "localhost:99999",
        "localhost:0",
        "localhost/../x",
        "local host",
        "",
        "a..b",
    ] {
        let fields =
            [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", "/public/x")];
        stand.refuses_http2(&fields, 400, "malformed_host").await;
    }
    let good = get_fields("/public/x");
    for further in [
        &[("host", "api.example.com")][..],
        &[("host", "localhost:8443")],
        &[("host", "localhost"), ("host", "localhost")],
        &[("host", "")],
        &[("host", "localhost"), ("host", "api.example.com")],
    ] {
        stand.refuses_http2(&[&good[..], further].concat(), 400, "malformed_host").await;
    }
    let none = [(":method", "GET"), (":scheme", "https"), (":path", "/public/x")];
    stand.refuses_http2(&none, 400, "malformed_host").await;
    // The same host in both is one.
    let mut frames = stand.gateway.https().frames().await;
    frames.headers(1, &block(&[&good[..], &[("host", "localhost")]].concat()), true).await;
    assert_eq!(frames.outcome(1).await, Outcome::Answered(200, b"ok".to_vec()));
    assert_eq!(stand.upstream.take_one().headers.all("Host").len(), 1);
}

/// Cookies that a client sent in several fields, as it may by HTTP/2, reach the upstream in one (RFC 9113 section 8.2.3).
#[tokio::test]
async fn split_cookies_are_joined_once() {
    let stand = Stand::start().await;
    for (crumbs, expect) in [
        (&["a=1", "b=2", "c=3"][..], "a=1; b=2; c=3"),
        (&["a=1; b=2", "a=3"], "a=1; b=2; a=3"),
        (&["a=1"], "a=1"),
    ] {
        let fields: Vec<(&str, &str)> = crumbs.iter().map(|crumb| ("cookie", *crumb)).collect();
        for http2 in [true, false] {
            let client = stand.gateway.https();
            let call = client.get("/public/x").headers(&fields);
            if http2 { call.over_http2() } else { call }.await.assert_status(200);
            assert_eq!(stand.upstream.take_one().header("Cookie"), Some(expect), "{crumbs:?}");
        }
    }
}

/// A client that agrees on HTTP/2 and then says nothing, half of the preface, or something else, does not stay.
/// Row D01.
#[tokio::test]
async fn a_preface_that_does_not_come_ends_the_connection() {
    let yaml = ROUTES.replace("header_timeout: 2s", "header_timeout: 250ms");
    let stand = Stand::with(&yaml).await;
    for start in [
        "",
        "PRI",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PRI * HTTP/2.1",
    ] {
        let mut connection = stand.gateway.https().connect_for("h2").await;
        let _ = connection.try_write(start).await;
        let end = connection.closed().await;
        assert!(matches!(end, End::Closed | End::Truncated | End::Reset));
    }
    // A preface in pieces is a preface.
    let mut connection = stand.gateway.https().connect_for("h2").await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        connection.write([*byte]).await;
    }
    assert!(connection.some_bytes().await.is_some(), "settings");
    stand.assert_only_this_arrives().await;
}

/// A head that is too large by HTTP/2 is refused as one by HTTP/1, as far as it is read at all.
/// Row D03.
#[tokio::test]
async fn large_heads_are_refused_by_http2_too() {
    let stand = Stand::start().await;
    let client = stand.gateway.https().http2().await;
    let large = "x".repeat(33 << 10);
    let answer = client.get("/public/x").header("x-large", &large).await;
    stand.assert_refused(&answer, 431, "head_too_large").await;
    let many: Vec<(String, String)> =
        (0..120).map(|number| (format!("x-{number}"), "y".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = client.get("/public/x").headers(&many).await;
    stand.assert_refused(&answer, 431, "head_too_large").await;
    let cookies = vec![("cookie", "a=1"); 120];
    let answer = client.get("/public/x").headers(&cookies).await;
    stand.assert_refused(&answer, 431, "head_too_large").await;
    let path = format!("/public/{}", "x".repeat(33 << 10));
    let answer = client.get(&path).await;
    stand.assert_refused(&answer, 431, "head_too_large").await;
    // So large that it is not kept: the library refuses it, or ends the connection.
    let huge = "x".repeat(1 << 20);
    match client.get("/public/x").header("x-huge", &huge).outcome().await {
        Ok(answer) => assert_eq!(answer.status, 431),
        Err(Failure::Http2(reason, _)) => assert_ne!(reason, Some(Reason::INTERNAL_ERROR)),
        Err(failure) => panic!("{failure}"),
    }
    stand.upstream.assert_nothing();
    stand.assert_only_this_arrives().await;
}

/// Frames that no client sends end the connection and nothing else.
#[tokio::test]
async fn frames_out_of_order_end_the_connection() {
    let stand = Stand::start().await;
    let head = block(&get_fields("/public/x"));
    let half = &head[..head.len() / 2];
    for (name, frames) in [
        ("DATA on stream 0", vec![(kind::DATA, 0, 0, &b"x"[..])]),
        ("DATA on an idle stream", vec![(kind::DATA, 0, 1, b"x")]),
        ("HEADERS on stream 0", vec![(kind::HEADERS, flag::END_HEADERS, 0, &head)]),
        ("HEADERS on an even stream", vec![(kind::HEADERS, flag::END_HEADERS, 2, &head)]),
        ("CONTINUATION alone", vec![(kind::CONTINUATION, flag::END_HEADERS, 1, &head)]),
        ("DATA inside a head", vec![(kind::HEADERS, 0, 1, half), (kind::DATA, 0, 1, b"x")]),
        (
            "another head inside a head",
            vec![(kind::HEADERS, 0, 1, half), (kind::HEADERS, flag::END_HEADERS, 3, &head)],
        ),
        ("SETTINGS of a wrong length", vec![(kind::SETTINGS, 0, 0, b"abc")]),
        ("PING of a wrong length", vec![(kind::PING, 0, 0, b"abc")]),
        ("WINDOW_UPDATE by nothing", vec![(kind::WINDOW_UPDATE, 0, 0, &[0; 4])]),
        ("broken HPACK", vec![(kind::HEADERS, flag::END_HEADERS, 1, &[0xff; 20])]),
    ] {
        let mut connection = stand.gateway.https().frames().await;
        for (kind, flags, stream, payload) in frames {
            connection.frame(kind, flags, stream, payload).await;
        }
        let outcome = connection.outcome(1).await;
        assert!(matches!(outcome, Outcome::GoAway(_) | Outcome::Closed), "{name}: {outcome:?}");
        stand.upstream.assert_nothing();
    }
    stand.assert_only_this_arrives().await;
}
