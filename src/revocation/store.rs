//! Writing the list and reading it page by page, wherever it is. Requests are never decided from here.

mod memory;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::entry::{Entry, Name};
use super::mirror::Mirror;
use super::policy::Backing;
use super::redis::{Loss, Server};
use crate::authn::revocable::Kind;
use crate::clock::{Clock, rfc3339};
pub(super) use memory::Memory;

/// Where entries are written to.
#[derive(Clone, Debug)]
pub struct Store {
    place: Place,
    clock: Clock,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Memory>),
    Redis(Arc<Server>),
}

/// The most entries that one page holds, give or take what a step of Redis brings.
pub const LARGEST_PAGE: usize = 1000;

impl Store {
    /// The store of a gateway. A list in memory is the mirror itself and what is needed to show it.
    pub(super) fn new(backing: &Backing, mirror: &Arc<Mirror>, clock: &Clock) -> Self {
        let place = match backing {
            Backing::Memory => Place::Memory(Arc::new(Memory::new(mirror.clone()))),
            Backing::Redis(server) => Place::Redis(server.clone()),
        };
        Self { place, clock: clock.clone() }
    }

    /// The store of a program that only writes to Redis, such as the command line.
    pub fn redis(server: Arc<Server>, clock: Clock) -> Self {
        Self { place: Place::Redis(server), clock }
    }

    /// Writes an entry, in place of an earlier one of the same name. It holds on this gateway at once when the list is
    /// in memory, and wherever it is announced when the list is in Redis.
    ///
    /// # Errors
    /// Redis cannot be used.
    pub async fn add(&self, entry: &Entry) -> Result<(), Failure> {
        match &self.place {
            Place::Memory(memory) => memory.add(entry),
            Place::Redis(server) => Ok(server.add(entry).await?),
        }
    }

    /// Removes an entry and says whether there was one. Gateways that still refuse what Redis has lost hear of it too.
    ///
    /// # Errors
    /// Redis cannot be used.
    pub async fn remove(&self, name: &Name) -> Result<bool, Failure> {
        match &self.place {
            Place::Memory(memory) => memory.remove(name),
            Place::Redis(server) => Ok(server.remove(name).await?),
        }
    }

    /// Lists entries, of one kind or of all, from `cursor` on. A page holds about `limit` entries, at most
    /// [`LARGEST_PAGE`], and may be empty before the last one. What is written while pages are read may be missing, and
    /// an entry may appear twice.
    ///
    /// # Errors
    /// Redis cannot be used, or the cursor is none that a page came with.
    pub async fn list(&self, kind: Option<Kind>, cursor: &Cursor, limit: usize) -> Result<Page, Failure> {
        let limit = limit.clamp(1, LARGEST_PAGE);
        match &self.place {
            Place::Memory(memory) => Ok(memory.list(kind, cursor, limit, &self.clock)),
            Place::Redis(server) => server.list(kind, cursor, limit, &self.clock).await,
        }
    }

    /// Gives away what is in memory, for a process that replaces this one. What it would not hear of is refused from then
    /// on: nothing is written any more. Requests are decided as before. There is nothing to give of a list in Redis.
    pub fn hand_over(&self) -> Vec<Bequest> {
        self.memory().map(|memory| memory.hand_over()).unwrap_or_default()
    }

    /// Takes writes again, because the other process does not replace this one after all.
    pub fn keep(&self) {
        if let Some(memory) = self.memory() {
            memory.keep();
        }
    }

    /// Takes what another process gave away, and says whether all of it was taken. A list in Redis takes nothing: who was
    /// revoked in memory would be revoked no more.
    pub fn inherit(&self, bequests: &[Bequest]) -> bool {
        self.memory().map_or(bequests.is_empty(), |memory| memory.inherit(bequests))
    }

    /// The list in memory, if that is where it is.
    pub(super) fn memory(&self) -> Option<&Arc<Memory>> {
        match &self.place {
            Place::Memory(memory) => Some(memory),
            Place::Redis(_) => None,
        }
    }
}

/// Why the list could not be read or written.
#[derive(Debug, Error)]
pub enum Failure {
    /// The request is wrong: the cursor does not come from a page.
    #[error("this is no `next` of an earlier page")]
    Cursor,
    /// The process is being replaced, and what is written now would be lost with it.
    #[error("this process is being replaced: ask again")]
    HandedOver,
    /// The list is out of reach.
    #[error("Redis cannot be used: {0}")]
    Redis(#[from] Loss),
}

/// An entry in memory, as one process gives it to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bequest {
    /// The key that it would have in Redis.
    pub key: String,
    /// Up to when it denies what was issued, in seconds since the Unix epoch, for kinds that have a time.
    pub time: Option<u64>,
    /// How long it still stands, in seconds and rounded up; `None` until it is lifted.
    pub seconds: Option<u64>,
    /// Why.
    pub reason: String,
}

/// Where a page begins: at the beginning, or where the last one said it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor as it came with a page; an empty one is the beginning.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The answer to `GET /revocations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The entries, in no particular order.
    pub entries: Vec<Listed>,
    /// Where the next page begins; `null` after the last one.
    pub next: Option<Cursor>,
}

/// One entry as it is shown, and the answer to `POST /revocations`. With `kind`, `id` and `issuer_hash` it can be lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// `client`, `jti`, `key`, `sid`, `sub` or `user`.
    pub kind: &'static str,
    /// What is revoked.
    pub id: String,
    /// For a `jti`: the hash of its issuer, or `*` for any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_hash: Option<String>,
    /// For a `client` or a `sub`: what was issued until then is revoked (RFC 3339). Without it, everything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_until: Option<String>,
    /// When the entry ends (RFC 3339), or `null` when it ends only by being lifted.
    pub expires: Option<String>,
    /// Why, in the writer's words; may be empty.
    pub reason: String,
}

impl Listed {
    /// The entry as it is shown; times are in seconds since the Unix epoch.
    pub(super) fn new(name: &Name, issued_until: Option<u64>, expires: Option<u64>, reason: &str) -> Self {
        let (issuer_hash, id) = match name.kind() {
            Kind::Jti => match name.id().split_once(':') {
                Some((issuer, jti)) => (Some(issuer.to_owned()), jti),
                None => (None, name.id()),
            },
            Kind::Client | Kind::Key | Kind::Sid | Kind::Sub | Kind::User => (None, name.id()),
        };
        Self {
            kind: name.kind().name(),
            id: id.to_owned(),
            issuer_hash,
            issued_until: issued_until.map(rfc3339),
            expires: expires.map(rfc3339),
            reason: reason.to_owned(),
        }
    }

    /// An entry that has just been written.
    pub fn of(entry: &Entry, clock: &Clock) -> Self {
        let expires = entry
            .lifetime()
            .duration()
            .map(|lifetime| clock.unix_seconds().saturating_add(lifetime.as_secs()));
        Self::new(entry.name(), entry.time(), expires, entry.reason())
    }
}
