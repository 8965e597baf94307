//! Why a node could not be read, and which entry has to be left out for the rest to be read without it.

use std::fmt::{self, Display};

use serde::de::{Error, Expected, Unexpected};

use super::reading::is_shown;
use super::tree::Tree;
use crate::problem::nearest;

/// Identifies a node of one tree by its address, which stays put while the tree is borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NodeId(usize);

impl NodeId {
    pub(super) fn of(tree: &Tree) -> Self {
        Self(std::ptr::from_ref(tree).addr())
    }
}

/// The error of [`super::deserializer`]. It never carries a value from the file.
#[derive(Debug)]
pub(super) struct Fault<'t> {
    kind: Kind,
    hint: Option<String>,
    /// The node to point at.
    tree: Option<&'t Tree>,
    /// The innermost entry of a list or mapping that contains the fault.
    entry: Option<NodeId>,
}

#[derive(Debug)]
enum Kind {
    MissingField(&'static str),
    NotSupportedYet(String),
    Other(String),
    UnknownField { name: String, known: &'static [&'static str] },
    UnknownVariant { name: String, known: &'static [&'static str] },
}

impl<'t> Fault<'t> {
    fn new(kind: Kind) -> Self {
        Self { kind, hint: None, tree: None, entry: None }
    }

    /// Points at `tree`, unless a more precise node is known.
    pub(super) fn at(mut self, tree: &'t Tree) -> Self {
        self.tree.get_or_insert(tree);
        self
    }

    /// Points at `tree`, whatever was known before.
    pub(super) fn at_instead(mut self, tree: &'t Tree) -> Self {
        self.tree = Some(tree);
        self
    }

    /// Names the entry to take out, unless one further inside is known.
    pub(super) fn in_entry(mut self, value: &'t Tree) -> Self {
        self.entry.get_or_insert(NodeId::of(value));
        self.at(value)
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn not_supported_yet(mut self) -> Self {
        if let Kind::UnknownField { name, .. } | Kind::UnknownVariant { name, .. } = self.kind {
            self.kind = Kind::NotSupportedYet(name);
        }
        self
    }

    pub(super) fn tree(&self) -> Option<&'t Tree> {
        self.tree
    }

    pub(super) fn entry(&self) -> Option<NodeId> {
        self.entry
    }

    /// The mapping and the name of the key that it lacks.
    pub(super) fn missing_field(&self) -> Option<(&'t Tree, &'static str)> {
        match self.kind {
            Kind::MissingField(name) => self.tree.map(|tree| (tree, name)),
            Kind::NotSupportedYet(_)
            | Kind::Other(_)
            | Kind::UnknownField { .. }
            | Kind::UnknownVariant { .. } => None,
        }
    }

    /// The name that is not known here, of a key or of an alternative.
    pub(super) fn unknown_name(&self) -> Option<&str> {
        match &self.kind {
            Kind::UnknownField { name, .. } | Kind::UnknownVariant { name, .. } => Some(name),
            Kind::MissingField(_) | Kind::NotSupportedYet(_) | Kind::Other(_) => None,
        }
    }

    pub(super) fn what(&self) -> String {
        match &self.kind {
            Kind::MissingField(name) => format!("`{name}` is missing here"),
            Kind::NotSupportedYet(name) => format!("`{name}` is not supported yet"),
            Kind::Other(what) => what.clone(),
            Kind::UnknownField { name, .. } if is_shown(name) => format!("unknown key `{name}`"),
            Kind::UnknownField { .. } => "unknown key, which is not shown".to_owned(),
            Kind::UnknownVariant { known, .. } => format!("this must be one of {}", article_list(known)),
        }
    }

    pub(super) fn hint(&self) -> Option<String> {
        match &self.kind {
            Kind::UnknownField { name, known } => Some(key_hint(name, known)),
            Kind::UnknownVariant { name, known } => {
                nearest(name, known.iter().copied()).map(|candidate| format!("did you mean `{candidate}`?"))
            }
            Kind::NotSupportedYet(_) => Some("this is reserved for a later version: remove it".to_owned()),
            Kind::MissingField(name) => Some(format!("add `{name}: …`")),
            Kind::Other(_) => self.hint.clone(),
        }
    }
}

impl Display for Fault<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what())
    }
}

impl std::error::Error for Fault<'_> {}

impl Error for Fault<'_> {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Kind::Other(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("{expected} is expected here, found {}", kind_of(&unexpected)))
    }

    fn invalid_value(_unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("{expected} is expected here"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownField { name: field.to_owned(), known })
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownVariant { name: variant.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::MissingField(field))
    }
}

/// What was meant by an unknown key, or which keys there are.
pub(super) fn key_hint(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("the keys here are {}", article_list(known)),
    }
}

/// "`a`, `b` and `c`".
pub(super) fn article_list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

fn kind_of(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a mapping",
        _ => "something else",
    }
}
