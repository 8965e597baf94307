//! Secrets in files: a mistake beside one is shown, and the secret is not.

use crate::harness::gateway::{Gateway, Reload};

const MARKER: &str = "hunter2-is-no-secret";

/// A good file, in which rows replace a part.
const GOOD: &str = r#"
admin: { address: "127.0.0.1:0", token: "${ADMIN_TOKEN}" }
redis: { url: "redis://127.0.0.1:6379/0", password: "${REDIS_PASSWORD}" }
auth:
  partners: { api_key: { keys: keys.yaml } }
  staff: { basic: { users: staff.htpasswd, realm: Tools } }
  legacy: { jwt: { issuer: https://id.example.com, audience: a, secret: "file:secrets/jwt" } }
upstreams: { api: "http://127.0.0.1:1" }
routes:
  - { name: api, match: { path: /v1/** }, auth: [partners, staff, legacy], upstream: api }
"#;

const KEYS: &str = "keys:\n  - { id: k_1, owner: acme, sha256: 6f1e3c9a1b2c4d5e8f90a1b2c3d4e5f66f1e3c9a1b2c4d5e8f90a1b2c3d4e5f6, expires: never }\n";

fn builder(yaml: &str) -> crate::harness::gateway::GatewayBuilder {
    Gateway::builder(yaml)
        .env("ADMIN_TOKEN", format!("{MARKER}-admin"))
        .env("REDIS_PASSWORD", format!("{MARKER}-redis"))
        .env("MARKER", MARKER)
        .file("keys.yaml", KEYS)
        .file("staff.htpasswd", "bob:$2y$04$abcdefghijklmnopqrstuu5LmuHCfJ7O0fXFhEjZ1ZCUqOhyvXaG2\n")
        .file("secrets/jwt", format!("{MARKER}-jwt-with-enough-bytes-for-a-key"))
        .argument("--log-level=trace")
}

/// What is wrong, and with it a secret that stands in the file, is misspelt, or comes from elsewhere.
fn rows() -> Vec<(&'static str, String)> {
    let own =
        portcullis::authn::api_key::format::generate().unwrap().key.replace("pcl_", &format!("pcl_{MARKER}"));
    let redis = "password: \"${REDIS_PASSWORD}\"";
    let url = "url: \"redis://127.0.0.1:6379/0\"";
    let jwt = "secret: \"file:secrets/jwt\"";
    vec![
        (redis, format!("password: {MARKER}")),
        (redis, format!("password: \"{MARKER}\"")),
        (redis, format!("password: [{MARKER}]")),
        (redis, format!("password: {{ value: {MARKER} }}")),
        (redis, format!("pasword: {MARKER}")),
        (redis, format!("Password: {MARKER}")),
        (redis, format!("passwd: {MARKER}")),
        (redis, format!("auth_token: {MARKER}")),
        (redis, format!("password: \"${{REDIS_PASSWORD:-{MARKER}}}\"")),
        (redis, format!("password: \"prefix-${{REDIS_PASSWORD}}-{MARKER}\"")),
        (redis, format!("password: a, password: {MARKER}")),
        (redis, format!("password: \"{MARKER}")),
        (redis, format!("password: {MARKER}: x")),
        (redis, format!("password: {MARKER}, }}")),
        (redis, format!("password: *{MARKER}")),
        (redis, format!("password: &{MARKER} x")),
        (redis, format!("password: !{MARKER} x")),
        (redis, format!("password: |\n    {MARKER}")),
        (redis, "password: \"file:secrets/none\"".to_owned()),
        (url, format!("url: \"redis://:{MARKER}@127.0.0.1:6379/0\"")),
        (url, format!("url: \"redis://bob:{MARKER}@127.0.0.1:port\"")),
        (url, format!("url: \"redis//bob:{MARKER}@127.0.0.1\"")),
        (url, format!("url: \"http://bob:{MARKER}@127.0.0.1\"")),
        (url, "url: \"redis://:${MARKER}@127.0.0.1:6379/0\"".to_owned()),
        (url, "url: \"redis://:${MARKER}@127.0.0.1:none\"".to_owned()),
        (jwt, format!("secret: {MARKER}")),
        (jwt, format!("secrt: {MARKER}")),
        (jwt, "secret: \"${MARKER}\", algorithms: [HS512]".to_owned()),
        (jwt, format!("jwks_url: \"https://bob:{MARKER}@id.example.com/keys\"")),
        (jwt, "public_key: secrets/jwt".to_owned()),
        (jwt, "jwks_file: secrets/jwt".to_owned()),
        ("token: \"${ADMIN_TOKEN}\"", format!("token: {MARKER}")),
        ("token: \"${ADMIN_TOKEN}\"", format!("tokn: {MARKER}")),
        ("http://127.0.0.1:1", format!("http://bob:{MARKER}@127.0.0.1:1")),
        ("http://127.0.0.1:1", format!("bob:{MARKER}@127.0.0.1:1")),
        ("keys: keys.yaml", format!("keys: {own}")),
        ("keys: keys.yaml", "keys: secrets/jwt".to_owned()),
        ("users: staff.htpasswd", "users: secrets/jwt".to_owned()),
        ("realm: Tools", "realm: Tools, usrs: x".to_owned()),
    ]
}

/// L01: `check`, `run` and a reload refuse these files and say why, without the secret.
#[tokio::test]
async fn a_refused_file_shows_no_secret() {
    let check = ["check", "--config", "{directory}/gateway.yaml"];
    let gateway = builder(GOOD).start_unready().await;
    for (from, to) in rows() {
        assert!(GOOD.contains(from), "{from}");
        let yaml = GOOD.replacen(from, &to, 1);
        let finished = builder(&yaml).run(&check).await;
        assert_eq!(finished.code(), 1, "{to}: {finished:?}");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!said.contains(MARKER), "{to}:\n{said}");
        assert!(said.contains("error: ") && said.contains(" --> "), "{to}:\n{said}");
        gateway.write_yaml(&yaml);
        let Reload::Refused(line) = gateway.reload().await else { panic!("{to} was accepted") };
        assert!(line.contains(".yaml:") || line.contains("secrets/jwt:1:1"), "{line}");
    }
    let logged = gateway.everything_logged();
    assert!(!logged.contains(MARKER), "{logged}");
}

/// The same for the file of keys: whoever mistakes the key for its digest has not shown it to everyone.
#[tokio::test]
async fn a_refused_key_file_shows_no_key() {
    let own = portcullis::authn::api_key::format::generate().unwrap().key.to_string();
    let check = ["check", "--config", "{directory}/gateway.yaml"];
    let digest = KEYS.split("sha256: ").nth(1).unwrap().split(',').next().unwrap();
    for key in [own.as_str(), "sk_live_hunter2", "hunter2"] {
        for keys in [
            KEYS.replace(digest, key),
            KEYS.replace(digest, &format!("[{key}]")),
            KEYS.replace(digest, &format!("\"{key}")),
            KEYS.replace(digest, &format!("{key}, sha256: {key}")),
            KEYS.replace("sha256:", &format!("secret: {key}, sha256:")),
            KEYS.replace(" expires: never", &format!(" expires: never, token: {key}")),
        ] {
            let finished = builder(GOOD).file("keys.yaml", &keys).run(&check).await;
            assert_eq!(finished.code(), 1, "{keys}{finished:?}");
            let said = format!("{}{}", finished.stdout, finished.stderr);
            assert!(!said.contains(key), "{keys}:\n{said}");
            assert!(said.contains("keys.yaml:2:"), "{said}");
        }
    }
}
