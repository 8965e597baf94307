//! The shape of `tests`: requests and what is expected of them. A running gateway holds them to their form and does no
//! more; `portcullis test` tries them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserialize as DeserializeTrait, Deserializer};
use serde_json::{Map, Value};

use crate::yaml::{Entries, Located};

/// A file of tests.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// The tests.
    pub tests: Vec<Located<TestEntry>>,
}

/// One test of the policy: a request, and what is expected of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestEntry {
    /// What it shows.
    pub name: Located<String>,
    /// Method and URL, such as `GET https://api.example.com/v1/orders/1`.
    pub request: Located<String>,
    /// Header fields of the request.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: Entries<Located<String>>,
    /// The address that it comes from; 127.0.0.1 by default.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub peer: Option<Located<Peer>>,
    /// Sends the API key of this entry of a key file.
    #[serde(default)]
    pub key: Option<Located<KeyChoice>>,
    /// Sends the name of this user and the right password.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub user: Option<Located<String>>,
    /// Sends a token with these claims, as if its issuer had signed it. `iss`, `aud`, `iat` and `exp` are filled in unless
    /// they are given; `null` leaves one out. Times are numbers, or `now`, `now+5m` and `now-1h`.
    #[serde(default)]
    pub claims: Option<Located<ClaimsEntry>>,
    /// The method in `auth` that the credential is for, where several could be meant.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub auth: Option<Located<String>>,
    /// The credential has been revoked.
    #[serde(default)]
    pub revoked: bool,
    /// What is expected.
    pub expect: Located<Expectation>,
}

/// An address.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub std::net::IpAddr);

/// Which key of a key file is meant: by its owner or by its identifier.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyChoice {
    /// Whose key it is.
    #[schemars(with = "Option<String>")]
    pub owner: Option<Located<String>>,
    /// Its identifier.
    #[schemars(with = "Option<String>")]
    pub id: Option<Located<String>>,
}

/// The claims of a token.
#[derive(Clone, Debug)]
pub struct ClaimsEntry(pub Map<String, Value>);

/// What is expected of a request. What is left out is not looked at.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// The status of the gateway's answer, or 200 for a request that goes upstream.
    #[schemars(with = "Option<u16>")]
    pub status: Option<Located<u16>>,
    /// The route, or `none`.
    #[schemars(with = "Option<String>")]
    pub route: Option<Located<String>>,
    /// Who it is, or `none`.
    #[schemars(with = "Option<String>")]
    pub subject: Option<Located<String>>,
    /// The reason in the access log, such as `ok` or `missing_scope`.
    #[schemars(with = "Option<String>")]
    pub reason: Option<Located<String>>,
    /// The path that the upstream gets, with the query if there is one, such as `/orders/1?page=2`.
    #[schemars(with = "Option<String>")]
    pub upstream_path: Option<Located<String>>,
    /// Header fields that the upstream gets.
    #[schemars(with = "BTreeMap<String, String>")]
    pub upstream: Entries<Located<String>>,
    /// Header fields that the upstream does not get.
    #[schemars(with = "Vec<String>")]
    pub absent: Vec<Located<String>>,
}

impl<'de> DeserializeTrait<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| serde::de::Error::custom("an IP address is expected here"))
    }
}

impl<'de> DeserializeTrait<'de> for ClaimsEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Object(claims) => Ok(Self(claims)),
            _ => Err(serde::de::Error::custom("a mapping of claims is expected here")),
        }
    }
}

impl JsonSchema for ClaimsEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Claims_of_a_test".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
