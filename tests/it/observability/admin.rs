//! Health and readiness, and that operators' pages are on their own listener only.

use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;

use super::stand::Stand;

#[tokio::test]
async fn operators_are_answered_on_their_listener() {
    let stand = Stand::start().await;
    let admin = stand.gateway.admin();
    for (path, kind, body) in [("/healthz", "text/plain", "ok\n"), ("/readyz", "text/plain", "ready\n")] {
        let answer = admin.get(path).await;
        assert_eq!((answer.status, answer.text(), answer.header("Content-Type")), (200, body, Some(kind)));
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    }
    let answer = admin.get("/metrics").await;
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("text/plain; version=0.0.4")));
    for path in ["/metrics", "/healthz", "/readyz"] {
        let answer = admin.call("HEAD", path).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(admin.call(method, path).await.status, 405, "{method} {path}");
        }
        assert_eq!(admin.get(&format!("{path}?x=1")).await.status, 200);
    }
    for path in ["/", "/v1/x", "/docs/x", "/metrics/", "/Metrics", "/config", "/debug/pprof", "/.env"] {
        assert_eq!(admin.get(path).await.status, 404, "{path}");
    }
    stand.upstream.assert_nothing();
}

/// Prometheus, probes and load balancers know the gateway by the name of a service or a container, or by the address of a
/// pod. What they ask for has no secret in it and changes nothing; what has or does is for other names' pages (L10, DNS
/// rebinding: <https://en.wikipedia.org/wiki/DNS_rebinding>) not to be had.
#[tokio::test]
async fn whoever_scrapes_may_use_any_name_and_nobody_else() {
    let stand = Stand::start().await;
    let admin = stand.gateway.admin();
    for host in ["portcullis:9180", "portcullis.gateways.svc:9180", "10.1.2.3:9180", "[2001:db8::7]:9180"] {
        for path in ["/metrics", "/healthz", "/readyz"] {
            admin.get(path).header("Host", host).await.assert_status(200);
        }
        for path in
            ["/revocations", "/status/now", "/status/policy", "/status/revocations", "/status/session"]
        {
            let answer = admin.get(path).header("Host", host).await;
            assert_eq!(answer.status, 403, "{path} by {host}: {answer:?}");
        }
    }
    stand.upstream.assert_nothing();
}

/// L04: to clients there is nothing under these paths, in the clear or not.
#[tokio::test]
async fn clients_find_nothing_of_it() {
    let gateway = Gateway::builder(
        r#"
        listen:
          - { address: "127.0.0.1:0", tls: true }
          - { address: "127.0.0.1:0", plaintext: true }
        upstreams: { echo: builtin:echo }
        routes:
          - { name: docs, match: { path: /docs/** }, auth: public, upstream: echo }
        "#,
    )
    .start()
    .await;
    let clients: [Client; 2] = [gateway.https(), gateway.http()];
    for client in &clients {
        for path in ["/metrics", "/healthz", "/readyz", "/revocations", "/metrics/", "/admin"] {
            for method in ["GET", "POST", "DELETE"] {
                assert_problem(&client.call(method, path).await, 404, "no_route");
            }
        }
        // Nor under the name or the address of the admin listener.
        let name = format!("127.0.0.1:{}", gateway.admin_port());
        let answer = client.get("/metrics").header("Host", &name).await;
        assert!([404, 421].contains(&answer.status), "{answer:?}");
    }
}
