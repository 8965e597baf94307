//! Clients that speak HTTP/1.0: they know neither chunks nor interim answers (RFC 9112 section 6.1, RFC 9110 section 15.2).

use super::{gateway, is_at_rest};
use crate::harness::upstream::{Answer, Upstream};

#[tokio::test]
async fn an_answer_to_http_1_0_ends_with_its_length_or_with_the_connection() {
    let upstream = Upstream::start();
    upstream.answer("/length", Answer::ok("body"));
    upstream.answer("/chunks", Answer::chunks(&["bo", "dy"]));
    upstream.answer("/close", Answer::until_close("body"));
    upstream.answer("/hints", Answer::ok("body").informational(103, &[("Link", "</a.css>")]));
    let gateway = gateway(upstream.url(), "{}").await;
    for path in ["/length", "/chunks", "/close", "/hints"] {
        for keep in ["", "Connection: keep-alive\r\n"] {
            let mut connection = gateway.https().connect().await;
            connection.write(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{keep}\r\n")).await;
            if ["/length", "/hints"].contains(&path) && !keep.is_empty() {
                // The end is known, so the connection goes on.
                let answer = connection.response().await;
                assert!(answer.text() == "body" && answer.informational.is_empty(), "{answer:?}");
                connection.write(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")).await;
            }
            let mut received = Vec::new();
            while let Some(bytes) = connection.some_bytes().await {
                received.extend(bytes);
            }
            let text = String::from_utf8(received).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(" 200 "), "{path}: {text}");
            assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{path}: {text}");
            assert!(head.to_ascii_lowercase().contains("connection: close"), "{path}: {text}");
            assert_eq!(body, "body", "{path}: {text}");
        }
    }
    is_at_rest(&gateway).await;
}
