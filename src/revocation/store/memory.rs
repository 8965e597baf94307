//! A list in the memory of this process: the mirror, and beside it the names and reasons that the mirror does not keep.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Bequest, Cursor, Failure, Listed, Page};
use crate::authn::revocable::Kind;
use crate::clock::Clock;
use crate::revocation::cutoff::Cutoff;
use crate::revocation::entry::{Entry, Lifetime, Name};
use crate::revocation::mirror::{Mirror, Term};

/// Names and reasons, by key.
pub(in crate::revocation) struct Memory {
    mirror: Arc<Mirror>,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: BTreeMap<String, Stored>,
    /// Whether another process has them now.
    handed_over: bool,
}

struct Stored {
    name: Name,
    time: Option<u64>,
    end: Option<Instant>,
    reason: Box<str>,
}

/// Shows how much there is, not what.
impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Memory")
            .field("entries", &self.entries().by_key.len())
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty list, which `mirror` shows completely from now on.
    pub(super) fn new(mirror: Arc<Mirror>) -> Self {
        mirror.is_always_complete();
        Self { mirror, entries: Mutex::default() }
    }

    pub(super) fn add(&self, entry: &Entry) -> Result<(), Failure> {
        let (now, name) = (Instant::now(), entry.name());
        let remaining = entry.lifetime().duration();
        let cutoff = entry.time().map_or(Cutoff::EVERYTHING, Cutoff::at);
        let stored = Stored {
            name: name.clone(),
            time: entry.time(),
            end: remaining.and_then(|remaining| now.checked_add(remaining)),
            reason: entry.reason().into(),
        };
        // Under one lock, so that what is listed and what is enforced are the same.
        let mut entries = self.writable()?;
        entries.by_key.insert(name.key(), stored);
        self.mirror.put(name.kind(), name.fingerprint(), Term { remaining, cutoff }, now);
        Ok(())
    }

    pub(super) fn remove(&self, name: &Name) -> Result<bool, Failure> {
        let now = Instant::now();
        let mut entries = self.writable()?;
        self.mirror.remove(name.fingerprint());
        Ok(entries.by_key.remove(&name.key()).is_some_and(|stored| stored.stands(now)))
    }

    pub(super) fn hand_over(&self) -> Vec<Bequest> {
        let now = Instant::now();
        let mut entries = self.entries();
        entries.handed_over = true;
        let standing = entries.by_key.iter().filter(|(_, stored)| stored.stands(now));
        standing.map(|(key, stored)| stored.bequest(key, now)).collect()
    }

    pub(super) fn keep(&self) {
        self.entries().handed_over = false;
    }

    pub(super) fn inherit(&self, bequests: &[Bequest]) -> bool {
        bequests.iter().all(|bequest| {
            let Bequest { key, time, seconds, reason } = bequest;
            let lifetime = seconds.map_or(Lifetime::Endless, Lifetime::Seconds);
            let entry = Name::of_key(key.as_bytes())
                .and_then(|name| Entry::new(name, lifetime, reason, time.unwrap_or_default()).ok());
            entry.is_some_and(|entry| self.add(&entry).is_ok())
        })
    }

    fn writable(&self) -> Result<MutexGuard<'_, Entries>, Failure> {
        let entries = self.entries();
        if entries.handed_over { Err(Failure::HandedOver) } else { Ok(entries) }
    }

    pub(super) fn list(&self, kind: Option<Kind>, cursor: &Cursor, limit: usize, clock: &Clock) -> Page {
        let (now, seconds) = (Instant::now(), clock.unix_seconds());
        let entries = self.entries();
        let from = match cursor.as_str() {
            "" => Bound::Unbounded,
            last => Bound::Excluded(last),
        };
        let mut standing = entries
            .by_key
            .range::<str, _>((from, Bound::Unbounded))
            .filter(|(_, stored)| stored.stands(now) && kind.is_none_or(|kind| kind == stored.name.kind()));
        let mut page = Page::default();
        let mut last = "";
        for (key, stored) in standing.by_ref().take(limit) {
            page.entries.push(stored.listed(now, seconds));
            last = key;
        }
        page.next = standing.next().is_some().then(|| Cursor::new(last));
        page
    }

    /// Forgets what has expired.
    pub(in crate::revocation) fn sweep(&self) {
        let now = Instant::now();
        self.entries().by_key.retain(|_, stored| stored.stands(now));
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    fn stands(&self, now: Instant) -> bool {
        self.end.is_none_or(|end| end > now)
    }

    fn bequest(&self, key: &str, now: Instant) -> Bequest {
        // Rounded up: an entry may stand a little longer, and never shorter.
        let seconds = self.end.map(|end| end.saturating_duration_since(now).as_secs() + 1);
        Bequest { key: key.to_owned(), time: self.time, seconds, reason: self.reason.to_string() }
    }

    fn listed(&self, now: Instant, seconds: u64) -> Listed {
        let remaining = |end: Instant| end.saturating_duration_since(now) + Duration::from_millis(500);
        let expires = self.end.map(|end| seconds.saturating_add(remaining(end).as_secs()));
        Listed::new(&self.name, self.time, expires, &self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::revocable::Revocable;
    use crate::revocation::entry::Issuer;

    fn entry(kind: Kind, id: &str, lifetime: Lifetime) -> Entry {
        Entry::new(Name::new(kind, id, Issuer::Any).unwrap(), lifetime, "why", 100).unwrap()
    }

    #[test]
    fn what_is_written_is_enforced_and_listed() {
        let mirror = Arc::new(Mirror::new());
        let memory = Memory::new(mirror.clone());
        let (alice, clock) = (Revocable::new("alice", Some(100)), Clock::manual(100));
        let now = Instant::now;
        assert_eq!(mirror.age(now()), Some(Duration::ZERO));
        assert!(!mirror.revokes(&alice, now()));
        memory.add(&entry(Kind::Sub, "alice", Lifetime::Seconds(3600))).unwrap();
        assert!(mirror.revokes(&alice, now()));
        assert!(!mirror.revokes(&Revocable::new("alice", Some(101)), now()));
        let page = memory.list(None, &Cursor::default(), 10, &clock);
        let expect = Listed {
            kind: "sub",
            id: "alice".to_owned(),
            issuer_hash: None,
            issued_until: Some("1970-01-01T00:01:40Z".to_owned()),
            expires: Some("1970-01-01T01:01:40Z".to_owned()),
            reason: "why".to_owned(),
        };
        assert_eq!(page, Page { entries: vec![expect], next: None });
        let name = Name::new(Kind::Sub, "alice", Issuer::Any).unwrap();
        assert!(memory.remove(&name).unwrap() && !memory.remove(&name).unwrap());
        assert!(!mirror.revokes(&alice, now()));
        assert_eq!(memory.list(None, &Cursor::default(), 10, &clock), Page::default());
    }

    #[test]
    fn another_process_enforces_and_lists_what_it_inherits() {
        let old = Memory::new(Arc::new(Mirror::new()));
        for (kind, id, lifetime) in [
            (Kind::Sub, "alice", Lifetime::Seconds(3600)),
            (Kind::Key, "k_1", Lifetime::Endless),
            (Kind::Jti, "t:1", Lifetime::Seconds(1)),
        ] {
            old.add(&entry(kind, id, lifetime)).unwrap();
        }
        let bequests = old.hand_over();
        // What the other would not hear of is refused, until it is clear that there will be no other.
        assert!(matches!(old.add(&entry(Kind::Key, "k_2", Lifetime::Endless)), Err(Failure::HandedOver)));
        let name = Name::new(Kind::Sub, "alice", Issuer::Any).unwrap();
        assert!(matches!(old.remove(&name), Err(Failure::HandedOver)));
        let mirror = Arc::new(Mirror::new());
        let new = Memory::new(mirror.clone());
        assert!(new.inherit(&bequests));
        let ids = |memory: &Memory| -> Vec<String> {
            let page = memory.list(None, &Cursor::default(), 10, &Clock::manual(100));
            page.entries
                .into_iter()
                .map(|listed| format!("{} {:?}", listed.id, listed.issued_until))
                .collect()
        };
        assert_eq!(ids(&new), ids(&old));
        assert_eq!(ids(&new).len(), 3);
        assert!(mirror.revokes(&Revocable::new("alice", Some(100)), Instant::now()));
        assert!(!mirror.revokes(&Revocable::new("alice", Some(101)), Instant::now()));
        old.keep();
        assert!(old.remove(&name).unwrap());
        let unknown = Bequest { key: "x".to_owned(), time: None, seconds: None, reason: String::new() };
        assert!(!new.inherit(&[unknown]));
    }

    #[test]
    fn pages_cover_everything_once() {
        let memory = Memory::new(Arc::new(Mirror::new()));
        let clock = Clock::manual(100);
        for number in 0..25 {
            memory.add(&entry(Kind::Key, &format!("k{number:02}"), Lifetime::Endless)).unwrap();
            memory.add(&entry(Kind::Jti, &format!("t{number:02}"), Lifetime::Endless)).unwrap();
        }
        for (kind, limit, expect) in [
            (None, 7, vec![7, 7, 7, 7, 7, 7, 7, 1]),
            (None, 50, vec![50]),
            (Some(Kind::Key), 10, vec![10, 10, 5]),
            (Some(Kind::Jti), 25, vec![25]),
            (Some(Kind::Sub), 25, vec![0]),
        ] {
            let (mut cursor, mut sizes, mut seen) = (Cursor::default(), Vec::new(), Vec::new());
            loop {
                let page = memory.list(kind, &cursor, limit, &clock);
                sizes.push(page.entries.len());
                seen.extend(page.entries.into_iter().map(|listed| (listed.kind, listed.id)));
                match page.next {
                    Some(next) => cursor = next,
                    None => break,
                }
            }
            assert_eq!(sizes, expect, "{kind:?} {limit}");
            let all = seen.len();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), all, "{kind:?} {limit}");
        }
    }
}
