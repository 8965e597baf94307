//! The admin listener while clients open connections and leave them, or send their requests by bytes: whoever comes with a
//! request in hand is answered at once (CWE-400; <https://en.wikipedia.org/wiki/Slowloris_(cyber_attack)>).

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::gateway;
use crate::harness::client::{Client, Connection};
use crate::harness::credentials::ApiKey;
use crate::harness::gateway::Gateway;
use crate::harness::upstream::Upstream;

/// Requests that do not end: no byte, half a head, and half a body.
const HALVES: [&str; 3] = [
    "",
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    "POST /revocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n",
];

async fn open(client: &Client, count: usize) -> Vec<Connection> {
    let mut open = Vec::new();
    for at in 0..count {
        let mut connection = client.connect().await;
        let _ = connection.try_write(HALVES[at % 3]).await;
        open.push(connection);
    }
    open
}

async fn is_answered(client: &Client) {
    for path in ["/metrics", "/healthz", "/readyz", "/revocations"] {
        client.get(path).await.assert_status(200);
    }
}

/// From one address, and from so many that each of them has a few.
#[tokio::test]
async fn slow_clients_keep_nobody_from_the_admin_listener() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, "{}").await;
    let from = |host| gateway.admin().source(Ipv4Addr::new(127, 0, 0, host));
    // One who is there before them, and does nothing but come back now and then.
    let mut scraper = from(2).connect().await;
    scraper.get("/metrics").await.assert_status(200);
    let mut slow = open(&from(1), 200).await;
    for round in 0..10 {
        for connection in &mut slow {
            // Those who have lost their place notice it here.
            let _ = connection.try_write("x").await;
        }
        is_answered(&from(3 + round)).await;
        is_answered(&from(1)).await;
        scraper.get("/metrics").await.assert_status(200);
    }
    for host in 100..120 {
        slow.extend(open(&from(host), 20).await);
        is_answered(&from(2)).await;
        is_answered(&from(host)).await;
    }
    assert!(gateway.process().open_files() < 400);
    upstream.assert_nothing();
}

/// What has begun to send a request has ten seconds for all of it, however its bytes are spread over them.
#[tokio::test]
async fn a_request_by_bytes_is_given_up() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, "{}").await;
    let (head, body) = tokio::join!(by_bytes(&gateway, HALVES[1]), by_bytes(&gateway, HALVES[2]));
    assert_eq!(head, None);
    let body = body.expect("an answer");
    assert!(body.starts_with("HTTP/1.1 408 "), "{body}");
    assert!(body.to_lowercase().contains("\r\nconnection: close\r\n"), "{body}");
    assert!(body.ends_with("{\"error\":\"the request did not come in time\"}\n"), "{body}");
    upstream.assert_nothing();
}

/// Sends the beginning of a request and then a byte now and then, until something comes back. Returns that.
async fn by_bytes(gateway: &Gateway, beginning: &str) -> Option<String> {
    let mut connection = gateway.admin().connect().await;
    connection.write(beginning).await;
    let began = Instant::now();
    while connection.is_idle().await {
        assert!(began.elapsed() < Duration::from_secs(30), "{beginning:?} is waited for without end");
        let _ = connection.try_write("x").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut answer = Vec::new();
    while let Some(piece) = connection.some_bytes().await {
        answer.extend(piece);
    }
    (!answer.is_empty()).then(|| String::from_utf8(answer).unwrap())
}
