//! The file that lists API keys: when a key ends, what is wrong with a file, and who may read it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use portcullis::clock::{Clock, rfc3339};

use crate::harness::credentials::{ApiKey, keys_yaml, sha256};
use crate::harness::gateway::{Gateway, GatewayBuilder, Reload};
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

const YAML: &str = r#"
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams: { api: "{upstream}" }
    routes:
      - { name: api, match: { path: /v1/** }, auth: partners, allow: { GET: { scopes: [read] } }, upstream: api }
"#;

fn builder(upstream: &Upstream, keys: &[&ApiKey]) -> GatewayBuilder {
    Gateway::builder(YAML).with("upstream", upstream.url()).file("keys.yaml", keys_yaml(keys))
}

async fn ask(gateway: &Gateway, key: &ApiKey) -> crate::harness::client::Response {
    gateway.https().get("/v1/x").headers(&[key.header()]).await
}

/// K08: a key ends at its second, without a reload; one that ended says so, and one without the scope is known.
#[tokio::test]
async fn keys_end_when_they_say() {
    let upstream = Upstream::start();
    let now = Clock::system().unix_seconds();
    let key = |owner: &str, expires: u64| ApiKey::of(owner).scopes(&["read"]).expires(&rfc3339(expires));
    let (ended, lasting) = (key("a", now - 1), key("c", now + 3600));
    let (other, zone) = (ApiKey::of("d"), key("e", 0).expires("2099-01-01T00:00:00+14:00"));
    let gateway = builder(&upstream, &[&ended, &lasting, &other, &zone]).start().await;
    let end = Clock::system().unix_seconds() + 4;
    let ending = key("b", end);
    gateway.write("keys.yaml", &keys_yaml(&[&ended, &ending, &lasting, &other, &zone]));
    assert_eq!(gateway.reload().await, Reload::Accepted);
    assert_problem(&ask(&gateway, &ended).await, 401, "credential_expired");
    ask(&gateway, &ending).await.assert_status(200);
    ask(&gateway, &lasting).await.assert_status(200);
    ask(&gateway, &zone).await.assert_status(200);
    assert_problem(&ask(&gateway, &other).await, 403, "forbidden");
    assert_eq!(upstream.take().len(), 3);
    let next =
        gateway.metrics().await.sum("portcullis_api_key_expiry_timestamp_seconds", &[("auth", "partners")]);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    let expected = end as f64;
    assert_eq!(next, Some(expected), "the next key to end");
    while ask(&gateway, &ending).await.status == 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(Clock::system().unix_seconds() >= end, "not before its time");
    assert_problem(&ask(&gateway, &ending).await, 401, "credential_expired");
    let line = gateway.wait_for_access(|line| line["status"] == 401).await;
    assert_eq!((line["reason"].as_str(), line["auth"].as_str()), (Some("expired"), Some("partners")));
}

/// K09: a file in which a key or a name stands twice is refused as a whole, at start and on reload.
#[tokio::test]
async fn a_file_with_a_key_or_an_id_twice_is_refused() {
    let upstream = Upstream::start();
    let (first, second) = (ApiKey::of("acme").scopes(&["read"]), ApiKey::of("globex"));
    let twins = [&first, &second.clone().id(&first.id), &ApiKey::from_text("initech", &first.key)];
    let finished = builder(&upstream, &twins).spawn_expecting_failure().await;
    assert_eq!(finished.code(), 1);
    for says in
        ["the key id `k_acme` is used twice", "the key `k_initech` has the same `sha256` as another one"]
    {
        assert!(finished.stderr.contains(says), "{}", finished.stderr);
    }
    assert!(finished.stderr.contains("2 errors"), "{}", finished.stderr);

    let gateway = builder(&upstream, &[&first]).start().await;
    gateway.write("keys.yaml", &keys_yaml(&twins));
    assert!(matches!(gateway.reload().await, Reload::Refused(line) if line.contains("keys.yaml:")));
    ask(&gateway, &first).await.assert_status(200);
    assert_problem(&ask(&gateway, &second).await, 401, "invalid_credential");
    assert_eq!(gateway.metrics().await.count("portcullis_config_last_reload_successful", &[]), 0);

    // A key that is added counts without a restart, and one that is taken out counts no longer.
    gateway.write("keys.yaml", &keys_yaml(&[&second]));
    assert_eq!(gateway.reload().await, Reload::Accepted);
    assert_problem(&ask(&gateway, &first).await, 401, "invalid_credential");
    assert_problem(&ask(&gateway, &second).await, 403, "forbidden");
}

/// K09: whoever can write the file can add keys.
#[tokio::test]
async fn a_key_file_that_others_can_read_or_write_is_warned_of() {
    let upstream = Upstream::start();
    let key = ApiKey::of("acme").scopes(&["read"]);
    let gateway = builder(&upstream, &[&key]).start().await;
    assert!(gateway.log().iter().all(|line| line.level == "info"), "{:?}", gateway.log());
    for (mode, says) in
        [(0o644, "can be read by everyone (mode 644)"), (0o660, "can be written by others (mode 660)")]
    {
        let position = gateway.log_position();
        fs::set_permissions(gateway.path("keys.yaml"), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(gateway.reload().await, Reload::Accepted);
        let line = gateway.wait_for_log_after(position, |line| line.message.contains(says)).await;
        assert_eq!(line.level, "warn");
    }
    ask(&gateway, &key).await.assert_status(200);
}

/// K10: while a key is replaced both work and are the same caller, and when the old one has ended only the new one does.
#[tokio::test]
async fn an_old_and_a_new_key_overlap_until_the_old_one_ends() {
    let upstream = Upstream::start();
    let old = ApiKey::from_text("acme", "the-old-key").id("k_old").scopes(&["read"]);
    let new = ApiKey::from_text("acme", "the-new-key").id("k_new").scopes(&["read"]);
    let gateway = builder(&upstream, &[&old]).start().await;
    assert_problem(&ask(&gateway, &new).await, 401, "invalid_credential");
    ask(&gateway, &old).await.assert_status(200);
    let end = Clock::system().unix_seconds() + 3;
    let ending = old.clone().expires(&rfc3339(end));
    gateway.write("keys.yaml", &keys_yaml(&[&ending, &new]));
    assert_eq!(gateway.reload().await, Reload::Accepted);
    upstream.take();
    for key in [&old, &new] {
        ask(&gateway, key).await.assert_status(200);
        let received = upstream.take_one();
        let told = (received.header("X-Auth-Subject"), received.header("X-Auth-Key-Id"));
        assert_eq!(told, (Some("acme"), Some(key.id.as_str())));
    }
    while ask(&gateway, &old).await.status == 200 {
        ask(&gateway, &new).await.assert_status(200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    upstream.take();
    assert!(Clock::system().unix_seconds() >= end, "not before its time");
    assert_problem(&ask(&gateway, &old).await, 401, "credential_expired");
    upstream.assert_nothing();
    ask(&gateway, &new).await.assert_status(200);
    let line = gateway.wait_for_access(|line| line["reason"] == "expired").await;
    assert_eq!(line["status"], 401, "{line}");
}

/// A key from another system is known by its SHA-256 alone, whatever it looks like, as long as a field can carry it.
#[tokio::test]
async fn foreign_keys_work_as_they_are() {
    let upstream = Upstream::start();
    let texts = [
        "a",
        "sk_live_51H8x",
        "3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "!#$%&'()*+-./:;<=>?@[]^_`{|}~",
        "eyJ.x.y",
    ];
    let keys: Vec<ApiKey> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| ApiKey::from_text("acme", text).id(&format!("k{at}")).scopes(&["read"]))
        .collect();
    let gateway = builder(&upstream, &keys.iter().collect::<Vec<_>>()).start().await;
    for key in &keys {
        for field in [("X-API-Key", key.key.as_str()), ("Authorization", &key.authorization())] {
            gateway.https().get("/v1/x").headers(&[field]).await.assert_status(200);
            assert_eq!(upstream.take_one().header("X-Auth-Key-Id"), Some(key.id.as_str()), "{field:?}");
        }
        // The digest of a key is no key, and neither is a part of one.
        for wrong in [sha256(&key.key), format!("{}x", key.key), key.key.to_uppercase() + "A"] {
            let answer = gateway.https().get("/v1/x").header("X-API-Key", &wrong).await;
            assert_problem(&answer, 401, "invalid_credential");
        }
    }
    upstream.assert_nothing();
}
