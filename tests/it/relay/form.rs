//! The fields of an answer: none is lost, none changes.

use super::gateway;
use crate::harness::upstream::{Answer, Upstream};

#[tokio::test]
async fn fields_of_an_answer_arrive_as_often_and_in_the_order_in_which_they_were_sent() {
    let upstream = Upstream::start();
    let head = [
        &b"HTTP/1.1 299 Whatever This Means\r\n"[..],
        b"set-cookie: a=1; Path=/\r\nX-Other: 1\r\nSET-COOKIE: b=2\r\nSet-Cookie: a=3\r\n",
        b"x-bytes: caf\xc3\xa9 \xff\r\nX-Empty:\r\nx~odd!name: 1\r\nETag: \"x\"\r\nVary: a\r\nvary: b\r\n",
        b"Content-Length: 2\r\n\r\nok",
    ];
    upstream.answer_otherwise(Answer::raw(head.concat()));
    let gateway = gateway(upstream.url(), "{}").await;
    let mut connection = gateway.https().connect().await;
    connection.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    let mut received = Vec::new();
    while let Some(bytes) = connection.some_bytes().await {
        received.extend(bytes);
    }
    let end = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    assert_eq!(&received[end + 4..], b"ok");
    let lines: Vec<(String, &[u8])> = received[..end]
        .split(|byte| *byte == b'\n')
        .skip(1)
        .map(|line| {
            let at = line.iter().position(|byte| *byte == b':').unwrap();
            (String::from_utf8(line[..at].to_ascii_lowercase()).unwrap(), line[at + 1..].trim_ascii())
        })
        .collect();
    assert!(received.starts_with(b"HTTP/1.1 299 "));
    for (name, values) in [
        ("set-cookie", &[&b"a=1; Path=/"[..], b"b=2", b"a=3"][..]),
        ("x-bytes", &[b"caf\xc3\xa9 \xff"]),
        ("x-empty", &[b""]),
        ("x-other", &[b"1"]),
        ("x~odd!name", &[b"1"]),
        ("etag", &[b"\"x\""]),
        ("vary", &[b"a", b"b"]),
        ("content-length", &[b"2"]),
    ] {
        let found: Vec<&[u8]> =
            lines.iter().filter(|(found, _)| found == name).map(|(_, value)| *value).collect();
        assert_eq!(found, values, "{name}");
    }
    assert_eq!(gateway.https().get("/").over_http2().await.status, 299);
}
