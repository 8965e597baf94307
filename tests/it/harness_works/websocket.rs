//! The `WebSocket`, client against upstream.

use crate::harness::client::Client;
use crate::harness::deadline::eventually;
use crate::harness::upstream::{Answer, Upstream};
use crate::harness::websocket::{Message, accept};

#[tokio::test]
async fn every_message_comes_back() {
    let upstream = Upstream::start();
    upstream.answer("/ws", Answer::websocket());
    let client = Client::plain(upstream.address());
    let mut socket = client.websocket("/ws", &[("X-API-Key", "k")]).await.unwrap();
    assert_eq!((socket.response.status, upstream.requests()[0].header("x-api-key")), (101, Some("k")));
    socket.echo("hello").await;
    // Each length is written in its own form.
    for length in [0, 125, 126, 65_535, 65_536, 1_000_000] {
        let message = Message::Binary(vec![7; length]);
        socket.send(message.clone()).await;
        assert_eq!(socket.receive().await, Some(message), "{length}");
    }
    socket.send(Message::Ping(b"p".to_vec())).await;
    assert_eq!(socket.receive().await, Some(Message::Pong(b"p".to_vec())));
    let close = Message::Close(Some((1000, "bye".to_owned())));
    socket.send(close.clone()).await;
    assert_eq!(socket.closed().await, Some(close));
    eventually("the end of the connection", || (upstream.open_connections() == 0).then_some(())).await;
}

#[tokio::test]
async fn the_end_without_a_close_message_is_told() {
    let upstream = Upstream::start();
    upstream.answer("/ws", Answer::websocket());
    let mut socket = Client::plain(upstream.address()).websocket("/ws", &[]).await.unwrap();
    socket.send_text("hello").await;
    upstream.stop().await;
    assert_eq!(socket.closed().await, None);
}

#[tokio::test]
async fn frames_that_are_not_in_the_protocol_fail_the_test() {
    let upstream = Upstream::start();
    let head = format!(
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept("dGhlIHNhbXBsZSBub25jZQ==")
    );
    for (name, frame, expect) in [
        ("masked", &b"\x81\x81\0\0\0\0a"[..], "servers do not"),
        ("reserved bit", b"\xc1\x01a", "reserved bits"),
        ("unknown", b"\x83\x01a", "the opcode 3"),
    ] {
        upstream.answer("/", Answer::raw([head.as_bytes(), frame].concat()));
        let mut socket = Client::plain(upstream.address()).websocket("/", &[]).await.unwrap();
        let failed = super::failure_of(async move { socket.receive().await }).await;
        assert!(failed.contains(expect), "{name}: {failed}");
    }
}

#[tokio::test]
async fn a_refusal_is_handed_back() {
    let upstream = Upstream::start();
    upstream.answer("/no", Answer::status(403, "no")).answer("/ws", Answer::websocket());
    let client = Client::plain(upstream.address());
    let refused = client.websocket("/no", &[]).await.err().unwrap();
    assert_eq!((refused.status, refused.text()), (403, "no"));
    assert_eq!(client.get("/ws").await.status, 426);
}

#[tokio::test]
async fn fragments_are_put_together_and_bad_frames_end_the_connection() {
    let upstream = Upstream::start();
    upstream.answer("/ws", Answer::websocket());
    let check = async |name: &str, frames: &[u8], expect: &[u8]| {
        let mut connection = Client::plain(upstream.address()).connect().await;
        connection
            .write(
                "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n\r\n",
            )
            .await;
        assert_eq!(connection.head_to("GET").await.status, 101, "{name}");
        connection.write(frames).await;
        connection.finish_writing().await;
        let mut all = Vec::new();
        while let Some(bytes) = connection.some_bytes().await {
            all.extend(bytes);
        }
        assert_eq!(all, expect, "{name}");
    };
    let zero = [0; 4];
    let frame = |head: u8, text: &str| {
        [&[head, 0x80 | u8::try_from(text.len()).unwrap()], &zero[..], text.as_bytes()].concat()
    };
    check("whole", &frame(0x81, "a"), b"\x81\x01a").await;
    check("fragments", &[frame(0x01, "a"), frame(0x00, "b"), frame(0x80, "c")].concat(), b"\x81\x03abc")
        .await;
    let ping_between = [frame(0x01, "a"), frame(0x89, "p"), frame(0x80, "b")].concat();
    check("a ping between fragments", &ping_between, b"\x8a\x01p\x81\x02ab").await;
    check("unmasked", b"\x81\x01a", b"").await;
    check("reserved bit", &frame(0xc1, "a"), b"").await;
    check("a continuation of nothing", &frame(0x80, "a"), b"").await;
    check("a message within another", &[frame(0x01, "a"), frame(0x81, "b")].concat(), b"").await;
    check("no text", &[0x81, 0x81, 0, 0, 0, 0, 0xff], b"").await;
}

#[tokio::test]
async fn an_upgrade_to_anything_sends_every_byte_back() {
    let upstream = Upstream::start();
    upstream.answer("/up", Answer::upgrade("foo"));
    let mut connection = Client::plain(upstream.address()).connect().await;
    connection.write("GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nearly").await;
    assert_eq!(connection.head_to("GET").await.header("upgrade"), Some("foo"));
    assert_eq!(connection.some_bytes().await.unwrap(), b"early");
    connection.write(b"\x00\xff").await;
    assert_eq!(connection.some_bytes().await.unwrap(), b"\x00\xff");
}

#[test]
fn the_handshake_is_that_of_the_rfc() {
    // RFC 6455 section 1.3.
    assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
