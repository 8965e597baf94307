//! SIGTERM: `/readyz` returns 503 at once, and the listeners accept until the drain delay is over.

use crate::harness::client::{Load, Request};
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::process::Signal;
use crate::harness::upstream::Upstream;

use super::readiness;

const YAML: &str = r#"
    listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]
    upstreams: { app: "{upstream}" }
    routes: [{ name: app, match: { path: /** }, auth: public, upstream: app }]
"#;

/// No test waits for this to be over.
const LONG: &str = "10m";

fn builder(upstream: &Upstream, delay: &str) -> GatewayBuilder {
    Gateway::builder(YAML).with("upstream", upstream.url()).argument("--drain-delay").argument(delay)
}

async fn announced(gateway: &Gateway) {
    gateway.wait_for_log(|line| line.message.starts_with("shutting down: /readyz returns 503")).await;
}

/// Requests are served as ever during the delay, and a second signal ends it.
#[tokio::test]
async fn keeps_accepting_after_sigterm_until_the_delay_ends() {
    let upstream = Upstream::start();
    let gateway = builder(&upstream, LONG).start().await;
    let mut kept = gateway.https().connect().await;
    kept.get("/before").await.assert_status(200);
    gateway.signal(Signal::Terminate);
    announced(&gateway).await;
    let expected = (503, "not ready\ndraining: the process is shutting down\n".to_owned());
    assert_eq!(readiness(&gateway).await, expected);
    gateway.admin().get("/healthz").await.assert_status(200);
    let mut fresh = gateway.http().connect().await;
    for connection in [&mut kept, &mut fresh] {
        for _ in 0..2 {
            let response = connection.get("/during").await;
            response.assert_status(200);
            assert_ne!(response.header("Connection"), Some("close"), "{response:?}");
        }
    }
    let mut http2 = gateway.https().http2().await;
    for _ in 0..2 {
        http2.get("/during").await.assert_status(200);
    }
    assert!(gateway.process().ended().is_none());

    gateway.signal(Signal::Terminate);
    gateway.wait_for_log(|line| line.message == "a second signal ends the delay").await;
    let last = kept.get("/after").await;
    assert_eq!((last.status, last.header("Connection")), (200, Some("close")));
    http2.closed().await.unwrap();
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// SIGINT comes from a terminal.
#[tokio::test]
async fn shuts_down_without_delay_after_sigint() {
    let upstream = Upstream::start();
    let gateway = builder(&upstream, LONG).start().await;
    gateway.signal(Signal::Interrupt);
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(!gateway.log().iter().any(|line| line.message.starts_with("shutting down: /readyz")));
}

/// The variable does what the argument does, for images.
#[tokio::test]
async fn reads_the_delay_from_the_environment() {
    let upstream = Upstream::start();
    let gateway = Gateway::builder(YAML)
        .with("upstream", upstream.url())
        .env("PORTCULLIS_DRAIN_DELAY", LONG)
        .start()
        .await;
    gateway.signal(Signal::Terminate);
    announced(&gateway).await;
    gateway.signal(Signal::Interrupt);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// When the delay runs out, the listeners close as they do without one: no request is lost.
#[tokio::test]
async fn loses_no_request_when_the_delay_runs_out() {
    let upstream = Upstream::start();
    let gateway = builder(&upstream, "300ms").start().await;
    let loads = [
        Load::of(&gateway.https(), Request::get("/")).connections(2).start(),
        Load::of(&gateway.http(), Request::get("/")).connections(2).each_on_a_fresh_connection().start(),
    ];
    for load in &loads {
        load.wait_for_more(20).await;
    }
    gateway.signal(Signal::Terminate);
    announced(&gateway).await;
    for load in &loads {
        load.wait_for_refusal().await;
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
    for load in loads {
        load.stop().await.assert_all(200);
    }
}
