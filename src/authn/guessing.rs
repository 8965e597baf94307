//! Limits how often somebody may be wrong, so that passwords cannot be guessed and hashing them cannot be used to keep
//! the gateway busy (OWASP Authentication Cheat Sheet; NIST SP 800-63B §3.2.2).
//!
//! Only failures count. They are counted for each source and kind of credential, for each user name, and for the two
//! together, in buckets that fill with failures and run empty at the rate that the policy gives:
//!
//! - a source whose bucket is full may try no more, whoever it claims to be, unless it has signed in as that user before:
//!   a neighbour behind the same address who guesses at others does not lock that user out;
//! - a source that was wrong about one user too often may not try that user any more, not even with the right password:
//!   otherwise it would learn from the answer which one that is;
//! - a user name that failed too often, from wherever, leaves each further source one attempt in the time in which a full
//!   bucket runs empty. A source that has not failed is always heard, so nobody is locked out by guesses made elsewhere.
//!
//! A refused attempt is not verified and counts for nothing. One that is verified takes its place beforehand and gives it
//! back when it was right, so that many at once are no way around.

mod guess;
mod table;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::units::Quota;
use table::Table;

pub use guess::{Guess, Standing, Taken};

/// How many sources, user names and pairs of them are remembered for each kind of credential. It bounds the memory, to
/// half a megabyte for each of four tables.
const ENTRIES: usize = 1 << 15;

const MICROS: u64 = 1_000_000;

/// What has been counted; it lives as long as the process does.
pub struct Memory {
    /// One for each kind: wrong keys are made in no time and must not push out wrong passwords.
    failures: [Table; Kind::COUNT],
    known: Table,
    /// Keyed at random for each process, so that nobody can choose what shares a place with what.
    hasher: RandomState,
    began: Instant,
}

/// What is counted, and how much of it is borne.
#[derive(Clone)]
pub struct Limiter {
    memory: Arc<Memory>,
    source: Option<Pace>,
    principal: Option<Pace>,
}

/// A quota in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    /// How long one failure takes to be forgotten.
    each: u64,
    /// How much of that may add up.
    most: u64,
}

/// What kind of credential is tried. Each has a budget of its own at every source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An API key that is short enough to be guessed.
    Key,
    /// A user name and a password.
    Password,
    /// What cannot be guessed, but takes time to verify or to look up: a signed token, or a long API key.
    Token,
}

/// There were too many failures: this attempt is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Seconds until there is room for another one; at least one.
    pub retry_after: u32,
}

/// What is known at a moment, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Sources, user names and pairs with failures that are not forgotten yet.
    pub tracked: usize,
    /// Sources that may try no more for now.
    pub sources: usize,
    /// User names that failed too often for now.
    pub principals: usize,
}

/// What a place in the table is about, in the lowest bits of its key; never zero, as no key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum About {
    Source = 1,
    Site = 2,
    Pair = 3,
    Principal = 4,
}

const ABOUT: u64 = 0b111;

impl Memory {
    /// Nothing has happened yet.
    pub fn new() -> Arc<Self> {
        Self::with_entries(ENTRIES)
    }

    /// Nothing has happened yet, and `entries` of each kind are remembered at most.
    pub fn with_entries(entries: usize) -> Arc<Self> {
        Arc::new(Self {
            failures: std::array::from_fn(|_kind| Table::new(entries)),
            known: Table::new(entries),
            hasher: RandomState::new(),
            // Failures are forgotten by a clock that nobody can set.
            began: Instant::now(),
        })
    }

    /// Microseconds since the process began.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn key(&self, about: About, kind: Kind, source: Option<IpAddr>, principal: Option<&[u8]>) -> u64 {
        self.hasher.hash_one((about, kind, source, principal)) & !ABOUT | about as u64
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { memory: _, source, principal } = self;
        formatter
            .debug_struct("Limiter")
            .field("source", source)
            .field("principal", principal)
            .finish_non_exhaustive()
    }
}

impl Limiter {
    /// Bears what `source` and `principal` say.
    pub fn new(memory: Arc<Memory>, source: Quota, principal: Quota) -> Self {
        Self { memory, source: Pace::of(source), principal: Pace::of(principal) }
    }

    /// What has been counted.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// An attempt from the address `source` to be `principal`: a user name, or an API key itself. Nothing is counted yet.
    pub fn guess<'a>(&'a self, kind: Kind, source: IpAddr, principal: &'a [u8]) -> Guess<'a> {
        Guess { limiter: self, kind, source, principal }
    }

    /// What is known now.
    pub fn state(&self) -> State {
        let now = self.memory.now();
        let mut state = State::default();
        let full = |pace: Option<Pace>, until| pace.is_some_and(|pace| pace.wait(pace.each, until, now) > 0);
        for table in &self.memory.failures {
            table.each(|key, until| {
                if until <= now {
                    return;
                }
                state.tracked += 1;
                if key & ABOUT == About::Source as u64 && full(self.source, until) {
                    state.sources += 1;
                } else if key & ABOUT == About::Principal as u64 && full(self.principal, until) {
                    state.principals += 1;
                }
            });
        }
        state
    }
}

impl Pace {
    fn of(quota: Quota) -> Option<Self> {
        let Quota::Limited(rate) = quota else { return None };
        let most = u64::try_from(rate.per().as_micros()).unwrap_or(u64::MAX);
        Some(Self { each: most / u64::from(rate.count()), most })
    }

    /// How long until a bucket that is empty at `until` has room for `price`; 0 when it has.
    fn wait(self, price: u64, until: u64, now: u64) -> u64 {
        until.max(now).saturating_add(price).saturating_sub(now.saturating_add(self.most))
    }
}

impl Kind {
    const COUNT: usize = 3;
}

impl TooMany {
    fn after(wait: u64) -> Self {
        Self { retry_after: u32::try_from(wait.div_ceil(MICROS)).unwrap_or(u32::MAX).max(1) }
    }

    fn unless(wait: u64) -> Result<(), Self> {
        if wait == 0 { Ok(()) } else { Err(Self::after(wait)) }
    }
}

#[cfg(test)]
mod tests;
