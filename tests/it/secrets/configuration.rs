//! Secrets in files: a mistake beside one is shown, and the secret is not.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::authn::password::HashingPool;
use portcullis::clock::Clock;
use portcullis::config::{Configuration, Services};
use portcullis::telemetry::metrics::Metrics;

use crate::harness::gateway::{Gateway, GatewayBuilder, Reload};

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

const USERS: &str = "bob:$2y$04$abcdefghijklmnopqrstuu5LmuHCfJ7O0fXFhEjZ1ZCUqOhyvXaG2\n";

/// A number of a private key in a JWK, of as many letters.
fn number(letters: usize) -> String {
    let mut bytes = vec![0; letters];
    rand::fill(&mut bytes).unwrap();
    URL_SAFE_NO_PAD.encode(bytes)[..letters].to_owned()
}

/// Secrets of operators, and the files that they are in: each right in one place and wrong in all others.
struct Operator {
    files: Vec<(&'static str, String)>,
    secrets: Vec<String>,
}

impl Operator {
    fn new() -> Self {
        let (d, p, q) = (number(342), number(171), number(171));
        let jwk = format!(
            r#"{{"keys":[{{"kty":"RSA","kid":"k","n":"AA","e":"AQAB","d":"{d}","p":"{p}","q":"{q}"}}]}}"#
        );
        // Its form tells nothing: it is hidden for the place that it stands in.
        let ec = "correct-horse-battery-staple-as-if-it-were-d".to_owned();
        let ec_jwk = format!("{{\"keys\": [\n  {{\n    \"kty\": \"EC\",\n    \"d\": \"{ec}\"\n  }}\n]}}\n");
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let lines: Vec<String> =
            pem.lines().filter(|line| !line.starts_with('-') && line.len() > 40).map(str::to_owned).collect();
        let plain = format!("bob:{MARKER}\n{MARKER}\n:{MARKER}\neve:$apr1${MARKER}\neve:$2y${MARKER}\n");
        Self {
            files: vec![
                ("secrets/jwt", format!("{MARKER}-jwt-with-enough-bytes-for-a-key")),
                ("private.pem", pem),
                ("private.json", jwk),
                ("private-ec.json", ec_jwk),
                ("plain.htpasswd", plain),
            ],
            secrets: [vec![MARKER.to_owned(), d, p, q, ec], lines].concat(),
        }
    }

    fn builder(&self, yaml: &str) -> GatewayBuilder {
        self.files.iter().fold(builder(yaml), |builder, (name, text)| builder.file(name, text))
    }

    #[track_caller]
    fn assert_absent(&self, what: &str, text: &str) {
        for secret in &self.secrets {
            let part = &secret[..secret.len().min(20)];
            assert!(!text.contains(part), "{what}: {part} is in\n{text}");
        }
    }
}

fn builder(yaml: &str) -> GatewayBuilder {
    Gateway::builder(yaml)
        .env("ADMIN_TOKEN", format!("{MARKER}-admin"))
        .env("REDIS_PASSWORD", format!("{MARKER}-redis"))
        .env("MARKER", MARKER)
        .file("keys.yaml", KEYS)
        .file("staff.htpasswd", USERS)
        .argument("--log-level=trace")
}

/// A test of the policy in one line, which expects nothing, and is refused for that.
fn test_with(what: &str) -> String {
    format!("\ntests: [{{ name: a, request: GET https://a/, {what}, expect: {{}} }}]\nadmin:")
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
        (redis, format!("authentication: {MARKER}")),
        (redis, format!("authentication: [ {MARKER} ]")),
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
        ("users: staff.htpasswd", "users: plain.htpasswd".to_owned()),
        ("users: staff.htpasswd", "users: private.json".to_owned()),
        ("keys: keys.yaml", "keys: plain.htpasswd".to_owned()),
        ("keys: keys.yaml", "keys: private.pem".to_owned()),
        ("keys: keys.yaml", "keys: private.json".to_owned()),
        ("keys: keys.yaml", "keys: private-ec.json".to_owned()),
        ("users: staff.htpasswd", "users: private-ec.json".to_owned()),
        (jwt, "public_key: private.pem".to_owned()),
        (jwt, "jwks_file: private.json".to_owned()),
        (jwt, "secret: \"file:private.json/x\"".to_owned()),
        ("\nadmin:", "\ntls: { certificates: [{ cert: private.pem, key: private.pem }] }\nadmin:".to_owned()),
        (
            "\nadmin:",
            "\ntls: { certificates: [{ cert: secrets/jwt, key: private.json }] }\nadmin:".to_owned(),
        ),
        ("realm: Tools", "realm: Tools, usrs: x".to_owned()),
        ("realm: Tools", format!("realm: Tools, key: {MARKER}")),
        ("basic: {", format!("basic_authentication: {{ value: {MARKER},")),
        ("realm: Tools", format!("realm: {MARKER}, }}")),
        (redis, format!("password: \"${{{MARKER} with spaces}}\"")),
        (redis, format!("password: \"${MARKER}\"")),
        (url, format!("url: \"redis://{MARKER}@127.0.0.1:none\"")),
        (url, format!("url: \"redis://127.0.0.1:6379/0?password={MARKER}\"")),
        (url, format!("cluster: [\"redis://127.0.0.1:1\", \"{MARKER}@127.0.0.1\"]")),
        (jwt, format!("jwks_url: \"http://id.example.com/keys?code={MARKER}\"")),
        (jwt, format!("jwks_url: \"https://id.example.com/keys#{MARKER}\"")),
        ("\nadmin:", format!("\ntracing: {{ otlp: \"http://{MARKER}@127.0.0.1:4318\" }}\nadmin:")),
        ("\nadmin:", format!("\ntracing: {{ otlp: \"ftp://127.0.0.1?key={MARKER}\" }}\nadmin:")),
        ("http://127.0.0.1:1", format!("http://127.0.0.1:1/?key={MARKER}")),
        ("\nadmin:", test_with(&format!("headers: {{ Authorization: Bearer {MARKER} }}"))),
        ("\nadmin:", test_with(&format!("headers: {{ Cookie: a={MARKER}, X-API-Key: {MARKER} }}"))),
        ("\nadmin:", test_with(&format!("headers: [{MARKER}]"))),
        ("\nadmin:", test_with(&format!("hash: {MARKER}"))),
    ]
}

