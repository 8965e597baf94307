//! A gateway with a route for every outcome, and traffic that has all of them.

use std::time::Duration;

use crate::harness::credentials::{ApiKey, basic, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::issuer::Issuer;
use crate::harness::redis::Redis;
use crate::harness::upstream::{Answer, Upstream};

/// The parties of these tests.
pub(super) struct Stand {
    pub(super) gateway: Gateway,
    pub(super) upstream: Upstream,
    pub(super) issuer: Issuer,
    pub(super) key: ApiKey,
    _gone: Upstream,
    _redis: Redis,
}

/// One request, and what the operator must see of it.
pub(super) struct Row {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) field: Option<(&'static str, String)>,
    pub(super) status: u16,
    pub(super) route: &'static str,
    pub(super) outcome: &'static str,
    pub(super) reason: &'static str,
    /// The method of `auth` that looked at it.
    pub(super) auth: Option<&'static str>,
    /// The kind of credential, the subject and the key id, where a caller was verified.
    pub(super) caller: Option<(&'static str, &'static str, Option<&'static str>)>,
    /// The upstream that it was sent to, or would have been.
    pub(super) upstream: Option<&'static str>,
}

pub(super) const PASSWORD: &str = "correct horse";

impl Stand {
    pub(super) async fn start() -> Self {
        let (upstream, issuer, gone) = (Upstream::start(), Issuer::start(), Upstream::start());
        gone.stop().await;
        let redis = Redis::start().await;
        upstream.answer("/v1/slow", Answer::ok("ok").after(Duration::from_millis(50)));
        upstream.answer("/v1/hang", Answer::hang());
        let key = ApiKey::of("acme").scopes(&["read"]);
        let gateway = Gateway::builder(
            r#"
            redis: { url: "{redis}" }
            log: { audit: "file:audit.log" }
            limits: { failed_attempts: { source: unlimited } }
            auth:
              partners: { api_key: { keys: keys.yaml } }
              staff: { basic: { users: staff.htpasswd, realm: Tools } }
              users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
            upstreams:
              api: { targets: ["{upstream}"], timeouts: { request: 300ms } }
              gone: "{gone}"
              pair: { targets: ["{gone}", "{upstream}"] }
            routes:
              - name: api
                match: { path: /v1/** }
                auth: [partners, staff, users]
                allow: { "GET, HEAD": {}, POST: { scopes: [write] }, DELETE: { roles: [admin] } }
                upstream: api
              - { name: gone, match: { path: /gone }, auth: partners, upstream: gone }
              - { name: pair, match: { path: /pair }, auth: partners, upstream: pair }
              - { name: watched, match: { path: /watched }, auth: partners, mode: report, upstream: api }
              - { name: docs, match: { path: /docs/**, methods: [GET] }, auth: public, upstream: api }
            "#,
        )
        .with("upstream", upstream.url())
        .with("gone", gone.url())
        .with("issuer", issuer.url())
        .with("redis", redis.url())
        .file("keys.yaml", keys_yaml(&[&key]))
        .file("staff.htpasswd", htpasswd_bcrypt("bob", PASSWORD))
        .start()
        .await;
        Self { gateway, upstream, issuer, key, _gone: gone, _redis: redis }
    }

    /// A request for every outcome.
    pub(super) fn rows(&self) -> Vec<Row> {
        let key = || Some(("X-API-Key", self.key.key.clone()));
        let wrong = || Some(("X-API-Key", "wrong".to_owned()));
        let authorization = |value: String| Some(("Authorization", value));
        let acme = Some(("api_key", "acme", Some("k_acme")));
        let bob = Some(("basic", "bob", None));
        let alice = Some(("jwt", "alice", Some("es256-1")));
        let row = |method, path, field, status, (route, outcome, reason), auth, caller, upstream| Row {
            method,
            path,
            field,
            status,
            route,
            outcome,
            reason,
            auth,
            caller,
            upstream,
        };
        let (partners, api) = (Some("partners"), Some("api"));
        let token = self.issuer.token();
        vec![
            row("GET", "/v1/slow", key(), 200, ("api", "allowed", "ok"), partners, acme, api),
            row(
                "GET",
                "/v1/x",
                authorization(basic("bob", PASSWORD)),
                200,
                ("api", "allowed", "ok"),
                Some("staff"),
                bob,
                api,
            ),
            row(
                "GET",
                "/v1/x",
                authorization(token.bearer()),
                200,
                ("api", "allowed", "ok"),
                Some("users"),
                alice,
                api,
            ),
            row("HEAD", "/v1/x", key(), 200, ("api", "allowed", "ok"), partners, acme, api),
            row("GET", "/v1/x", None, 401, ("api", "refused", "no_credential"), None, None, None),
            row("GET", "/v1/x", wrong(), 401, ("api", "refused", "unknown_key"), partners, None, None),
            row(
                "GET",
                "/v1/x",
                authorization(basic("bob", "wrong")),
                401,
                ("api", "refused", "bad_password"),
                Some("staff"),
                None,
                None,
            ),
            row(
                "GET",
                "/v1/x",
                authorization(token.corrupt().bearer()),
                401,
                ("api", "refused", "bad_signature"),
                Some("users"),
                None,
                None,
            ),
            row("POST", "/v1/x", key(), 403, ("api", "refused", "missing_scope"), partners, acme, None),
            row("DELETE", "/v1/x", key(), 403, ("api", "refused", "missing_role"), partners, acme, None),
            row("PUT", "/v1/x", key(), 405, ("api", "refused", "method_not_allowed"), None, None, None),
            row("GET", "/v1/hang", key(), 504, ("api", "allowed", "ok"), partners, acme, api),
            row("GET", "/gone", key(), 502, ("gone", "allowed", "ok"), partners, acme, Some("gone")),
            row("GET", "/pair", key(), 200, ("pair", "allowed", "ok"), partners, acme, Some("pair")),
            row("GET", "/watched", key(), 200, ("watched", "allowed", "ok"), partners, acme, api),
            row("GET", "/watched", wrong(), 200, ("watched", "reported", "unknown_key"), partners, None, api),
            row("GET", "/watched", None, 200, ("watched", "reported", "no_credential"), None, None, api),
            row("GET", "/docs/x", None, 200, ("docs", "public", "ok"), None, None, api),
            row("GET", "/nothing", None, 404, ("none", "refused", "no_route"), None, None, None),
            row("POST", "/docs/x", None, 405, ("none", "refused", "method_not_allowed"), None, None, None),
        ]
    }

    /// Sends a row and checks the answer's status. Returns its identifier.
    pub(super) async fn send(&self, row: &Row) -> String {
        let client = self.gateway.https();
        let mut call = client.call(row.method, row.path);
        if let Some((name, value)) = &row.field {
            call = call.header(name, value);
        }
        let answer = call.await;
        assert_eq!(answer.status, row.status, "{} {}: {answer:?}", row.method, row.path);
        answer.header("X-Request-Id").expect("a request id").to_owned()
    }
}
