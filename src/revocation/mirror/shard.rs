//! One of the tables that the mirror is made of, and how an entry is packed into it.
//!
//! A table is a sorted list. Fingerprints are evenly spread, so where one stands can be computed up to a few places: a
//! look-up costs about one access to memory, as with a hash table. Unlike one, a list grows by a little at a time,
//! leaves no room unused and never makes a request wait while it is rebuilt.

use std::sync::atomic::Ordering;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::{Absence, Counts, Noted};
use crate::authn::revocable::Kind;
use crate::fingerprint::Fingerprint;
use crate::revocation::cutoff::Cutoff;

/// A table and its lock.
#[derive(Default)]
pub(super) struct Shard(RwLock<Vec<Slot>>);

impl Shard {
    /// What the entry denies at `second`, if there is one.
    pub(super) fn find(&self, fingerprint: Fingerprint, second: u32) -> Option<Cutoff> {
        let slots = self.read();
        let slot = slots[position(&slots, fingerprint).ok()?];
        (!slot.deadline.has_passed(second)).then(|| Cutoff::from_seconds(slot.cutoff))
    }

    /// Writes an entry down.
    pub(super) fn put(&self, slot: Slot, second: u32, counts: &Counts) -> Noted {
        let mut slots = self.write();
        match position(&slots, slot.name) {
            Ok(at) => {
                let previous = std::mem::replace(&mut slots[at], slot);
                if !previous.deadline.has_passed(second) && previous.cutoff == slot.cutoff {
                    return Noted::Known;
                }
            }
            Err(at) => {
                if slots.len() == slots.capacity() {
                    let more = slots.len() / 8 + 4;
                    slots.reserve_exact(more);
                }
                slots.insert(at, slot);
                counts[index(slot.deadline.kind())].fetch_add(1, Ordering::Release);
            }
        }
        Noted::New
    }

    /// Removes an entry and says whether there was one.
    pub(super) fn remove(&self, fingerprint: Fingerprint, counts: &Counts) -> bool {
        let mut slots = self.write();
        let Ok(at) = position(&slots, fingerprint) else { return false };
        forget(slots.remove(at), counts);
        true
    }

    /// Marks every entry as not seen.
    pub(super) fn unmark(&self, absence: Absence) {
        for slot in self.write().iter_mut() {
            slot.deadline.unmark(absence);
        }
    }

    /// Removes what was not seen and whose absence is explained.
    pub(super) fn settle(&self, counts: &Counts) {
        self.retain(counts, Deadline::stands);
    }

    /// Removes what has expired.
    pub(super) fn sweep(&self, second: u32, counts: &Counts) {
        self.retain(counts, |deadline| !deadline.has_passed(second));
    }

    fn retain(&self, counts: &Counts, stays: impl Fn(Deadline) -> bool) {
        // Most of the time nothing has to go, and then requests need not wait.
        if self.read().iter().all(|slot| stays(slot.deadline)) {
            return;
        }
        let mut slots = self.write();
        slots.retain(|slot| {
            let stays = stays(slot.deadline);
            if !stays {
                forget(*slot, counts);
            }
            stays
        });
        let room = slots.len() + slots.len() / 4;
        slots.shrink_to(room);
    }

    /// For how many entries there is memory.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.read().capacity()
    }

    /// A panic elsewhere leaves a table usable: nothing in here is changed in two steps.
    fn read(&self) -> RwLockReadGuard<'_, Vec<Slot>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Slot>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where `name` stands in a sorted table, or where it would have to be put.
fn position(slots: &[Slot], name: Fingerprint) -> Result<usize, usize> {
    let words = name.words();
    // The first word is evenly spread over all numbers, so its share of them is about its share of the table. Names are
    // keyed, so nobody can choose ones that make this walk long.
    let [first, _, _] = words;
    let mut at = ((u64::from(first) * slots.len() as u64) >> 32) as usize;
    while at > 0 && slots[at - 1].name.words() >= words {
        at -= 1;
    }
    while at < slots.len() && slots[at].name.words() < words {
        at += 1;
    }
    if slots.get(at).is_some_and(|slot| slot.name == name) { Ok(at) } else { Err(at) }
}

