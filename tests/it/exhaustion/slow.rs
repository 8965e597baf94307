//! Thousands of slow connections at once (D01): each costs a bounded amount of memory, nobody who behaves notices them,
//! and what they held is given back when they end.

use tokio::task::JoinSet;

use super::others_are_served;
use crate::harness::client::{Client, Connection};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::upstream::Upstream;

/// How many, if as many files may be open; otherwise as many as may.
const CONNECTIONS: usize = 2000;

/// What one slow connection may cost in memory, TLS and all: several times of what it does.
const EACH: u64 = 96 << 10;

/// How many files this process and its children may have open (`Max open files` in `/proc/self/limits`).
fn files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

/// A connection that has begun something and goes on with it no further: a handshake, a head, a chunked or a plain body, or
/// HTTP/2.
async fn slow(gateway: Client, plain: Client, key: (String, String), number: usize) -> Connection {
    let (name, value) = key;
    let head = |method: &str, rest: &str| {
        format!("{method} /v1/slow HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n{rest}")
    };
    let (mut connection, bytes) = match number % 8 {
        0 => (plain.connect().await, Vec::new()),
        1 => (plain.connect().await, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        2 => (gateway.connect().await, Vec::new()),
        3 => (gateway.connect().await, head("GET", &format!("X-Slow: {}", "x".repeat(8000))).into_bytes()),
        4 => (gateway.connect().await, head("POST", "Content-Length: 100000\r\n\r\nhalf").into_bytes()),
        5 => {
            (gateway.connect().await, head("POST", "Transfer-Encoding: chunked\r\n\r\n4\r\nha").into_bytes())
        }
        6 => (gateway.connect_for_http2().await, b"PRI * HTTP/2.0\r\n".to_vec()),
        // The preface, empty settings, and a head that does not end.
        _ => {
            let frames = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x01\0\0\0\x01\x82";
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            (gateway.connect_for_http2().await, [&preface[..], frames].concat())
        }
    };
    connection.write(bytes).await;
    connection
}

/// Nothing ends by time while the test runs.
const PATIENT: &str = r#"
    limits: { handshake_timeout: 10m, header_timeout: 10m, body_timeout: 10m, idle_timeout: 10m }
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams: { app: { targets: ["{upstream}"], timeouts: { request: 10m } } }
    routes: [{ name: app, match: { path: /v1/** }, auth: partners, upstream: app }]
"#;

#[tokio::test]
async fn thousands_of_slow_connections_take_nothing_from_others() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = Gateway::builder(PATIENT)
        .with("upstream", upstream.url())
        .file("keys.yaml", keys_yaml(&[&key]))
        .start()
        .await;
    others_are_served(&gateway, &key).await;
    // A quarter of the slow ones, those with bodies, has a connection to the upstream each, which is in this process too.
    let count = CONNECTIONS.min(files().saturating_sub(400) * 2 / 3);
    let before = gateway.rss_bytes();
    let mut open = Vec::new();
    for begin in (0..count).step_by(50) {
        let mut opening = JoinSet::new();
        for number in begin..begin + 50 {
            let (name, value) = key.header();
            let plain = Client::plain(gateway.https().address());
            opening.spawn(slow(gateway.https(), plain, (name.to_owned(), value.to_owned()), number));
        }
        open.extend(opening.join_all().await);
        others_are_served(&gateway, &key).await;
    }
    let all = f64::from(u32::try_from(open.len()).unwrap());
    gateway.wait_for_metric("portcullis_connections", &[], |now| now >= all).await;
    for _ in 0..20 {
        others_are_served(&gateway, &key).await;
    }
    let during = gateway.rss_bytes();

    assert!(during < before + EACH * open.len() as u64, "{count}: {before} and then {during} bytes");
    // All of them are still there: nobody was thrown out for another.
    let now = gateway.metrics().await.sum("portcullis_connections", &[]).unwrap();
    assert!(now >= all, "{now} of {all} connections");
    drop(open);
    gateway.wait_for_metric("portcullis_connections", &[], |now| now < 0.5).await;
    others_are_served(&gateway, &key).await;
    assert!(upstream.requests().iter().all(|request| request.path() != "/v1/slow" || !request.complete));
}
