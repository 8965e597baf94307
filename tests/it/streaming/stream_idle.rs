//! `timeouts.request` ends with the head of a response. After that, `stream_idle` bounds each pause, and nothing else does.

use std::time::Duration;

use crate::harness::client::{Connection, Request};
use crate::harness::gateway::Gateway;
use crate::harness::tls::{Authority, server_config};
use crate::harness::upstream::{Answer, Upstream};

/// Longer than the time for the head of a response in these tests.
const QUIET: Duration = Duration::from_millis(900);

const ASK: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";

async fn gateway(upstream: &Upstream, timeouts: &str) -> Gateway {
    let tls = if upstream.url().starts_with("https") { ", tls: { ca: ca.crt }" } else { "" };
    let app = format!("{{ targets: [{:?}], timeouts: {{ {timeouts} }}{tls} }}", upstream.url());
    Gateway::builder(
        r"
        upstreams: { app: {app} }
        routes: [{ name: app, match: { path: /** }, auth: public, upstream: app }]
        ",
    )
    .with("app", app)
    .file("ca.crt", Authority::shared().pem())
    .start()
    .await
}

fn upstreams() -> [Upstream; 2] {
    let certificate = Authority::shared().server(&["127.0.0.1"]);
    [Upstream::start(), Upstream::start_tls(server_config(&certificate, None, &["http/1.1"]))]
}

async fn subscribe(gateway: &Gateway) -> Connection {
    let mut connection = gateway.https().connect().await;
    connection.write(ASK).await;
    connection.head_to("GET").await.assert_status(200);
    connection
}

#[tokio::test]
async fn keeps_event_streams_that_are_quiet_for_longer_than_request() {
    for upstream in upstreams() {
        let events = upstream.events("/events");
        let gateway = gateway(&upstream, "request: 300ms, stream_idle: 60s").await;
        let mut connection = subscribe(&gateway).await;
        let http2 = gateway.https().http2().await;
        let request = Request::get("/events").header("Accept", "text/event-stream");
        let mut stream = http2.open_stream(&request).await.unwrap();
        stream.finish().unwrap();
        stream.response().await.unwrap().assert_status(200);
        events.wait_for_subscribers(2).await;
        // The pause is what is tested.
        tokio::time::sleep(QUIET).await;
        events.send("still here");
        assert_eq!(connection.content_until("\n\n").await, "data: still here\n\n");
        assert_eq!(stream.data().await.unwrap().as_deref(), Some(&b"data: still here\n\n"[..]));
        events.end();
    }
}

#[tokio::test]
async fn cuts_event_streams_when_they_are_quiet_for_longer_than_stream_idle() {
    let [upstream, _] = upstreams();
    let events = upstream.events("/events");
    let gateway = gateway(&upstream, "request: 60s, stream_idle: 300ms").await;
    let mut connection = subscribe(&gateway).await;
    events.wait_for_subscribers(1).await;
    events.send("first");
    assert_eq!(connection.content_until("\n\n").await, "data: first\n\n");
    // The last chunk never comes: the client can tell that the response was cut.
    connection.closed().await;
    events.wait_for_subscribers(0).await;
    let line = gateway.wait_for_access(|line| line["path"] == "/events").await;
    assert_eq!((&line["status"], &line["upstream_error"]), (&200.into(), &"timeout".into()), "{line}");
}

#[tokio::test]
async fn closes_websockets_when_both_sides_are_silent_for_longer_than_stream_idle() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let gateway = gateway(&upstream, "request: 60s, stream_idle: 500ms").await;
    let mut socket = gateway.https().websocket("/socket", &[]).await.unwrap();
    socket.echo("hello").await;
    socket.closed().await;
    gateway.wait_for_access(|line| line["path"] == "/socket" && line["status"] == 101).await;
}
