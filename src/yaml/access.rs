//! How serde walks through lists, mappings and alternatives, passing over what has been taken out.

use std::collections::HashSet;

use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::deserializer::Reader;
use super::fault::Fault;
use super::reading::Reading;
use super::tree::{Node, Tree};

/// The items of a list that have not been taken out.
pub(super) struct Items<'t, 'r> {
    pub(super) items: std::slice::Iter<'t, Tree>,
    pub(super) reading: &'r Reading<'t>,
}

impl<'t> SeqAccess<'t> for Items<'t, '_> {
    type Error = Fault<'t>;

    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault<'t>> {
        let Some(item) = self.items.find(|item| !self.reading.is_skipped(item)) else { return Ok(None) };
        seed.deserialize(self.reading.node(item)).map(Some).map_err(|fault| fault.in_entry(item))
    }
}

/// The entries of a mapping that have not been taken out, each name once.
pub(super) struct Entries<'t, 'r> {
    rest: std::slice::Iter<'t, (Tree, Tree)>,
    seen: HashSet<&'t str>,
    value: Option<&'t Tree>,
    /// Whether entries that were taken out are handed over too.
    with_skipped: bool,
    pub(super) reading: &'r Reading<'t>,
}

impl<'t, 'r> Entries<'t, 'r> {
    /// With `fields`, keys that are not among them are reported here, all of them and before anything else.
    pub(super) fn new(
        reader: Reader<'t, 'r>,
        fields: Option<&'static [&'static str]>,
    ) -> Result<Self, Fault<'t>> {
        let reading = reader.reading;
        for (key, value) in reader.tree.entries() {
            let Node::Text(name) = &key.node else {
                return Err(reader.fault("keys must be text").at_instead(key).in_entry(value));
            };
            if fields.is_some_and(|fields| !fields.contains(&name.as_str())) && !reading.is_skipped(value) {
                reading.report_unknown_key(key, name, value, fields.unwrap_or_default());
            }
        }
        Ok(Self {
            rest: reader.tree.entries().iter(),
            seen: HashSet::new(),
            value: None,
            with_skipped: false,
            reading,
        })
    }
}

impl Entries<'_, '_> {
    /// Hands over the entries that were taken out as well.
    pub(super) fn with_skipped(self) -> Self {
        Self { with_skipped: true, ..self }
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
pub(super) struct LocatedParts<'t, 'r> {
    pub(super) reader: Reader<'t, 'r>,
    pub(super) next: u8,
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
pub(super) struct Variant<'t, 'r> {
    pub(super) key: Reader<'t, 'r>,
    pub(super) value: Option<Reader<'t, 'r>>,
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

pub(super) struct Content<'t, 'r> {
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
