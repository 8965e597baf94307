//! A credential is revoked with one command to Redis, by any program, and every gateway refuses it from then on; and what
//! becomes of that when Redis is stopped, emptied, hung, replaced or mad.

mod admin;
mod cluster;
mod command;
mod credentials;
mod entries;
mod failover;
mod faults;
mod madness;
mod outages;
mod streams;

use std::time::{Duration, Instant};

use crate::harness::client::{Connection, Response};
use crate::harness::credentials::{ApiKey, basic, htpasswd_argon2id, keys_yaml};
use crate::harness::deadline::within;
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::issuer::Issuer;
use crate::harness::problem::assert_problem;
use crate::harness::redis::Redis;
use crate::harness::upstream::Upstream;

/// How old a gateway's view of the list may become before it answers 503, unless the file says otherwise.
const MAX_STALE: Duration = Duration::from_secs(1);

/// The guarded path of [`gateway`].
const GUARDED: &str = "/v1/orders";

/// The public path of [`gateway`].
const PUBLIC: &str = "/docs/index";

/// The password of the Basic user `bob`.
const PASSWORD: &str = "correct horse";

/// Everybody but the gateways.
struct Cast {
    issuer: Issuer,
    upstream: Upstream,
    key: ApiKey,
}

impl Cast {
    fn new() -> Self {
        Self { issuer: Issuer::start(), upstream: Upstream::start(), key: ApiKey::of("acme").id("k_acme") }
    }

    /// A gateway that follows the list in the Redis at `redis` as `revocation` says: a line such as
    /// `revocation: { max_stale: 2s }`, or nothing.
    fn gateway(&self, redis: &str, revocation: &str) -> GatewayBuilder {
        let yaml = r#"
            redis: { url: "{redis}" }
            {revocation}
        "#;
        self.gateway_with(yaml).with("redis", redis).with("revocation", revocation)
    }

    /// A gateway with these lines about Redis and revocations.
    fn gateway_with(&self, yaml: &str) -> GatewayBuilder {
        let rest = r#"
            auth:
              partners: { api_key: { keys: keys.yaml } }
              staff: { basic: { users: staff.htpasswd, realm: staff } }
              users: { jwt: { issuer: "{issuer}", audience: [https://api.example.com], claims: { roles: roles } } }
            upstreams: { app: "{upstream}" }
            routes:
              - { name: app, match: { path: /v1/** }, auth: [users, partners, staff], upstream: app }
              - { name: docs, match: { path: /docs/** }, auth: public, upstream: app }
        "#;
        let yaml = format!("{}{}", crate::harness::text::dedent(yaml), crate::harness::text::dedent(rest));
        Gateway::builder(&yaml)
            .with("issuer", self.issuer.url())
            .with("upstream", self.upstream.url())
            .file("keys.yaml", keys_yaml(&[&self.key]))
            .file("staff.htpasswd", htpasswd_argon2id("bob", PASSWORD))
    }

    /// The field that proves to be the Basic user `bob`.
    fn bob() -> (&'static str, String) {
        ("Authorization", basic("bob", PASSWORD))
    }

    /// The field that proves to hold the API key `k_acme` of `acme`.
    fn acme(&self) -> (&'static str, String) {
        ("X-API-Key", self.key.key.clone())
    }
}

/// One client that asks one gateway over and over.
struct Caller<'a> {
    gateway: &'a Gateway,
    connection: Connection,
    credential: (&'static str, String),
}

impl<'a> Caller<'a> {
    async fn new(gateway: &'a Gateway, credential: &(&'static str, String)) -> Self {
        Self { gateway, connection: gateway.https().connect().await, credential: credential.clone() }
    }

    async fn ask(&mut self) -> Response {
        let (name, value) = &self.credential;
        let outcome = self.connection.get(GUARDED).header(name, value).outcome().await;
        if let Ok(answer) = outcome {
            return answer;
        }
        // A connection may end at any time between two requests, so that is no reason to fail.
        self.connection = self.gateway.https().connect().await;
        self.connection.get(GUARDED).header(name, value).await
    }

    /// Asks until the credential is refused as revoked, and returns how long after `since` that was. A request that
    /// begins later than `max_stale` after it is never let through, however slow the machine is: a gateway that has not
    /// heard of the revocation by then knows that its view is too old.
    async fn refused_since(&mut self, since: Instant, max_stale: Duration) -> Duration {
        within("the credential to be refused", async {
            loop {
                let asked = since.elapsed();
                let answer = self.ask().await;
                match answer.status {
                    200 => assert!(asked <= max_stale, "let through {asked:?} after it was revoked"),
                    401 => {
                        assert_problem(&answer, 401, "credential_revoked");
                        return since.elapsed();
                    }
                    _ => assert_problem(&answer, 503, "revocation_unavailable"),
                }
            }
        })
        .await
    }

    /// Asks until the answer has this status, and fails the test when one of the answers before that has a status other
    /// than these.
    async fn answered_but(&mut self, status: u16, before: &[u16]) -> Response {
        within(format!("the answer {status}"), async {
            loop {
                let answer = self.ask().await;
                if answer.status == status {
                    return answer;
                }
                assert!(before.contains(&answer.status), "{answer:?}");
            }
        })
        .await
    }

    /// Asks until the answer has this status.
    async fn answered(&mut self, status: u16) -> Response {
        within(format!("the answer {status}"), async {
            loop {
                let answer = self.ask().await;
                if answer.status == status {
                    return answer;
                }
            }
        })
        .await
    }
}

/// The key in Redis of the entry that revokes what is named like this: a kind, a colon and what follows.
fn entry(name: &str) -> String {
    format!("portcullis:revoked:{name}")
}

/// Revokes with plain `SET` and returns when Redis has confirmed it.
async fn revoke(redis: &Redis, name: &str, value: &str) -> Instant {
    assert_eq!(redis.cli(&["SET", &entry(name), value, "EX", "3600"]).await, "OK");
    Instant::now()
}

/// Lifts a revocation.
async fn lift(redis: &Redis, name: &str) {
    assert_eq!(redis.cli(&["DEL", &entry(name)]).await, "1");
}
