//! Attempts on the admin listener that were refused, and how many of them the audit log tells.
//!
//! Whoever may do nothing here can still ask without end, and must not fill a disk by that. The first attempts of a network
//! are recorded one by one; after those it gets a line less and less often, which says how many were left out. So nothing is
//! left out without a word, and however much is asked, a few lines an hour come of it. What is carried out is always recorded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::request::network_of;
use crate::telemetry::audit::{Administrator, Audit, Event, Principal};

/// How many attempts of a network are recorded one by one.
const ONE_BY_ONE: u32 = 10;

/// How long nothing is recorded of a network after that, doubled with each line.
const FIRST_SILENCE: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

/// How many networks are told apart. Those that come when there are more share an account, and so its lines.
const NETWORKS: usize = 256;

/// How much of a method and a path is recorded. Only the method can be long, and those that there are are not.
const LONGEST: usize = 100;

/// Those who were refused.
#[derive(Default)]
pub(in crate::proxy) struct TurnedAway(Mutex<Accounts>);

/// By network; of no network is what all others share.
#[derive(Default)]
struct Accounts(HashMap<Option<IpAddr>, Account>);

/// An attempt that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) source: IpAddr,
    /// The method and the path.
    pub(super) asked: String,
    /// The status of the answer.
    pub(super) status: u16,
    /// What the answer says.
    pub(super) reason: String,
}

/// A line: the attempt, and how many were left out before it.
#[derive(Debug, PartialEq, Eq)]
struct Told(Attempt, u64);

struct Account {
    one_by_one: u32,
    /// When a line was made of it.
    told: Instant,
    silence: Duration,
    /// The last attempt that was not told, and how many there are.
    untold: Option<(Attempt, u64)>,
}

impl TurnedAway {
    /// Records an attempt, or counts it.
    pub(super) fn note(&self, mut attempt: Attempt, audit: &Audit) {
        attempt.asked = attempt.asked.chars().take(LONGEST).collect();
        let told = self.accounts().note(attempt, Instant::now());
        record(told, audit);
    }

    /// Records what was left out and can be told by now. To be called every now and then.
    pub(super) fn tell(&self, audit: &Audit) {
        let told = self.accounts().due(Instant::now());
        record(told, audit);
    }

    /// Records everything that was left out.
    pub(in crate::proxy) fn tell_all(&self, audit: &Audit) {
        let told: Vec<Told> = self.accounts().0.drain().filter_map(|(_, account)| account.rest()).collect();
        record(told, audit);
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn note(&mut self, attempt: Attempt, now: Instant) -> Option<Told> {
        let network = Some(network_of(attempt.source));
        let known = self.0.len() < NETWORKS || self.0.contains_key(&network);
        let account = self.0.entry(network.filter(|_| known)).or_insert_with(|| Account::new(now));
        account.note(attempt, now)
    }

    /// What can be told by now. Whoever was silent for long is forgotten.
    fn due(&mut self, now: Instant) -> Vec<Told> {
        let told = self.0.values_mut().filter_map(|account| account.due(now)).collect();
        self.0.retain(|_, account| {
            account.untold.is_some() || now.saturating_duration_since(account.told) < LONGEST_SILENCE
        });
        told
    }
}

impl Account {
    fn new(now: Instant) -> Self {
        Self { one_by_one: 0, told: now, silence: FIRST_SILENCE, untold: None }
    }

    fn note(&mut self, attempt: Attempt, now: Instant) -> Option<Told> {
        if self.one_by_one < ONE_BY_ONE {
            (self.one_by_one, self.told) = (self.one_by_one + 1, now);
            return Some(Told(attempt, 0));
        }
        let count = self.untold.take().map_or(0, |(_, count)| count);
        self.untold = Some((attempt, count + 1));
        self.due(now)
    }

    fn due(&mut self, now: Instant) -> Option<Told> {
        if now.saturating_duration_since(self.told) < self.silence {
            return None;
        }
        let (attempt, count) = self.untold.take()?;
        self.told = now;
        self.silence = self.silence.saturating_mul(2).min(LONGEST_SILENCE);
        Some(Told(attempt, count - 1))
    }

