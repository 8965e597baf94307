//! Deserializes a [`Tree`] with serde, and recovers: an entry that cannot be read is reported, taken out and the
//! document is read again without it, until nothing new is found.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;

use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::entries::{ENTRIES_MARKER, KEPT_MARKER};
use super::fault::{Fault, NodeId, article_list, key_hint};
use super::located::{self, Located, MARKER};
use super::tree::{Node, Tree};
use super::{Options, SECRET_MARKER, environment};
use crate::problem::{Place, Problems, Source};

/// One reading of one document.
pub(super) struct Reading<'t> {
    root: &'t Tree,
    source: Arc<Source>,
    options: &'t Options<'t>,
    /// Nodes that are wrong, have been reported and are now passed over.
    skipped: RefCell<HashSet<NodeId>>,
    problems: RefCell<Problems>,
}

/// After this many problems a file is not worth reading further.
const MOST_PROBLEMS: usize = 200;

impl<'t> Reading<'t> {
    pub(super) fn new(root: &'t Tree, source: Arc<Source>, options: &'t Options<'t>) -> Self {
        Self { root, source, options, skipped: RefCell::default(), problems: RefCell::default() }
    }

    /// Reads the whole document, adding what is wrong with it to `problems`.
    pub(super) fn document<T: DeserializeOwned>(self, problems: &mut Problems) -> Option<Located<T>> {
        let value = located::within(&self.source, || self.read_until_nothing_new());
        problems.append(self.problems.into_inner());
        let place = Place::new(self.source.clone(), self.root.start, self.root.start);
        value.map(|value| Located::new(value, place))
    }

    fn read_until_nothing_new<T: DeserializeOwned>(&self) -> Option<T> {
        loop {
            let fault = match T::deserialize(self.node(self.root)) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            };
            let entry = self.report(&fault)?;
            if !self.skipped.borrow_mut().insert(entry) || self.problems.borrow().len() >= MOST_PROBLEMS {
                return None;
            }
        }
    }

    /// Reports `fault` unless it only follows from an earlier one, and names the entry to take out.
    fn report(&self, fault: &Fault) -> Option<NodeId> {
        let follows = fault.missing_field().is_some_and(|(container, name)| {
            entries(container).iter().any(|(key, value)| is_text(key, name) && self.is_skipped(value))
        });
        if !follows {
            let tree = fault.tree().unwrap_or(self.root);
            let mut problems = self.problems.borrow_mut();
            let problem = problems.error(&self.place(tree), fault.what());
            if let Some(hint) = fault.hint() {
                problem.hint(hint);
            }
        }
        fault.entry()
    }

    fn report_unknown_key(&self, key: &Tree, name: &str, known: &'static [&'static str]) {
        let mut problems = self.problems.borrow_mut();
        if self.options.reserved.contains(&name) {
            problems
                .error(&self.place(key), format!("`{name}` is not supported yet"))
                .hint("this key is reserved for a later version: remove it");
            return;
        }
        problems.error(&self.place(key), format!("unknown key `{name}`")).hint(key_hint(name, known));
    }

    /// Tells a name that a later version will know from one that nobody will.
    fn or_reserved<'f>(&self, fault: Fault<'f>) -> Fault<'f> {
        let reserved = fault.unknown_name().is_some_and(|name| self.options.reserved.contains(&name));
        if reserved { fault.not_supported_yet() } else { fault }
    }

    fn is_skipped(&self, tree: &Tree) -> bool {
        self.skipped.borrow().contains(&NodeId::of(tree))
    }

    fn place(&self, tree: &Tree) -> Place {
        Place::new(self.source.clone(), tree.start, tree.end)
    }

    fn node(&self, tree: &'t Tree) -> Reader<'t, '_> {
        Reader { tree, reading: self, expand: true }
    }
}

/// Reads one node.
#[derive(Clone, Copy)]
struct Reader<'t, 'r> {
    tree: &'t Tree,
    reading: &'r Reading<'t>,
    /// Whether `${NAME}` is replaced: in values, not in keys.
    expand: bool,
}

impl<'t> Reader<'t, '_> {
    fn fault(self, what: impl Display) -> Fault<'t> {
        Fault::custom(what).at(self.tree)
    }

    fn expected(self, what: &str) -> Fault<'t> {
        self.fault(format!("{what} is expected here, found {}", found(&self.tree.node)))
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
            visitor.visit_map(Entries { with_skipped: true, ..Entries::new(self, None)? })
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
                    visitor.visit_enum(Variant { key: key_reader, value: Some(self.reading.node(value)) })
                }
                [] => Err(self.fault(format!("one of {} must stand here", article_list(variants)))),
                [_, (second, _), ..] => Err(self
                    .fault("exactly one kind can stand here, and there are several")
                    .at_instead(second)),
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

/// The items of a list that have not been taken out.
struct Items<'t, 'r> {
    items: std::slice::Iter<'t, Tree>,
    reading: &'r Reading<'t>,
}

impl<'t> SeqAccess<'t> for Items<'t, '_> {
    type Error = Fault<'t>;

    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault<'t>> {
        let Some(item) = self.items.find(|item| !self.reading.is_skipped(item)) else { return Ok(None) };
        seed.deserialize(self.reading.node(item)).map(Some).map_err(|fault| fault.in_entry(item))
    }
}

