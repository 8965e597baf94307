//! Remembers tokens that were verified: a signature costs 15 to 50 µs, a look-up a tenth of one.
//!
//! The whole token is the key and is compared in full. An entry belongs to one method, so it says nothing about another
//! audience, and ends with its key. Its validity is for the caller to check, on each request. Tokens that failed are never remembered.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::key_set::Key;
use crate::authn::identity::Identity;

/// The memory that one method's tokens may take, in bytes.
pub(super) const CAPACITY: u64 = 64 << 20;

/// Roughly what an entry takes beside the texts in it.
const ENTRY: u64 = 512;

/// How large entries usually are, in bytes; off by ten this would still do.
const TYPICAL: u64 = 2048;

/// The tokens that one method has verified.
pub(super) struct Remembered(Cache<Box<str>, Entry, Weight>);

#[derive(Clone)]
struct Entry {
    identity: Arc<Identity>,
    key: Arc<Key>,
}

impl Remembered {
    /// Nothing yet, and never more than `capacity` bytes.
    pub(super) fn new(capacity: u64) -> Self {
        let entries = usize::try_from(capacity / TYPICAL).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(entries, capacity, Weight))
    }

    /// Who sent `token`, if it was verified by a key that is still good. Whether the token itself still is, its validity
    /// says.
    pub(super) fn find(&self, token: &str) -> Option<Arc<Identity>> {
        let Entry { identity, key } = self.0.get(token)?;
        if key.is_retired() {
            self.0.remove(token);
            return None;
        }
        Some(identity)
    }

    /// Remembers that `token` was verified by `key`.
    pub(super) fn insert(&self, token: &str, identity: Arc<Identity>, key: Arc<Key>) {
        self.0.insert(token.into(), Entry { identity, key });
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Entry> for Weight {
    fn weight(&self, token: &Box<str>, _entry: &Entry) -> u64 {
        // Every text in an identity stood in its token.
        ENTRY + 2 * token.len() as u64
    }
}

#[cfg(test)]
impl Remembered {
    /// How many tokens are remembered.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
