//! A value that remembers where in its file it stands.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::problem::{Place, Source};

/// A `T` and the place it was read from. It can only be deserialized by [`super::read`].
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    value: T,
    place: Place,
}

impl<T> Located<T> {
    /// Puts `value` at `place`.
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The value without its place.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The name by which the deserializer recognises a request for a place.
pub(super) const MARKER: &str = "$portcullis::Located";

thread_local! {
    /// The source of the document being read on this thread: serde has no way to hand it to a `Deserialize`.
    static SOURCE: RefCell<Option<Arc<Source>>> = const { RefCell::new(None) };
}

/// Runs `read` with `source` as the file that every [`Located`] points into.
pub(super) fn within<R>(source: &Arc<Source>, read: impl FnOnce() -> R) -> R {
    let before = SOURCE.with(|slot| slot.replace(Some(source.clone())));
    let result = read();
    SOURCE.with(|slot| *slot.borrow_mut() = before);
    result
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(MARKER, LocatedVisitor(PhantomData))
    }
}

struct LocatedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for LocatedVisitor<T> {
    type Value = Located<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Located<T>, A::Error> {
        let missing = || A::Error::custom("a place is known only while a document is read");
        let start = parts.next_element()?.ok_or_else(missing)?;
        let end = parts.next_element()?.ok_or_else(missing)?;
        let value = parts.next_element()?.ok_or_else(missing)?;
        let source = SOURCE.with(|slot| slot.borrow().clone()).ok_or_else(missing)?;
        Ok(Located { value, place: Place::new(source, start, end) })
    }
}

/// In the schema, a located value is just the value.
impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
