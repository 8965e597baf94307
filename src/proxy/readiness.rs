//! Whether requests should be sent here: not before everything that decisions need has been read once, and not while the
//! process is ending.

use std::fmt;
use std::sync::Arc;

use super::keys;
use super::shared::Shared;

/// What is still missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The process is ending.
    Draining,
    /// The keys of the issuer of this method have never been read.
    Keys(Arc<str>),
    /// The revocation list has never been read, or the view of it is too old.
    Revocations,
}

impl fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => formatter.write_str("draining"),
            Self::Keys(name) => write!(formatter, "waiting for the keys of `{name}`"),
            Self::Revocations => formatter.write_str("waiting for the revocation list"),
        }
    }
}

/// Whether requests should be sent here.
pub(super) fn of(shared: &Shared) -> Result<(), Waiting> {
    if shared.drain.has_begun() {
        return Err(Waiting::Draining);
    }
    let configuration = shared.configuration.load();
    let gateway = &configuration.gateway;
    if !gateway.revocations.is_in_touch() {
        return Err(Waiting::Revocations);
    }
    match keys::sources(&configuration).find(|source| !source.is_ready()) {
        Some(source) => Err(Waiting::Keys(source.auth().into())),
        None => Ok(()),
    }
}
