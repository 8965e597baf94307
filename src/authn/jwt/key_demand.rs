//! When the keys of an issuer may be fetched for tokens that name an unknown key, and what is known about such keys.
//!
//! Every unknown `kid` could be one that the issuer has published since the last fetch, or one that an attacker made up. A
//! [`Demand`] grants fetches from a token bucket for the whole source, so that no number of such tokens causes more. While
//! no fetch is available it schedules one for the moment when the next is: a key that was published by then becomes known
//! without any further request.

use std::time::Duration;

use tokio::time::Instant;

use crate::fingerprint::Fingerprint;

/// Fetches that unknown keys can cause at once. An issuer that rotates its keys twice in a row, as operators do after a
/// mistake, needs two.
pub const BURST: u32 = 3;

/// One more fetch becomes available in this time.
pub const COOL_DOWN: Duration = Duration::from_secs(10);

/// How many unknown keys are remembered. They are few in honest use (a client of another environment); a flood of made-up
/// keys replaces them, which makes their tokens get 503 and not 401 for a while.
const REMEMBERED: usize = 256;

/// What to do with a token that names an unknown key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A fetch that began after the key was first named has not brought it: the issuer does not have it.
    Absent,
    /// A fetch is due later.
    Later,
    /// This round may bring it, or show that it is absent.
    Round {
        /// The round to wait for.
        wait_for: u64,
        /// If this round or a later one succeeds without the key, the issuer does not have it.
        decides: u64,
    },
}

/// The demand for the keys of one issuer. Rounds are counted from 1.
pub(super) struct Demand {
    /// The last round that began.
    begun: u64,
    /// The last round that ended, well or not.
    ended: u64,
    /// The last round that was asked for, and the moment before which it must not begin.
    asked: Asked,
    /// The last round that succeeded, and when.
    succeeded: Option<(u64, Instant)>,
    /// When the bucket is full again.
    full_at: Option<Instant>,
    /// Unknown keys, and the round that decides about each.
    named: Box<[Option<(Fingerprint, u64)>]>,
}

/// A round that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) round: u64,
    pub(super) not_before: Instant,
}

impl Demand {
    pub(super) fn new() -> Self {
        Self {
            begun: 0,
            ended: 0,
            asked: Asked { round: 0, not_before: Instant::now() },
            succeeded: None,
            full_at: None,
            named: Box::default(),
        }
    }

    /// The last round that began.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// The last round that was asked for.
    pub(super) fn asked(&self) -> Asked {
        self.asked
    }

    /// Begins a round, and returns its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// Notes that `round` has ended.
    pub(super) fn end(&mut self, round: u64) {
        self.ended = round;
    }

    /// Notes that `round` has brought keys, and that those called `removed` are no longer among them. Tokens that the issuer
    /// signed before it removed a key go on coming for a while, and must not take the fetches that new keys need.
    pub(super) fn succeed(&mut self, round: u64, removed: impl Iterator<Item = Fingerprint>, now: Instant) {
        self.succeeded = Some((round, now));
        for name in removed {
            *self.slot(name) = Some((name, round));
        }
    }

    /// Whether `round` or a later one has brought keys.
    pub(super) fn has_succeeded(&self, round: u64) -> bool {
        self.succeeded.is_some_and(|(last, _)| last >= round)
    }

    /// Asks for the first round that can bring what no round has brought so far, unless it was asked for before.
    pub(super) fn ask(&mut self, now: Instant) -> Asked {
        if self.asked.round <= self.begun {
            // A round that is under way may have been answered before the issuer had the new key.
            self.asked = Asked { round: self.begun + 1, not_before: self.take(now) };
        }
        self.asked
    }

    /// Decides about a token that names the unknown key `name`.
    pub(super) fn judge(&mut self, name: Fingerprint, now: Instant) -> Verdict {
        let named = self.slot(name).filter(|(other, _)| *other == name).map(|(_, decides)| decides);
        if let (Some(decides), Some((last, when))) = (named, self.succeeded)
            && last >= decides
            && now.duration_since(when) < COOL_DOWN
        {
            return Verdict::Absent;
        }
        if let Some(decides) = named
            && (self.ended + 1..=self.begun).contains(&decides)
        {
            return Verdict::Round { wait_for: decides, decides };
        }
        let Asked { round, not_before } = self.ask(now);
        // A round that has failed still decides: any that succeeds after it has shown as much.
        let decides = named.filter(|decides| !self.has_succeeded(*decides)).unwrap_or(round);
        *self.slot(name) = Some((name, decides));
        if not_before > now { Verdict::Later } else { Verdict::Round { wait_for: round, decides } }
    }

    /// The place of an unknown key, which another one may have.
    fn slot(&mut self, name: Fingerprint) -> &mut Option<(Fingerprint, u64)> {
        if self.named.is_empty() {
            self.named = vec![None; REMEMBERED].into();
        }
        let [first, ..] = name.words();
        &mut self.named[first as usize % REMEMBERED]
    }

    /// Takes a fetch from the bucket, and returns when it is available.
    fn take(&mut self, now: Instant) -> Instant {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        let wait = full_at.duration_since(now).saturating_sub(COOL_DOWN * (BURST - 1));
        self.full_at = Some(full_at + COOL_DOWN);
        now + wait
    }
}
