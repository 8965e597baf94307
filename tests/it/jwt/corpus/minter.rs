//! Tokens of exactly the texts that a vector wants, signed by a key of each algorithm.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::judge::Rule;
use crate::harness::issuer::{AUDIENCE, SigningKey};

/// A token, and the one rule that it is made to break.
pub(super) struct Vector {
    pub(super) name: String,
    pub(super) token: String,
    pub(super) meant: Rule,
}

pub(super) fn vector(name: impl Into<String>, token: String, meant: Rule) -> Vector {
    Vector { name: name.into(), token, meant }
}

/// Signs with one algorithm for one issuer.
#[derive(Clone)]
pub(super) struct Minter {
    /// What `alg` says.
    pub(super) algorithm: &'static str,
    pub(super) key: SigningKey,
    /// Whether tokens name the key.
    pub(super) named: bool,
    pub(super) issuer: String,
    pub(super) now: u64,
}

impl Minter {
    /// The header as it should be.
    pub(super) fn header(&self) -> String {
        self.header_saying(self.algorithm)
    }

    pub(super) fn header_saying(&self, algorithm: &str) -> String {
        let algorithm = Value::from(algorithm);
        if self.named {
            format!(r#"{{"alg":{algorithm},"kid":"{}"}}"#, self.key.kid())
        } else {
            format!(r#"{{"alg":{algorithm}}}"#)
        }
    }

    /// The claims as they should be.
    pub(super) fn claims(&self) -> String {
        self.claims_with("", "")
    }

    /// The claims with one of them replaced by this text; no text leaves it out.
    pub(super) fn claims_with(&self, name: &str, text: &str) -> String {
        let mut members = vec![
            ("iss", format!("\"{}\"", self.issuer)),
            ("aud", format!("\"{AUDIENCE}\"")),
            ("sub", "\"alice\"".to_owned()),
            ("iat", (self.now - 60).to_string()),
            ("exp", (self.now + 600).to_string()),
        ];
        members.retain(|(own, _)| *own != name);
        if !text.is_empty() {
            members.push((name, text.to_owned()));
        }
        let members: Vec<String> =
            members.into_iter().map(|(name, text)| format!("\"{name}\":{text}")).collect();
        format!("{{{}}}", members.join(","))
    }

    /// A token of these texts with a good signature.
    pub(super) fn sign(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        self.sign_parts(&encode(header), &encode(claims))
    }

    /// Signs header and claims that are in base64 already.
    pub(super) fn sign_parts(&self, header: &str, claims: &str) -> String {
        let message = format!("{header}.{claims}");
        let signature = encode(self.key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// A token as it should be.
    pub(super) fn good(&self) -> String {
        self.sign(self.header(), self.claims())
    }
}

/// An object with one more member at its end.
pub(super) fn and(object: &str, member: &str) -> String {
    format!("{},{member}}}", object.strip_suffix('}').unwrap())
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
