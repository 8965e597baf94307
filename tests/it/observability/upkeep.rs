//! Series of what a reload has removed are gone: an alert about them could be answered by nobody.

use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::{Gateway, Reload};
use crate::harness::issuer::Issuer;

const WITHOUT: &str = r"
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams: { api: builtin:echo }
    routes:
      - { name: api, match: { path: /** }, auth: partners, upstream: api }
";

const WITH: &str = r#"
    auth:
      partners: { api_key: { keys: keys.yaml } }
      machines: { api_key: { keys: machines.yaml } }
      users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
    upstreams: { api: builtin:echo }
    routes:
      - { name: api, match: { path: /** }, auth: [partners, users], upstream: api }
      - { name: machines, match: { path: /machines }, auth: machines, upstream: api }
"#;

#[tokio::test]
async fn what_a_reload_has_removed_is_not_watched_any_more() {
    let issuer = Issuer::start();
    let (acme, robot) = (ApiKey::of("acme"), ApiKey::of("robot").expires("2099-01-01T00:00:00Z"));
    let gateway = Gateway::builder(WITH)
        .with("issuer", issuer.url())
        .file("keys.yaml", keys_yaml(&[&acme]))
        .file("machines.yaml", keys_yaml(&[&robot]))
        .start()
        .await;
    let issuers = ["portcullis_jwks_keys", "portcullis_jwks_last_success_timestamp_seconds"];
    let expiry = ("portcullis_api_key_expiry_timestamp_seconds", ("auth", "machines"));
    let is = |metrics: &crate::harness::gateway::Metrics, there: bool| {
        for name in issuers {
            assert_eq!(metrics.sum(name, &[("auth", "users")]).is_some(), there, "{name}");
        }
        assert_eq!(metrics.sum(expiry.0, &[expiry.1]).is_some(), there);
        assert_eq!(metrics.sum("portcullis_redis_up", &[]), None, "there is no Redis that could be down");
    };
    is(&gateway.metrics().await, true);
    gateway.reload_with(WITHOUT).await;
    is(&gateway.metrics().await, false);
    // A policy that is refused adds none either, although its keys were looked at.
    gateway.write_yaml(&WITH.replace("match: { path: /machines }", "match: { path: machines }"));
    assert!(matches!(gateway.reload().await, Reload::Refused(_)));
    is(&gateway.metrics().await, false);
    gateway.reload_with(WITH).await;
    is(&gateway.metrics().await, true);
}
