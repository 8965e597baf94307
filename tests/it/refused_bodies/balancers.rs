//! nginx and HAProxy with two gateways behind them. A balancer takes a reset for a failed server, and no request must be
//! able to take a gateway out of service.

use super::gateway;
use crate::harness::balancer::{Balancer, BalancerBuilder};
use crate::harness::credentials::ApiKey;
use crate::harness::gateway::Gateway;
use crate::harness::scale::scaled;
use crate::harness::upstream::Upstream;

/// Sizes of refused uploads.
const SIZES: [usize; 4] = [200_000, 500_000, 1_000_000, 3_000_000];

/// Refused uploads of each size.
const TIMES: usize = 5;

/// Sends refused uploads and good requests by turns: each gets its own response, and each good request is served.
async fn check(balancer: BalancerBuilder) {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateways = [gateway(upstream.url(), "{}").await, gateway(upstream.url(), "{}").await];
    let address = |gateway: &Gateway| gateway.https().address().to_string();
    let balancer =
        balancer.with("first", address(&gateways[0])).with("second", address(&gateways[1])).start().await;
    let mut good = 0;
    for _ in 0..scaled(TIMES) {
        for size in SIZES {
            let answer = balancer.http().post("/v1/upload").body(vec![b'x'; size]).outcome().await;
            assert_eq!(answer.as_ref().map(|answer| answer.status), Ok(401), "{size}: {}", balancer.log());
            for _ in 0..2 {
                let answer = balancer.http().get("/v1/good").headers(&[key.header()]).await;
                assert_eq!(answer.status, 200, "{}", balancer.log());
                good += 1;
            }
        }
    }
    let received = upstream.take();
    assert_eq!(received.len(), good);
    assert!(received.iter().all(|request| request.path() == "/v1/good"), "{received:?}");
    // Both were used, so neither was taken out of service.
    for gateway in &gateways {
        let served = |line: &serde_json::Value| line["path"] == "/v1/good" && line["status"] == 200;
        gateway.wait_for_access(served).await;
    }
    let log = balancer.log();
    for bad in [" 502 ", " 503 ", " 504 ", "temporarily disabled", " is DOWN", "reset by peer"] {
        assert!(!log.contains(bad), "{bad}: {log}");
    }
}

/// nginx as it is set up by default: HTTP/1.0 to the gateways, and one failure takes a server out for ten seconds. Row B03.
#[tokio::test]
async fn nginx_keeps_both_gateways_in_service() {
    check(Balancer::nginx(
        r"
        upstream gateways { server {first}; server {second}; }
        server { listen {listen}; location / { proxy_pass https://gateways; } }
        ",
    ))
    .await;
}

/// The same with HTTP/1.1 and kept connections, and without the buffer that holds a body back until it is whole. Row B03.
#[tokio::test]
async fn nginx_with_kept_connections_keeps_both_gateways_in_service() {
    check(Balancer::nginx(
        r#"
        upstream gateways { server {first}; server {second}; keepalive 4; }
        server {
            listen {listen};
            location / {
                proxy_pass https://gateways;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_request_buffering off;
            }
        }
        "#,
    ))
    .await;
}

/// HAProxy with observed traffic: ten errors would mark a server down. Row B03.
#[tokio::test]
async fn haproxy_keeps_both_gateways_in_service() {
    check(Balancer::haproxy(
        r"
        frontend clients
            bind {listen}
            default_backend gateways
        backend gateways
            default-server ssl verify required ca-file {directory}/ca.crt verifyhost localhost check observe layer7 error-limit 1 on-error mark-down
            server first {first}
            server second {second}
        ",
    ))
    .await;
}
