//! Tokens by the hundred: algorithms × malformations × claims. What must come of each is derived twice and neither time from
//! the gateway: by whoever wrote the vector, who says which rule it breaks, and by [`judge`], which reads the token by the
//! standards (RFC 7515, 7517, 7518, 7519, 8037, 8259, 8725) with a reader of its own.

mod claims;
mod judge;
mod minter;
mod reading;
mod signatures;
mod texts;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use portcullis::clock::Clock;
use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::gateway::Gateway;
use crate::harness::issuer::{Issuer, Serving, SigningKey};
use crate::harness::problem::{assert_challenge, assert_problem, challenges};
use crate::harness::upstream::Upstream;
use judge::{Judge, Rule};
use minter::{Minter, Vector};

const LEGACY: &str = "https://legacy.example.com";
const SECRET: &str = "a secret of sixty-four bytes, which is as long as HS512 wants it.";

const YAML: &str = r#"
    limits: { failed_attempts: { source: unlimited, principal: unlimited } }
    auth:
      users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
      legacy:
        jwt:
          issuer: https://legacy.example.com
          audience: https://api.example.com
          secret: "file:secret"
          algorithms: [HS256, HS384, HS512]
    upstreams: { api: "{upstream}" }
    routes:
      - { name: api, match: { path: /v1/** }, auth: [users, legacy], upstream: api }
"#;

const ALGORITHMS: [&str; 13] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519", "HS256",
    "HS384", "HS512",
];

/// A key of every kind.
struct Keys {
    rsa: SigningKey,
    p256: SigningKey,
    p384: SigningKey,
    ed: SigningKey,
    secret: SigningKey,
}

impl Keys {
    fn published() -> Self {
        Self::new(SigningKey::rsa("rsa"), SECRET)
    }

    /// Of somebody else, who calls them the same.
    fn of_strangers() -> Self {
        Self::new(
            SigningKey::new_rsa("rsa"),
            "another secret of sixty-four bytes, which nobody has ever shared.",
        )
    }

    fn new(rsa: SigningKey, secret: &str) -> Self {
        let (p256, p384) = (SigningKey::es256("p256"), SigningKey::es384("p384"));
        Self { rsa, p256, p384, ed: SigningKey::eddsa("ed"), secret: SigningKey::secret("shared", secret) }
    }

    fn signs(&self, algorithm: &'static str) -> SigningKey {
        let key = match &algorithm[..2] {
            "RS" | "PS" => &self.rsa,
            "HS" => &self.secret,
            "Ed" => &self.ed,
            _ if algorithm == "ES256" => &self.p256,
            _ => &self.p384,
        };
        key.clone().with_algorithm(algorithm)
    }

    /// The public ones as an issuer publishes them that uses each for whatever it can do (RFC 7517 section 4.4).
    fn public(&self) -> Vec<Value> {
        let keys = [&self.rsa, &self.p256, &self.p384, &self.ed];
        let mut keys: Vec<Value> = keys.into_iter().map(SigningKey::jwk).collect();
        for key in &mut keys {
            key.as_object_mut().unwrap().remove("alg");
        }
        keys
    }
}

fn corpus(keys: &Keys, issuer: &str, now: u64) -> Vec<Vector> {
    let strangers = Keys::of_strangers();
    let minters: Vec<Minter> = ALGORITHMS
        .into_iter()
        .map(|algorithm| {
            let shared = algorithm.starts_with("HS");
            let issuer = if shared { LEGACY.to_owned() } else { issuer.to_owned() };
            Minter { algorithm, key: keys.signs(algorithm), named: !shared, issuer, now }
        })
        .collect();
    let strangers: Vec<SigningKey> = ALGORITHMS.map(|algorithm| strangers.signs(algorithm)).into();
    let called = |name: &str| minters.iter().find(|minter| minter.algorithm == name).unwrap();
    let mut vectors = signatures::vectors(&minters, &strangers);
    vectors.extend(texts::vectors(called("ES256"), called("EdDSA")));
    vectors.extend(["EdDSA", "HS256"].into_iter().flat_map(|name| claims::vectors(called(name))));
    vectors
}

/// J01, J02, J05, J06, J08, J14, J16, J17, J18, CVE-2015-9235, CVE-2016-5431, CVE-2022-21449, CVE-2026-25537 and their like:
/// asked one after the other over one connection that stays open, the gateway agrees with the standards about every token.
#[tokio::test]
async fn the_standards_decide_about_every_token() {
    let keys = Keys::published();
    let (upstream, issuer) = (Upstream::start(), Issuer::with_keys(vec![keys.p256.clone()]));
    issuer.serve_keys(&Serving::Text(json!({ "keys": keys.public() }).to_string()));
    let gateway = Gateway::builder(YAML)
        .with("upstream", upstream.url())
        .with("issuer", issuer.url())
        .file("secret", SECRET)
        .start()
        .await;
    let now = Clock::system().unix_seconds();
    let vectors = corpus(&keys, &issuer.url(), now);
    let judge =
        Judge { now, issuer: issuer.url(), keys: keys.public(), legacy: LEGACY, secret: SECRET.as_bytes() };
    let (mut wrong, mut rules, mut ids) = (Vec::new(), BTreeMap::<String, usize>::new(), HashMap::new());
    let mut connection = gateway.https().connect().await;
    let (fetched, _) = issuer.traffic();
    for Vector { name, token, meant } in &vectors {
        let rule = judge.rule(token);
        assert_eq!(rule, *meant, "{name}: the standards and the vector: {token:.300}");
        *rules.entry(format!("{rule:?}")).or_default() += 1;
        let field = format!("Bearer {token}");
        let answer = connection.get("/v1/x").header("Authorization", &field).await;
        if rule == Rule::Size {
            // The gateway does not read the rest of such a request, so this is the end of the connection.
            connection = gateway.https().connect().await;
        }
        let received = upstream.take().len();
        if (answer.status == 200) != (rule == Rule::Kept) || received != usize::from(rule == Rule::Kept) {
            wrong.push(format!(
                "{name}: {rule:?}, but {} and {received} upstream: {token:.300}",
                answer.status
            ));
        }
        if rule == Rule::Size {
            assert_problem(&answer, 431, "head_too_large");
        } else if token.contains(',') {
            // A list of credentials, for all that a server can tell (RFC 9110 section 11.6.2).
            assert_problem(&answer, 400, "multiple_credentials");
        } else if rule != Rule::Kept && answer.status != 200 {
            assert_refusal(name, rule, &answer);
            let before = ids.insert(answer.header("X-Request-Id").unwrap().to_owned(), rule);
            assert_eq!(before, None, "{name}: one answer each");
        }
    }
    assert!(wrong.is_empty(), "{} of {} disagree:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
    assert!(connection.is_idle().await, "no answer is left over");
    let distinct: HashSet<&str> = vectors.iter().map(|vector| &*vector.token).collect();
    eprintln!("{} vectors, {} different: {rules:?}", vectors.len(), distinct.len());
    assert!(distinct.len() >= 300, "{}", distinct.len());
    assert!(issuer.traffic().0 <= fetched + 4, "no more than the bucket has, and one that comes with time");
    assert_logged(&gateway, ids).await;
}

fn assert_refusal(name: &str, rule: Rule, answer: &Response) {
    if rule == Rule::Key && answer.status == 503 {
        // The fetch that would show whether the issuer has this key is due.
        return assert_problem(answer, 503, "keys_unavailable");
    }
    assert_eq!(answer.status, 401, "{name}: {answer:?}");
    let problem: Value = answer.json();
    let code = problem["code"].as_str().unwrap().to_owned();
    let codes = ["credential_expired", "invalid_credential", "malformed_credential"];
    assert!(codes.contains(&&*code), "{name}: {code}");
    assert_problem(answer, 401, &code);
    let description = "The access token is malformed, expired, revoked or not meant for this API";
    if challenges(answer).iter().any(|challenge| format!("{challenge:?}").contains("invalid_token")) {
        let parameters = [("error", "invalid_token"), ("error_description", description)];
        assert_challenge(answer, "Bearer", &parameters);
    }
}

/// Every refusal has its line, with a reason that says which rule was broken, and without anyone's name.
async fn assert_logged(gateway: &Gateway, ids: HashMap<String, Rule>) {
    let ids = RefCell::new(ids);
    gateway
        .wait_for_access(|line| {
            let mut ids = ids.borrow_mut();
            if let Some(rule) = ids.remove(line["request_id"].as_str().unwrap()) {
                assert_eq!(line["outcome"], "refused", "{line}");
                assert!(line["subject"].is_null(), "{line}");
                let reason = line["reason"].as_str().unwrap();
                assert!(reasons(rule).contains(&reason), "{rule:?}: {line}");
            }
            ids.is_empty()
        })
        .await;
}

fn reasons(rule: Rule) -> &'static [&'static str] {
    match rule {
        Rule::Algorithm => &["wrong_algorithm"],
        Rule::Audience => &["missing_claim", "wrong_audience"],
        Rule::Claim => &["malformed", "missing_claim"],
        Rule::Depth
        | Rule::Duplicate
        | Rule::Extension
        | Rule::Json
        | Rule::Parameter
        | Rule::Parts
        | Rule::Spelling => &["malformed"],
        Rule::Issuer => &["missing_claim", "wrong_issuer"],
        Rule::Key => &["key_fetch_pending", "unknown_key"],
        Rule::Kind => &["malformed", "wrong_type"],
        Rule::Signature => &["bad_signature"],
        Rule::Time => &["expired", "issued_in_future", "lifetime_too_long", "missing_claim", "not_yet_valid"],
        Rule::Kept | Rule::Size => &[],
    }
}
