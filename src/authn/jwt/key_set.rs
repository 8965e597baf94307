//! The keys of one issuer, and which of them verifies a token.
//!
//! A set is immutable: a refresh makes a new one, takes over the keys that are still in it, and retires the others, so
//! that whoever holds on to a key (a remembered token) learns that it is no longer good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::algorithm::{Algorithm, Algorithms};
use super::compact::Signed;
use super::material::{Material, Unusable, Verifier};
use crate::authn::Reason;
use crate::fingerprint::Fingerprint;

/// Keys that are tried at most for a token that does not say which one signed it.
const MOST_TRIED: usize = 8;

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<Box<str>>,
    verifiers: Box<[(Algorithm, Verifier)]>,
    fingerprint: Fingerprint,
    retired: AtomicBool,
}

impl Key {
    /// A key called `id` that verifies those of `algorithms` that fit it.
    ///
    /// # Errors
    /// Why the key cannot be used.
    pub(super) fn new(
        id: Option<&str>,
        material: &Material,
        algorithms: Algorithms,
    ) -> Result<Arc<Self>, Unusable> {
        let fingerprint = material.fingerprint(id, algorithms);
        let verifiers = material.verifiers(algorithms)?;
        if verifiers.is_empty() {
            return Err(Unusable::Unfit);
        }
        Ok(Arc::new(Self { id: id.map(Box::from), verifiers, fingerprint, retired: AtomicBool::new(false) }))
    }

    /// Its `kid`.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether it has left its set, and with it every reason to trust what it verified.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&Verifier> {
        self.verifiers.iter().find(|(own, _)| *own == algorithm).map(|(_, verifier)| verifier)
    }
}

/// The keys of one issuer; there is at least one.
#[derive(Debug)]
pub(super) struct KeySet(Box<[Arc<Key>]>);

/// Why no key of a set verified a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unverified {
    pub(super) reason: Reason,
    /// Whether the token may have been signed by a key that the set does not have yet.
    pub(super) may_be_newer: bool,
}

impl KeySet {
    /// A set of `keys`, each once, or `None` when there are none. Keys that `before` has too are taken from there.
    pub(super) fn new(keys: Vec<Arc<Key>>, before: Option<&Self>) -> Option<Self> {
        let mut different: Vec<Arc<Key>> = Vec::with_capacity(keys.len());
        for key in keys {
            if !different.iter().any(|other| other.fingerprint == key.fingerprint) {
                let known = before.and_then(|before| before.find(key.fingerprint)).cloned();
                different.push(known.unwrap_or(key));
            }
        }
        (!different.is_empty()).then(|| Self(different.into()))
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The algorithms that at least one key verifies.
    pub(super) fn algorithms(&self) -> Algorithms {
        self.0.iter().flat_map(|key| key.verifiers.iter().map(|(algorithm, _)| *algorithm)).collect()
    }

    /// Whether both sets consist of the same keys.
    pub(super) fn has_same_keys(&self, other: &Self) -> bool {
        let within = |all: &Self, key: &Arc<Key>| all.find(key.fingerprint).is_some();
        self.0.iter().all(|key| within(other, key)) && other.0.iter().all(|key| within(self, key))
    }

    /// Retires the keys that `successor` does not have.
    pub(super) fn retire_for(&self, successor: &Self) {
        for key in self.removed_in(successor) {
            key.retired.store(true, Ordering::Release);
        }
    }

    /// The keys that `successor` does not have.
    pub(super) fn removed_in(&self, successor: &Self) -> impl Iterator<Item = &Arc<Key>> {
        self.0.iter().filter(|key| successor.find(key.fingerprint).is_none())
    }

    /// The key that signed `token`.
    ///
    /// A key with the token's `kid` decides alone. Otherwise the keys that fit are tried: those without an identifier
    /// when the token names one, and all of them when it names none.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn verify(&self, token: &Signed<'_>) -> Result<Arc<Key>, Unverified> {
        let kid = token.kid();
        let mut chosen = self.0.iter().filter(|key| kid.is_some() && key.id() == kid).peekable();
        if chosen.peek().is_some() {
            return first_that_verifies(chosen, token)
                .map_err(|reason| Unverified { reason, may_be_newer: false });
        }
        let mut candidates = self.0.iter().filter(|key| kid.is_none() || key.id.is_none()).peekable();
        if candidates.peek().is_none() {
            return Err(Unverified { reason: Reason::UnknownKey, may_be_newer: true });
        }
        // A token that names no key is worth a refresh only where keys have no names.
        let may_be_newer = kid.is_some() || self.0.iter().any(|key| key.id.is_none());
        let fitting = candidates.filter(|key| key.verifier(token.algorithm()).is_some()).take(MOST_TRIED);
        first_that_verifies(fitting, token).map_err(|reason| Unverified { reason, may_be_newer })
    }

    fn find(&self, fingerprint: Fingerprint) -> Option<&Arc<Key>> {
        self.0.iter().find(|key| key.fingerprint == fingerprint)
    }
}

fn first_that_verifies<'k>(
    candidates: impl Iterator<Item = &'k Arc<Key>>,
    token: &Signed<'_>,
) -> Result<Arc<Key>, Reason> {
    let mut reason = Reason::WrongAlgorithm;
    for key in candidates {
        if let Some(verifier) = key.verifier(token.algorithm()) {
            if verifier.verifies(token.message(), token.signature()) {
                return Ok(key.clone());
            }
            reason = Reason::BadSignature;
        }
    }
    Err(reason)
}

#[cfg(test)]
impl KeySet {
    /// The keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.0.iter()
    }
}
