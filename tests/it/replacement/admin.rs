//! Operators while a new process takes over: nobody goes on talking to one that does not know any more what is revoked.

use serde_json::json;

use super::{Cast, replaced};
use crate::harness::process::Signal;

/// A connection that is kept would be answered by the old process for as long as that drains, from a list that the new one
/// has changed since.
#[tokio::test]
async fn nobody_goes_on_asking_the_process_that_was_replaced() {
    let cast = Cast::new();
    let events = cast.upstream.events("/docs/events");
    let gateway = cast.gateway("").start().await;
    // It keeps the old process draining.
    let mut stream = gateway.https().connect().await;
    stream.write("GET /docs/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    stream.head_to("GET").await.assert_status(200);
    events.wait_for_subscribers(1).await;

    let admin = gateway.admin();
    let mut kept = admin.connect().await;
    assert_eq!(kept.get("/revocations").await.assert_status(200).json()["revocations"], json!([]));
    let fresh = admin.connect().await;
    let mut half_a_head = admin.connect().await;
    half_a_head.write("GET /revocations HTTP/1.1\r\nHost: loc").await;
    let mut half_a_body = admin.connect().await;
    let head = "POST /revocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let body = r#"{"kind":"key","id":"k_acme"}"#;
    half_a_body.write(format!("{head}Content-Length: {}\r\n\r\n{}", body.len(), &body[..9])).await;

    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let successor = replaced(&gateway, position).await;
    for mut connection in [kept, fresh, half_a_head] {
        connection.closed().await;
    }
    // What was begun is answered, once: with the word to ask the other process.
    half_a_body.write(&body[9..]).await;
    let answer = half_a_body.try_response_to("POST").await.unwrap();
    assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")), "{answer:?}");
    half_a_body.closed().await;

    assert_eq!(admin.get("/revocations").await.json()["revocations"], json!([]));
    admin.post("/revocations").json(&json!({ "kind": "key", "id": "k_acme" })).await.assert_status(201);
    assert_eq!(admin.get("/revocations").await.json()["revocations"][0]["id"], "k_acme");
    gateway.https().get("/v1/orders").header("X-API-Key", &cast.key.key).await.assert_status(401);
    cast.upstream.take();
    assert!(gateway.process().ended().is_none(), "the old process still drains");
    events.end();
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    cast.upstream.assert_nothing();
    successor.terminate().await;
}
