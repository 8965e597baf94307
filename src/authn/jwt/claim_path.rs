//! Where a claim is found: `sub`, `realm_access.roles`, `https://acme.com/roles`.
//!
//! A dot leads into an object, but member names may contain dots themselves. So the longest name is tried first: all
//! that is left of the path, and only then each of its splits from the left.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

use super::json::{Json, Object};

/// The path of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath(Box<str>);

/// Longer paths than this name nothing that an issuer would write.
const LONGEST: usize = 256;

impl ClaimPath {
    /// Takes `text` unless it is empty, overlong or contains control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let usable = !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control);
        usable.then(|| Self(text.into()))
    }

    /// The path as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value at this path; `null` is no value.
    pub(super) fn find<'j, 'a>(&self, claims: &'j Object<'a>) -> Option<&'j Json<'a>> {
        find(claims, &self.0).filter(|value| **value != Json::Null)
    }
}

fn find<'j, 'a>(object: &'j Object<'a>, path: &str) -> Option<&'j Json<'a>> {
    object.get(path).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| match object.get(&path[..dot])? {
            Json::Object(inner) => find(inner, &path[dot + 1..]),
            Json::Boolean(_) | Json::List(_) | Json::Null | Json::Number(_) | Json::Text(_) => None,
        })
    })
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClaimPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom("a claim is expected here, such as `sub` or `realm_access.roles`")
        })
    }
}

impl JsonSchema for ClaimPath {
    fn schema_name() -> Cow<'static, str> {
        "ClaimPath".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST,
            "description": "The name of a claim; dots lead into objects.",
            "examples": ["sub", "realm_access.roles", "https://acme.com/roles"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_claims() {
        let claims = br#"{
            "sub": "alice", "empty": null, "a.b": "dotted", "a": { "b": "nested", "c": { "d": 1 }, "c.d": 2 },
            "https://acme.com/roles": ["admin"], "https://acme.com/app": { "team.name": "blue" }, "x.y": { "z": 3 },
            "x": { "y": { "w": 4 } }, "list": [{ "a": 1 }]
        }"#;
        let claims = Object::parse(claims).unwrap();
        for (path, expect) in [
            ("sub", Some("Text(\"alice\")")),
            ("a.b", Some("Text(\"dotted\")")),
            ("a.c.d", Some("Number(Number(2))")),
            ("https://acme.com/roles", Some("List([Text(\"admin\")])")),
            ("https://acme.com/app.team.name", Some("Text(\"blue\")")),
            ("x.y.z", Some("Number(Number(3))")),
            ("x.y.w", Some("Number(Number(4))")),
            ("empty", None),
            ("Sub", None),
            ("sub.x", None),
            ("list.0", None),
            ("list.a", None),
            ("a.", None),
            (".a", None),
            ("https://acme.com/app", Some("Object(Object([(\"team.name\", Text(\"blue\"))]))")),
        ] {
            let found = ClaimPath::parse(path).unwrap().find(&claims).map(|value| format!("{value:?}"));
            assert_eq!(found.as_deref(), expect, "{path}");
        }
        for bad in ["", "a\nb", &"a".repeat(257)] {
            assert_eq!(ClaimPath::parse(bad), None, "{bad}");
        }
    }
}
