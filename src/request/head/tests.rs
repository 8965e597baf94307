//! Heads as rows: the bytes, and what they are read as. Every refusal here is something that a lenient parser takes.

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, fields: 8 };

fn read(bytes: &[u8]) -> Result<Option<Head>, HeadError> {
    HeadReader::default().read(bytes, LIMITS)
}

#[test]
fn good_heads() {
    for (text, skip, cut, body) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, None, Body::Length(0)),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", 0, None, Body::Length(0)),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2, None, Body::Length(0)),
        ("POST /x HTTP/1.1\r\nHost:a\r\nContent-Length: 12\r\n\r\n", 0, None, Body::Length(12)),
        ("POST /x HTTP/1.1\r\nhost: \t a \t\r\ntransfer-encoding: Chunked\r\n\r\n", 0, None, Body::Chunked),
        ("GET http://a:80/x HTTP/1.1\r\nHost: A:80\r\n\r\n", 0, Some(4..15), Body::Length(0)),
        ("\r\nGET HTTPS://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 2, Some(6..15), Body::Length(0)),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
            0,
            None,
            Body::Upgrade,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            0,
            None,
            Body::Length(0),
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{e9}\r\nY:\r\n\r\n", 0, None, Body::Length(0)),
    ] {
        let rest = format!("{text}REST");
        let head = read(rest.as_bytes()).unwrap().unwrap();
        assert_eq!(head, Head { skip, length: text.len(), cut, body }, "{text:?}");
    }
}

#[test]
fn a_head_in_pieces_is_read_like_a_whole_one() {
    let text = b"\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let mut reader = HeadReader::default();
    let head = (1..=text.len()).find_map(|end| reader.read(&text[..end], LIMITS).unwrap()).unwrap();
    assert_eq!(head, read(text).unwrap().unwrap());
}

#[test]
fn everything_with_two_readings_is_refused() {
    use Malformed as M;
    for (text, expect) in [
        // Line endings.
        ("GET / HTTP/1.1\nHost: a\n\n", M::LineEnding),
        ("GET / HTTP/1.1\r\nHost: a\n", M::LineEnding),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n\r\n", M::LineEnding),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", M::LineEnding),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: w\r\n\r\n", M::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n", M::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\n\tX: folded\r\n\r\n", M::Field),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", M::RequestLine),
        // Request line.
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", M::RequestLine),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", M::RequestLine),
        ("GET /\r\nHost: a\r\n\r\n", M::RequestLine),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", M::RequestLine),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", M::RequestLine),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", M::RequestLine),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", M::RequestLine),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", M::RequestLine),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", M::Method),
        (" / HTTP/1.1\r\nHost: a\r\n\r\n", M::Method),
        ("GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n", M::ControlByte),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", M::ControlByte),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", M::Target),
        ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", M::Target),
        ("GET /a<b HTTP/1.1\r\nHost: a\r\n\r\n", M::Target),
        ("GET /a`b HTTP/1.1\r\nHost: a\r\n\r\n", M::Target),
        ("GET /a?\"b HTTP/1.1\r\nHost: a\r\n\r\n", M::Target),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", M::Target),
        ("GET /a?b# HTTP/1.1\r\nHost: a\r\n\r\n", M::Target),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", M::Target),
        // Host.
        ("GET / HTTP/1.1\r\n\r\n", M::Host),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", M::Host),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", M::Host),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", M::Host),
        ("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", M::Host),
        // Fields.
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", M::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", M::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", M::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n", M::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: z\r\n\r\n", M::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{0}\r\n\r\n", M::Field),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{7f}\r\n\r\n", M::Field),
        // Content-Length (HAProxy CVE-2021-40346, CVE-2023-40225).
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", M::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", M::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", M::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", M::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\n", M::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", M::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", M::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551619\r\n\r\n", M::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", M::ContentLength),
        // Transfer-Encoding (pingora CVE-2026-2835).
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            M::ContentLength,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", M::TransferEncoding),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", M::TransferEncoding),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", M::TransferEncoding),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", M::TransferEncoding),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", M::TransferEncoding),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            M::TransferEncoding,
        ),
        ("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", M::TransferEncoding),
        // A body before an upgrade has no agreed place.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n",
            M::Upgrade,
        ),
    ] {
        assert_eq!(read(text.as_bytes()), Err(HeadError::Malformed(expect)), "{text:?}");
    }
}

#[test]
fn a_tunnel_is_told_apart() {
    for target in ["a:443", "/x", "*"] {
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(read(head.as_bytes()), Err(HeadError::Tunnel), "{target}");
    }
}

#[test]
fn large_heads_are_refused_before_they_end() {
    let long = [b"GET /".to_vec(), vec![b'a'; 1100]].concat();
    assert_eq!(read(&long), Err(HeadError::TooLarge));
    let ended = [&b"GET / HTTP/1.1\r\nHost: a\r\nX: "[..], &[b'a'; 1100], b"\r\n\r\n"].concat();
    assert_eq!(read(&ended), Err(HeadError::TooLarge));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(8));
    assert_eq!(read(many.as_bytes()), Err(HeadError::TooLarge));
    let enough = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(7));
    assert!(read(enough.as_bytes()).unwrap().is_some());
}
