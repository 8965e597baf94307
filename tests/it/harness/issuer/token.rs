//! Tokens, good ones by default and bad ones in one word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::clock::Clock;
use serde_json::{Map, Value, json};

use super::{AUDIENCE, SigningKey};

/// A token before it is signed. It starts out good: issued now by its issuer for [`AUDIENCE`] to `alice`, with a `jti` of
/// its own, ending in five minutes.
#[derive(Clone, Debug)]
pub struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    raw_header: Option<Vec<u8>>,
    raw_claims: Option<Vec<u8>>,
    key: SigningKey,
    signature: Signature,
}

#[derive(Clone, Debug)]
enum Signature {
    Corrupt,
    Given(Vec<u8>),
    Proper,
}

impl Token {
    pub(super) fn new(issuer: &str, key: &SigningKey) -> Self {
        static ISSUED: AtomicU64 = AtomicU64::new(1);
        let now = now();
        let token = Self {
            header: Map::new(),
            claims: Map::new(),
            raw_header: None,
            raw_claims: None,
            key: key.clone(),
            signature: Signature::Proper,
        };
        token
            .header("typ", "JWT")
            .signed_by(key)
            .claim("iss", issuer)
            .claim("sub", "alice")
            .claim("aud", AUDIENCE)
            .claim("iat", now)
            .claim("exp", now + 300)
            .claim("jti", format!("token-{}", ISSUED.fetch_add(1, Ordering::Relaxed)))
    }

    /// Sets a claim: `claim("scope", "orders:read")`, `claim("aud", json!(["a", "b"]))`.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a claim out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Is issued so long ago and ends so long after that. For one that has expired: `issued(3600s, 1800s)`.
    #[must_use]
    pub fn issued(self, ago: Duration, lifetime: Duration) -> Self {
        let at = now().saturating_sub(ago.as_secs());
        self.claim("iat", at).claim("exp", at + lifetime.as_secs())
    }

    /// Ends so long from now.
    #[must_use]
    pub fn expires_in(self, time: Duration) -> Self {
        self.claim("exp", now() + time.as_secs())
    }

    /// Sets a header parameter.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a header parameter out.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Is signed by this key, which also sets `kid` and `alg`.
    #[must_use]
    pub fn signed_by(mut self, key: &SigningKey) -> Self {
        self.key = key.clone();
        self.header("alg", key.algorithm()).header("kid", key.kid())
    }

    /// Is signed as an HMAC with `secret`, keeping the `kid`: the public key as a secret, for one.
    #[must_use]
    pub fn hmac(mut self, algorithm: &'static str, secret: impl AsRef<[u8]>) -> Self {
        self.key = SigningKey::secret(self.key.kid(), secret).with_algorithm(algorithm);
        self.header("alg", algorithm)
    }

    /// Has this `alg`, such as `none`, and an empty signature.
    #[must_use]
    pub fn unsigned(self, algorithm: &str) -> Self {
        self.header("alg", algorithm).signature(Vec::new())
    }

    /// Has a signature of which one bit is wrong.
    #[must_use]
    pub fn corrupt(mut self) -> Self {
        self.signature = Signature::Corrupt;
        self
    }

    /// Has this for a signature.
    #[must_use]
    pub fn signature(mut self, signature: impl Into<Vec<u8>>) -> Self {
        self.signature = Signature::Given(signature.into());
        self
    }

    /// Has this text for a header, whatever it is; it is signed properly.
    #[must_use]
    pub fn raw_header(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.raw_header = Some(text.into());
        self
    }

    /// Has this text for claims, whatever it is; it is signed properly.
    #[must_use]
    pub fn raw_claims(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.raw_claims = Some(text.into());
        self
    }

    /// The claims as they stand, to name one of them in a revocation.
    pub fn claims(&self) -> Value {
        Value::Object(self.claims.clone())
    }

    /// The `jti`.
    #[track_caller]
    pub fn jti(&self) -> &str {
        self.claims["jti"].as_str().expect("a jti of text")
    }

    /// The token in its compact form (RFC 7515 section 7.1).
    pub fn sign(&self) -> String {
        let part = |raw: &Option<Vec<u8>>, object: &Map<String, Value>| {
            let text = raw.clone().unwrap_or_else(|| json!(object).to_string().into_bytes());
            URL_SAFE_NO_PAD.encode(text)
        };
        let signed =
            format!("{}.{}", part(&self.raw_header, &self.header), part(&self.raw_claims, &self.claims));
        let signature = match &self.signature {
            Signature::Given(bytes) => bytes.clone(),
            Signature::Proper => self.key.sign(signed.as_bytes()),
            Signature::Corrupt => {
                let mut bytes = self.key.sign(signed.as_bytes());
                bytes[0] ^= 1;
                bytes
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The value of `Authorization`: `Bearer …`.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.sign())
    }
}

fn now() -> u64 {
    Clock::system().unix_seconds()
}
