//! The `WebSocket` (RFC 6455) through the gateway: opened by those who may, carried byte by byte, and ended with the credential.

use std::time::Duration;

use crate::harness::client::{Client, WebSocket};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::deadline::eventually;
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::problem::assert_problem;
use crate::harness::upstream::{Answer, Upstream};
use crate::harness::websocket::{Message, Side, accept, frame};

const YAML: &str = r#"
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams: { chat: "{upstream}" }
    routes:
      - name: chat
        match: { path: /ws/** }
        auth: partners
        allow: { GET: { scopes: [chat] } }
        upstream: chat
"#;

fn keys() -> (ApiKey, ApiKey) {
    (ApiKey::of("acme").scopes(&["chat"]), ApiKey::of("other").scopes(&["mail"]))
}

fn builder(yaml: &str, upstream: &Upstream) -> GatewayBuilder {
    let (acme, other) = keys();
    Gateway::builder(yaml).with("upstream", upstream.url()).file("keys.yaml", keys_yaml(&[&acme, &other]))
}

async fn open(gateway: &Gateway, path: &str) -> WebSocket {
    let (acme, _) = keys();
    gateway.https().websocket(path, &[acme.header()]).await.unwrap_or_else(|answer| panic!("{answer:?}"))
}

/// F05: no `WebSocket` without a credential that may have one.
#[tokio::test]
async fn only_those_who_may_get_a_websocket() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let gateway = builder(YAML, &upstream).start().await;
    let (_, other) = keys();
    for (fields, status, code, reason) in [
        (vec![], 401, "no_credential", "no_credential"),
        (vec![("X-API-Key", "wrong")], 401, "invalid_credential", "unknown_key"),
        (vec![other.header()], 403, "forbidden", "missing_scope"),
    ] {
        let Err(answer) = gateway.https().websocket("/ws/a", &fields).await else { panic!("{code}") };
        assert_problem(&answer, status, code);
        upstream.assert_nothing();
        gateway.wait_for_access(|line| line["reason"] == reason && line["status"] == status).await;
    }
    assert_eq!(upstream.connections(), 0);
    open(&gateway, "/ws/a").await.echo("hello").await;
    let request = upstream.take_one();
    assert_eq!(request.header("X-Auth-Subject"), Some("acme"));
    assert_eq!(request.header("X-API-Key"), None);
}

#[tokio::test]
async fn every_message_passes_both_ways_and_the_close_too() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let gateway = builder(YAML, &upstream).start().await;
    let mut socket = open(&gateway, "/ws/a").await;
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
    eventually("the upstream's end", || (upstream.open_connections() == 0).then_some(())).await;
    let line = gateway.wait_for_access(|line| line["status"] == 101).await;
    assert_eq!((&line["subject"], &line["outcome"]), (&"acme".into(), &"allowed".into()));
}

/// An upstream may speak first: its frames can stand in the same packet as its 101, and every one of them arrives.
#[tokio::test]
async fn frames_right_behind_the_101_arrive() {
    let upstream = Upstream::start();
    let long = "x".repeat(20_000);
    for greeting in [&["hello"][..], &["a", "b", "c"], &[&long, "after"]] {
        upstream.answer_otherwise(Answer::websocket_greeting(greeting));
        let gateway = builder(YAML, &upstream).start().await;
        // Several connections one after the other: what arrives together is up to the network.
        for _ in 0..10 {
            let mut socket = open(&gateway, "/ws/a").await;
            for text in greeting {
                assert_eq!(socket.receive().await, Some(Message::Text((*text).to_owned())));
            }
            socket.echo("and back").await;
        }
    }
}

/// An upstream that answers 101, says what it has to say and is gone: all of it arrives, and then the end.
#[tokio::test]
async fn an_upstream_that_ends_right_behind_its_101_is_heard() {
    let upstream = Upstream::start();
    let hello = Message::Text("hello".to_owned());
    let bye = Message::Close(Some((1001, "away".to_owned())));
    let bytes = [switching(), frame(&hello, Side::Server), frame(&bye, Side::Server)];
    upstream.answer_otherwise(Answer::raw_then_close(bytes.concat()));
    let gateway = builder(YAML, &upstream).start().await;
    for _ in 0..10 {
        let mut socket = open(&gateway, "/ws/a").await;
        assert_eq!(socket.receive().await, Some(hello.clone()));
        assert_eq!(socket.closed().await, Some(bye.clone()));
    }
}

fn switching() -> Vec<u8> {
    let accept = accept("dGhlIHNhbXBsZSBub25jZQ==");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// A client that does not wait for the 101 loses nothing: what it sent early waits for the upstream's consent.
#[tokio::test]
async fn frames_right_behind_the_request_wait_for_the_101() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket().after(Duration::from_millis(50)));
    let gateway = builder(YAML, &upstream).start().await;
    let mut connection = gateway.https().connect().await;
    let hello = frame(&Message::Text("early".to_owned()), Side::Client);
    connection.write([handshake().as_bytes(), &hello].concat()).await;
    assert_eq!(connection.head_to("GET").await.status, 101);
    let expected = frame(&Message::Text("early".to_owned()), Side::Server);
    let mut received = Vec::new();
    while received.len() < expected.len() {
        received.extend(connection.some_bytes().await.unwrap());
    }
    assert_eq!(received, expected);
}

/// F04 (CVE-2026-2833, RUSTSEC-2026-0033): what follows an upgrade that the upstream declines is a request of its own, and
/// needs a credential of its own.
#[tokio::test]
async fn what_follows_a_declined_upgrade_is_a_request_of_its_own() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::ok("not today"));
    let gateway = builder(YAML, &upstream).start().await;
    let mut connection = gateway.https().connect().await;
    let second = "GET /ws/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connection.write([handshake().as_bytes(), second.as_bytes()].concat()).await;
    assert_eq!(connection.response().await.text(), "not today");
    // The gateway may close after a declined upgrade; when it does not, the second request is judged.
    if let Ok(answer) = connection.try_response_to("GET").await {
        assert_problem(&answer, 401, "no_credential");
    }
    assert_eq!(upstream.take_one().target, "/ws/a");
}

fn handshake() -> String {
    let (acme, _) = keys();
    format!(
        "GET /ws/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-API-Key: {}\r\n\r\n",
        acme.key
    )
}

/// F05: a `WebSocket` goes on for as long as its credential is good, and no longer, even when nobody says anything.
#[tokio::test]
async fn a_revoked_credential_ends_it() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let gateway = builder(YAML, &upstream).start().await;
    let mut quiet = open(&gateway, "/ws/quiet").await;
    let mut talking = open(&gateway, "/ws/talking").await;
    talking.echo("hello").await;
    let (acme, _) = keys();
    let entry = serde_json::json!({ "kind": "key", "id": acme.id });
    let revoked = gateway.admin().post("/revocations").json(&entry).await;
    assert!((200..300).contains(&revoked.status), "{revoked:?}");
    assert_eq!(quiet.closed().await, None);
    assert_eq!(talking.closed().await, None);
    eventually("the upstream's end", || (upstream.open_connections() == 0).then_some(())).await;
    let Err(answer) = gateway.https().websocket("/ws/a", &[acme.header()]).await else { panic!("opened") };
    assert_problem(&answer, 401, "credential_revoked");
}

/// F05: a `WebSocket` ends when its credential expires.
#[tokio::test]
async fn an_expired_credential_ends_it() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let now = portcullis::clock::Clock::system().unix_seconds();
    let soon = portcullis::clock::rfc3339(now + 3);
    let (acme, _) = keys();
    let gateway =
        builder(YAML, &upstream).file("keys.yaml", keys_yaml(&[&acme.expires(&soon)])).start().await;
    let mut socket = open(&gateway, "/ws/quiet").await;
    socket.echo("hello").await;
    assert_eq!(socket.closed().await, None);
    assert!(portcullis::clock::Clock::system().unix_seconds() >= now + 3, "ended too early");
}

/// The times that requests and bodies are given do not end a `WebSocket` on which nobody has anything to say.
#[tokio::test]
async fn silence_does_not_end_it() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let gateway = builder(
        r#"
        auth: { partners: { api_key: { keys: keys.yaml } } }
        limits: { header_timeout: 300ms, body_timeout: 300ms, idle_timeout: 300ms }
        upstreams: { chat: { targets: ["{upstream}"], timeouts: { connect: 1s, request: 300ms, idle: 300ms } } }
        routes: [{ name: chat, match: { path: /ws/** }, auth: partners, upstream: chat }]
        "#,
        &upstream,
    )
    .start()
    .await;
    let mut socket = open(&gateway, "/ws/quiet").await;
    socket.echo("hello").await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    socket.echo("still there").await;
}

/// An upstream that neither agrees nor declines is given the time of any other answer.
#[tokio::test]
async fn an_upstream_that_does_not_answer_the_upgrade_is_not_waited_for() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::hang());
    let gateway = builder(
        r#"
        auth: { partners: { api_key: { keys: keys.yaml } } }
        upstreams: { chat: { targets: ["{upstream}"], timeouts: { connect: 1s, request: 300ms } } }
        routes: [{ name: chat, match: { path: /ws/** }, auth: partners, upstream: chat }]
        "#,
        &upstream,
    )
    .start()
    .await;
    let (acme, _) = keys();
    let Err(answer) = gateway.https().websocket("/ws/a", &[acme.header()]).await else { panic!("opened") };
    assert_problem(&answer, 504, "upstream_timed_out");
}

/// Whoever ends the connection without a word, the other side is told.
#[tokio::test]
async fn the_end_of_either_side_is_the_end_of_the_other() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let gateway = builder(YAML, &upstream).start().await;
    let mut socket = open(&gateway, "/ws/a").await;
    socket.echo("hello").await;
    drop(socket);
    eventually("the upstream's end", || (upstream.open_connections() == 0).then_some(())).await;
    let mut socket = open(&gateway, "/ws/a").await;
    socket.echo("hello").await;
    upstream.stop().await;
    assert_eq!(socket.closed().await, None);
}

/// Over HTTP/2 there are no upgrades (RFC 9113 section 8.6); a client that offers HTTP/2 uses HTTP/1.1 for them.
#[tokio::test]
async fn clients_that_prefer_http2_can_still_open_one() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::websocket());
    let gateway = builder(YAML, &upstream).start().await;
    let client: Client = gateway.https();
    let (acme, _) = keys();
    let http2 = client.http2().await;
    assert_problem(&http2.get("/ws/a").await, 401, "no_credential");
    let mut socket = client.websocket("/ws/a", &[acme.header()]).await.unwrap();
    socket.echo("hello").await;
}
