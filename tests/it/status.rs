//! The status page on the admin listener: what it shows, to whom, and that nobody changes anything by it who has not
//! signed in.

mod attacks;
mod browser;
mod documents;
mod sessions;

use serde_json::Value;

use crate::harness::client::Response;
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::text::dedent;
use crate::harness::upstream::Upstream;

/// The admin token of these tests.
const TOKEN: &str = "correct-horse-battery-staple";

/// How a gateway has it.
const WITH_TOKEN: &str = "admin: { address: \"127.0.0.1:0\", token: \"${ADMIN_TOKEN}\" }";

/// The origin of pages that the admin listener serves, as clients of these tests name it.
const ORIGIN: (&str, &str) = ("Origin", "http://localhost");

/// The field in which a page repeats what its session was told.
const REPEATED: &str = "X-Portcullis-Session";

/// Everybody but the gateway.
struct Cast {
    upstream: Upstream,
    key: ApiKey,
}

impl Cast {
    fn new() -> Self {
        Self { upstream: Upstream::start(), key: ApiKey::of("acme").scopes(&["orders:read"]) }
    }

    /// A gateway with these lines about the admin listener, or none.
    fn gateway(&self, admin: &str) -> GatewayBuilder {
        let rest = r#"
            auth: { partners: { api_key: { keys: keys.yaml } } }
            upstreams: { api: "{upstream}" }
            routes:
              - name: orders
                match: { path: /v1/** }
                auth: partners
                allow: { GET: { scopes: [orders:read] }, POST: { scopes: [orders:write] } }
                upstream: api
              - { name: docs, match: { path: /docs/**, methods: [GET] }, auth: public, upstream: api }
        "#;
        Gateway::builder(&format!("{}\n{}", dedent(admin), dedent(rest)))
            .with("upstream", self.upstream.url())
            .env("ADMIN_TOKEN", TOKEN)
            .file("keys.yaml", keys_yaml(&[&self.key]))
    }

    /// A request with the key.
    async fn ask(&self, gateway: &Gateway) -> Response {
        gateway.https().get("/v1/orders").headers(&[self.key.header()]).await
    }
}

/// A request of a client that is refused, once the gateway has noted it. Returns its line of the access log.
async fn refused(gateway: &Gateway, method: &str, path: &str, headers: &[(&str, &str)]) -> Value {
    let answer = gateway.https().call(method, path).headers(headers).await;
    let id = answer.header("X-Request-Id").expect("a request id").to_owned();
    gateway.wait_for_access(|line| line["request_id"] == id.as_str()).await
}

/// How the gateway is, for an operator who sends these fields.
async fn now(gateway: &Gateway, headers: &[(&str, &str)]) -> Value {
    let answer = gateway.admin().get("/status/now").headers(headers).await;
    answer.assert_status(200).json()
}
