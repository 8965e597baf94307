//! The file that lists API keys: `keys.yaml`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserialize as DeserializeTrait, Deserializer, Error};

use crate::clock::parse_rfc3339;
use crate::hex;
use crate::loading::Loading;
use crate::yaml::Located;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The keys.
    #[serde(default, deserialize_with = "list")]
    pub keys: Vec<KeyEntry>,
}

impl KeyFile {
    /// Reads the file that `name` points to. An empty file has no keys; errors go to `loading`.
    pub fn read(name: &Located<PathBuf>, loading: &mut Loading<'_>) -> Option<Located<Self>> {
        loading.document(name).map(or_empty)
    }

    /// Reads the file at `path`, which no other file mentions.
    pub fn read_at(path: &Path, loading: &mut Loading<'_>) -> Option<Located<Self>> {
        loading.root_document(path).map(or_empty)
    }
}

/// YAML reads a file without content, or with comments only, as null.
fn or_empty(file: Located<Option<KeyFile>>) -> Located<KeyFile> {
    let place = file.place().clone();
    Located::new(file.into_value().unwrap_or_default(), place)
}

/// `keys:` without a value is a list without keys.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeyEntry>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// One key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// The public name of the key, in logs and in `X-Auth-Key-Id`, and what is revoked.
    #[serde(deserialize_with = "identifier")]
    pub id: Located<String>,
    /// Who it belongs to; becomes the subject.
    pub owner: Located<String>,
    /// What it is for, for people.
    #[serde(default)]
    pub label: Option<String>,
    /// The SHA-256 of the whole key, in hexadecimal. The key itself is nowhere.
    pub sha256: Sha256,
    /// What it may be used for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// What its owner is.
    #[serde(default)]
    pub roles: Vec<String>,
    /// When it was made (RFC 3339). Entries that revoke its owner's credentials apply to keys made up to their time.
    #[serde(default, deserialize_with = "time")]
    #[schemars(with = "Option<String>")]
    pub created: Option<u64>,
    /// When it ends (RFC 3339), or `never`.
    pub expires: Expiry,
}

/// A SHA-256 in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct Sha256(pub [u8; 32]);

/// When a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At this second since the Unix epoch.
    At(u64),
    /// Not at all.
    Never,
}

impl Expiry {
    /// The first second at which the key is no longer good.
    pub fn until(self) -> Option<u64> {
        match self {
            Self::At(second) => Some(second),
            Self::Never => None,
        }
    }
}

const NOT_A_TIME: &str = "a time is expected here, such as `2027-02-19T09:00:00Z`";

fn identifier<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Located<String>, D::Error> {
    let id = Located::<String>::deserialize(deserializer)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
        return Err(D::Error::custom("a key id is 1 to 64 letters, digits, `-`, `_` or `.`"));
    }
    Ok(id)
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) => parse_rfc3339(&text).map(Some).ok_or_else(|| D::Error::custom(NOT_A_TIME)),
    }
}

impl<'de> DeserializeTrait<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("a SHA-256 is expected here: 64 hexadecimal digits"))
    }
}

impl<'de> DeserializeTrait<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "never" {
            return Ok(Self::Never);
        }
        parse_rfc3339(&text)
            .map(Self::At)
            .ok_or_else(|| D::Error::custom(format!("{NOT_A_TIME}, or `never`")))
    }
}

impl JsonSchema for Sha256 {
    fn schema_name() -> Cow<'static, str> {
        "Sha256".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" })
    }
}

impl JsonSchema for Expiry {
    fn schema_name() -> Cow<'static, str> {
        "Expiry".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "never" }, { "type": "string", "format": "date-time" }] })
    }
}
