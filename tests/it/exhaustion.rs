//! Clients that take without giving: connections that are opened and left, heads and handshakes that do not end, and
//! HTTP/2 frames without number. Each loses its connection at a known time, memory stays where it was, and others are
//! served as ever.

mod admin;
mod connections;
mod frames;
mod reading;
mod slow;

use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::upstream::Upstream;

/// A gateway with these `limits`, in front of `upstream`.
async fn gateway(upstream: &Upstream, key: &ApiKey, limits: &str) -> Gateway {
    let yaml = r#"
        limits: {limits}
        auth: { partners: { api_key: { keys: keys.yaml } } }
        upstreams: { app: { targets: ["{upstream}"], timeouts: { request: 3s } } }
        routes:
          - { name: app, match: { path: /v1/** }, auth: partners, upstream: app }
          - { name: docs, match: { path: /docs/** }, auth: public, upstream: app }
    "#;
    Gateway::builder(yaml)
        .with("limits", limits)
        .with("upstream", upstream.url())
        .file("keys.yaml", keys_yaml(&[key]))
        .start()
        .await
}

/// Fails the test unless a client that behaves is served over both protocols.
async fn others_are_served(gateway: &Gateway, key: &ApiKey) {
    for over_http2 in [false, true] {
        let client = gateway.https();
        let call = client.get("/v1/a").headers(&[key.header()]);
        let answer = if over_http2 { call.over_http2().await } else { call.await };
        answer.assert_status(200);
    }
}

/// The most memory that was ever resident, in bytes (`VmHWM`).
fn most_memory(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process().pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
