//! A real Prometheus watches the real gateway by the rules in `deploy/prometheus`: calm is quiet, each trouble is told by
//! the alert that is made for it, and every query of the dashboard has an answer.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::client::{Client, Load, Request};
use crate::harness::credentials::{ApiKey, basic, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::{Gateway, Reload};
use crate::harness::issuer::Issuer;
use crate::harness::process::Signal;
use crate::harness::prometheus::Prometheus;
use crate::harness::redis::Redis;
use crate::harness::upstream::Upstream;

const YAML: &str = r#"
    redis: { url: "{redis}" }
    revocation: { max_stale: 1s }
    limits: { failed_attempts: { source: 2/m } }
    auth:
      partners: { api_key: { keys: keys.yaml } }
      staff: { basic: { users: staff.htpasswd, realm: Tools } }
      users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
    upstreams: { api: "{upstream}", gone: "{gone}" }
    routes:
      - { name: api, match: { path: /v1/** }, auth: [partners, staff, users], upstream: api }
      - { name: gone, match: { path: /gone }, auth: partners, upstream: gone }
"#;

/// The parties of these tests.
struct Stand {
    gateway: Gateway,
    redis: Redis,
    issuer: Issuer,
    key: ApiKey,
    revoked: ApiKey,
    _upstreams: [Upstream; 2],
}

impl Stand {
    async fn start() -> Self {
        let (upstream, gone, issuer) = (Upstream::start(), Upstream::start(), Issuer::start());
        gone.stop().await;
        let redis = Redis::start().await;
        let key = ApiKey::of("acme").expires("2099-01-01T00:00:00Z");
        let revoked = ApiKey::of("mallory");
        let gateway = Gateway::builder(YAML)
            .with("redis", redis.url())
            .with("issuer", issuer.url())
            .with("upstream", upstream.url())
            .with("gone", gone.url())
            .file("keys.yaml", keys_yaml(&[&key, &revoked]))
            .file("staff.htpasswd", htpasswd_bcrypt("bob", "correct horse"))
            .start()
            .await;
        redis.cli(&["SET", "portcullis:revoked:key:k_mallory", ""]).await;
        Self { gateway, redis, issuer, key, revoked, _upstreams: [upstream, gone] }
    }

    fn load(&self, path: &str, (name, value): (&str, &str), rate: f64) -> Load {
        let request = Request::get(path).header(name, value);
        Load::of(&self.gateway.https(), request).connections(1).rate(rate).start()
    }

    /// More clients than one may expect give a wrong password more often than they may.
    async fn guess(&self) {
        for last in 10..22 {
            let client: Client = self.gateway.https().source(Ipv4Addr::new(127, 0, 0, last));
            for _ in 0..3 {
                client.get("/v1/x").header("Authorization", &basic("bob", "wrong")).await;
            }
            client.get("/v1/x").header("Authorization", &basic("bob", "wrong")).await.assert_status(429);
        }
    }
}

#[tokio::test]
async fn prometheus_has_nothing_to_say_against_the_metrics() {
    let stand = Stand::start().await;
    for (name, value) in [stand.key.header(), stand.revoked.header()] {
        stand.gateway.https().get("/v1/x").header(name, value).await;
        stand.gateway.https().get("/gone").header(name, value).await;
    }
    stand.gateway.wait_for_count("portcullis_http_requests_total", &[], 4).await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    let text = stand.gateway.admin().get("/metrics").await;
    promtool.stdin.take().unwrap().write_all(text.text().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success() && said.iter().all(String::is_empty), "{said:?}\n{}", text.text());
}

#[tokio::test]
async fn prometheus_tells_calm_from_trouble_and_the_dashboard_has_data() {
    let stand = Stand::start().await;
    let prometheus = Prometheus::start(([127, 0, 0, 1], stand.gateway.admin_port()).into()).await;
    let token = stand.issuer.token().bearer();
    let _good =
        [stand.load("/v1/x", stand.key.header(), 50.0), stand.load("/v1/x", ("Authorization", &token), 50.0)];
    prometheus.wait_for_data("job_route:portcullis_http_request_duration_seconds:p99_5m > 0").await;
    prometheus.wait_for_data("job_route:portcullis_http_errors:ratio_rate5m == 0").await;
    let alerts = prometheus.alerts().await;
    assert!(alerts.is_empty(), "calm: {alerts:#?}");

    let stranger = ApiKey::of("stranger");
    let _bad = [
        stand.load("/v1/x", stranger.header(), 20.0),
        stand.load("/v1/x", stand.revoked.header(), 10.0),
        stand.load("/gone", stand.key.header(), 10.0),
    ];
    stand.guess().await;
    prometheus
        .wait_for_alerts(&[
            ("PortcullisRefusalsSpike", ("reason", "unknown_key")),
            ("PortcullisRevokedInUse", ("auth", "partners")),
            ("PortcullisGuessing", ("by", "source")),
            ("PortcullisErrors", ("route", "gone")),
            ("PortcullisUpstreamFailing", ("kind", "connect")),
        ])
        .await;
    for expression in dashboard() {
        // What is rare has to happen again and again to have a rate.
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string();
        stand.redis.cli(&["SET", "portcullis:revoked:sub:eve", &now]).await;
        stand.gateway.https().get("/v1/x").await;
        prometheus.wait_for_data(&expression).await;
    }

    let mut stand = stand;
    stand.gateway.write_yaml(&YAML.replace("auth: partners", "auth: partnes"));
    assert!(matches!(stand.gateway.reload().await, Reload::Refused(_)));
    stand.redis.stop();
    prometheus
        .wait_for_alerts(&[
            ("PortcullisReloadFailed", ("", "")),
            ("PortcullisRedisAway", ("", "")),
            ("PortcullisRevocationStale", ("", "")),
            ("PortcullisUndecided", ("reason", "revocation_unavailable")),
        ])
        .await;
    stand.gateway.signal(Signal::Kill);
    prometheus.wait_for_alerts(&[("PortcullisDown", ("job", "portcullis"))]).await;
}

/// Every query of the dashboard, as Grafana would send it for all routes.
fn dashboard() -> Vec<String> {
    let text = include_str!("../../deploy/grafana/portcullis.json");
    let dashboard: Value = serde_json::from_str(text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<String> = targets
        .map(|target| target["expr"].as_str().unwrap())
        .map(|expression| {
            expression.replace("$__rate_interval", "3s").replace("$job", "portcullis").replace("$route", ".*")
        })
        .collect();
    assert!(expressions.len() > 30, "{expressions:?}");
    for expression in &expressions {
        assert!(!expression.contains('$'), "{expression}");
    }
    expressions
}
