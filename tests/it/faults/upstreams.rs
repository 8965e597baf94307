//! Upstreams that fail while a request is under way: it is answered or seen to break off, in bounded time and memory, and
//! nobody else notices.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::background::Task;
use crate::harness::client::Failure;
use crate::harness::gateway::Gateway;
use crate::harness::port::ReservedPort;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

/// How long an upstream may be silent in these tests.
const PATIENCE: Duration = Duration::from_millis(300);

/// How much memory an endless answer may take, with what else a gateway needs.
const MEMORY: u64 = 128 << 20;

/// What an upstream does with each connection once a request's head has come.
#[derive(Clone, Copy, Debug)]
enum Misdeed {
    /// Answers before the body has come, and closes at once with the rest unread, which the system turns into a reset.
    AnswerAndReset,
    /// Sends fields without end.
    EndlessHead,
    /// Takes the head of a request and not a byte more, and says nothing.
    Deaf,
    /// Resets the connection after this.
    Reset(&'static str),
    /// Sends this, a byte at a time, each in time.
    Trickle(&'static str),
}
use Misdeed::{AnswerAndReset, Deaf, EndlessHead, Reset, Trickle};

/// A server that does this until it is dropped.
fn upstream(misdeed: Misdeed) -> (String, Task) {
    let port = ReservedPort::take();
    let (url, listener): (_, TcpListener) = (format!("http://{}", port.address()), port.listen());
    let task = Task::start(async move {
        let _port = port;
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            connections.spawn(async move { misbehave(stream, misdeed).await.unwrap_or_default() });
        }
    });
    (url, task)
}

/// Ends with an error when the gateway has closed the connection, as it should.
async fn misbehave(mut stream: TcpStream, misdeed: Misdeed) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    match misdeed {
        AnswerAndReset => stream.write_all(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nno\n").await,
        EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            let fields = "X-Field: 0123456789\r\n".repeat(1000);
            loop {
                stream.write_all(fields.as_bytes()).await?;
            }
        }
        Deaf => {
            // The connection stays open until the gateway closes it, which is seen without reading what it sends.
            while stream.write_all(b"").await.is_ok() && stream.peer_addr().is_ok() {
                tokio::time::sleep(PATIENCE).await;
            }
            Ok(())
        }
        Reset(text) => {
            stream.write_all(text.as_bytes()).await?;
            tokio::time::sleep(PATIENCE / 10).await;
            stream.set_zero_linger()
        }
        Trickle(text) => {
            for byte in text.bytes() {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(PATIENCE / 10).await;
            }
            Ok(())
        }
    }
}

async fn gateway(bad: &str, good: &Upstream) -> Gateway {
    Gateway::builder(
        r#"
        upstreams:
          bad: { targets: ["{bad}"], timeouts: { request: 300ms } }
          good: "{good}"
        routes:
          - { name: bad, match: { path: /bad }, auth: public, upstream: bad }
          - { name: good, match: { path: /good }, auth: public, upstream: good }
        "#,
    )
    .with("bad", bad)
    .with("good", good.url())
    .start()
    .await
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The upstream's answer, to its end.
    All(u16),
    /// An answer that visibly breaks off.
    Part,
    /// That the upstream failed.
    Failed,
    /// That it did not answer in time.
    Late,
}
use Told::{All, Failed, Late, Part};

#[tokio::test]
async fn requests_under_way_are_answered_or_break_off() {
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    const CHUNK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let good = Upstream::start();
    for (misdeed, told) in [
        (Reset(""), Failed),
        (Reset("HTTP/1.1 200 OK\r\nContent-"), Failed),
        (Reset("HTTP/1.1 103 Early Hints\r\n\r\n"), Failed),
        (Reset(HALF), Part),
        (Reset(CHUNK), Part),
        (Trickle("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nslow"), All(200)),
        (Trickle("HTTP/1.1 200 OK\r\n"), Failed),
        (EndlessHead, Failed),
        (Deaf, Late),
    ] {
        let (url, task) = upstream(misdeed);
        let gateway = gateway(&url, &good).await;
        for (method, over_http2) in [("GET", false), ("POST", false), ("GET", true)] {
            let row = format!("{misdeed:?}, {method}, HTTP/2: {over_http2}");
            let client = gateway.https();
            let mut call = client.call(method, "/bad");
            if method == "POST" {
                call = call.body("x");
            }
            let outcome = if over_http2 { call.over_http2() } else { call }.outcome().await;
            match (outcome, told) {
                (Ok(answer), All(status)) => assert_eq!(answer.status, status, "{row}"),
                (Ok(answer), Failed) => {
                    assert_eq!(answer.status, 502, "{row}: {answer:?}");
                    assert_problem(&answer, 502, "upstream_failed");
                }
                (Ok(answer), Late) => {
                    assert_eq!(answer.status, 504, "{row}: {answer:?}");
                    assert_problem(&answer, 504, "upstream_timed_out");
                }
                (Err(Failure::Truncated(_) | Failure::Unanswered(_) | Failure::Http2(..)), Part) => {}
                (outcome, told) => panic!("{row}: {outcome:?} instead of {told:?}"),
            }
            gateway.https().get("/good").await.assert_status(200);
        }
        assert!(gateway.rss_bytes() < MEMORY, "{misdeed:?}: {} bytes", gateway.rss_bytes());
        gateway.wait_for_metric("portcullis_connections", &[], |count| count < 0.5).await;
        task.end().await;
    }
}

/// An upload whose upstream does not take it, or answers before it has come.
#[tokio::test]
async fn uploads_that_nobody_takes() {
    let good = Upstream::start();
    for (misdeed, told) in [(Deaf, Late), (AnswerAndReset, All(413)), (Reset(""), Failed)] {
        let (url, task) = upstream(misdeed);
        let gateway = gateway(&url, &good).await;
        for over_http2 in [false, true] {
            let row = format!("{misdeed:?}, HTTP/2: {over_http2}");
            let client = gateway.https();
            let call = client.post("/bad").body(vec![b'x'; 12 << 20]);
            let outcome = if over_http2 { call.over_http2() } else { call }.outcome().await;
            match (outcome, told) {
                (Ok(answer), All(status)) => assert_eq!(answer.status, status, "{row}"),
                (Ok(answer), Failed) => assert_problem(&answer, 502, "upstream_failed"),
                (Ok(answer), Late) => assert_problem(&answer, 504, "upstream_timed_out"),
                (outcome, told) => panic!("{row}: {outcome:?} instead of {told:?}"),
            }
            gateway.https().get("/good").await.assert_status(200);
        }
        gateway.wait_for_metric("portcullis_connections", &[], |count| count < 0.5).await;
        task.end().await;
    }
}
