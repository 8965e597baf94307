//! Where a request ends: every disagreement about it is a second request that nobody has looked at.

use super::*;
use crate::harness::upstream::Answer;

fn post(lines: &[&str], body: &str) -> String {
    let lines: String = lines.iter().flat_map(|line| [*line, "\r\n"]).collect();
    format!("POST /public/x HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}")
}

/// A second request that a lenient server might find in the body of the first.
const SMUGGLED: &str = "GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Two lengths, or one that is none (pingora#945, RUSTSEC-2026-0034, CVE-2023-40225, CVE-2021-40346).
/// Rows F01, F02 and F03.
#[tokio::test]
async fn ambiguous_lengths_are_refused_and_the_connection_ends() {
    let stand = Stand::start().await;
    for (lines, code) in [
        (&["Content-Length: 5", "Transfer-Encoding: chunked"][..], "malformed_content_length"),
        (&["Transfer-Encoding: chunked", "Content-Length: 0"], "malformed_content_length"),
        (&["Transfer-Encoding: chunked, identity"], "malformed_transfer_encoding"),
        (&["Transfer-Encoding: identity"], "malformed_transfer_encoding"),
        (&["Transfer-Encoding: gzip, chunked"], "malformed_transfer_encoding"),
        (&["Transfer-Encoding: chunked, chunked"], "malformed_transfer_encoding"),
        (&["Transfer-Encoding: xchunked"], "malformed_transfer_encoding"),
        (&["Transfer-Encoding: \"chunked\""], "malformed_transfer_encoding"),
        (&["Transfer-Encoding: chunked;q=1"], "malformed_transfer_encoding"),
        (&["Transfer-Encoding: \u{b}chunked"], "malformed_field"),
        (&["Transfer-Encoding:"], "malformed_transfer_encoding"),
        (&["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "malformed_transfer_encoding"),
        (&["Transfer-Encoding: chunked", "transfer-encoding: identity"], "malformed_transfer_encoding"),
        (&["Transfer-Encoding : chunked"], "malformed_field"),
        (&["X: y", " Transfer-Encoding: chunked"], "malformed_field"),
        (&["Content-Length: +5"], "malformed_content_length"),
        (&["Content-Length: -5"], "malformed_content_length"),
        (&["Content-Length: 5,5"], "malformed_content_length"),
        (&["Content-Length: 5, 6"], "malformed_content_length"),
        (&["Content-Length:"], "malformed_content_length"),
        (&["Content-Length: 5x"], "malformed_content_length"),
        (&["Content-Length: 0x5"], "malformed_content_length"),
        (&["Content-Length: 5 5"], "malformed_content_length"),
        (&["Content-Length: 5.0"], "malformed_content_length"),
        (&["Content-Length: 9223372036854775808"], "malformed_content_length"),
        (&["Content-Length: 18446744073709551616"], "malformed_content_length"),
        (&["Content-Length: 18446744073709551621"], "malformed_content_length"),
        (&["Content-Length: 5", "Content-Length: 5"], "malformed_content_length"),
        (&["Content-Length: 5", "content-length: 6"], "malformed_content_length"),
        (&["Content-Length : 5"], "malformed_field"),
    ] {
        stand.refuses(post(lines, SMUGGLED), 400, code).await;
    }
    let old = "POST /public/x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    stand.refuses(old, 400, "malformed_transfer_encoding").await;
    stand.assert_only_this_arrives().await;
}

/// Lines that end or fold in ways that servers differ about (CVE-2023-25725, the HTTP Garden, h1spec).
/// Rows F09 and H13.
#[tokio::test]
async fn malformed_heads_are_refused_and_the_connection_ends() {
    let stand = Stand::start().await;
    for (head, code) in [
        ("GET /public/x HTTP/1.1\nHost: localhost\n\n", "malformed_line_ending"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\n\r\n", "malformed_line_ending"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\n\n", "malformed_line_ending"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nX: a\rY: b\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tfolded\r\n\r\n", "malformed_field"),
        (
            "OPTIONS /public/x HTTP/1.1\r\nHost: localhost\r\nExpect:\r\n 100-continue\r\n\r\n",
            "malformed_field",
        ),
        ("GET /public/x HTTP/1.1\r\n Host: localhost\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\n: empty\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nX Y: z\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nX\u{e9}: z\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nX\0: z\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nX: \u{1b}[31m\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nX(y): z\r\n\r\n", "malformed_field"),
        ("GET /public/x HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", "malformed_field"),
        ("GET  /public/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("GET /public/x  HTTP/1.1\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("GET /public/x HTTP/1.1 \r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("GET /public/x\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("GET /public/x HTTP/0.9\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("GET /public/x HTTP/1.2\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("GET /public/x HTTP/3.0\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("GET /public/x hTTP/1.1\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("GET /public/x HTTP/1.10\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "malformed_request_line"),
        (" GET /public/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("\r\n\r\nGET /public/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "malformed_request_line"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n", "malformed_request_line"),
    ] {
        stand.refuses(head, 400, code).await;
    }
    stand.assert_only_this_arrives().await;
}

/// An upgrade that does not happen opens no tunnel: what the client sends behind it is a request like any other
/// (pingora CVE-2026-2833, RUSTSEC-2026-0033).
/// Row F04.
#[tokio::test]
async fn a_request_behind_a_refused_upgrade_is_judged() {
    let stand = Stand::start().await;
    stand.upstream.answer("/public/x", Answer::ok("not upgraded").before_body());
    for upgrade in ["websocket", "x", "h2c", "TLS/1.0"] {
        let head = format!(
            "GET /public/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut connection = stand.gateway.https().connect().await;
        connection.write(head + &String::from_utf8(get("/admin", &[])).unwrap()).await;
        let answer = connection.response().await;
        assert_eq!((answer.status, answer.text()), (200, "not upgraded"), "{upgrade}");
        let received = stand.upstream.take_one();
        // Only to a WebSocket does the gateway agree to switch, so nothing else is asked for.
        let expect = (upgrade == "websocket").then_some("websocket");
        assert_eq!(received.header("Upgrade"), expect, "{received:?}");
        assert_eq!(received.header("HTTP2-Settings"), None, "{received:?}");
        assert_eq!(received.headers.lists("Connection", "upgrade"), expect.is_some(), "{received:?}");
        let answer = connection.only_response().await;
        stand.assert_refused(&answer, 401, "no_credential").await;
    }
}

/// An upstream that switches protocols without being asked is not followed (`h2csmuggler`).
/// Row F06.
#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_no_upgrade() {
    let stand = Stand::start().await;
    for (path, switch) in [
        ("/public/h2c", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        (
            "/public/ws",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        ("/public/bare", "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ] {
        stand.upstream.answer(path, Answer::raw(switch).before_body());
        for line in ["Upgrade: h2c", "X: y"] {
            let mut connection = stand.gateway.https().connect().await;
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n{line}\r\n\r\n");
            connection.write(head + SMUGGLED).await;
            let answer = connection.only_response().await;
            assert_problem(&answer, 502, "upstream_failed");
            let received = stand.upstream.take_one();
            assert_eq!(received.target, path, "{path} {line}");
        }
    }
    stand.assert_only_this_arrives().await;
}

/// A refusal that comes before the body leaves nothing of the body to be read as a request (pingora CVE-2025-4366,
/// RUSTSEC-2025-0037).
/// Row F07.
#[tokio::test]
async fn the_body_of_a_refused_request_is_no_request() {
    let stand = Stand::start().await;
    let mut inside = String::from_utf8(get("/public/smuggled", &[])).unwrap();
    inside = inside.repeat((1 << 20) / inside.len());
    for target in ["/v1/x", "/admin", "/nowhere", "/public//x"] {
        let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n");
        let plain = format!("{head}Content-Length: {}\r\n\r\n{inside}", inside.len());
        let chunked =
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inside}\r\n0\r\n\r\n", inside.len());
        for request in [plain, chunked] {
            let mut connection = stand.gateway.https().connect().await;
            let _ = connection.try_write(&request).await;
            let answer = connection.response_to("POST").await;
            assert!([400, 401, 404].contains(&answer.status), "{answer:?}");
            // Either the body was passed over, and a request gets its own answer, or the connection is at its end.
            let _ = connection.try_write(get("/v1/y", &[])).await;
            if let Ok(second) = connection.try_response_to("GET").await {
                stand.assert_refused(&second, 401, "no_credential").await;
                connection.closed().await;
            }
            stand.upstream.assert_nothing();
        }
    }
}

/// A client that asks before it sends its body is answered before it sends it (Akamai CVE-2025-32094).
/// Row F08.
#[tokio::test]
async fn nobody_is_told_to_continue_before_they_are_known() {
    let stand = Stand::start().await;
    let head = |lines: &str| {
        format!(
            "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n{lines}\r\n"
        )
    };
    let mut connection = stand.gateway.https().connect().await;
    connection.write(head("")).await;
    let answer = connection.response_to("POST").await;
    assert!(answer.informational.is_empty(), "{answer:?}");
    stand.assert_refused(&answer, 401, "no_credential").await;
    // The body that is not sent after all must not swallow what is sent instead.
    let _ = connection.try_write(get("/admin", &[])).await;
    if let Ok(second) = connection.try_response_to("GET").await {
        assert_eq!(second.status, 401, "{second:?}");
    }
    stand.upstream.assert_nothing();
    // With a credential, the upstream's word reaches the client before the body is sent.
    let mut connection = stand.gateway.https().connect().await;
    connection.write(head(&format!("X-API-Key: {}\r\nConnection: close\r\n", stand.user.key))).await;
    let mut told = Vec::new();
    while !told.ends_with(b"\r\n\r\n") {
        told.extend(connection.some_bytes().await.expect("a word before the body"));
    }
    assert!(told.starts_with(b"HTTP/1.1 100 "), "{}", told.escape_ascii());
    connection.write("hello").await;
    let answer = connection.response_to("POST").await;
    answer.assert_status(200);
    connection.closed().await;
    let received = stand.upstream.take_one();
    assert_eq!((received.text(), received.header("X-Auth-Subject")), ("hello", Some("acme")));
}

/// `CONNECT` and `TRACE` are answered by nobody.
/// Row F12.
#[tokio::test]
async fn tunnels_and_traces_are_refused() {
    let stand = Stand::start().await;
    for target in ["localhost:443", "/public/x", "evil.example:22", "/admin"] {
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: localhost\r\n\r\n{SMUGGLED}");
        let answer = stand.refuses(head, 405, "method_not_allowed").await;
        assert!(answer.headers.contains("Allow"), "{answer:?}");
    }
    for target in ["/public/x", "/v1/x", "/admin"] {
        let answer = stand.refuses(request("TRACE", target, &[]), 405, "method_not_allowed").await;
        assert!(!answer.header("Allow").unwrap_or("TRACE").contains("TRACE"), "{answer:?}");
    }
    for fields in [
        &[(":method", "CONNECT"), (":authority", "localhost:443")][..],
        &[(":method", "CONNECT"), (":authority", "evil.example:22")],
        &[(":method", "CONNECT"), (":scheme", "https"), (":authority", "localhost"), (":path", "/public/x")],
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/public/x"),
        ],
        &[(":method", "TRACE"), (":scheme", "https"), (":authority", "localhost"), (":path", "/public/x")],
    ] {
        let outcome = stand.refuses_http2(fields, 405, "method_not_allowed").await;
        assert_ne!(outcome, Outcome::Closed, "{fields:?}");
    }
    stand.assert_only_this_arrives().await;
}

/// A refusal of `HEAD` has the head of the refusal and no body, which would be taken for the next answer.
#[tokio::test]
async fn refusals_of_head_have_no_body() {
    let stand = Stand::start().await;
    let mut connection = stand.gateway.https().connect().await;
    for (target, status) in [("/admin", 401), ("/nowhere", 404), ("/public//x", 400), ("/v1/x", 401)] {
        let answer = connection.call("HEAD", target).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{answer:?}");
        assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
        assert_eq!(answer.headers.contains("WWW-Authenticate"), status == 401);
        assert!(answer.header("Content-Length").is_some_and(|length| length != "0"), "{answer:?}");
        let over_http2 = stand.gateway.https().call("HEAD", target).over_http2().await;
        assert_eq!((over_http2.status, over_http2.body.len()), (status, 0), "{over_http2:?}");
    }
    // Where the head itself is refused, too.
    let mut connection = stand.gateway.https().connect().await;
    connection.write("HEAD /public/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    let answer = connection.response_to("HEAD").await;
    assert_eq!((answer.status, answer.body.len()), (400, 0), "{answer:?}");
    connection.closed().await;
    stand.upstream.assert_nothing();
}

/// The gateway keeps no answers, so nobody gets one that was meant for another (pingora CVE-2026-2836,
/// RUSTSEC-2026-0035).
/// Row F14.
#[tokio::test]
async fn answers_are_not_kept() {
    let stand = Stand::start().await;
    stand.upstream.answer_otherwise(Answer::from_fn(|request| {
        Answer::ok(request.header("X-Auth-Subject").unwrap_or("nobody").to_owned())
            .header("Cache-Control", "public, max-age=3600")
            .header("ETag", "\"1\"")
    }));
    for _ in 0..3 {
        for (key, subject) in [(&stand.admin, "root"), (&stand.user, "acme")] {
            let answer = stand.gateway.https().get("/v1/same").headers(&[key.header()]).await;
            assert_eq!(answer.text(), subject);
            assert_eq!(stand.upstream.take_one().target, "/v1/same");
        }
        let answer = stand.gateway.https().get("/v1/same").header("If-None-Match", "\"1\"").await;
        stand.assert_refused(&answer, 401, "no_credential").await;
    }
}
