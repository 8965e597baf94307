//! Is this credential still good? A request is answered from the memory of this process, without asking anyone.
//!
//! [`List`] lives as long as the process: it holds the [`mirror`], keeps it up to date and takes new entries.
//! [`Revocations`] is what a policy sees of it: the mirror, and how much it must be in touch. What a list is made of
//! stands in [`entry`]; where it is kept, in [`redis`] or in memory, no request can tell.

pub mod cutoff;
pub mod entry;
pub mod mirror;
pub mod policy;
pub mod redis;
pub mod request;
pub mod store;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::authn::Reason;
use crate::authn::revocable::{Kind, Revocable};
use crate::clock::Clock;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use mirror::Mirror;
pub use policy::{Backing, Config, OnOutage, Policy, compile};
pub use redis::Config as RedisConfig;
use store::Store;

/// What the list says about a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not on the list.
    Good,
    /// It is on the list.
    Revoked,
    /// It is not on the list as it was last known, which is too long ago; or the list has never been read.
    Unknown,
}

/// The list as one policy sees it.
#[derive(Clone, Debug)]
pub struct Revocations {
    mirror: Arc<Mirror>,
    policy: Policy,
}

impl Revocations {
    /// What the list says about `credential`. What was revoked stays so however old the view is.
    pub fn standing(&self, credential: &Revocable) -> Standing {
        self.standing_at(credential, Instant::now())
    }

    /// Whether `credential` may be used: what [`Revocations::standing`] says, and what the policy makes of not knowing.
    ///
    /// # Errors
    /// [`Reason::Revoked`], and [`Reason::RevocationUnavailable`] where an outage is to deny.
    pub fn confirm(&self, credential: &Revocable) -> Result<(), Reason> {
        match (self.standing(credential), self.policy.on_outage) {
            (Standing::Good, OnOutage::Allow | OnOutage::Deny) | (Standing::Unknown, OnOutage::Allow) => {
                Ok(())
            }
            (Standing::Revoked, OnOutage::Allow | OnOutage::Deny) => Err(Reason::Revoked),
            (Standing::Unknown, OnOutage::Deny) => Err(Reason::RevocationUnavailable),
        }
    }

    /// What [`Revocations::confirm`] goes by, for people.
    pub fn explain(&self, credential: &Revocable) -> String {
        match (self.standing(credential), self.policy.on_outage) {
            (Standing::Good, OnOutage::Allow | OnOutage::Deny) => "it is not on the list".to_owned(),
            (Standing::Revoked, OnOutage::Allow | OnOutage::Deny) => "it is on the list".to_owned(),
            (Standing::Unknown, OnOutage::Allow) => {
                "the list is not known or too old, and `on_outage: allow` lets the request go on".to_owned()
            }
            (Standing::Unknown, OnOutage::Deny) => {
                "the list is not known or too old, and `on_outage: deny` refuses".to_owned()
            }
        }
    }

    /// What is to be done while the view is too old.
    pub fn on_outage(&self) -> OnOutage {
        self.policy.on_outage
    }

    /// Whether the view is young enough, for a check of the gateway's health.
    pub fn is_in_touch(&self) -> bool {
        self.is_young_at(Instant::now())
    }

    /// Whether the list has ever been read.
    pub fn has_been_read(&self) -> bool {
        self.mirror.has_been_read()
    }

    fn standing_at(&self, credential: &Revocable, now: Instant) -> Standing {
        // First the age, then the look-up: what was complete at that age is in the mirror by now.
        let young = self.is_young_at(now);
        if self.mirror.revokes(credential, now) {
            Standing::Revoked
        } else if young {
            Standing::Good
        } else {
            Standing::Unknown
        }
    }

    fn is_young_at(&self, now: Instant) -> bool {
        self.mirror.age(now).is_some_and(|age| age <= self.policy.max_stale)
    }
}

/// The list of this process.
#[derive(Clone, Debug)]
pub struct List {
    mirror: Arc<Mirror>,
    store: Store,
    backing: Backing,
    clock: Clock,
}

impl List {
    /// A list that is kept in `backing`. One in Redis is unknown until [`List::follow`] has read it.
    pub fn new(backing: Backing, clock: Clock) -> Self {
        let mirror = Arc::new(Mirror::new());
        let store = Store::new(&backing, &mirror, &clock);
        Self { mirror, store, backing, clock }
    }

    /// The list as `policy` sees it. A reload asks again and keeps everything that is known.
    pub fn under(&self, policy: Policy) -> Revocations {
        Revocations { mirror: self.mirror.clone(), policy }
    }

    /// Where the list is kept; a reload that says otherwise needs a restart.
    pub fn backing(&self) -> &Backing {
        &self.backing
    }

    /// Where entries are written to.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps the list up to date, and `metrics` and `audit` told, for as long as it is polled. Spawn it once, before the
    /// first request.
    pub async fn follow(&self, metrics: &Metrics, audit: &Audit) -> Infallible {
        tokio::select! {
            never = self.keep_up(metrics, audit) => never,
            never = self.report(metrics) => never,
            never = self.sweep() => never,
        }
    }

    async fn keep_up(&self, metrics: &Metrics, audit: &Audit) -> Infallible {
        match &self.backing {
            Backing::Memory => std::future::pending().await,
            Backing::Redis(server) => redis::follow(server, &self.mirror, metrics, audit, &self.clock).await,
        }
    }

    /// Tells how old the view is, however Redis behaves.
    async fn report(&self, metrics: &Metrics) -> Infallible {
        let entries = Kind::ALL.map(|kind| (kind, metrics.revocation_entries(kind.name())));
        loop {
            let staleness = self.mirror.staleness(Instant::now());
            let in_touch = self.mirror.has_been_read() && staleness <= 2 * redis::HEARTBEAT;
            metrics.revocation_staleness.set(if in_touch { 0.0 } else { staleness.as_secs_f64() });
            for (kind, gauge) in &entries {
                gauge.set(i64::try_from(self.mirror.count(*kind)).unwrap_or(i64::MAX));
            }
            tokio::time::sleep(redis::HEARTBEAT).await;
        }
    }

    /// Gives back the memory of what has expired, all of it once in [`SWEEP`].
    async fn sweep(&self) -> Infallible {
        let steps = SWEEP.as_millis() / SWEEP_STEP.as_millis();
        let parts_each = self.mirror.parts() / usize::try_from(steps).unwrap_or(1) + 1;
        loop {
            if let Some(memory) = self.store.memory() {
                memory.sweep();
            }
            for first in (0..self.mirror.parts()).step_by(parts_each) {
                tokio::time::sleep(SWEEP_STEP).await;
                let end = (first + parts_each).min(self.mirror.parts());
                (first..end).for_each(|part| self.mirror.sweep(part, Instant::now()));
            }
        }
    }
}

/// How long a sweep through the whole mirror takes, and how often it goes one step further.
const SWEEP: Duration = Duration::from_secs(60);
const SWEEP_STEP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
