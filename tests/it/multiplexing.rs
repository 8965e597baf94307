//! Requests that share a connection over HTTP/2: what one of them does, or leaves undone, is its own affair. Wherever that
//! can make a difference the upstream is one that is spoken to over HTTP/1.1 in the clear, and one over TLS that would be
//! spoken to over HTTP/2 if it agreed, because requests take different ways to them.

mod bodies;
mod changing;
mod ending;
mod floods;
mod goaway;
mod pausing;
mod refusals;
mod taking_back;

use crate::harness::client::{Frames, block, flag, kind};
use crate::harness::gateway::Gateway;
use crate::harness::tls::{Authority, server_config};
use crate::harness::upstream::Upstream;

/// An upstream of each kind.
fn upstreams() -> [Upstream; 2] {
    let certificate = Authority::shared().server(&["127.0.0.1"]);
    [Upstream::start(), Upstream::start_tls(server_config(&certificate, None, &["http/1.1"]))]
}

/// A gateway with these `limits` where everything is public, in front of the upstream at `url` with these `timeouts`.
async fn gateway(url: &str, limits: &str, timeouts: &str) -> Gateway {
    Gateway::builder(
        r#"
        limits: {limits}
        upstreams: { app: { targets: ["{url}"], timeouts: {timeouts}{tls} } }
        routes: [{ name: app, match: { path: /** }, auth: public, upstream: app }]
        "#,
    )
    .with("limits", limits)
    .with("timeouts", timeouts)
    .with("tls", if url.starts_with("https:") { ", tls: { ca: ca.crt }" } else { "" })
    .with("url", url)
    .file("ca.crt", Authority::shared().pem())
    .start()
    .await
}

/// Waits until no request is under way.
async fn is_at_rest(gateway: &Gateway) {
    gateway.wait_for_metric("portcullis_http_requests_in_flight", &[], |count| count.abs() < 0.5).await;
}

/// The head of a request.
fn head(method: &str, path: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)])
}

/// Waits until the gateway has read everything that was sent.
async fn read_so_far(frames: &mut Frames) {
    frames.frame(kind::PING, 0, 0, b"so far??").await;
    while let Some(frame) = frames.next().await {
        if frame.kind == kind::PING && frame.flags & flag::ACK != 0 {
            return;
        }
    }
    panic!("the connection has ended");
}
