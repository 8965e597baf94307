//! Keys, users and passwords as the gateway's files want them, and the header values that go with them.

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::hex;
use serde_json::json;

/// An API key that a gateway knows. It is a foreign one: only its SHA-256 says who it is.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Its public name.
    pub id: String,
    /// The key itself.
    pub key: String,
    owner: String,
    scopes: Vec<String>,
    roles: Vec<String>,
    created: Option<String>,
    expires: String,
}

impl ApiKey {
    /// A key of `owner` that never expires, with the id `k_` and the owner's name.
    pub fn of(owner: &str) -> Self {
        Self::from_text(owner, &format!("a-foreign-key-of-{owner}-{}", "x".repeat(16)))
    }

    /// A given text as a key of `owner`.
    pub fn from_text(owner: &str, key: &str) -> Self {
        Self {
            id: format!("k_{owner}"),
            key: key.to_owned(),
            owner: owner.to_owned(),
            scopes: Vec::new(),
            roles: Vec::new(),
            created: None,
            expires: "never".to_owned(),
        }
    }

    /// Has this id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Has these scopes.
    #[must_use]
    pub fn scopes(mut self, scopes: &[&str]) -> Self {
        self.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self
    }

    /// Has these roles.
    #[must_use]
    pub fn roles(mut self, roles: &[&str]) -> Self {
        self.roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self
    }

    /// Was made at this time, in RFC 3339.
    #[must_use]
    pub fn created(mut self, time: &str) -> Self {
        self.created = Some(time.to_owned());
        self
    }

    /// Ends at this time, in RFC 3339.
    #[must_use]
    pub fn expires(mut self, time: &str) -> Self {
        time.clone_into(&mut self.expires);
        self
    }

    /// Its entry in `keys.yaml`, without the line that opens the list.
    pub fn entry(&self) -> String {
        let Self { id, key, owner, scopes, roles, created, expires } = self;
        let created = created.as_ref().map(|time| format!("    created: {time}\n")).unwrap_or_default();
        // A list of strings in JSON is one in YAML too.
        format!(
            "  - id: {id}\n    owner: {}\n    sha256: {}\n    scopes: {}\n    roles: {}\n{created}    expires: {expires}\n",
            json!(owner),
            sha256(key),
            json!(scopes),
            json!(roles),
        )
    }

    /// The header field that carries it: `client.get("/").header("X-API-Key", &key.key)`, or this with `headers`.
    pub fn header(&self) -> (&str, &str) {
        ("X-API-Key", &self.key)
    }

    /// The value of `Authorization`: `ApiKey …`.
    pub fn authorization(&self) -> String {
        format!("ApiKey {}", self.key)
    }
}

/// A `keys.yaml` that lists these keys.
pub fn keys_yaml(keys: &[&ApiKey]) -> String {
    let entries: String = keys.iter().map(|key| key.entry()).collect();
    if entries.is_empty() { "keys: []\n".to_owned() } else { format!("keys:\n{entries}") }
}

/// The value of `Authorization` for HTTP Basic (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The value of `Authorization` for a bearer token (RFC 6750).
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// An htpasswd line with an argon2id hash that costs next to nothing: 64 KiB, one pass.
pub fn htpasswd_argon2id(user: &str, password: &str) -> String {
    let params = Params::new(64, 1, 1, None).unwrap();
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), b"salt for a test!")
        .unwrap();
    format!("{user}:{hash}\n")
}

/// An htpasswd line with an argon2id hash that costs what a real one does: 19 MiB, two passes.
pub fn htpasswd_slow(user: &str, password: &str) -> String {
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), b"salt for a test!").unwrap();
    format!("{user}:{hash}\n")
}

/// An htpasswd line with a bcrypt hash of the least cost, 4.
pub fn htpasswd_bcrypt(user: &str, password: &str) -> String {
    let hash = bcrypt::hash_with_result(password, 4).unwrap();
    format!("{user}:{}\n", hash.format_for_version(bcrypt::Version::TwoY))
}

/// The SHA-256 of a text, in hexadecimal.
pub fn sha256(text: impl AsRef<[u8]>) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_ref()).as_ref())
}
