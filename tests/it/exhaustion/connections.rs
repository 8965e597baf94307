//! How many connections there may be, and how long each may take for what (D01).

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{gateway, others_are_served};
use crate::harness::client::{Client, Connection, Frames, Outcome, block, flag, kind};
use crate::harness::credentials::ApiKey;
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

/// As many connections as the file says, and not one more; who is connected notices nothing, and a place that becomes
/// free is given to the next.
#[tokio::test]
async fn one_connection_too_many_is_closed_and_the_others_are_served() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, "{ connections: 3 }").await;
    let mut open: Vec<Connection> = Vec::new();
    for _ in 0..3 {
        let mut connection = gateway.https().connect().await;
        connection.get("/docs/a").await.assert_status(200);
        open.push(connection);
    }
    for _ in 0..3 {
        assert!(gateway.https().try_connect().await.is_err(), "a connection too many");
    }
    for connection in &mut open {
        connection.get("/v1/a").headers(&[key.header()]).await.assert_status(200);
    }
    // Operators are not locked out by clients.
    gateway.admin().get("/healthz").await.assert_status(200);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("portcullis_connections", &[]), Some(3.0));
    open.pop();
    gateway.https().wait_for("/docs/a", 200).await;
}

/// One client takes its share of the places, and not those of others.
#[tokio::test]
async fn one_client_cannot_take_the_places_of_all() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, "{ connections_per_source: 3 }").await;
    let mut open: Vec<Connection> = Vec::new();
    for _ in 0..3 {
        let mut connection = gateway.https().connect().await;
        connection.get("/docs/a").await.assert_status(200);
        open.push(connection);
    }
    for _ in 0..3 {
        assert!(gateway.https().try_connect().await.is_err(), "a connection too many");
    }
    let other = gateway.https().source(Ipv4Addr::new(127, 0, 0, 2));
    other.get("/v1/a").headers(&[key.header()]).await.assert_status(200);
    for connection in &mut open {
        connection.get("/v1/a").headers(&[key.header()]).await.assert_status(200);
    }
    drop(open);
    gateway.https().wait_for("/docs/a", 200).await;
}

/// D01: whoever is slow with a handshake, a head or the next request is closed, at the times that the file says.
#[tokio::test]
async fn slow_clients_are_closed_and_the_others_are_served() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(
        &upstream,
        &key,
        "{ handshake_timeout: 300ms, header_timeout: 300ms, idle_timeout: 400ms, body_timeout: 300ms }",
    )
    .await;
    tokio::join!(
        no_handshake(&gateway),
        half_a_handshake(&gateway),
        no_head(&gateway),
        head_by_bytes(&gateway),
        no_second_request(&gateway),
        half_a_second_request(&gateway),
        no_preface(&gateway),
        half_a_preface(&gateway),
        nothing_after_the_preface(&gateway),
        half_a_header_block(&gateway),
        nothing_after_an_answer(&gateway),
        nothing_but_pings(&gateway),
        others_are_served(&gateway, &key),
    );
    others_are_served(&gateway, &key).await;
    let received = upstream.take();
    assert!(received.iter().all(|request| ["/v1/a", "/docs/a"].contains(&request.path())), "{received:?}");
    gateway.wait_for_metric("portcullis_connections", &[], |open| open < 0.5).await;
}

async fn no_handshake(gateway: &Gateway) {
    Client::plain(gateway.https().address()).connect().await.closed().await;
}

async fn half_a_handshake(gateway: &Gateway) {
    let mut connection = Client::plain(gateway.https().address()).connect().await;
    // A record that announces 512 bytes of a ClientHello, and some of them.
    connection.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    connection.closed().await;
}

async fn no_head(gateway: &Gateway) {
    gateway.https().connect().await.closed().await;
}

