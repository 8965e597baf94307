//! Limits how often somebody may be wrong, so that passwords cannot be guessed and hashing them cannot be used to keep
//! the gateway busy (OWASP Authentication Cheat Sheet; NIST SP 800-63B §3.2.2).
//!
//! Only failures count. They are counted for each source and kind of credential, for each user name, and for the two
//! together, in buckets that fill with failures and run empty at the rate that the policy gives:
//!
//! - a source whose bucket is full may try no more, whoever it claims to be, unless it has signed in as that user before:
//!   a neighbour behind the same address who guesses does not lock others out;
//! - a source that was wrong about one user too often may not try that user any more;
//! - a user name that failed too often, from wherever, costs each further source its patience: one failure and it has to
//!   wait. A source that has not failed is always heard, so nobody is locked out by guesses that others make.
//!
//! A refused attempt is not verified and counts for nothing. One that is verified takes its place beforehand and gives it
//! back when it was right, so that many at once are no way around.

mod table;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::request::network_of;
use crate::units::Quota;
use table::Table;

/// How many sources, user names and pairs of them are remembered for each kind of credential. It bounds the memory, to
/// half a megabyte for each of four tables.
const ENTRIES: usize = 1 << 15;

/// How long a source counts as known to a user after it has signed in.
const KNOWN_FOR: u64 = 24 * 60 * 60 * MICROS;

/// How much older a sign-in has to be before it is noted again, so that a busy client writes once a minute.
const NOTED_FOR: u64 = 60 * MICROS;

/// A forged signature costs a thousandth of what a wrong password does, so more of them are borne.
const TOKENS_FOR_ONE_PASSWORD: u64 = 50;

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
    /// An API key of a form that is not ours, which may be short enough to be guessed.
    Key,
    /// A user name and a password.
    Password,
    /// A signed token. It cannot be guessed, but trying costs time.
    Token,
}

/// One attempt to sign in. What it is counted under is worked out only when that is asked for.
#[derive(Clone, Copy)]
pub struct Guess<'a> {
    limiter: &'a Limiter,
    kind: Kind,
    source: IpAddr,
    principal: &'a [u8],
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
    Pair = 2,
    Principal = 3,
}

const ABOUT: u64 = 0b11;

impl Memory {
    /// Nothing has happened yet.
    pub fn new() -> Arc<Self> {
        Self::with_entries(ENTRIES)
    }

    fn with_entries(entries: usize) -> Arc<Self> {
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

impl Guess<'_> {
    fn failures(&self) -> &Table {
        &self.limiter.memory.failures[self.kind as usize]
    }

    fn source(&self) -> u64 {
        self.limiter.memory.key(About::Source, self.kind, Some(network_of(self.source)), None)
    }

    fn pair(&self) -> u64 {
        self.limiter.memory.key(About::Pair, self.kind, Some(network_of(self.source)), Some(self.principal))
    }

    fn principal(&self) -> u64 {
        self.limiter.memory.key(About::Principal, self.kind, None, Some(self.principal))
    }

    /// What it costs its source.
    fn price(&self, pace: Pace) -> u64 {
        if self.kind == Kind::Token { pace.each / TOKENS_FOR_ONE_PASSWORD } else { pace.each }
    }

    /// How many failures a user name may have. Each wrong key is another one, so there is nobody for whom it would count.
    fn pace_of_principal(&self) -> Option<Pace> {
        self.limiter.principal.filter(|_| self.kind == Kind::Password)
    }

    /// Whether the attempt may be made at all, without counting it.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn check(&self) -> Result<(), TooMany> {
        self.check_at(self.limiter.memory.now())
    }

    /// Counts the attempt as a failure before it is made. It is to be followed by [`Guess::keep`] or [`Guess::give_back`].
    ///
    /// # Errors
    /// [`TooMany`]: it may not be made, and nothing was counted.
    pub fn take(&self) -> Result<(), TooMany> {
        self.take_at(self.limiter.memory.now())
    }

    /// The attempt was wrong: it counts against the user name as well.
    pub fn keep(&self) {
        self.keep_at(self.limiter.memory.now());
    }

    /// The attempt was right, or could not be judged: it does not count.
    pub fn give_back(&self) {
        let pair = self.pair();
        if let Some(pace) = self.limiter.source
            && !self.is_known(pair, self.limiter.memory.now())
        {
            self.failures().give_back(self.source(), self.price(pace));
        }
        if let Some(pace) = self.pace_of_principal() {
            self.failures().give_back(pair, pace.each);
        }
    }

    /// Counts an attempt that was made without [`Guess::take`] and was wrong.
    pub fn failed(&self) {
        let now = self.limiter.memory.now();
        if let Some(pace) = self.limiter.source {
            self.failures().charge(self.source(), self.price(pace), pace.most, now);
        }
    }

    /// Notes that this source has signed in as this user: it will be heard when its neighbours are not.
    pub fn succeeded(&self) {
        let now = self.limiter.memory.now();
        self.limiter.memory.known.note(self.pair(), now + KNOWN_FOR, NOTED_FOR);
    }

    fn check_at(&self, now: u64) -> Result<(), TooMany> {
        let failures = self.failures();
        let pair = self.pair();
        let of_pair = self.pace_of_principal().zip(failures.get(pair));
        if let Some((pace, until)) = of_pair {
            TooMany::unless(pace.wait(pace.each, until, now))?;
        }
        if self.is_known(pair, now) {
            return Ok(());
        }
        if let Some(pace) = self.limiter.source
            && let Some(until) = failures.get(self.source())
        {
            TooMany::unless(pace.wait(self.price(pace), until, now))?;
        }
        match of_pair {
            Some((pace, until)) if until > now => self.check_principal(pace, now),
            Some(_) | None => Ok(()),
        }
    }

    fn take_at(&self, now: u64) -> Result<(), TooMany> {
        let failures = self.failures();
        let pair = self.pair();
        // Whoever is known to a user is not held back by neighbours, and does not use up what is theirs.
        let source = self.limiter.source.filter(|_| !self.is_known(pair, now));
        if let Some(pace) = source {
            failures.take(self.source(), self.price(pace), pace.most, now).map_err(TooMany::after)?;
        }
        let taken = match self.pace_of_principal() {
            None => Ok(()),
            Some(pace) => match failures.take(pair, pace.each, pace.most, now) {
                Ok(before) if before > now && !self.is_known(pair, now) => {
                    self.check_principal(pace, now).inspect_err(|_| failures.give_back(pair, pace.each))
                }
                Ok(_) => Ok(()),
                Err(wait) => Err(TooMany::after(wait)),
            },
        };
        if let (Err(_), Some(pace)) = (taken, source) {
            failures.give_back(self.source(), self.price(pace));
        }
        taken
    }

    fn keep_at(&self, now: u64) {
        if let Some(pace) = self.pace_of_principal() {
            self.failures().charge(self.principal(), pace.each, pace.most, now);
        }
    }

    /// Whether this source has signed in as this user.
    fn is_known(&self, pair: u64, now: u64) -> bool {
        self.limiter.memory.known.get(pair).is_some_and(|until| until > now)
    }

    /// Whether a user name has not failed too often, from wherever.
    fn check_principal(&self, pace: Pace, now: u64) -> Result<(), TooMany> {
        match self.failures().get(self.principal()) {
            Some(until) => TooMany::unless(pace.wait(pace.each, until, now)),
            None => Ok(()),
        }
    }
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
