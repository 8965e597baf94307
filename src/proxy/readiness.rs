//! Whether requests should be sent here: not before everything that decisions need has been read once, and not while the
//! process is ending.

use std::fmt;

use super::shared::Shared;

/// What is still missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The process is ending.
    Draining,
}

impl fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => formatter.write_str("draining"),
        }
    }
}

/// Whether requests should be sent here.
pub(super) fn of(shared: &Shared) -> Result<(), Waiting> {
    if shared.drain.has_begun() {
        return Err(Waiting::Draining);
    }
    Ok(())
}
