//! Clients that ask again and again without reading an answer.

use std::time::Duration;

use super::{gateway, is_at_rest};
use crate::harness::upstream::{Answer, Upstream};

/// Responses that are small enough to be written at once, or are nothing but a head, are given up like large ones when the
/// client takes nothing, whether they come from an upstream or from the gateway.
#[tokio::test]
async fn closes_connections_whose_client_reads_no_response() {
    let upstream = Upstream::start();
    upstream.answer("/small", Answer::ok(vec![b'x'; 8 << 10]));
    upstream.answer("/chunks", Answer::chunks(&["x".repeat(8 << 10).as_str()]));
    upstream.answer("/head", Answer::status(204, "").header("X-Long", &"x".repeat(8 << 10)));
    let gateway = gateway(upstream.url(), "{ body_timeout: 500ms }").await;
    let rows = [
        ("GET", "/small"),
        ("GET", "/chunks"),
        ("GET", "/head"),
        ("GET", "/../refused"),
        ("HEAD", "/head"),
        ("HEAD", "/../refused"),
    ];
    let clients = rows.map(|(method, path)| {
        let client = gateway.https();
        tokio::spawn(async move {
            let mut connection = client.connect().await;
            let requests = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(1000);
            // As much as the gateway takes. Reading meanwhile would make room for its responses.
            let limit = Duration::from_secs(2);
            while connection.write_without_reading(requests.as_bytes(), limit).await.is_ok() {}
            connection
        })
    });
    let mut connections = Vec::new();
    for client in clients {
        connections.push(client.await.unwrap());
    }
    is_at_rest(&gateway).await;
}
