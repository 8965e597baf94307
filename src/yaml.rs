//! Reads a YAML text into a typed document, and finds everything that is wrong with it in one pass over the user's
//! patience: unknown keys, duplicate keys and values of the wrong kind are all reported together, each at its place.
//!
//! The text is read by `serde_yaml` into a tree that remembers where each node stands; the tree is then deserialized
//! with serde, so a document's shape is an ordinary struct with `#[serde(deny_unknown_fields)]`. YAML's own riddles are
//! refused: aliases, tags, merge keys and several documents in one file.

mod access;
mod deserializer;
mod entries;
mod environment;
mod fault;
mod hidden;
mod located;
mod reading;
mod tree;

use std::path::PathBuf;

use serde::de::DeserializeOwned;

use crate::problem::Problems;

pub use entries::Entries;
pub use located::Located;
use reading::Reading;
use tree::Tree;

/// The name of a newtype that must be a reference to a secret, `file:PATH` or `${NAME}`, and not the secret itself.
pub const SECRET_MARKER: &str = "$portcullis::Secret";

/// Where `${NAME}` in string values comes from.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How a document is read.
pub struct Options<'a> {
    /// Looks up environment variables.
    pub environment: Environment<'a>,
    /// Keys that a later version will bring: refused as "not supported yet" and not as unknown.
    pub reserved: &'a [&'a str],
}

/// Reads `text` as a `T`. Returns `None` after adding at least one error to `problems`; a value can also come with
/// errors, which then concern parts that could be left out.
pub fn read<T: DeserializeOwned>(
    path: PathBuf,
    text: &str,
    options: &Options<'_>,
    problems: &mut Problems,
) -> Option<Located<T>> {
    let (tree, source) = Tree::parse(path, text, problems)?;
    Reading::new(&tree, source, options).document(problems)
}

#[cfg(test)]
mod tests;
