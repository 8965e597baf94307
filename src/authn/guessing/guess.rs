//! One attempt to sign in: whether it may be made, and what becomes of what was counted for it.

use std::net::{IpAddr, Ipv6Addr};

use super::table::Table;
use super::{About, Kind, Limiter, MICROS, Pace, TooMany};
use crate::request::network_of;

/// How long a source counts as known to a user after it has signed in.
pub(super) const KNOWN_FOR: u64 = 24 * 60 * 60 * MICROS;

/// How much older a sign-in has to be before it is noted again, so that a busy client writes once a minute.
const NOTED_FOR: u64 = 60 * MICROS;

/// A forged signature costs a thousandth of what a wrong password does, so more of them are borne.
const TOKENS_FOR_ONE_PASSWORD: u64 = 50;

/// How many sources a site of IPv6 may have that use up their budgets. A site has 65,536 of them for the asking.
const SOURCES_OF_A_SITE: u64 = 16;

/// One attempt to sign in. What it is counted under is worked out only when that is asked for.
#[derive(Clone, Copy)]
pub struct Guess<'a> {
    pub(super) limiter: &'a Limiter,
    pub(super) kind: Kind,
    pub(super) source: IpAddr,
    pub(super) principal: &'a [u8],
}

/// An attempt that was counted before it is made. It stays counted, unless it [was right](Taken::was_right).
#[must_use]
pub struct Taken<'a> {
    guess: Guess<'a>,
    of_source: Option<Pace>,
    of_pair: Option<Pace>,
}

/// How well a source is known to the user that it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has signed in lately.
    Known,
    /// Nothing is known, or it is time to note it again.
    Stranger,
}

