//! Bodies in both directions at the same time: an upstream that takes nothing more of a request until somebody has taken its
//! answer to what it has does not wait for the gateway while the gateway waits for it.

mod mirror;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::mirror::Mirror;
use super::is_at_rest;
use crate::harness::client::{Client, Connection, Request, Response};
use crate::harness::deadline::within_time;
use crate::harness::gateway::Gateway;
use crate::harness::tls::Authority;

/// More than all buffers between the parties hold.
const LARGE: usize = 32 << 20;

/// How much of a body is written at once.
const PIECE: usize = 256 << 10;

/// Buffers of a socket that are soon full.
const SMALL: Option<u32> = Some(64 << 10);

/// What this takes is the test's own work, mostly.
const PATIENCE: Duration = Duration::from_secs(60);

async fn gateway(mirror: &Mirror) -> Gateway {
    let tls = if mirror.url().starts_with("https") { ", tls: { ca: ca.crt }" } else { "" };
    Gateway::builder(
        r#"
        listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]
        limits: { request_body_bytes: 1GiB }
        upstreams: { app: { targets: ["{upstream}"], timeouts: { request: 10m }{tls} } }
        routes: [{ name: app, match: { path: /** }, auth: public, upstream: app }]
        "#,
    )
    .with("upstream", mirror.url())
    .with("tls", tls)
    .file("ca.crt", Authority::shared().pem())
    .start()
    .await
}

/// What tells each place in a body from the others.
fn body(length: usize) -> Vec<u8> {
    (0..length / 8).flat_map(usize::to_le_bytes).collect()
}

/// Compares without printing megabytes.
#[track_caller]
fn assert_body(answer: &Response, expected: &[u8]) {
    assert_eq!((answer.status, answer.body.len()), (200, expected.len()));
    assert!(answer.body == expected, "the body is another one");
}

/// Sends a body and reads what comes meanwhile.
async fn post(connection: &mut Connection, path: &str, chunked: bool, body: &[u8]) -> Response {
    let framing =
        if chunked { "Transfer-Encoding: chunked" } else { &format!("Content-Length: {}", body.len()) };
    connection.write(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")).await;
    for piece in body.chunks(PIECE) {
        if chunked {
            connection.write(format!("{:x}\r\n", piece.len())).await;
        }
        connection.write(piece).await;
        if chunked {
            connection.write("\r\n").await;
        }
    }
    if chunked {
        connection.write("0\r\n\r\n").await;
    }
    connection.response_to("POST").await
}

/// What is sent comes back, by each way of saying where a body ends.
async fn check(mirror: &Mirror, client: impl FnOnce(&Gateway) -> Client) {
    let gateway = gateway(mirror).await;
    let client = client(&gateway);
    let large = body(LARGE);
    for chunked in [false, true] {
        // The response began before the request had ended. The connection serves another request all the same.
        let mut connection = client.connect().await;
        let exchange = post(&mut connection, "/", chunked, &large);
        let answer = within_time(PATIENCE, format!("an answer, chunked: {chunked}"), exchange).await;
        assert_body(&answer, &large);
        assert_body(&post(&mut connection, "/", chunked, &body(64)).await, &body(64));
    }
    is_at_rest(&gateway).await;
}

#[tokio::test]
async fn to_an_upstream_in_the_clear() {
    check(&Mirror::start(false, None, 1), Gateway::http).await;
}

#[tokio::test]
async fn to_an_upstream_with_small_buffers() {
    check(&Mirror::start(false, SMALL, 1), Gateway::https).await;
}

#[tokio::test]
async fn to_an_upstream_over_tls() {
    check(&Mirror::start(true, SMALL, 1), Gateway::http).await;
}

/// The requests of a client of HTTP/2 are carried upstream over HTTP/1.1 too, and by the same connection if it is free.
#[tokio::test]
async fn from_a_client_of_http2() {
    let mirror = Mirror::start(false, SMALL, 1);
    let gateway = gateway(&mirror).await;
    let connection = gateway.https().http2().await;
    for path in ["/first", "/second", "/third"] {
        let sent = if path == "/third" { Vec::new() } else { body(LARGE) };
        let answer = connection.post(path).body(sent.clone()).outcome_within(PATIENCE).await.unwrap();
        assert_body(&answer, &sent);
        // The gateway is done with the connection when it says so.
        gateway.wait_for_access(|line| line["path"] == path).await;
    }
    assert_eq!(mirror.connections(), 1, "the connection was not used again");
    drop(connection);
    is_at_rest(&gateway).await;
}

/// However much an upstream says for each byte that it takes, as one that decompresses does.
#[tokio::test]
async fn an_upstream_that_says_more_than_it_hears() {
    const TIMES: usize = 4;
    let mirror = Mirror::start(false, SMALL, TIMES);
    let gateway = gateway(&mirror).await;
    let mut connection = gateway.http().connect().await;
    let sent = vec![7; LARGE / 2];
    let answer = within_time(PATIENCE, "an answer", post(&mut connection, "/", true, &sent)).await;
    assert_body(&answer, &sent.repeat(TIMES));
    drop(connection);
    is_at_rest(&gateway).await;
}

/// A request that is sent on the side.
struct Upload {
    reading: OwnedReadHalf,
    /// How much of its body has gone.
    gone: Arc<AtomicUsize>,
    task: JoinHandle<io::Result<OwnedWriteHalf>>,
}

impl Upload {
    /// Sends it from a socket whose buffer for what comes is small.
    async fn start(gateway: &Gateway, path: &str, body: Vec<u8>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let stream = socket.connect(gateway.http().address()).await.unwrap();
        let (reading, mut writing) = stream.into_split();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len(),
        );
        let gone = Arc::<AtomicUsize>::default();
        let count = gone.clone();
        let task = tokio::spawn(async move {
            writing.write_all(head.as_bytes()).await?;
            for piece in body.chunks(16 << 10) {
                writing.write_all(piece).await?;
                count.fetch_add(piece.len(), Ordering::Relaxed);
            }
            Ok(writing)
        });
        Self { reading, gone, task }
    }

    /// Waits until nothing more is taken, by the looks of it.
    async fn is_stuck(&self) {
        let mut before = None;
        while before != Some(self.gone.load(Ordering::Relaxed)) {
            before = Some(self.gone.load(Ordering::Relaxed));
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A client that reads slowly is waited for, and with it the upstream.
#[tokio::test]
async fn a_client_that_reads_slowly() {
    let mirror = Mirror::start(false, SMALL, 1);
    let gateway = gateway(&mirror).await;
    let sent = body(8 << 20);
    let mut upload = Upload::start(&gateway, "/", sent.clone()).await;
    let download = async {
        let mut received = Vec::new();
        let mut pause = interval(Duration::from_millis(1));
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pause.tick().await;
            let mut some = (&mut upload.reading).take(16 << 10);
            if some.read_buf(&mut received).await.unwrap() == 0 {
                return received;
            }
        }
    };
    let received = within_time(PATIENCE, "as many bytes as were sent", download).await;
    assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(received.ends_with(&sent), "{} bytes came", received.len());
    drop(upload.task.await.unwrap().unwrap());
    drop(upload.reading);
    is_at_rest(&gateway).await;
}

/// An upstream that refuses a body, and takes nothing of it, is heard although the client is still sending.
#[tokio::test]
async fn an_upstream_that_refuses_a_body_unread() {
    for tls in [false, true] {
        let mirror = Mirror::start(tls, SMALL, 1);
        let gateway = gateway(&mirror).await;
        let mut upload = Upload::start(&gateway, "/refused", body(LARGE)).await;
        upload.is_stuck().await;
        mirror.refuse();
        let refusal = async {
            let mut received = Vec::new();
            while !received.ends_with(b"too big") {
                let count = upload.reading.read_buf(&mut received).await.unwrap();
                assert_ne!(count, 0, "{}", received.escape_ascii());
            }
            received
        };
        let received = within_time(PATIENCE, "the refusal", refusal).await;
        assert!(received.starts_with(b"HTTP/1.1 413 "), "{}", received.escape_ascii());
        upload.task.abort();
        let answer = gateway.https().get("/").await;
        assert_body(&answer, b"");
        assert_eq!(mirror.connections(), 2, "a connection with half a body was used again");
    }
}

/// What an upstream says after its answer is nobody's answer, whether it comes right behind the answer or while the rest of
/// the body goes up.
#[tokio::test]
async fn nobody_gets_what_was_said_behind_an_answer() {
    for tls in [false, true] {
        let mirror = Mirror::start(tls, SMALL, 1);
        let gateway = gateway(&mirror).await;
        // All requests of a connection are served by the same thread, and share connections to the upstream.
        let connection = gateway.https().http2().await;
        let large = body(LARGE);
        for (path, connections) in [("/late", 2), ("/early", 2), ("/early/then", 3)] {
            if path == "/late" {
                let answer =
                    connection.post(path).body(large.clone()).outcome_within(PATIENCE).await.unwrap();
                assert_body(&answer, &large);
            } else {
                let mut stream = connection.open_stream(&Request::new("POST", path)).await.unwrap();
                for piece in large.chunks(PIECE) {
                    stream.send(piece).await.unwrap();
                }
                stream.finish().unwrap();
                assert_eq!(stream.response().await.unwrap().status, 200, "{path}");
                assert_eq!(stream.data().await.unwrap().as_deref(), Some(&b"early"[..]), "{path}");
            }
            gateway.wait_for_access(|line| line["path"] == path).await;
            assert_body(&connection.get("/").await, b"");
            assert_eq!(mirror.connections(), connections, "{path}, over TLS: {tls}");
        }
    }
}
