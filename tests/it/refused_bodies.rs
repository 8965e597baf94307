//! Requests whose response comes before their body has ended: clients and balancers read the response, and nothing of the
//! body is taken for a request. The parties are real: curl, Python, Node.js, nginx and HAProxy.

mod balancers;
mod bounds;
mod connections;
mod programs;
mod upstreams;

use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::Gateway;

/// Two routes that need a key (`admin`, `v1`) and a public one (`open`), with these `limits`.
const ROUTES: &str = r#"
    listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", redirect: https }]
    limits: {limits}
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams: { app: "{upstream}" }
    routes:
      - { name: open, match: { path: /public/** }, auth: public, upstream: app }
      - { name: admin, match: { path: /admin/** }, auth: partners, upstream: app }
      - { name: v1, match: { path: /v1/** }, auth: partners, upstream: app }
"#;

/// Starts such a gateway in front of `upstream`.
async fn gateway(upstream: impl Into<String>, limits: &str) -> Gateway {
    Gateway::builder(ROUTES)
        .with("upstream", upstream)
        .with("limits", limits)
        .file("keys.yaml", keys_yaml(&[&ApiKey::of("acme")]))
        .start()
        .await
}

/// Waits until this many bodies were discarded with this result.
async fn discarded(gateway: &Gateway, result: &str, count: u32) {
    gateway.wait_for_count("portcullis_discarded_bodies_total", &[("result", result)], count).await;
}