    fn rest(self) -> Option<Told> {
        self.untold.map(|(attempt, count)| Told(attempt, count - 1))
    }
}

fn record(told: impl IntoIterator<Item = Told>, audit: &Audit) {
    for Told(Attempt { source, asked, status, reason }, left_out) in told {
        let by = Administrator { principal: Principal::Nobody, source: Some(source) };
        audit.record(&Event::AdminRefused { by, asked: &asked, status, reason: &reason, left_out });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn attempt(source: impl Into<IpAddr>, at: u64) -> Attempt {
        Attempt { source: source.into(), asked: format!("GET /{at}"), status: 401, reason: "no".into() }
    }

    const STRANGER: [u8; 4] = [192, 0, 2, 1];

    #[test]
    fn a_flood_makes_few_lines_and_none_of_it_goes_uncounted() {
        let (began, mut accounts) = (Instant::now(), Accounts::default());
        let (mut lines, mut counted) = (Vec::new(), 0);
        let hours = 6;
        for second in (0..hours * 3600).step_by(10) {
            let now = began + Duration::from_secs(second);
            let mut told: Vec<Told> =
                (0..20).filter_map(|_| accounts.note(attempt(STRANGER, second), now)).collect();
            told.extend(accounts.due(now));
            counted += told.iter().map(|Told(_, left_out)| left_out + 1).sum::<u64>();
            lines.extend(told.iter().map(|_| second));
        }
        // One by one, then after ten seconds, twenty more, forty more, up to one hour.
        assert_eq!(lines[..10], [0; 10]);
        assert_eq!(lines[10..16], [10, 30, 70, 150, 310, 630]);
        assert!(lines[19..].windows(2).all(|pair| pair[1] - pair[0] == 3600), "{lines:?}");
        assert!(lines.len() < 25, "{lines:?}");
        let rest = accounts.0.drain().filter_map(|(_, account)| account.rest());
        counted += rest.map(|Told(_, left_out)| left_out + 1).sum::<u64>();
        assert_eq!(counted, hours * 360 * 20);
    }

    #[test]
    fn what_was_left_out_is_told_without_another_attempt() {
        let (began, mut accounts) = (Instant::now(), Accounts::default());
        for at in 0..15 {
            let told = accounts.note(attempt(STRANGER, at), began);
            assert_eq!(told, (at < 10).then(|| Told(attempt(STRANGER, at), 0)));
        }
        assert_eq!(accounts.due(began + FIRST_SILENCE / 2), []);
        assert_eq!(accounts.due(began + FIRST_SILENCE), [Told(attempt(STRANGER, 14), 4)]);
        assert_eq!(accounts.due(began + FIRST_SILENCE * 9), []);
        // Whoever was silent for an hour begins anew, and nothing is kept of them.
        assert_eq!(accounts.due(began + FIRST_SILENCE + LONGEST_SILENCE), []);
        assert!(accounts.0.is_empty());
    }

    #[test]
    fn one_network_hides_no_other() {
        let (now, mut accounts) = (Instant::now(), Accounts::default());
        for at in 0..1000 {
            accounts.note(attempt(STRANGER, at), now);
        }
        let other = || attempt([192, 0, 2, 2], 0);
        assert_eq!(accounts.note(other(), now), Some(Told(other(), 0)));
    }

    /// Also from addresses of which one machine has as many as it wants (RFC 4291 §2.5.4).
    #[test]
    fn many_networks_make_few_lines() {
        let (began, mut accounts) = (Instant::now(), Accounts::default());
        let mut lines = 0;
        for at in 0..10_000_u128 {
            let address = Ipv6Addr::from_bits(0x2001_0db8 << 96 | at << 64 | at);
            let now = began + Duration::from_millis(u64::try_from(at).unwrap() * 360);
            lines += usize::from(accounts.note(attempt(address, 0), now).is_some()) + accounts.due(now).len();
        }
        assert!(accounts.0.len() <= NETWORKS + 1, "{}", accounts.0.len());
        assert!(lines < NETWORKS + 30, "{lines} lines within an hour");
    }
}
