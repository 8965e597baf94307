//! What `auth.<name>.jwt` looks like in the file. What it means, and everything that can be wrong with it beyond its
//! form, is in [`super::compile`].

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserialize as DeserializeTrait, Deserializer, SeqAccess, Visitor};

use super::algorithm::Algorithm;
use super::claim_path::ClaimPath;
use crate::loading::SecretReference;
use crate::units::TimeSpan;
use crate::yaml::Located;

/// Tokens that an issuer signed (RFC 7519, RFC 9068).
///
/// Keys come from one of `jwks_url`, `jwks_file`, `public_key` and `secret`; without any, from where the issuer's
/// discovery document says.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who signs the tokens; compared exactly with `iss`.
    pub issuer: Located<String>,
    /// Whom the tokens are for: one of these must be in `aud`.
    pub audience: Located<Audience>,
    /// The signature algorithms to accept. By default all asymmetric ones, or HS256 with `secret`.
    pub algorithms: Option<Located<Vec<AlgorithmName>>>,
    /// The address of the issuer's JWK set; https, or http on this machine.
    pub jwks_url: Option<Located<String>>,
    /// A file with a JWK set.
    #[schemars(with = "Option<String>")]
    pub jwks_file: Option<Located<PathBuf>>,
    /// A PEM file with a public key or a certificate, or several.
    #[schemars(with = "Option<String>")]
    pub public_key: Option<Located<PathBuf>>,
    /// A secret shared with the issuer, for HS256, HS384 and HS512.
    pub secret: Option<Located<SecretReference>>,
    /// The longest lifetime (`exp` − `iat`) to accept; 24h by default.
    pub max_lifetime: Option<Located<TimeSpan>>,
    /// How far the issuer's clock may be off; 30s by default, 5m at most.
    pub leeway: Option<Located<TimeSpan>>,
    /// Where subject, scopes and roles are found.
    #[serde(default)]
    pub claims: Claims,
    /// Leaves the token in the request that goes upstream instead of removing it.
    #[serde(default)]
    pub forward_credential: bool,
}

/// Where a token says what.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Who the caller is; `sub` by default.
    pub subject: Option<ClaimPath>,
    /// What the caller was granted, as a text with spaces or as a list; `scope` by default.
    pub scopes: Option<ClaimPath>,
    /// What the caller is, as a text or as a list, such as `realm_access.roles`; nowhere by default.
    pub roles: Option<ClaimPath>,
}

/// One recipient or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience(pub(super) Vec<String>);

/// The name of a signature algorithm, as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlgorithmName(pub(super) Located<String>);

impl<'de> DeserializeTrait<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AudienceVisitor)
    }
}

struct AudienceVisitor;

impl<'de> Visitor<'de> for AudienceVisitor {
    type Value = Audience;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text or a list of texts")
    }

    fn visit_str<E>(self, one: &str) -> Result<Audience, E> {
        Ok(Audience(vec![one.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Audience, A::Error> {
        let mut audience = Vec::new();
        while let Some(item) = items.next_element()? {
            audience.push(item);
        }
        Ok(Audience(audience))
    }
}

impl JsonSchema for Audience {
    fn schema_name() -> Cow<'static, str> {
        "Audience".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let name = json_schema!({ "type": "string", "minLength": 1 });
        json_schema!({ "anyOf": [name, { "type": "array", "items": name, "minItems": 1 }] })
    }
}

impl<'de> DeserializeTrait<'de> for AlgorithmName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Located::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for AlgorithmName {
    fn schema_name() -> Cow<'static, str> {
        "Algorithm".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Algorithm::ALL.into_iter().map(Algorithm::name).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}
