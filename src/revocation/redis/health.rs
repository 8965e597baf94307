//! Says how Redis is doing: in the log when it changes, and only then, and in metrics.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::connection::Loss;
use super::endpoint::Endpoint;
use super::lineage::{About, Lineage, Role};
use super::server::Server;
use crate::authn::revocable::Kind;
use crate::revocation::mirror::Mirror;
use crate::telemetry::audit::{Audit, Event};
use crate::telemetry::metrics::Metrics;

/// What was said last.
pub(super) struct Health<'a> {
    /// What it is that is followed.
    name: String,
    /// Where it is told whether the list is followed; a part of it is not the list.
    told: Option<Told<'a>>,
    state: State,
    /// The list that was met last, on whichever connection.
    lineage: Option<Lineage>,
    advice: Advice,
    foreign_said: Option<Instant>,
}

/// Who is told whether the list is followed.
#[derive(Clone, Copy)]
struct Told<'a> {
    metrics: &'a Metrics,
    audit: &'a Audit,
}

#[derive(Debug)]
enum State {
    /// Nothing has been heard from Redis yet.
    Starting,
    /// The list is being followed.
    Up,
    /// It is not, for these reasons, since then.
    Down { reasons: BTreeSet<String>, since: Instant },
}

/// Advice that is given once in the life of a process.
#[derive(Default)]
struct Advice {
    evicts: bool,
    replica: bool,
}

/// An outage can have many reasons in turn; a few of them are enough to know.
const MOST_REASONS: usize = 8;

/// How often keys that revoke nothing are mentioned.
const FOREIGN_INTERVAL: Duration = Duration::from_secs(60);

/// How much of such a key is shown.
const LONGEST_KEY_SHOWN: usize = 80;

impl<'a> Health<'a> {
    pub(super) fn new(server: &'a Server, metrics: &'a Metrics, audit: &'a Audit) -> Self {
        metrics.redis_up.set(0);
        metrics.show_redis();
        Self { told: Some(Told { metrics, audit }), ..Self::named(server.to_string()) }
    }

    /// The health of a node of a cluster.
    pub(super) fn of_node(endpoint: &Endpoint) -> Self {
        Self::named(format!("{endpoint} of the cluster"))
    }

    fn named(name: String) -> Self {
        Self {
            name,
            told: None,
            state: State::Starting,
            lineage: None,
            advice: Advice::default(),
            foreign_said: None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// The list is being followed.
    pub(super) fn up(&mut self, mirror: &Mirror) {
        self.tell(1);
        let entries: usize = Kind::ALL.into_iter().map(|kind| mirror.count(kind)).sum();
        let server = &self.name;
        if let Some(told) = self.told.filter(|_| !self.is_up()) {
            told.audit.record(&Event::RedisRegained { server, entries });
        }
        match std::mem::replace(&mut self.state, State::Up) {
            State::Starting => log::info!("revocation list: following {server}, {entries} entries"),
            State::Up => log::info!("revocation list: read again from {server}, {entries} entries"),
            State::Down { reasons: _, since } => {
                let seconds = since.elapsed().as_secs_f32();
                log::warn!(
                    "revocation list: following {server} again after {seconds:.1} s, {entries} entries"
                );
            }
        }
    }

    /// The list is not being followed any more, or still not.
    pub(super) fn lost(&mut self, loss: &Loss) {
        self.tell(0);
        let reason = loss.to_string();
        if let Some(told) = self.told.filter(|_| !matches!(self.state, State::Down { .. })) {
            told.audit.record(&Event::RedisLost { server: &self.name, reason: &reason });
        }
        if self.state.fall(&reason) {
            log::error!("revocation list: lost {}: {reason}", self.name);
        }
    }

    /// A list was met. Unless what it lacks is `explained`, entries may have been lost.
    pub(super) fn met(&mut self, about: &About, explained: bool) {
        let About { lineage, role, evicts } = about;
        let server = &self.name;
        if let Some(known) = self.lineage.as_ref() {
            if known.was_replaced_by(lineage) {
                log::error!(
                    "revocation list: {server} was emptied or replaced; what was revoked before stays revoked here \
                     until it expires or is lifted, but a gateway that starts now does not know of it: write it again"
                );
            } else if !explained {
                log::warn!(
                    "revocation list: {server} may have lost entries; those known before stay until they expire or \
                     are lifted"
                );
            }
        }
        self.lineage = Some(lineage.clone());
        if *role == Role::Replica && !std::mem::replace(&mut self.advice.replica, true) {
            log::warn!(
                "revocation list: {server} is a replica, and a revocation holds here when it arrives there"
            );
        }
        if let Some(policy) = evicts
            && !std::mem::replace(&mut self.advice.evicts, true)
        {
            log::error!(
                "revocation list: {server} removes keys when its memory is full (maxmemory-policy {policy}), and \
                 with them revocations: use `noeviction`"
            );
        }
    }

    fn tell(&self, up: i64) {
        if let Some(told) = self.told {
            told.metrics.redis_up.set(up);
        }
    }

    /// A key begins like an entry but names no credential.
    pub(super) fn foreign(&mut self, key: Option<Vec<u8>>) {
        let Some(key) = key else { return };
        if self.foreign_said.is_some_and(|said| said.elapsed() < FOREIGN_INTERVAL) {
            return;
        }
        self.foreign_said = Some(Instant::now());
        log::warn!("revocation list: the key `{}` names no credential and revokes nothing", shown(&key));
    }
}

impl State {
    /// Notes that Redis is lost for `reason` and says whether that is news.
    fn fall(&mut self, reason: &str) -> bool {
        match self {
            Self::Down { reasons, since: _ } => {
                reasons.len() < MOST_REASONS && reasons.insert(reason.to_owned())
            }
            Self::Starting | Self::Up => {
                *self = Self::Down { reasons: BTreeSet::from([reason.to_owned()]), since: Instant::now() };
                true
            }
        }
    }
}

/// A key as a log can show it.
fn shown(key: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(key).chars().take(LONGEST_KEY_SHOWN).collect();
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_of_an_outage_is_said_once() {
        let mut state = State::Starting;
        let said: Vec<bool> = ["refused", "refused", "late", "refused", "late"]
            .into_iter()
            .map(|reason| state.fall(reason))
            .collect();
        assert_eq!(said, [true, false, true, false, false]);
        let many = (0..100).filter(|number| state.fall(&number.to_string())).count();
        assert_eq!(many, MOST_REASONS - 2);
        state = State::Up;
        assert!(state.fall("late") && !state.fall("late"), "a new outage is news again");
    }

    #[test]
    fn keys_are_shown_short_and_in_one_line() {
        assert_eq!(shown(b"portcullis:revoked:x:\r\n\x1b[31m"), "portcullis:revoked:x:\\r\\n\\u{1b}[31m");
        assert_eq!(shown(&[b'x'; 500]).len(), LONGEST_KEY_SHOWN);
    }
}
