//! A real HAProxy with health checks on `/readyz` in front of two gateways, of which one shuts down under load.

use crate::harness::balancer::Balancer;
use crate::harness::client::{Load, Request};
use crate::harness::gateway::Gateway;
use crate::harness::process::Signal;
use crate::harness::upstream::Upstream;

/// As docs/several-gateways.md has it. Without retries, which would hide a connection that was refused.
const HAPROXY: &str = r"
    frontend api
        mode {mode}
        option {log}
        bind {listen}
        default_backend gateways
    backend gateways
        mode {mode}
        retries 0
        option httpchk GET /readyz
        default-server check inter 500ms fall 2 rise 1
        server one {one} {tls} port {one_admin} no-check-ssl
        server two {two} {tls} port {two_admin} no-check-ssl
";

async fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::builder(
        r#"
        upstreams: { app: "{upstream}" }
        routes: [{ name: app, match: { path: /** }, auth: public, upstream: app }]
        "#,
    )
    .with("upstream", upstream.url())
    .argument("--drain-delay")
    .argument("3s")
    .start()
    .await
}

/// B06: no connection is refused and no request is lost, whether the balancer passes TCP on or ends TLS.
#[tokio::test]
async fn loses_no_connection_when_a_gateway_behind_haproxy_shuts_down() {
    let upstream = Upstream::start();
    for (mode, log, tls) in
        [("tcp", "tcplog", ""), ("http", "httplog", "ssl verify required ca-file {directory}/ca.crt")]
    {
        let (one, two) = (gateway(&upstream).await, gateway(&upstream).await);
        let balancer = Balancer::haproxy(&HAPROXY.replace("{tls}", tls))
            .with("mode", mode)
            .with("log", log)
            .with("one", format!("127.0.0.1:{}", one.https_port(0)))
            .with("two", format!("127.0.0.1:{}", two.https_port(0)))
            .with("one_admin", one.admin_port().to_string())
            .with("two_admin", two.admin_port().to_string())
            .start()
            .await;
        let client = if mode == "tcp" { balancer.https() } else { balancer.http() };
        let loads = [
            Load::of(&client, Request::get("/kept")).connections(4).rate(200.0).start(),
            Load::of(&client, Request::get("/fresh"))
                .connections(4)
                .each_on_a_fresh_connection()
                .rate(100.0)
                .start(),
        ];
        for load in &loads {
            load.wait_for_more(50).await;
        }
        one.signal(Signal::Terminate);
        assert_eq!(one.ended().await.code(), Some(0), "{mode}");
        for load in &loads {
            load.wait_for_more(50).await;
        }
        for load in loads {
            let report = load.stop().await;
            report.assert_all(200);
            assert_eq!((report.refused, report.closed_under_way), (0, 0), "{mode}: {report:?}");
        }
        let log = balancer.log();
        assert!(log.contains("gateways/one is DOWN"), "{mode}: {log}");
        let served = [one.access_log().len(), two.access_log().len()];
        assert!(served.iter().all(|count| *count > 0), "{mode}: {served:?}");
    }
}
