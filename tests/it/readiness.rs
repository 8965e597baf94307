//! B06: `/readyz` says whether the process can decide as the file says, and shutting down gives load balancers time.

mod haproxy;
mod shutdown;

use std::time::Duration;

use crate::harness::client::{Load, Request, Response};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::deadline::within_time;
use crate::harness::gateway::{Gateway, GatewayBuilder, Reload};
use crate::harness::issuer::Issuer;
use crate::harness::port::ReservedPort;
use crate::harness::problem::assert_problem;
use crate::harness::redis::Redis;
use crate::harness::upstream::Upstream;

/// Two issuers, each with a route of its own, and routes that need none of them.
const YAML: &str = r#"
    {redis}
    auth:
      staff: { jwt: { issuer: "{staff}", audience: https://api.example.com } }
      partners: { api_key: { keys: keys.yaml } }
      customers: { jwt: { issuer: "{customers}", audience: https://api.example.com } }
    upstreams: { api: "{upstream}" }
    routes:
      - { name: staff, match: { path: /staff }, auth: staff, upstream: api }
      - { name: customers, match: { path: /customers }, auth: customers, upstream: api }
      - { name: partners, match: { path: /partners }, auth: partners, upstream: api }
      - { name: docs, match: { path: /docs }, auth: public, upstream: api }
"#;

const WAITING_FOR_LIST: &str =
    "not ready\nwaiting: the revocation list has not been read, or is older than `max_stale`\n";

const WITHOUT_LIST: &str =
    "ready\ndegraded: redis: the revocation list is older than `max_stale`, and `on_outage: allow` applies\n";

/// Longer than the 10 s that a gateway waits at start for what it can do without.
const START: Duration = Duration::from_secs(60);

struct Parties {
    upstream: Upstream,
    staff: Issuer,
    customers: Issuer,
    key: ApiKey,
}

impl Parties {
    fn new() -> Self {
        Self {
            upstream: Upstream::start(),
            staff: Issuer::start(),
            customers: Issuer::start(),
            key: ApiKey::of("acme").id("k_acme"),
        }
    }

    /// A gateway whose file has these lines as well.
    fn gateway(&self, lines: &str) -> GatewayBuilder {
        Gateway::builder(YAML)
            .with("redis", lines)
            .with("staff", self.staff.url())
            .with("customers", self.customers.url())
            .with("upstream", self.upstream.url())
            .file("keys.yaml", keys_yaml(&[&self.key]))
    }

    async fn partner(&self, gateway: &Gateway) -> Response {
        gateway.https().get("/partners").headers(&[self.key.header()]).await
    }
}

async fn readiness(gateway: &Gateway) -> (u16, String) {
    let response = gateway.admin().get("/readyz").await;
    (response.status, response.text().to_owned())
}

/// Waits until `/readyz` responds with exactly this.
async fn until(gateway: &Gateway, status: u16, text: &str) {
    let reached = async {
        while readiness(gateway).await != (status, text.to_owned()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within_time(START, format!("{status} {text:?} from /readyz"), reached).await;
}

async fn degraded(gateway: &Gateway, dependency: &str) -> u32 {
    let labels = [("dependency", dependency)];
    u32::try_from(gateway.metrics().await.count("portcullis_degraded", &labels)).unwrap()
}

/// B06: one issuer without keys costs its own routes and nothing else. The gateway waits for it at start, for a while.
#[tokio::test]
async fn becomes_ready_without_an_issuer_that_stays_away() {
    let parties = Parties::new();
    parties.customers.stop().await;
    let gateway = parties.gateway("").start_unready().await;
    let waiting = "not ready\nwaiting: the keys of issuer `customers` have not been read yet\n";
    until(&gateway, 503, waiting).await;
    assert_eq!(degraded(&gateway, "issuer").await, 0, "the start is not over");
    until(&gateway, 200, "ready\ndegraded: issuer `customers`: no keys, its tokens get 503\n").await;
    assert_eq!((degraded(&gateway, "issuer").await, degraded(&gateway, "redis").await), (1, 0));
    let status = gateway.admin().get("/status/now").await.json();
    assert!(status["waiting_for"].is_null(), "{status:#}");
    assert_eq!(status["degraded"][0], "issuer `customers`: no keys, its tokens get 503");
    gateway
        .wait_for_log(|line| line.level == "warn" && line.message.contains("could not be read within 10 s"))
        .await;

    let token = parties.customers.token().bearer();
    let refused = gateway.https().get("/customers").header("Authorization", &token).await;
    assert_problem(&refused, 503, "keys_unavailable");
    parties.upstream.assert_nothing();
    let staff = parties.staff.token().bearer();
    gateway.https().get("/staff").header("Authorization", &staff).await.assert_status(200);
    parties.partner(&gateway).await.assert_status(200);
    gateway.https().get("/docs").await.assert_status(200);

    parties.customers.start_again();
    until(&gateway, 200, "ready\n").await;
    assert_eq!(degraded(&gateway, "issuer").await, 0);
    gateway.https().get("/customers").header("Authorization", &token).await.assert_status(200);
}

/// B06: a reload that adds an issuer which cannot be reached never takes a gateway out of rotation.
#[tokio::test]
async fn stays_ready_when_a_reload_adds_an_unreachable_issuer() {
    let parties = Parties::new();
    let nobody = ReservedPort::take();
    let gateway = parties.gateway("").with("new", format!("http://{}", nobody.address())).start().await;
    let probes = Load::of(&gateway.admin(), Request::get("/readyz")).connections(1).start();
    probes.wait_for_more(5).await;
    let added = YAML
        .replace(
            "auth:\n",
            "auth:\n      new: { jwt: { issuer: \"{new}\", audience: https://api.example.com } }\n",
        )
        .replace(
            "routes:\n",
            "routes:\n      - { name: new, match: { path: /new }, auth: new, upstream: api }\n",
        );
    gateway.write_yaml(&added);
    assert_eq!(gateway.reload().await, Reload::Accepted);
    until(&gateway, 200, "ready\ndegraded: issuer `new`: no keys, its tokens get 503\n").await;
    let staff = parties.staff.token().bearer();
    let token = parties.staff.token().claim("iss", format!("http://{}", nobody.address())).bearer();
    let refused = gateway.https().get("/new").header("Authorization", &token).await;
    assert_problem(&refused, 503, "keys_unavailable");
    parties.upstream.assert_nothing();
    gateway.https().get("/staff").header("Authorization", &staff).await.assert_status(200);
    probes.wait_for_more(5).await;
    probes.stop().await.assert_all(200);
}

/// B06: with `on_outage: allow`, a gateway that loses Redis decides by the last known list, and says so.
#[tokio::test]
async fn stays_ready_and_degraded_without_redis_when_outages_are_allowed() {
    let parties = Parties::new();
    let mut redis = Redis::start().await;
    let lines = format!("redis: {{ url: \"{}\" }}\nrevocation: {{ on_outage: allow }}", redis.url());
    let gateway = parties.gateway(&lines).start().await;
    assert_eq!(readiness(&gateway).await, (200, "ready\n".to_owned()));
    let probes = Load::of(&gateway.admin(), Request::get("/readyz")).connections(1).start();
    redis.stop();
    until(&gateway, 200, WITHOUT_LIST).await;
    assert_eq!((degraded(&gateway, "redis").await, degraded(&gateway, "issuer").await), (1, 0));
    let status = gateway.admin().get("/status/now").await.json();
    assert!(status["waiting_for"].is_null(), "{status:#}");
    assert_eq!(
        (&status["revocations"]["health"], &status["revocations"]["in_touch"]),
        (&"doubtful".into(), &false.into())
    );
    parties.partner(&gateway).await.assert_status(200);
    redis.start_again().await;
    until(&gateway, 200, "ready\n").await;
    assert_eq!(degraded(&gateway, "redis").await, 0);
    probes.stop().await.assert_all(200);
}

/// B06: with `on_outage: deny`, a gateway without Redis cannot decide about guarded routes.
#[tokio::test]
async fn becomes_unready_without_redis_when_outages_are_denied() {
    let parties = Parties::new();
    let mut redis = Redis::start().await;
    let gateway = parties.gateway(&format!("redis: {{ url: \"{}\" }}", redis.url())).start().await;
    redis.stop();
    until(&gateway, 503, WAITING_FOR_LIST).await;
    assert_eq!(degraded(&gateway, "redis").await, 0, "it does not decide without");
    assert_problem(&parties.partner(&gateway).await, 503, "revocation_unavailable");
    parties.upstream.assert_nothing();
    gateway.https().get("/docs").await.assert_status(200);
    redis.start_again().await;
    until(&gateway, 200, "ready\n").await;
}

/// B06: a list that was never read revokes nothing, so a start waits for it even where an outage is allowed.
#[tokio::test]
async fn waits_at_start_for_redis_and_then_does_without_it_when_outages_are_allowed() {
    let parties = Parties::new();
    let mut redis = Redis::start().await;
    redis.stop();
    let lines = format!("redis: {{ url: \"{}\" }}\nrevocation: {{ on_outage: allow }}", redis.url());
    let gateway = parties.gateway(&lines).start_unready().await;
    assert_eq!(readiness(&gateway).await, (503, WAITING_FOR_LIST.to_owned()));
    until(&gateway, 200, WITHOUT_LIST).await;
    parties.partner(&gateway).await.assert_status(200);
    redis.start_again().await;
    until(&gateway, 200, "ready\n").await;
}