/// The entries of a mapping that have not been taken out, each name once.
struct Entries<'t, 'r> {
    rest: std::slice::Iter<'t, (Tree, Tree)>,
    seen: HashSet<&'t str>,
    value: Option<&'t Tree>,
    /// Whether entries that were taken out are handed over too.
    with_skipped: bool,
    reading: &'r Reading<'t>,
}

impl<'t, 'r> Entries<'t, 'r> {
    /// With `fields`, keys that are not among them are reported here, all of them and before anything else.
    fn new(reader: Reader<'t, 'r>, fields: Option<&'static [&'static str]>) -> Result<Self, Fault<'t>> {
        let reading = reader.reading;
        for (key, value) in entries(reader.tree) {
            let Node::Text(name) = &key.node else {
                return Err(reader.fault("keys must be text").at_instead(key).in_entry(value));
            };
            if fields.is_some_and(|fields| !fields.contains(&name.as_str())) && !reading.is_skipped(value) {
                reading.report_unknown_key(key, name, fields.unwrap_or_default());
                reading.skipped.borrow_mut().insert(NodeId::of(value));
            }
        }
        Ok(Self {
            rest: entries(reader.tree).iter(),
            seen: HashSet::new(),
            value: None,
            with_skipped: false,
            reading,
        })
    }
}

impl<'t> MapAccess<'t> for Entries<'t, '_> {
    type Error = Fault<'t>;

    fn next_key_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault<'t>> {
        for (key, value) in self.rest.by_ref() {
            let first = matches!(&key.node, Node::Text(name) if self.seen.insert(name));
            if !first || (!self.with_skipped && self.reading.is_skipped(value)) {
                continue;
            }
            self.value = Some(value);
            let reader = Reader { tree: key, reading: self.reading, expand: false };
            return seed
                .deserialize(reader)
                .map(Some)
                .map_err(|fault| self.reading.or_reserved(fault).at(key).in_entry(value));
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<S::Value, Fault<'t>> {
        let Some(value) = self.value.take() else {
            return Err(Fault::custom("a value was read before its key"));
        };
        seed.deserialize(self.reading.node(value)).map_err(|fault| fault.in_entry(value))
    }
}

/// The three parts of a [`Located`]: where it starts, where it ends, and the value.
struct LocatedParts<'t, 'r> {
    reader: Reader<'t, 'r>,
    next: u8,
}

impl<'t> SeqAccess<'t> for LocatedParts<'t, '_> {
    type Error = Fault<'t>;

    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault<'t>> {
        let number = |number: u32| -> U32Deserializer<Fault<'t>> { number.into_deserializer() };
        self.next += 1;
        match self.next {
            1 => seed.deserialize(number(self.reader.tree.start)).map(Some),
            2 => seed.deserialize(number(self.reader.tree.end)).map(Some),
            3 => seed.deserialize(self.reader).map(Some),
            _ => Ok(None),
        }
    }
}

/// One alternative of an enum: a name alone, or a mapping of the name to its content.
struct Variant<'t, 'r> {
    key: Reader<'t, 'r>,
    value: Option<Reader<'t, 'r>>,
}

impl<'t, 'r> EnumAccess<'t> for Variant<'t, 'r> {
    type Error = Fault<'t>;
    type Variant = Content<'t, 'r>;

    fn variant_seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<(S::Value, Content<'t, 'r>), Fault<'t>> {
        let key = self.key;
        let variant = seed.deserialize(key).map_err(|fault| fault.at(key.tree))?;
        Ok((variant, Content { key, value: self.value }))
    }
}

struct Content<'t, 'r> {
    key: Reader<'t, 'r>,
    value: Option<Reader<'t, 'r>>,
}

impl<'t, 'r> Content<'t, 'r> {
    fn required(&self) -> Result<Reader<'t, 'r>, Fault<'t>> {
        self.value.ok_or_else(|| self.key.fault("this needs a value"))
    }
}

impl<'t> VariantAccess<'t> for Content<'t, '_> {
    type Error = Fault<'t>;

    fn unit_variant(self) -> Result<(), Fault<'t>> {
        match self.value {
            None => Ok(()),
            Some(value) => Err(value.fault("this takes no value")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<S::Value, Fault<'t>> {
        // The entry to take out is the whole enum, which the caller knows: a variant without its content is nothing.
        let value = self.required()?;
        seed.deserialize(value).map_err(|fault| fault.at(value.tree))
    }

    fn tuple_variant<V: Visitor<'t>>(self, _length: usize, visitor: V) -> Result<V::Value, Fault<'t>> {
        self.required()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'t>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault<'t>> {
        self.required()?.deserialize_struct("", fields, visitor)
    }
}

fn entries(tree: &Tree) -> &[(Tree, Tree)] {
    match &tree.node {
        Node::Mapping(entries) => entries,
        Node::Null
        | Node::Boolean(_)
        | Node::Integer(_)
        | Node::Number(_)
        | Node::Text(_)
        | Node::Sequence(_) => &[],
    }
}

fn is_text(tree: &Tree, expected: &str) -> bool {
    matches!(&tree.node, Node::Text(text) if text == expected)
}

/// Whether `raw` says where a secret is instead of being one; a default would be one.
fn is_reference(raw: &str) -> bool {
    raw.starts_with("file:") || (raw.starts_with("${") && raw.ends_with('}') && !raw.contains(":-"))
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
