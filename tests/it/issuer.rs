//! The issuer's keys: read once, kept through its outages, read again when it rotates them, and never asked for more often
//! than it can bear.

mod documents;
mod expiry;
mod flood;
mod outage;
mod rotation;

use std::time::Duration;

use crate::harness::client::Response;
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::issuer::{Issuer, SigningKey};
use crate::harness::upstream::Upstream;

/// A gateway that reads the keys of one issuer.
struct Stand {
    gateway: Gateway,
    upstream: Upstream,
    issuer: Issuer,
}

const YAML: &str = r#"
    auth:
      users: { jwt: { issuer: "{issuer}", audience: https://api.example.com, leeway: 0s } }
      partners: { api_key: { keys: keys.yaml } }
    upstreams: { api: "{upstream}" }
    routes:
      - { name: api, match: { path: /v1/** }, auth: users, upstream: api }
      - { name: keys, match: { path: /keys }, auth: partners, upstream: api }
"#;

impl Stand {
    async fn start() -> Self {
        let (issuer, upstream) = (Issuer::start(), Upstream::start());
        let gateway = builder(&issuer, &upstream).start().await;
        Self { gateway, upstream, issuer }
    }

    async fn ask(&self, authorization: &str) -> Response {
        self.gateway.https().get("/v1/x").header("Authorization", authorization).await
    }

    /// Whether a token that was never seen before is accepted: its key must be known for that.
    async fn accepts_new(&self, key: &SigningKey) -> bool {
        let answer = self.ask(&self.issuer.token().signed_by(key).bearer()).await;
        assert!([200, 401].contains(&answer.status), "{answer:?}");
        answer.status == 200
    }

    /// Sends a token with a key that the issuer does not have, which makes the gateway fetch the keys again. The response is
    /// a 401 if that succeeds and a 503 if not.
    async fn ask_with_unknown_key(&self) -> Response {
        let key = SigningKey::es256("unknown");
        let response = self.ask(&self.issuer.token().signed_by(&key).bearer()).await;
        assert!([401, 503].contains(&response.status), "{response:?}");
        response
    }

    /// Waits until there have been so many fetches with this result.
    async fn wait_for_fetches(&self, result: &str, count: u32) {
        let labels = [("auth", "users"), ("result", result)];
        self.gateway.wait_for_count("portcullis_jwks_fetches_total", &labels, count).await;
    }
}

fn builder(issuer: &Issuer, upstream: &Upstream) -> GatewayBuilder {
    Gateway::builder(YAML)
        .with("issuer", issuer.url())
        .with("upstream", upstream.url())
        .file("keys.yaml", crate::harness::credentials::keys_yaml(&[&partner()]))
}

/// A caller who needs no issuer.
fn partner() -> crate::harness::credentials::ApiKey {
    crate::harness::credentials::ApiKey::of("acme")
}

/// Asks again and again until the answer has this status. For what takes longer than the harness usually waits: the
/// cool-down between two fetches is ten seconds.
async fn until<F: Future<Output = Response>>(status: u16, ask: impl Fn() -> F) -> Response {
    let asked = async {
        loop {
            let answer = ask().await;
            if answer.status == status {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await;
    answer.unwrap_or_else(|_| panic!("waited in vain for {status}"))
}
