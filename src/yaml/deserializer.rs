//! Deserializes one node of a [`Tree`]: what kind of thing is asked for, and what to say when something else stands there.

use std::fmt::Display;

use serde::de::{Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

use super::access::{Entries, Items, LocatedParts, Variant};
use super::entries::{ENTRIES_MARKER, KEPT_MARKER};
use super::fault::{Fault, article_list};
use super::hidden::is_reference;
use super::located::MARKER;
use super::reading::Reading;
use super::tree::{Node, Tree};
use super::{SECRET_MARKER, environment};

/// Reads one node.
#[derive(Clone, Copy)]
pub(super) struct Reader<'t, 'r> {
    pub(super) tree: &'t Tree,
    pub(super) reading: &'r Reading<'t>,
    /// Whether `${NAME}` is replaced: in values, not in keys.
    pub(super) expand: bool,
}

impl<'t> Reader<'t, '_> {
    pub(super) fn fault(self, what: impl Display) -> Fault<'t> {
        Fault::custom(what).at(self.tree)
    }

    fn expected(self, what: &str) -> Fault<'t> {
        let fault = self.fault(format!("{what} is expected here, found {}", found(&self.tree.node)));
        match (what, &self.tree.node) {
            ("a list", _) => fault.with_hint("write `[first, second]`, or `- first` on a line of its own"),
            ("text", Node::Sequence(_)) => {
                fault.with_hint("only one value stands here: leave out `[` and `]`")
            }
            ("true or false", Node::Text(_)) => fault.with_hint("write `true` or `false`"),
            _ => fault,
        }
    }

    fn text(self, raw: &str) -> Result<String, Fault<'t>> {
        if !self.expand || !raw.contains("${") {
            return Ok(raw.to_owned());
        }
        environment::expand(raw, self.reading.options.environment).map_err(|what| self.fault(what))
    }

    /// A scalar that may have been written as `"${NAME}"`, whose value is then read like the scalar itself.
    fn scalar<V: Visitor<'t>>(self, visitor: V, expected: &str) -> Result<V::Value, Fault<'t>> {
        let visited = match &self.tree.node {
            Node::Boolean(value) => visitor.visit_bool(*value),
            Node::Integer(value) => visitor.visit_i64(*value),
            Node::Number(value) => visitor.visit_f64(*value),
            Node::Text(raw) if raw.contains("${") => {
                let text = self.text(raw)?;
                if let Ok(value) = text.parse::<i64>() {
                    visitor.visit_i64(value)
                } else if let Ok(value) = text.parse::<bool>() {
                    visitor.visit_bool(value)
                } else {
                    return Err(self.fault(format!(
                        "{expected} is expected here, and the variable holds something else"
                    )));
                }
            }
            Node::Null | Node::Text(_) | Node::Sequence(_) | Node::Mapping(_) => {
                return Err(self.expected(expected));
            }
        };
        visited.map_err(|fault: Fault<'t>| fault.at(self.tree))
    }
}

/// Forwards the kinds of number and truth value to [`Reader::scalar`].
macro_rules! scalars {
    ($($method:ident $expected:literal),* $(,)?) => {
        $(fn $method<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
            self.scalar(visitor, $expected)
        })*
    };
}

impl<'t> Deserializer<'t> for Reader<'t, '_> {
    type Error = Fault<'t>;

    scalars! {
        deserialize_bool "true or false", deserialize_i8 "a whole number", deserialize_i16 "a whole number",
        deserialize_i32 "a whole number", deserialize_i64 "a whole number", deserialize_u8 "a whole number",
        deserialize_u16 "a whole number", deserialize_u32 "a whole number", deserialize_u64 "a whole number",
        deserialize_f32 "a number", deserialize_f64 "a number",
    }

    forward_to_deserialize_any! { <V: Visitor<'t>> bytes byte_buf unit unit_struct }

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
        match &self.tree.node {
            Node::Null => visitor.visit_unit(),
            Node::Boolean(value) => visitor.visit_bool(*value),
            Node::Integer(value) => visitor.visit_i64(*value),
            Node::Number(value) => visitor.visit_f64(*value),
            Node::Text(raw) => visitor.visit_string(self.text(raw)?),
            Node::Sequence(items) => visitor.visit_seq(Items { items: items.iter(), reading: self.reading }),
            Node::Mapping(_) => visitor.visit_map(Entries::new(self, None)?),
        }
        .map_err(|fault| fault.at(self.tree))
    }

