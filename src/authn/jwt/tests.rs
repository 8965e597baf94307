//! Tokens, keys and configurations as rows, each with what the standards say must come of it.
//!
//! The rows attack: most of them are what someone would send who wants in. Tokens are signed by [`signer`], which shares
//! no code with what verifies them.

mod claims;
mod configuration;
mod confusion;
mod key_sets;
mod memory;
mod numbers;
mod refresh;
mod signatures;
pub(crate) mod signer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{ClaimPath, Config, Method};
use crate::authn::credential::Token;
use crate::authn::{Attempt, Identity};
use crate::clock::Clock;
use crate::loading::Loading;
use crate::telemetry::metrics::Metrics;
use crate::yaml::Located;
use signer::Signer;

/// 2026-11-21T09:00:00Z.
pub(crate) const NOW: u64 = 1_795_251_600;
pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const AUDIENCE: &str = "https://api.example.com";

/// A folder with configurations, key files, and the metrics of a process.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) metrics: Arc<Metrics>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), metrics: Metrics::new("0", "0").unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder().join(name), content).unwrap();
    }

    /// Compiles `yaml`, and renders what is wrong with it: `line: what (hint)`, warnings with a `w` in front.
    pub(crate) fn try_compile(
        &self,
        yaml: &str,
        wanted: &[&str],
        previous: Option<&Arc<Method>>,
    ) -> (Option<Arc<Method>>, Vec<String>) {
        self.write("auth.yaml", yaml);
        let environment = |name: &str| (name == "SECRET").then(|| "x".repeat(64));
        let mut loading = Loading::new(Clock::manual(NOW), &environment, &[]);
        let config: Option<Located<Config>> = loading.root_document(&self.folder().join("auth.yaml"));
        let wanted: Arc<[ClaimPath]> = wanted.iter().map(|path| ClaimPath::parse(path).unwrap()).collect();
        let method = config.and_then(|config| {
            Method::compile("users".into(), &config, &wanted, previous, &self.metrics, &mut loading)
        });
        let shown = loading
            .problems
            .sorted()
            .into_iter()
            .map(|problem| {
                let warning = if problem.is_error() { "" } else { "w" };
                let text = problem.to_string();
                let place = problem.place().unwrap().to_string();
                format!("{warning}{}{}", problem.place().unwrap().line(), &text[place.len()..])
            })
            .collect();
        (method, shown)
    }

    /// Compiles `yaml`, which must be good.
    pub(crate) fn compile(&self, yaml: &str) -> Arc<Method> {
        let (method, problems) = self.try_compile(yaml, &[], None);
        method.unwrap_or_else(|| panic!("{problems:?}"))
    }

    /// A method with the keys of `signers` in a file.
    pub(crate) fn with_keys(&self, signers: &[&Signer]) -> Arc<Method> {
        self.write("keys.json", signer::jwks(signers));
        self.compile(&yaml("jwks_file: keys.json\n"))
    }
}

const KEYS: [&str; 4] = ["ed", "p256", "p384", "rsa"];

/// A signer of each kind of public key, by its `kid`.
pub(crate) fn asymmetric() -> BTreeMap<&'static str, Signer> {
    let signers = [Signer::ed25519("ed"), Signer::p256("p256"), Signer::p384("p384"), Signer::rsa("rsa")];
    KEYS.into_iter().zip(signers).collect()
}

/// A configuration with issuer, audience and `more`.
pub(crate) fn yaml(more: &str) -> String {
    format!("issuer: {ISSUER}\naudience: [\"https://other.example.com\", \"{AUDIENCE}\"]\n{more}")
}

/// The claims of a good access token, changed by `changes`; `null` there removes a claim.
pub(crate) fn claims(changes: &Value) -> Value {
    let mut claims =
        json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW - 60, "exp": NOW + 600 });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// `verified`, `absent`, or the reason.
pub(crate) fn outcome(attempt: &Attempt) -> &'static str {
    match attempt {
        Attempt::Absent => "absent",
        Attempt::Failed(reason) => reason.label(),
        Attempt::Verified(_) => "verified",
    }
}

/// Presents `token` and compares what comes of it.
pub(crate) async fn check(method: &Method, name: &str, token: &str, expect: &str) {
    let attempt = method.attempt(Token::from(token), NOW).await;
    assert_eq!(outcome(&attempt), expect, "{name}: {token:.400}");
    // A verdict is the same when the token comes again, remembered or not.
    let again = match method.remembered(Token::from(token)) {
        Some(identity) => Attempt::Verified(identity),
        None => method.attempt(Token::from(token), NOW).await,
    };
    assert_eq!(outcome(&again), expect, "{name}, again: {token:.400}");
}

/// The identity in `token`, which must be good.
pub(crate) async fn identify(method: &Method, token: &str) -> Arc<Identity> {
    match method.attempt(Token::from(token), NOW).await {
        Attempt::Verified(identity) => identity,
        Attempt::Absent | Attempt::Failed(_) => panic!("{token}"),
    }
}
