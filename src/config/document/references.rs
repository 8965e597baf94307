//! The places of the file that take a short form and a long one.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::UpstreamSettings;
use crate::yaml::Located;

/// Who may use a route.
#[derive(Clone, Debug)]
pub enum AuthReference {
    /// Callers known to any of these methods.
    Methods(NameList),
    /// Anyone.
    Public,
}

/// Names with their places, except for a name that stands alone and has the place of its key.
#[derive(Clone, Debug)]
pub enum NameList {
    /// `auth: users`.
    One(String),
    /// `auth: [users, partners]`.
    Several(Vec<Located<String>>),
}

/// An upstream: `http://…`, `builtin:echo`, or settings.
#[derive(Clone, Debug)]
pub enum UpstreamEntry {
    /// One target, or the upstream inside the gateway.
    Short(String),
    /// In full.
    Full(Box<UpstreamSettings>),
}

impl<'de> Deserialize<'de> for AuthReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AuthVisitor)
    }
}

struct AuthVisitor;

impl<'de> Visitor<'de> for AuthVisitor {
    type Value = AuthReference;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`public`, the name of a method in `auth`, or a list of such names")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AuthReference, E> {
        Ok(if text == "public" {
            AuthReference::Public
        } else {
            AuthReference::Methods(NameList::One(text.to_owned()))
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<AuthReference, A::Error> {
        let mut names: Vec<Located<String>> = Vec::new();
        while let Some(name) = items.next_element()? {
            names.push(name);
        }
        if names.is_empty() {
            return Err(A::Error::custom(
                "at least one method must stand here; `public` says that anyone may",
            ));
        }
        if names.iter().any(|name| **name == "public") {
            return Err(A::Error::custom(
                "`public` stands alone: beside a method it would make the method pointless",
            ));
        }
        Ok(AuthReference::Methods(NameList::Several(names)))
    }
}

impl<'de> Deserialize<'de> for UpstreamEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UpstreamVisitor)
    }
}

struct UpstreamVisitor;

impl<'de> Visitor<'de> for UpstreamVisitor {
    type Value = UpstreamEntry;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a URL such as `http://orders:8080`, `builtin:echo`, or a mapping with `targets`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<UpstreamEntry, E> {
        Ok(UpstreamEntry::Short(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<UpstreamEntry, A::Error> {
        UpstreamSettings::deserialize(MapAccessDeserializer::new(entries))
            .map(|settings| UpstreamEntry::Full(Box::new(settings)))
    }
}

impl JsonSchema for AuthReference {
    fn schema_name() -> Cow<'static, str> {
        "AuthReference".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`public`, the name of a method in `auth`, or a list of such names.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
        })
    }
}

impl JsonSchema for UpstreamEntry {
    fn schema_name() -> Cow<'static, str> {
        "Upstream".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<UpstreamSettings>();
        json_schema!({
            "description": "A URL such as `http://orders:8080`, `builtin:echo`, or settings.",
            "anyOf": [{ "type": "string", "pattern": "^(https?|h2c)://|^builtin:echo$|\\$\\{" }, full]
        })
    }
}
