//! Requests and answers over HTTP/1.1 on their way through: they pass whole and once, in both directions at the same time,
//! and whatever ends one early leaves nothing behind for the next one.

mod both_ways;
mod form;
mod leaving;
mod old_clients;
mod repeating;
mod unread;

use crate::harness::gateway::Gateway;

/// A gateway with TLS and without, where everything is public, with one upstream and these `limits`.
async fn gateway(upstream: impl Into<String>, limits: &str) -> Gateway {
    Gateway::builder(
        r#"
        listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]
        limits: {limits}
        upstreams: { app: { targets: ["{upstream}"], timeouts: { request: 5s } } }
        routes: [{ name: app, match: { path: /** }, auth: public, upstream: app }]
        "#,
    )
    .with("upstream", upstream)
    .with("limits", limits)
    .start()
    .await
}

/// Waits until no request is under way, and no client connected.
async fn is_at_rest(gateway: &Gateway) {
    gateway.wait_for_metric("portcullis_http_requests_in_flight", &[], |count| count.abs() < 0.5).await;
    gateway.wait_for_metric("portcullis_connections", &[], |count| count.abs() < 0.5).await;
}