    fn deserialize_str<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
        match &self.tree.node {
            Node::Text(raw) => {
                visitor.visit_string(self.text(raw)?).map_err(|fault: Fault<'t>| fault.at(self.tree))
            }
            Node::Boolean(_) | Node::Integer(_) | Node::Number(_) => {
                Err(self.expected("text").with_hint("put it in quotes"))
            }
            Node::Null | Node::Sequence(_) | Node::Mapping(_) => Err(self.expected("text")),
        }
    }

    fn deserialize_string<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
        match &self.tree.node {
            Node::Null => visitor.visit_none(),
            Node::Boolean(_)
            | Node::Integer(_)
            | Node::Number(_)
            | Node::Text(_)
            | Node::Sequence(_)
            | Node::Mapping(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault<'t>> {
        if name == MARKER {
            visitor.visit_seq(LocatedParts { reader: self, next: 0 })
        } else if name == ENTRIES_MARKER && matches!(&self.tree.node, Node::Mapping(_)) {
            visitor.visit_map(Entries::new(self, None)?.with_skipped())
        } else if name == ENTRIES_MARKER {
            Err(self.expected("a mapping"))
        } else if name == KEPT_MARKER && self.reading.is_skipped(self.tree) {
            visitor.visit_none()
        } else if name == SECRET_MARKER && !matches!(&self.tree.node, Node::Text(raw) if is_reference(raw)) {
            Err(self
                .fault("a secret cannot stand in this file")
                .with_hint("write `file:PATH`, or `${NAME}` for an environment variable"))
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_seq<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
        match &self.tree.node {
            Node::Sequence(_) => self.deserialize_any(visitor),
            Node::Null
            | Node::Boolean(_)
            | Node::Integer(_)
            | Node::Number(_)
            | Node::Text(_)
            | Node::Mapping(_) => Err(self.expected("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'t>>(self, _length: usize, visitor: V) -> Result<V::Value, Fault<'t>> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'t>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault<'t>> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
        match &self.tree.node {
            Node::Mapping(_) => self.deserialize_any(visitor),
            Node::Null
            | Node::Boolean(_)
            | Node::Integer(_)
            | Node::Number(_)
            | Node::Text(_)
            | Node::Sequence(_) => Err(self.expected("a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'t>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault<'t>> {
        match &self.tree.node {
            Node::Mapping(_) => {
                visitor.visit_map(Entries::new(self, Some(fields))?).map_err(|fault| fault.at(self.tree))
            }
            Node::Null
            | Node::Boolean(_)
            | Node::Integer(_)
            | Node::Number(_)
            | Node::Text(_)
            | Node::Sequence(_) => Err(self
                .expected("a mapping")
                .with_hint(format!("the keys here are {}", article_list(fields)))),
        }
    }

    fn deserialize_enum<V: Visitor<'t>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault<'t>> {
        match &self.tree.node {
            Node::Text(_) => visitor.visit_enum(Variant { key: self, value: None }),
            Node::Mapping(entries) => match entries.as_slice() {
                [(key, value)] => {
                    let key_reader = Reader { tree: key, reading: self.reading, expand: false };
                    let read = Variant { key: key_reader, value: Some(self.reading.node(value)) };
                    visitor.visit_enum(read).inspect_err(|fault| {
                        if fault.unknown_name().is_some()
                            && fault.tree().is_some_and(|tree| std::ptr::eq(tree, key))
                        {
                            self.reading.hide(key, value);
                        }
                    })
                }
                [] => Err(self.fault(format!("one of {} must stand here", article_list(variants)))),
                [_, (second, _), ..] => {
                    for (key, value) in entries {
                        self.reading.hide(key, value);
                    }
                    Err(self
                        .fault("exactly one kind can stand here, and there are several")
                        .at_instead(second))
                }
            },
            Node::Null | Node::Boolean(_) | Node::Integer(_) | Node::Number(_) | Node::Sequence(_) => {
                Err(self.expected(&format!("one of {}", article_list(variants))))
            }
        }
        .map_err(|fault| self.reading.or_reserved(fault))
    }

    fn deserialize_ignored_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault<'t>> {
        visitor.visit_unit()
    }
}

/// What stands there, without its content.
fn found(node: &Node) -> &'static str {
    match node {
        Node::Null => "nothing",
        Node::Boolean(_) => "true or false",
        Node::Integer(_) | Node::Number(_) => "a number",
        Node::Text(_) => "text",
        Node::Sequence(_) => "a list",
        Node::Mapping(_) => "a mapping",
    }
}
