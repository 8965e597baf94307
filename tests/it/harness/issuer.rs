//! An `OpenID` provider as far as a gateway sees one: a discovery document, a key set, and tokens. It counts what is
//! fetched, so that a test can say how often, and misbehaves in all the ways that providers do.

mod key;
mod token;

pub use key::SigningKey;
pub use token::Token;

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::upstream::{Answer, Upstream};

/// A local issuer on `http://127.0.0.1`. Starts with one ES256 key, `es256-1`.
pub struct Issuer {
    server: Upstream,
    keys: Mutex<Vec<SigningKey>>,
}

/// How the key set is served.
#[derive(Clone, Debug)]
pub enum Serving {
    /// Properly.
    Properly,
    /// After this time.
    Slowly(Duration),
    /// `404`.
    NotFound,
    /// `500`.
    ServerError,
    /// An HTML page with status 200, as a proxy in between would serve.
    Html,
    /// 100 MiB with status 200.
    Huge,
    /// `302` to this address.
    Redirect(String),
    /// This text with status 200 and the type JSON: `{}`, half a document, a key of a kind that must not be used.
    Text(String),
    /// The connection is accepted and nothing is answered.
    Hang,
}

/// What tokens are issued for unless a test says otherwise.
pub const AUDIENCE: &str = "https://api.example.com";

/// Where the discovery document is (`OpenID` Connect Discovery section 4).
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// Where the key set is.
pub const JWKS_PATH: &str = "/jwks.json";

impl Issuer {
    /// Starts an issuer with an ES256 key, which is quick to make and to verify.
    pub fn start() -> Self {
        Self::with_keys(vec![SigningKey::es256("es256-1")])
    }

    /// Starts an issuer with these keys. Tokens are signed with the first.
    pub fn with_keys(keys: Vec<SigningKey>) -> Self {
        let issuer = Self { server: Upstream::start(), keys: Mutex::new(keys) };
        issuer.server.answer_otherwise(Answer::status(404, "not here"));
        issuer.serve_discovery(issuer.discovery());
        issuer.serve_keys(&Serving::Properly);
        issuer
    }

    /// The issuer's name, which is its address: `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The address of the key set.
    pub fn jwks_url(&self) -> String {
        format!("{}{JWKS_PATH}", self.url())
    }

    /// The public key set, as it would be served or put into a file.
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.keys.lock().unwrap().iter().map(SigningKey::jwk).collect();
        json!({ "keys": keys })
    }

    /// The discovery document.
    pub fn discovery(&self) -> Value {
        json!({
            "issuer": self.url(),
            "jwks_uri": self.jwks_url(),
            "authorization_endpoint": format!("{}/authorize", self.url()),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        })
    }

    /// Serves this as the discovery document, such as one that names another issuer.
    #[expect(clippy::needless_pass_by_value, reason = "tests write documents in place")]
    pub fn serve_discovery(&self, document: Value) {
        self.server.answer(DISCOVERY_PATH, Answer::json(&document));
    }

    /// Serves the key set like this from now on.
    pub fn serve_keys(&self, serving: &Serving) {
        self.server.answer(JWKS_PATH, Self::answer(self.jwks().to_string(), serving));
    }

    /// Serves the discovery document like this from now on.
    pub fn serve_discovery_like(&self, serving: &Serving) {
        self.server.answer(DISCOVERY_PATH, Self::answer(self.discovery().to_string(), serving));
    }

    /// Refuses connections from now on.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Is there again, at the same address.
    pub fn start_again(&self) {
        self.server.start_again();
    }

    /// Replaces all keys: the new ones are served properly from now on, and the first of them signs.
    pub fn rotate(&self, keys: Vec<SigningKey>) {
        *self.keys.lock().unwrap() = keys;
        self.serve_keys(&Serving::Properly);
    }

    /// Adds a key to the set, behind the ones that are there.
    pub fn add(&self, key: SigningKey) {
        self.keys.lock().unwrap().push(key);
        self.serve_keys(&Serving::Properly);
    }

    /// Takes the key with this id out of the set.
    pub fn remove(&self, kid: &str) {
        self.keys.lock().unwrap().retain(|key| key.kid() != kid);
        self.serve_keys(&Serving::Properly);
    }

    /// The key that signs: the first of the set.
    pub fn key(&self) -> SigningKey {
        self.keys.lock().unwrap().first().expect("an issuer with a key").clone()
    }

    /// The key with this id.
    #[track_caller]
    pub fn key_called(&self, kid: &str) -> SigningKey {
        let keys = self.keys.lock().unwrap();
        keys.iter().find(|key| key.kid() == kid).unwrap_or_else(|| panic!("no key {kid}")).clone()
    }

    /// A token that is good for five minutes, to be changed before it is signed: `issuer.token().sign()`.
    pub fn token(&self) -> Token {
        Token::new(&self.url(), &self.key())
    }

    /// How often this path was asked for.
    pub fn fetches(&self, path: &str) -> usize {
        self.server.requests().iter().filter(|request| request.path() == path).count()
    }

    /// How often the key set was asked for.
    pub fn key_fetches(&self) -> usize {
        self.fetches(JWKS_PATH)
    }

    /// How many requests there were in all, and how many connections: an attacker's `jku` must cause neither.
    pub fn traffic(&self) -> (usize, usize) {
        (self.server.requests().len(), self.server.connections())
    }

    fn answer(document: String, serving: &Serving) -> Answer {
        let json = |text: String| Answer::ok(text).header("Content-Type", "application/json");
        match serving {
            Serving::Properly => json(document),
            Serving::Slowly(delay) => json(document).after(*delay),
            Serving::NotFound => Answer::status(404, "not here"),
            Serving::ServerError => Answer::status(500, "not now"),
            Serving::Html => {
                Answer::ok("<!doctype html><title>Sign in</title>").header("Content-Type", "text/html")
            }
            Serving::Huge => Answer::download(100 << 20).header("Content-Type", "application/json"),
            Serving::Redirect(to) => Answer::status(302, "elsewhere").header("Location", to),
            Serving::Text(text) => json(text.clone()),
            Serving::Hang => Answer::hang(),
        }
    }
}