impl<'a> Guess<'a> {
    /// What kind of credential is tried.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the attempt may be made at all, without counting it.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn check(&self) -> Result<Standing, TooMany> {
        self.check_at(self.limiter.memory.now())
    }

    /// Counts the attempt as a failure before it is made.
    ///
    /// # Errors
    /// [`TooMany`]: it may not be made, and nothing was counted.
    pub fn take(&self) -> Result<Taken<'a>, TooMany> {
        self.take_at(self.limiter.memory.now())
    }

    /// Counts an attempt that was made without [`Guess::take`] and was wrong.
    pub fn failed(&self) {
        let now = self.limiter.memory.now();
        if let Some(pace) = self.limiter.source {
            for (key, price) in self.sources(pace) {
                self.failures().charge(key, price, pace.most, now);
            }
        }
    }

    /// Notes that this source has signed in as this user: it will be heard when its neighbours are not.
    pub fn succeeded(&self) {
        let now = self.limiter.memory.now();
        self.limiter.memory.known.note(self.principal(), self.pair(), now + KNOWN_FOR);
    }

    pub(super) fn check_at(&self, now: u64) -> Result<Standing, TooMany> {
        let failures = self.failures();
        let pair = self.pair();
        let of_pair = self.pace_of_pair().and_then(|pace| Some((pace, failures.get(pair)?)));
        if let Some((pace, until)) = of_pair {
            TooMany::unless(pace.wait(pace.each, until, now))?;
        }
        let known = self.known_until(pair);
        if known > now {
            let noted_lately = known > now + KNOWN_FOR - NOTED_FOR;
            return Ok(if noted_lately { Standing::Known } else { Standing::Stranger });
        }
        if let Some(pace) = self.limiter.source {
            for (key, price) in self.sources(pace) {
                if let Some(until) = failures.get(key) {
                    TooMany::unless(pace.wait(price, until, now))?;
                }
            }
        }
        if of_pair.is_some_and(|(_, until)| until > now) {
            self.check_principal(now)?;
        }
        Ok(Standing::Stranger)
    }

    pub(super) fn take_at(&self, now: u64) -> Result<Taken<'a>, TooMany> {
        let mut taken = Taken { guess: *self, of_source: None, of_pair: None };
        let failures = self.failures();
        let pair = self.pair();
        let known = self.known_until(pair) > now;
        // Whoever is known to a user is not held back by neighbours, and does not use up what is theirs.
        if let Some(pace) = self.limiter.source.filter(|_| !known) {
            let mut before: Option<(u64, u64)> = None;
            for (key, price) in self.sources(pace) {
                failures.take(key, price, pace.most, now).map_err(|wait| {
                    if let Some((key, price)) = before {
                        failures.give_back(key, price);
                    }
                    TooMany::after(wait)
                })?;
                before = Some((key, price));
            }
            taken.of_source = Some(pace);
        }
        let Some(pace) = self.pace_of_pair() else { return Ok(taken) };
        match failures.take(pair, pace.each, pace.most, now) {
            Ok(before) => {
                taken.of_pair = Some(pace);
                if before > now
                    && !known
                    && let Err(too_many) = self.check_principal(now)
                {
                    taken.was_right();
                    return Err(too_many);
                }
                Ok(taken)
            }
            Err(wait) => {
                taken.was_right();
                Err(TooMany::after(wait))
            }
        }
    }

    /// What the source counts under, and what an attempt costs there.
    fn sources(&self, pace: Pace) -> impl Iterator<Item = (u64, u64)> {
        let price = if self.kind == Kind::Token { pace.each / TOKENS_FOR_ONE_PASSWORD } else { pace.each };
        let key = |about, network| self.limiter.memory.key(about, self.kind, Some(network), None);
        let site = site_of(self.source).map(|site| (key(About::Site, site), price / SOURCES_OF_A_SITE));
        std::iter::once((key(About::Source, network_of(self.source)), price)).chain(site)
    }

    fn failures(&self) -> &'a Table {
        &self.limiter.memory.failures[self.kind as usize]
    }

    fn pair(&self) -> u64 {
        self.limiter.memory.key(About::Pair, self.kind, Some(network_of(self.source)), Some(self.principal))
    }

    fn principal(&self) -> u64 {
        self.limiter.memory.key(About::Principal, self.kind, None, Some(self.principal))
    }

    /// How many failures a source may have with one user name, which holds for a known one as well.
    fn pace_of_pair(&self) -> Option<Pace> {
        self.limiter.principal.or(self.limiter.source).filter(|_| self.kind == Kind::Password)
    }

    /// Until when this source is known to this user. Each wrong key is another one, so only users have such a memory.
    fn known_until(&self, pair: u64) -> u64 {
        if self.kind != Kind::Password {
            return 0;
        }
        self.limiter.memory.known.get_in(self.principal(), pair).unwrap_or_default()
    }

    /// Whether a user name has not failed too often, from wherever.
    fn check_principal(&self, now: u64) -> Result<(), TooMany> {
        let Some(pace) = self.limiter.principal else { return Ok(()) };
        match self.failures().get(self.principal()) {
            Some(until) => TooMany::unless(pace.wait(pace.each, until, now)),
            None => Ok(()),
        }
    }
}

impl Taken<'_> {
    /// The attempt was wrong: it stays counted, and counts against the user name as well.
    pub fn was_wrong(self) {
        let now = self.guess.limiter.memory.now();
        self.was_wrong_at(now);
    }

    /// The attempt was right: it does not count.
    pub fn was_right(self) {
        let Self { guess, of_source, of_pair } = self;
        let failures = guess.failures();
        for (key, price) in of_source.into_iter().flat_map(|pace| guess.sources(pace)) {
            failures.give_back(key, price);
        }
        if let Some(pace) = of_pair {
            failures.give_back(guess.pair(), pace.each);
        }
    }

    pub(super) fn was_wrong_at(self, now: u64) {
        let Self { guess, .. } = self;
        let (Some(pace), Kind::Password) = (guess.limiter.principal, guess.kind) else { return };
        guess.failures().charge(guess.principal(), pace.each, pace.most, now);
        if guess.check_principal(now).is_err() && guess.known_until(guess.pair()) <= now {
            // It was the one attempt of this source.
            guess.failures().charge(guess.pair(), pace.most, pace.most, now);
        }
    }
}

/// The site that a source of IPv6 belongs to: a /48 (RFC 6177 §2).
fn site_of(source: IpAddr) -> Option<IpAddr> {
    match network_of(source) {
        IpAddr::V4(_) => None,
        IpAddr::V6(network) => Some(Ipv6Addr::from_bits(network.to_bits() >> 80 << 80).into()),
    }
}
