//! The gateway's own copy of the revocation list, which requests are decided by without asking anyone.
//!
//! It holds fingerprints, not names: 20 bytes an entry, spread over shards whose locks are held for one table access at
//! a time. Entries expire by themselves. The mirror also knows as of when it was complete; who keeps it so is the
//! business of [`super::redis`] and [`super::store`], and what an outdated one means that of [`super::Revocations`].

mod shard;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::cutoff::Cutoff;
use crate::authn::revocable::{Kind, Revocable};
use crate::fingerprint::Fingerprint;
use shard::{Deadline, Shard, Slot, index};

/// The list, in memory. It lives as long as the process.
pub struct Mirror {
    /// Where the mirror's own time begins. It is monotonic: setting the machine's clock lifts nothing.
    origin: Instant,
    shards: Box<[Shard]>,
    /// How many entries there are of each kind, those that expired and were not swept yet included.
    counts: Counts,
    /// Nanoseconds after `origin`, plus one; see [`NEVER_READ`] and [`ALWAYS_COMPLETE`].
    complete_as_of: AtomicU64,
}

type Counts = [AtomicUsize; Kind::ALL.len()];

const NEVER_READ: u64 = 0;
const ALWAYS_COMPLETE: u64 = u64::MAX;

/// With ten million entries a shard has some 150, 3 KiB: finding one walks over a few of them, and adding one moves half
/// of them. The shards themselves take 2.5 MiB.
const SHARDS: usize = 1 << 16;

/// What an entry says, apart from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// How long the entry still stands; `None` means until it is removed.
    pub remaining: Option<Duration>,
    /// What it denies.
    pub cutoff: Cutoff,
}

/// What came of writing an entry down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was not there, or denied something else.
    New,
    /// It was there already; at most its end has moved.
    Known,
}

/// What it means when a store no longer has an entry that it had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Someone removed it.
    Lifted,
    /// The store may have lost it, so it stands until it expires or is removed by name.
    Unexplained,
}

/// Shows numbers, not entries: there may be ten million of them.
impl fmt::Debug for Mirror {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Mirror")
            .field("counts", &self.counts)
            .field("age", &self.age(Instant::now()))
            .finish_non_exhaustive()
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self::new()
    }
}

impl Mirror {
    /// A mirror that has not been read yet.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            counts: Counts::default(),
            complete_as_of: AtomicU64::new(NEVER_READ),
        }
    }

    /// Whether an entry denies `credential`: at most one table access for each of its names.
    pub fn revokes(&self, credential: &Revocable, now: Instant) -> bool {
        let second = self.second(now);
        credential.entries().iter().any(|(kind, fingerprint)| {
            self.count(*kind) != 0
                && self
                    .shard(*fingerprint)
                    .find(*fingerprint, second)
                    .is_some_and(|cutoff| cutoff.denies(credential.issued_at()))
        })
    }

    /// Writes an entry down, in place of an earlier one of the same name.
    pub fn put(&self, kind: Kind, fingerprint: Fingerprint, term: Term, now: Instant) -> Noted {
        let deadline = match term.remaining {
            None => Deadline::NEVER,
            Some(remaining) => {
                Deadline::after(now.saturating_duration_since(self.origin).saturating_add(remaining))
            }
        };
        let slot = Slot::new(kind, fingerprint, deadline, term.cutoff);
        self.shard(fingerprint).put(slot, self.second(now), &self.counts)
    }

    /// Removes an entry by name and says whether there was one.
    pub fn remove(&self, fingerprint: Fingerprint) -> bool {
        self.shard(fingerprint).remove(fingerprint, &self.counts)
    }

    /// How many entries there are of a kind. Those that expired lately may still be counted.
    pub fn count(&self, kind: Kind) -> usize {
        self.counts[index(kind)].load(Ordering::Relaxed)
    }

    /// Whether the mirror has ever been complete.
    pub fn has_been_read(&self) -> bool {
        self.complete_as_of.load(Ordering::Acquire) != NEVER_READ
    }

    /// How long ago the mirror was known to be complete, or `None` when it has never been.
    ///
    /// Ask before looking anything up: what was complete then is in the mirror now.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        match self.complete_as_of.load(Ordering::Acquire) {
            NEVER_READ => None,
            ALWAYS_COMPLETE => Some(Duration::ZERO),
            as_of => Some(
                now.saturating_duration_since(self.origin).saturating_sub(Duration::from_nanos(as_of - 1)),
            ),
        }
    }

    /// How old the view may be for want of any news: its age or, when it was never complete, the mirror's own.
    pub fn staleness(&self, now: Instant) -> Duration {
        self.age(now).unwrap_or_else(|| now.saturating_duration_since(self.origin))
    }

    /// Everything that was in the store at `instant` is in the mirror now. The view never gets older by it.
    pub fn is_complete_as_of(&self, instant: Instant) {
        let nanos = instant.saturating_duration_since(self.origin).as_nanos();
        let as_of = u64::try_from(nanos).unwrap_or(ALWAYS_COMPLETE).saturating_add(1);
        self.complete_as_of.fetch_max(as_of.min(ALWAYS_COMPLETE - 1), Ordering::AcqRel);
    }

    /// The mirror is the list itself and can never be outdated.
    pub fn is_always_complete(&self) {
        self.complete_as_of.store(ALWAYS_COMPLETE, Ordering::Release);
    }

    /// How many parts [`Mirror::begin_comparison`], [`Mirror::end_comparison`] and [`Mirror::sweep`] work on. They take
    /// one at a time, so that a caller with other things to do can do them in between.
    pub fn parts(&self) -> usize {
        self.shards.len()
    }

    /// Prepares a part for being compared with everything that is in the store: what is not [`Mirror::put`] until
    /// [`Mirror::end_comparison`] is absent. Once an entry's absence is [`Absence::Unexplained`], it stays so until the
    /// entry is put again.
    pub fn begin_comparison(&self, part: usize, absence: Absence) {
        self.shards[part].unmark(absence);
    }

    /// Removes the entries of a part that are absent because they were lifted.
    pub fn end_comparison(&self, part: usize) {
        self.shards[part].settle(&self.counts);
    }

    /// Removes the entries of a part that have expired, and gives back their memory.
    pub fn sweep(&self, part: usize, now: Instant) {
        self.shards[part].sweep(self.second(now), &self.counts);
    }

    fn shard(&self, fingerprint: Fingerprint) -> &Shard {
        // Inside a shard the first word decides, so here another one does.
        let [_, _, last] = fingerprint.words();
        &self.shards[last as usize % SHARDS]
    }

    fn second(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.origin).as_secs()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