/// L01: `check`, `run` and a reload refuse these files and say why, without the secret.
#[tokio::test]
async fn a_refused_file_shows_no_secret() {
    let operator = Operator::new();
    let check = ["check", "--config", "{directory}/gateway.yaml"];
    let gateway = operator.builder(GOOD).start_unready().await;
    for (from, to) in rows() {
        assert!(GOOD.contains(from), "{from}");
        let yaml = GOOD.replacen(from, &to, 1);
        let finished = operator.builder(&yaml).run(&check).await;
        assert_eq!(finished.code(), 1, "{to}: {finished:?}");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        operator.assert_absent(&to, &said);
        assert!(said.contains("error: ") && said.contains(" --> "), "{to}:\n{said}");
        gateway.write_yaml(&yaml);
        let Reload::Refused(line) = gateway.reload().await else { panic!("{to} was accepted") };
        let files = [".yaml:", "/jwt:", ".json:", ".htpasswd:", ".pem:"];
        assert!(files.iter().any(|file| line.contains(file)), "{line}");
    }
    operator.assert_absent("the log", &gateway.everything_logged());
}

/// L01: nor do the commands that show a good file, and nor does whoever prints a value while looking for a mistake.
#[tokio::test]
async fn what_is_shown_of_a_file_has_no_secret() {
    let operator = Operator::new();
    for command in [&["check"][..], &["routes"], &["keys", "list", "--file", "{directory}/keys.yaml"]] {
        let config = ["--config", "{directory}/gateway.yaml"];
        let arguments = if command.len() == 1 { [command, &config].concat() } else { command.to_vec() };
        let finished = operator.builder(GOOD).run(&arguments).await;
        assert_eq!(finished.code(), 0, "{finished:?}");
        assert!(!finished.stdout.is_empty(), "{finished:?}");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        operator.assert_absent(&format!("{command:?}"), &said);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    for (name, text) in &operator.files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::write(folder.path().join("keys.yaml"), KEYS).unwrap();
    std::fs::write(folder.path().join("staff.htpasswd"), USERS).unwrap();
    let (hashing, _worker) = HashingPool::new();
    let environment = |name: &str| match name {
        "MARKER" => Some(MARKER.to_owned()),
        "ADMIN_TOKEN" | "REDIS_PASSWORD" => Some(format!("{MARKER}-{name}")),
        _ => None,
    };
    let mut accepted = 0;
    for (from, to) in rows().into_iter().chain([("", String::new())]) {
        let listen = "version: 1\nlisten: [{ address: \"127.0.0.1:0\", plaintext: true }]\n";
        let yaml = format!("{listen}{}", GOOD.replacen(from, &to, 1));
        std::fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
        let services = Services {
            clock: Clock::system(),
            environment: &environment,
            metrics: Metrics::new("0", "0").unwrap(),
            hashing: hashing.clone(),
        };
        let loaded = Configuration::load(&folder.path().join("gateway.yaml"), &services, None);
        let shown = format!("{loaded:?}\n{loaded:#?}");
        operator.assert_absent(&to, &shown);
        match loaded {
            Ok(_) => accepted += 1,
            Err(rejected) => operator.assert_absent(&to, &rejected.problems.render(true)),
        }
    }
    assert_eq!(accepted, 1, "only the good one");
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
            let finished = Operator::new().builder(GOOD).file("keys.yaml", &keys).run(&check).await;
            assert_eq!(finished.code(), 1, "{keys}{finished:?}");
            let said = format!("{}{}", finished.stdout, finished.stderr);
            assert!(!said.contains(key), "{keys}:\n{said}");
            assert!(said.contains("keys.yaml:2:"), "{said}");
        }
    }
}