fn forget(slot: Slot, counts: &Counts) {
    counts[index(slot.deadline.kind())].fetch_sub(1, Ordering::Release);
}

/// An entry, in twenty bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    name: Fingerprint,
    deadline: Deadline,
    cutoff: u32,
}

impl Slot {
    pub(super) fn new(kind: Kind, name: Fingerprint, deadline: Deadline, cutoff: Cutoff) -> Self {
        Self { name, deadline: deadline.of(kind), cutoff: cutoff.seconds() }
    }
}

/// When an entry ends and what is known about it:
///
/// ```text
///  31                            5   4  2    1      0
/// ┌───────────────────────────────┬──────┬──────┬──────┐
/// │ seconds of the mirror's time  │ kind │ kept │ seen │
/// └───────────────────────────────┴──────┴──────┴──────┘
/// ```
///
/// An entry is kept when its absence from the store would be unexplained. The seconds last for four years; what ends
/// later than that ends with its removal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(u32);

const SEEN: u32 = 1;
const KEPT: u32 = 1 << 1;
const KIND_SHIFT: u32 = 2;
const KIND_MASK: u32 = 0b111 << KIND_SHIFT;
const SECONDS_SHIFT: u32 = 5;

impl Deadline {
    /// No end.
    pub(super) const NEVER: Self = Self(u32::MAX << SECONDS_SHIFT | SEEN);

    /// At `end` on the mirror's time, rounded up to the second: rather a moment too long than too short.
    pub(super) fn after(end: Duration) -> Self {
        let seconds = end.as_secs().saturating_add(u64::from(end.subsec_nanos() > 0));
        match u32::try_from(seconds) {
            Ok(seconds) if seconds < Self::NEVER.seconds() => Self(seconds << SECONDS_SHIFT | SEEN),
            Ok(_) | Err(_) => Self::NEVER,
        }
    }

    fn of(self, kind: Kind) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "there are six kinds")]
        let kind = index(kind) as u32;
        Self(self.0 & !KIND_MASK | kind << KIND_SHIFT)
    }

    fn kind(self) -> Kind {
        let at = (self.0 & KIND_MASK) >> KIND_SHIFT;
        Kind::ALL.get(at as usize).copied().unwrap_or(Kind::ALL[0])
    }

    fn has_passed(self, second: u32) -> bool {
        self.seconds() <= second && self.seconds() != Self::NEVER.seconds()
    }

    fn stands(self) -> bool {
        self.0 & (SEEN | KEPT) != 0
    }

    fn unmark(&mut self, absence: Absence) {
        self.0 &= !SEEN;
        match absence {
            Absence::Lifted => {}
            Absence::Unexplained => self.0 |= KEPT,
        }
    }

    const fn seconds(self) -> u32 {
        self.0 >> SECONDS_SHIFT
    }
}

/// The position of a kind in [`Kind::ALL`].
pub(super) const fn index(kind: Kind) -> usize {
    match kind {
        Kind::Client => 0,
        Kind::Jti => 1,
        Kind::Key => 2,
        Kind::Sid => 3,
        Kind::Sub => 4,
        Kind::User => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_twenty_bytes() {
        assert_eq!(size_of::<Slot>(), 20);
    }

    #[test]
    fn kinds_survive_packing() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(index(kind), at);
            for deadline in [Deadline::NEVER, Deadline::after(Duration::from_secs(77))] {
                assert_eq!(
                    (deadline.of(kind).kind(), deadline.of(kind).seconds()),
                    (kind, deadline.seconds())
                );
            }
        }
    }

    #[test]
    fn deadlines_are_rounded_up() {
        let second = |end| Deadline::after(end).seconds();
        assert_eq!(second(Duration::ZERO), 0);
        assert_eq!(second(Duration::from_millis(1)), 1);
        assert_eq!(second(Duration::from_secs(10)), 10);
        assert_eq!(second(Duration::from_millis(10_001)), 11);
        for forever in [Duration::from_secs(1 << 27), Duration::from_secs(1 << 33), Duration::MAX] {
            assert!(!Deadline::after(forever).has_passed(u32::MAX), "{forever:?}");
        }
        let (before, at) = (Deadline::after(Duration::from_secs(10)), 10);
        assert!(before.has_passed(at) && !before.has_passed(at - 1));
    }
}