async fn head_by_bytes(gateway: &Gateway) {
    let mut connection = gateway.https().connect().await;
    connection.write("GET /docs/slow HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
    // Whoever sends a byte now and then is not any less slow.
    while connection.is_idle().await {
        let _ = connection.try_write("x").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_problem(&connection.only_response().await, 408, "request_timeout");
}

async fn no_second_request(gateway: &Gateway) {
    let mut connection = gateway.https().connect().await;
    connection.get("/docs/a").await.assert_status(200);
    connection.closed().await;
}

async fn half_a_second_request(gateway: &Gateway) {
    let mut connection = gateway.https().connect().await;
    connection.get("/docs/a").await.assert_status(200);
    connection.write("GET /docs/slow HTTP/1.1\r\nHo").await;
    assert_problem(&connection.only_response().await, 408, "request_timeout");
}

/// Agrees on HTTP/2 and then says nothing at all.
async fn no_preface(gateway: &Gateway) {
    let mut connection = gateway.https().connect_for_http2().await;
    connection.closed().await;
}

async fn half_a_preface(gateway: &Gateway) {
    let mut connection = gateway.https().connect_for_http2().await;
    connection.write("PRI * HTTP/2.0\r\n").await;
    connection.closed().await;
}

async fn nothing_after_the_preface(gateway: &Gateway) {
    let mut frames = gateway.https().frames().await;
    while frames.next().await.is_some() {}
}

async fn half_a_header_block(gateway: &Gateway) {
    let mut frames = gateway.https().frames().await;
    frames.frame(kind::HEADERS, flag::END_STREAM, 1, &[0x82]).await;
    while frames.next().await.is_some() {}
}

/// Whoever behaves is told that the connection ends, and not that it did anything wrong.
async fn nothing_after_an_answer(gateway: &Gateway) {
    let mut frames = gateway.https().frames().await;
    let request =
        [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/docs/a")];
    frames.headers(1, &block(&request), true).await;
    assert!(matches!(frames.outcome(1).await, Outcome::Answered(200, _)));
    assert_eq!(told_to_go(&mut frames, false).await, Some(0));
}

/// Whoever does not answer when it is told is left all the same. A ping is no request.
async fn nothing_but_pings(gateway: &Gateway) {
    let mut frames = gateway.https().frames().await;
    frames.frame(kind::PING, 0, 0, b"8 bytes!").await;
    assert_eq!(told_to_go(&mut frames, true).await, Some(0));
}

/// The error that the client is told of before the connection ends, if it is told of its end. Sends pings until then.
async fn told_to_go(frames: &mut Frames, pings: bool) -> Option<u32> {
    let mut told = None;
    while let Some(frame) = frames.next().await {
        match frame.kind {
            kind::GOAWAY => told = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap())),
            kind::PING if pings && frame.flags & flag::ACK != 0 => {
                frames.frame(kind::PING, 0, 0, b"8 bytes!").await;
            }
            kind::PING if !pings => frames.frame(kind::PING, flag::ACK, 0, &frame.payload).await,
            _ => {}
        }
    }
    told
}

/// Connections with the admin listener are few by nature: those beyond a hundred or so are closed, so that they cannot
/// take the files that clients need.
#[tokio::test]
async fn the_admin_listener_takes_no_more_than_it_needs() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, "{ connections: 20 }").await;
    let before = gateway.process().open_files();
    let mut open = Vec::new();
    for _ in 0..400 {
        open.push(gateway.admin().connect().await);
    }
    others_are_served(&gateway, &key).await;
    // Those that had to go are closed one after the other.
    crate::harness::deadline::eventually("few files to be open", || {
        (gateway.process().open_files() < before + 200).then_some(())
    })
    .await;
    drop(open);
    gateway.admin().wait_for("/healthz", 200).await;
}

/// A body that pauses for too long ends the request, at the upstream as well.
#[tokio::test]
async fn a_body_that_pauses_is_given_up() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, "{ body_timeout: 300ms }").await;
    let mut connection = gateway.https().connect().await;
    let (name, value) = key.header();
    connection
        .write(format!(
            "POST /v1/a HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\nContent-Length: 10\r\n\r\nhalf"
        ))
        .await;
    let outcome = connection.try_response_to("POST").await;
    assert!(outcome.as_ref().map_or(true, |answer| (400..=504).contains(&answer.status)), "{outcome:?}");
    crate::harness::deadline::eventually("the end of the request at the upstream", || {
        (upstream.open_connections() == 0).then_some(())
    })
    .await;
    assert!(upstream.requests().iter().all(|request| !request.complete));
    let line = gateway.wait_for_access(|line| line["path"] == "/v1/a").await;
    assert_ne!(line["status"], 200);
    others_are_served(&gateway, &key).await;
}
