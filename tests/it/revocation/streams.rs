//! What goes on for long ends when its credential is revoked, within about `max_stale` (F05): a WebSocket, whether anybody
//! says anything or not, and long answers.

use std::time::{Duration, Instant};

use super::{Caller, Cast, MAX_STALE, lift, revoke};
use crate::harness::client::Request;
use crate::harness::credentials::ApiKey;
use crate::harness::deadline::{DEADLINE, within};
use crate::harness::redis::Redis;
use crate::harness::upstream::Answer;

fn key(cast: &Cast) -> &ApiKey {
    &cast.key
}

/// F05: a silent WebSocket is closed, on both sides; one that is not revoked goes on.
#[tokio::test]
async fn a_silent_websocket() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    cast.upstream.answer("/v1/ws", Answer::websocket());
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let bob = Cast::bob();
    let mut revoked = gateway.https().websocket("/v1/ws", &[key(&cast).header()]).await.unwrap();
    let mut other = gateway.https().websocket("/v1/ws", &[(bob.0, &bob.1)]).await.unwrap();
    revoked.echo("before").await;
    other.echo("before").await;
    revoke(&redis, "key:k_acme", "").await;
    revoked.closed().await;
    other.echo("after").await;
    crate::harness::deadline::eventually("the end of one connection at the upstream", || {
        (cast.upstream.open_connections() == 1).then_some(())
    })
    .await;
    let again = gateway.https().websocket("/v1/ws", &[key(&cast).header()]).await;
    assert_eq!(again.err().map(|answer| answer.status), Some(401));
}

/// The same for one that is busy: what is sent later than a second after the revocation, and the time between two looks,
/// does not arrive.
#[tokio::test]
async fn a_busy_websocket() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    cast.upstream.answer("/v1/ws", Answer::websocket());
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let mut socket = gateway.https().websocket("/v1/ws", &[key(&cast).header()]).await.unwrap();
    revoke(&redis, "key:k_acme", "").await;
    within("the end of the WebSocket", async {
        loop {
            socket.send_text("still here?").await;
            if socket.receive().await.is_none() {
                return;
            }
        }
    })
    .await;
}

/// A WebSocket cannot be opened with a revoked credential, and one whose token expires ends then.
#[tokio::test]
async fn a_websocket_whose_token_expires() {
    let cast = Cast::new();
    cast.upstream.answer("/v1/ws", Answer::websocket());
    let gateway = cast.gateway_with("revocation: { store: memory }").start().await;
    let token = cast.issuer.token().issued(Duration::from_secs(100), Duration::from_secs(72));
    // It ended 28 seconds ago, and the leeway is 30.
    let mut socket =
        gateway.https().websocket("/v1/ws", &[("Authorization", &token.bearer())]).await.unwrap();
    socket.echo("in time").await;
    socket.closed().await;
}

/// A long answer over either protocol is cut, so that nobody takes it for whole, and nothing that the upstream sends later
/// than a second after the revocation arrives.
#[tokio::test]
async fn a_long_answer() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let events = cast.upstream.events("/v1/events");
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let (name, value) = key(&cast).header();
    let bob = Cast::bob();

    let mut one = gateway.https().connect().await;
    one.write(format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n\r\n")).await;
    let head = one.head_to("GET").await;
    head.assert_status(200);
    let mut other = gateway.https().connect().await;
    other.write(format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{}: {}\r\n\r\n", bob.0, bob.1)).await;
    other.head_to("GET").await.assert_status(200);
    let two = gateway.https().http2().await;
    let mut stream = two.open_answer(&Request::get("/v1/events").header(name, value)).await.unwrap();
    stream.response().await.unwrap().assert_status(200);
    events.wait_for_subscribers(3).await;
    events.send("before");
    one.content_until("before\n\n").await;
    other.content_until("before\n\n").await;
    assert!(stream.data().await.unwrap().is_some());

    let since = revoke(&redis, "key:k_acme", "").await;
    let ticking = async {
        loop {
            events.send(&format!("{}", since.elapsed().as_millis()));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let watching = async {
        let mut received = Vec::new();
        while let Some(bytes) = one.some_bytes().await {
            received.extend(bytes);
        }
        let text = String::from_utf8_lossy(&received).into_owned();
        assert!(!text.contains("\r\n0\r\n"), "the answer ends as if it were whole: {text}");
        assert_late(&text);
        let mut text = String::new();
        let end = loop {
            match stream.data().await {
                Ok(Some(bytes)) => text += &String::from_utf8_lossy(&bytes),
                end => break end,
            }
        };
        assert!(end.is_err(), "the stream ends as if it were whole");
        assert_late(&text);
    };
    tokio::select! {
        () = ticking => {}
        () = within("the end of both answers", watching) => {}
    }
    events.send("after");
    other.content_until("after\n\n").await;
    events.end();
    events.wait_for_subscribers(0).await;
    let line =
        gateway.wait_for_access(|line| line["path"] == "/v1/events" && line["subject"] == "acme").await;
    assert_eq!(line["status"], 200, "{line}");
}

/// Every event says how many milliseconds after the revocation it was sent.
fn assert_late(text: &str) {
    let latest = text.lines().filter_map(|line| line.strip_prefix("data: ")?.parse::<u128>().ok()).max();
    // Between two looks at the list pass 250 ms.
    let limit = (MAX_STALE + Duration::from_millis(250)).as_millis();
    assert!(latest.is_none_or(|latest| latest <= limit), "{latest:?} ms after the revocation");
}

/// A long request is given up like a long answer: a client that only sends gets no further.
#[tokio::test]
async fn a_long_request() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    cast.upstream.answer("/v1/upload", Answer::sink());
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let (name, value) = key(&cast).header();
    let mut connection = gateway.https().connect().await;
    connection
        .write(format!(
            "POST /v1/upload HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ))
        .await;
    revoke(&redis, "key:k_acme", "").await;
    let begun = Instant::now();
    while connection.try_write("5\r\nagain\r\n").await.is_ok() && connection.is_idle().await {
        assert!(begun.elapsed() < DEADLINE, "the request goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    crate::harness::deadline::eventually("the end of the request at the upstream", || {
        let requests = cast.upstream.requests();
        (cast.upstream.open_connections() == 0 && requests.iter().all(|request| !request.complete))
            .then_some(())
    })
    .await;
    lift(&redis, "key:k_acme").await;
    Caller::new(&gateway, &cast.acme()).await.answered(200).await;
}

/// The same over HTTP/2: the stream ends, and the connection is good for others.
#[tokio::test]
async fn a_long_request_over_http2() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    cast.upstream.answer("/v1/upload", Answer::sink());
    let gateway = cast.gateway(&redis.url(), "").start().await;
    let (name, value) = key(&cast).header();
    let bob = Cast::bob();
    let connection = gateway.https().http2().await;
    let mut stream =
        connection.open_stream(&Request::new("POST", "/v1/upload").header(name, value)).await.unwrap();
    stream.send(b"before").await.unwrap();
    // Revoked before it is decided on, the request would be refused, and its body discarded.
    crate::harness::deadline::eventually("the request at the upstream", || {
        (!cast.upstream.requests().is_empty()).then_some(())
    })
    .await;
    revoke(&redis, "key:k_acme", "").await;
    within("the end of the request", async {
        while stream.send(b"again").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    crate::harness::deadline::eventually("the end of the request at the upstream", || {
        let requests = cast.upstream.requests();
        (cast.upstream.open_connections() == 0 && requests.iter().all(|request| !request.complete))
            .then_some(())
    })
    .await;
    connection.get("/v1/a").header(bob.0, &bob.1).await.assert_status(200);
}
