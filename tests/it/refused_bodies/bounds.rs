//! Clients that use discarding against the gateway: slow, endless, huge, and many. Each ends within the bounds, and others
//! are served meanwhile. Row B02.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{discarded, gateway};
use crate::harness::client::{Client, Connection, End};
use crate::harness::credentials::ApiKey;
use crate::harness::deadline::within_time;
use crate::harness::gateway::Gateway;
use crate::harness::upstream::Upstream;

/// Longer than any bound in these tests.
const LONG: Duration = Duration::from_secs(30);

/// What one client may cost in memory while its body is discarded, TLS and all.
const EACH: u64 = 96 << 10;

async fn others_are_served(gateway: &Gateway, upstream: &Upstream) {
    let key = ApiKey::of("acme");
    gateway.https().get("/v1/good").headers(&[key.header()]).await.assert_status(200);
    assert_eq!(upstream.take_one().path(), "/v1/good");
}

/// Begins a refused upload and reads the response.
async fn refused(client: &Client, framing: &str) -> Connection {
    let mut connection = client.connect().await;
    connection.write(format!("POST /v1/x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")).await;
    let answer = connection.response_to("POST").await;
    assert!([401, 413].contains(&answer.status), "{answer:?}");
    connection
}

/// Sends a byte now and then until the gateway ends the connection.
async fn drip(mut connection: Connection, piece: &str) {
    let ended = async {
        while connection.try_write(piece).await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    within_time(LONG, "the end of a slow client's connection", ended).await;
}

#[tokio::test]
async fn ends_slow_body_after_the_timeout() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ discard_body_timeout: 1s }").await;
    let began = Instant::now();
    for (framing, piece) in [("Content-Length: 100000", "x"), ("Transfer-Encoding: chunked", "1\r\nx\r\n")] {
        drip(refused(&gateway.https(), framing).await, piece).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(2), "each has its time");
    discarded(&gateway, "timeout", 2).await;
    let http2 = gateway.https().http2().await;
    let request = crate::harness::client::Request::new("POST", "/v1/x");
    let mut stream = http2.open_stream(&request).await.unwrap();
    assert_eq!(stream.response().await.unwrap().status, 401);
    let ended = async {
        while stream.send(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    within_time(LONG, "the end of a slow stream", ended).await;
    discarded(&gateway, "timeout", 3).await;
    others_are_served(&gateway, &upstream).await;
}

/// A client that sends nothing at all is not waited for as long as one that sends.
#[tokio::test]
async fn ends_silent_body_before_the_timeout() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ discard_body_timeout: 10m }").await;
    let mut silent = refused(&gateway.https(), "Content-Length: 100000").await;
    let mut closing = refused(&gateway.https(), "Content-Length: 100000\r\nConnection: close").await;
    assert_eq!(closing.closed().await, End::Closed);
    silent.closed().await;
    discarded(&gateway, "timeout", 2).await;
    others_are_served(&gateway, &upstream).await;
}

/// 10 GiB announced, or a chunked body without end: the gateway reads as much as the limit says, and little more.
#[tokio::test]
async fn ends_huge_body_at_the_limit() {
    const LIMIT: usize = 2 << 20;
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ discard_body_bytes: 2MiB }").await;
    let endless = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    for (framing, piece) in [
        ("Content-Length: 10737418240", vec![b'x'; 1 << 20]),
        ("Transfer-Encoding: chunked", endless),
        ("Transfer-Encoding: chunked", b"1\r\nx\r\n".repeat(100_000)),
    ] {
        let mut connection = refused(&gateway.https(), framing).await;
        let mut sent = 0;
        let ended = async {
            while connection.try_write(&piece).await.is_ok() {
                sent += piece.len();
            }
        };
        within_time(LONG, "the end of the connection", ended).await;
        // The rest is what sockets hold on both sides.
        assert!(sent < LIMIT + (16 << 20), "{framing}: {sent} bytes were taken");
    }
    discarded(&gateway, "limit", 3).await;
    others_are_served(&gateway, &upstream).await;
}

/// A thousand slow clients at once: memory and processor time stay small, others are served, and all are gone in the end.
#[tokio::test]
async fn bounds_memory_and_time_of_a_thousand_slow_clients() {
    const CLIENTS: usize = 1000;
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ discard_body_timeout: 8s }").await;
    others_are_served(&gateway, &upstream).await;
    let (before, client) = (gateway.rss_bytes(), gateway.https());
    let mut open = Vec::new();
    for _ in 0..CLIENTS / 50 {
        let mut opening = JoinSet::new();
        for number in 0..50 {
            let client = client.clone();
            let framing =
                if number % 2 == 0 { "Content-Length: 10737418240" } else { "Transfer-Encoding: chunked" };
            opening.spawn(async move { refused(&client, framing).await });
        }
        open.extend(opening.join_all().await);
    }
    others_are_served(&gateway, &upstream).await;
    let worked = gateway.cpu_time();
    for connection in &mut open {
        let _ = timeout(Duration::from_secs(1), connection.try_write("1")).await;
    }
    others_are_served(&gateway, &upstream).await;
    let (during, worked) = (gateway.rss_bytes(), gateway.cpu_time().saturating_sub(worked));
    assert!(during < before + EACH * CLIENTS as u64, "{before} and then {during} bytes");
    assert!(worked < Duration::from_secs(5), "{worked:?} for a byte from each");
    // They stay connected; it is the gateway that lets go of them.
    let none = |count: f64| count < 0.5;
    within_time(LONG, "the end of all clients", async {
        while !gateway.metrics().await.sum("portcullis_connections", &[]).is_some_and(none) {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    others_are_served(&gateway, &upstream).await;
    drop(open);
}

/// The end of the process does not wait for a body that is discarded longer than for anything else.
#[tokio::test]
async fn ends_with_the_process_at_its_deadline() {
    let upstream = Upstream::start();
    let gateway = Gateway::builder(super::ROUTES)
        .with("upstream", upstream.url())
        .with("limits", "{ discard_body_timeout: 10m }")
        .file("keys.yaml", crate::harness::credentials::keys_yaml(&[&ApiKey::of("acme")]))
        .argument("--drain")
        .argument("1s")
        .start()
        .await;
    let connection = refused(&gateway.https(), "Content-Length: 100000").await;
    let dripping = tokio::spawn(drip(connection, "x"));
    let status = gateway.terminate().await;
    assert!(status.success(), "{status}");
    dripping.await.unwrap();
    upstream.assert_nothing();
}
