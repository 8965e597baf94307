//! Reads the JSON of a token as strictly as a security decision needs it.
//!
//! What two readers could understand differently is refused: a member name that occurs twice in an object
//! (RFC 7519 §4), numbers that no double can hold, text after the end. Nesting is bounded; the length is bounded by the
//! token's. Text is borrowed where it has no escapes, because most tokens of an attack are dropped after one look.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// Objects and lists within each other; a policy's claim paths are far shorter.
const DEEPEST: u8 = 32;

/// A JSON value (RFC 8259).
#[derive(Debug, PartialEq)]
pub(super) enum Json<'a> {
    Boolean(bool),
    List(Vec<Json<'a>>),
    Null,
    Number(Number),
    Object(Object<'a>),
    Text(Cow<'a, str>),
}

/// An object whose member names are all different.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    /// Reads `bytes`, which must be one object and nothing else.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let value = Depth(0).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        match value {
            Json::Object(object) => Some(object),
            Json::Boolean(_) | Json::List(_) | Json::Null | Json::Number(_) | Json::Text(_) => None,
        }
    }

    /// The member called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }
}

impl Json<'_> {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Boolean(_) | Self::List(_) | Self::Null | Self::Number(_) | Self::Object(_) => None,
        }
    }

    /// The texts of a list of nothing but texts.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::List(items) => items.iter().map(Self::text).collect(),
            Self::Boolean(_) | Self::Null | Self::Number(_) | Self::Object(_) | Self::Text(_) => None,
        }
    }
}

/// Reads a value at this depth.
#[derive(Clone, Copy)]
struct Depth(u8);

impl Depth {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.0 < DEEPEST { Ok(Self(self.0 + 1)) } else { Err(E::custom("it is nested too deeply")) }
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Boolean(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("it is not finite"))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(depth)? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut members = Vec::with_capacity(TYPICAL_MEMBERS);
        while let Some(name) = access.next_key_seed(Name)? {
            members.push((name, access.next_value_seed(depth)?));
        }
        if has_duplicates(&members) {
            return Err(A::Error::custom("a member name occurs twice"));
        }
        Ok(Json::Object(Object(members)))
    }
}

const TYPICAL_MEMBERS: usize = 16;

fn has_duplicates(members: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// Reads a member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        let deep_objects = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        for (text, expect) in [
            (r"{}", true),
            (r#" {"a":1,"b":[1,-2,3.5e1,true,false,null,"x",{"a":1}]} "#, true),
            (r#"{"a":"\u00e9\n\"","\u0062":1}"#, true),
            (&deep(31), true),
            (&deep(32), false),
            (&deep_objects(32), true),
            (&deep_objects(33), false),
            (&deep(10_000), false),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":1,"\u0061":2}"#, false),
            (r#"{"x":{"a":1,"a":2}}"#, false),
            (r#"{"x":[{"a":1,"b":1,"a":2}]}"#, false),
            (r#"{"a":1e400}"#, false),
            (r#"{"a":-1e400}"#, false),
            (r#"{"a":NaN}"#, false),
            (r#"{"a":Infinity}"#, false),
            (r#"{"a":01}"#, false),
            (r#"{"a":+1}"#, false),
            (r#"{"a":1,}"#, false),
            (r"{'a':1}", false),
            (r#"{"a":"\ud800"}"#, false),
            ("{\"a\":\"\n\"}", false),
            ("\u{feff}{}", false),
            (r"{} {}", false),
            (r"{}x", false),
            (r"[]", false),
            (r#""x""#, false),
            (r"1", false),
            (r"null", false),
            ("", false),
            (r"/* x */ {}", false),
        ] {
            assert_eq!(Object::parse(text.as_bytes()).is_some(), expect, "{text:.60}");
        }
        assert_eq!(Object::parse(b"{\"a\":\"\xff\"}"), None, "not UTF-8");
        assert_eq!(Object::parse(b"{\"a\":\"\xc0\xae\"}"), None, "overlong UTF-8");
    }

    #[test]
    fn ten_thousand_members_are_read_once_each() {
        let members: Vec<String> = (0..10_000).map(|at| format!("\"m{at}\":{at}")).collect();
        let text = format!("{{{}}}", members.join(","));
        let object = Object::parse(text.as_bytes()).unwrap();
        assert_eq!(object.get("m9999"), Some(&Json::Number(9_999.into())));
        assert_eq!(Object::parse(text.replace("m9998", "m17").as_bytes()), None);
    }

    #[test]
    fn text_is_borrowed_unless_it_has_escapes() {
        let object = Object::parse(br#"{"a":"plain","b":"es\u0063aped"}"#).unwrap();
        assert!(matches!(object.get("a"), Some(Json::Text(Cow::Borrowed("plain")))));
        assert!(matches!(object.get("b"), Some(Json::Text(Cow::Owned(text))) if text == "escaped"));
    }
}
