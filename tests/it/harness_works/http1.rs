//! The strict reader of HTTP/1.1.

use bytes::BytesMut;

use crate::harness::http1::{Body, Framing, Headers, Violation, request_head, status_head};

#[test]
fn requests() {
    let check = |name: &str, text: &[u8], expect: Result<Option<usize>, &str>| {
        let read = request_head(text).map(|head| head.map(|(_, length)| length));
        match (read, expect) {
            (Ok(read), Ok(expect)) => assert_eq!(read, expect, "{name}"),
            (Err(Violation(text)), Err(expect)) => assert!(text.contains(expect), "{name}: {text}"),
            (read, expect) => panic!("{name}: {read:?} instead of {expect:?}"),
        }
    };
    check("good", b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\nGET", Ok(Some(30)));
    check("HTTP/1.0 needs no Host", b"GET / HTTP/1.0\r\n\r\n", Ok(Some(18)));
    check("unfinished", b"GET / HTTP/1.1\r\nHost: a\r\n", Ok(None));
    check("empty", b"", Ok(None));
    check("bare LF", b"GET / HTTP/1.1\nHost: a\n\n", Err("bare LF"));
    check("bare CR", b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Err("0x0d"));
    check("NUL", b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n", Err("0x00"));
    check("two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Err("not a request line"));
    check("space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Err("not a request line"));
    check("no version", b"GET /\r\n\r\n", Err("not a request line"));
    check("HTTP/2", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err("not a version"));
    check("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n", Err("not a method"));
    check("UTF-8 in the target", "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes(), Err("outside ASCII"));
    check("empty line first", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err("without a start line"));
    check("no Host", b"GET / HTTP/1.1\r\n\r\n", Err("0 Host"));
    check("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Err("2 Host"));
    check("obs-fold", b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Err("not a field line"));
    check("space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", Err("not a field line"));
    check("no colon", b"GET / HTTP/1.1\r\nHost\r\n\r\n", Err("not a field line"));
    check("no name", b"GET / HTTP/1.1\r\n: a\r\n\r\n", Err("not a field line"));
    check("endless", &b"a".repeat((1 << 20) + 1), Err("1 MiB"));
}

#[test]
fn answers() {
    for (name, text, expect) in [
        ("good", "HTTP/1.1 200 OK\r\na: b\r\n\r\n", Ok(200)),
        ("no reason", "HTTP/1.1 404 \r\n\r\n", Ok(404)),
        ("no space after the status", "HTTP/1.1 404\r\n\r\n", Err("not a status line")),
        ("two digits", "HTTP/1.1 20 OK\r\n\r\n", Err("not a status line")),
        ("no status", "HTTP/1.1 OK OK\r\n\r\n", Err("not a status line")),
        ("leading zero", "HTTP/1.1 020 OK\r\n\r\n", Err("not a status line")),
        ("another protocol", "ICY 200 OK\r\n\r\n", Err("not a version")),
        ("nothing", "\r\n", Err("without a start line")),
    ] {
        match (status_head(text.as_bytes()), expect) {
            (Ok(Some((head, _))), Ok(status)) => assert_eq!(head.status, status, "{name}"),
            (Err(Violation(text)), Err(expect)) => assert!(text.contains(expect), "{name}: {text}"),
            (read, expect) => panic!("{name}: {read:?} instead of {expect:?}"),
        }
    }
}

#[test]
fn framing() {
    for (name, fields, expect) in [
        ("nothing", "", Ok(Framing::Length(0))),
        ("length", "Content-Length: 5\r\n", Ok(Framing::Length(5))),
        ("chunks", "transfer-encoding: Chunked\r\n", Ok(Framing::Chunked)),
        ("both", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err("ambiguous")),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 5\r\n", Err("ambiguous")),
        ("a list of lengths", "Content-Length: 5, 5\r\n", Err("not a length")),
        ("a sign", "Content-Length: +5\r\n", Err("not a length")),
        ("an empty length", "Content-Length: \r\n", Err("not a length")),
        ("too long", "Content-Length: 18446744073709551616\r\n", Err("not a length")),
        ("another coding", "Transfer-Encoding: gzip, chunked\r\n", Err("ambiguous")),
        ("twice chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err("ambiguous")),
    ] {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let (head, _) = request_head(text.as_bytes()).unwrap().unwrap();
        match (Framing::of_request(&head), expect) {
            (Ok(framing), Ok(expect)) => assert_eq!(framing, expect, "{name}"),
            (Err(Violation(text)), Err(expect)) => assert!(text.contains(expect), "{name}: {text}"),
            (read, expect) => panic!("{name}: {read:?} instead of {expect:?}"),
        }
    }
    for (name, method, text, expect) in [
        ("until the end", "GET", "HTTP/1.1 200 OK\r\n\r\n", Some(Framing::UntilClose)),
        ("HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Some(Framing::Length(0))),
        ("304", "GET", "HTTP/1.1 304 OK\r\nContent-Length: 5\r\n\r\n", Some(Framing::Length(0))),
        ("204", "GET", "HTTP/1.1 204 OK\r\n\r\n", Some(Framing::Length(0))),
        ("204 with a length", "GET", "HTTP/1.1 204 OK\r\nContent-Length: 0\r\n\r\n", None),
        ("103 with chunks", "GET", "HTTP/1.1 103 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
    ] {
        let (head, _) = status_head(text.as_bytes()).unwrap().unwrap();
        assert_eq!(Framing::of_answer(method, &head).ok(), expect, "{name}");
    }
}

#[test]
fn bodies() {
    for (name, framing, text, expect) in [
        ("none", Framing::Length(0), "left", Ok(("", true, "left"))),
        ("length", Framing::Length(3), "abcd", Ok(("abc", true, "d"))),
        ("unfinished", Framing::Length(3), "ab", Ok(("ab", false, ""))),
        ("until the end", Framing::UntilClose, "abc", Ok(("abc", false, ""))),
        ("chunks", Framing::Chunked, "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\nleft", Ok(("abcd", true, "left"))),
        ("trailers", Framing::Chunked, "0\r\na: b\r\n\r\n", Ok(("", true, ""))),
        ("unfinished chunk", Framing::Chunked, "a\r\nabc", Ok(("abc", false, ""))),
        ("unfinished size", Framing::Chunked, "a", Ok(("", false, "a"))),
        ("extension", Framing::Chunked, "3;a=b\r\nabc\r\n0\r\n\r\n", Err("not a chunk size")),
        ("0x", Framing::Chunked, "0x3\r\nabc\r\n0\r\n\r\n", Err("not a chunk size")),
        ("a sign", Framing::Chunked, "-1\r\n", Err("not a chunk size")),
        ("a space", Framing::Chunked, "3 \r\nabc\r\n", Err("not a chunk size")),
        ("bare LF", Framing::Chunked, "3\nabc\r\n", Err("not a chunk size")),
        ("endless size", Framing::Chunked, "0000000000000000000", Err("not a chunk size")),
        ("no end of a chunk", Framing::Chunked, "3\r\nabcXX", Err("does not end with CR LF")),
        ("bad trailers", Framing::Chunked, "0\r\na b: c\r\n\r\n", Err("not a field line")),
    ] {
        // Whole, and byte by byte: both must read the same.
        for step in [text.len(), 1] {
            let mut body = Body::new(framing);
            let mut buffer = BytesMut::new();
            let mut content = String::new();
            let mut read = Ok(false);
            for piece in text.as_bytes().chunks(step) {
                buffer.extend_from_slice(piece);
                read = body.read(&mut buffer, |bytes| content += std::str::from_utf8(bytes).unwrap());
                if read.is_err() {
                    break;
                }
            }
            match (read, &expect) {
                (Ok(done), Ok(expect)) => {
                    let left = std::str::from_utf8(&buffer).unwrap();
                    assert_eq!((content.as_str(), done, left), *expect, "{name}");
                    let ends = done || framing == Framing::UntilClose;
                    assert_eq!(body.may_end_here(), ends, "{name}");
                }
                (Err(Violation(text)), Err(expect)) => assert!(text.contains(expect), "{name}: {text}"),
                (read, expect) => panic!("{name}: {read:?} instead of {expect:?}"),
            }
        }
    }
}

#[test]
fn fields() {
    let mut headers = Headers::default();
    headers.push("Via", "a");
    headers.push("via", "b, C");
    headers.push("X-Raw", [0xff]);
    assert_eq!(headers.all("VIA"), ["a", "b, C"]);
    assert_eq!((headers.get("missing"), headers.len()), (None, 3));
    assert!(headers.contains("x-raw") && headers.lists("via", "c") && !headers.lists("via", "d"));
    assert_eq!(headers.names().collect::<Vec<_>>(), ["Via", "via", "X-Raw"]);
    assert_eq!(headers.iter().last(), Some(("X-Raw", &[0xff][..])));
    assert!(super::failure(|| headers.get("via").map(str::to_owned)).contains("2 times"));
    assert!(super::failure(|| headers.get("x-raw").map(str::to_owned)).contains("UTF-8"));
}
