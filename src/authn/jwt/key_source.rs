//! Keys that are fetched: the set in use, and when it should be read again.
//!
//! The fetching is done by a task of a floor above, which [tends](KeySource::tend) the source: it waits until it is time
//! or until a token with an unknown key asks, and opens a [`Round`] for each attempt. A round that fails changes nothing,
//! so keys that were good stay good. The source ends with the last policy that uses it, and its task with it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::compact::Signed;
use super::endpoint::{Discovery, Endpoint};
use super::key_demand::{Asked, Demand, Verdict};
use super::key_document::{LeftOut, NoKeys, Reading, read_jwks};
use super::key_set::{Key, KeySet, Unverified};
use crate::authn::Reason;
use crate::fingerprint::Fingerprint;
use crate::telemetry::metrics::JwksSeries;

/// A request whose token names an unknown key waits no longer than this for the fetch that may bring the key.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where keys are fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Where the issuer's metadata says.
    Discovery(Discovery),
    /// At this address.
    JwksUrl(Endpoint),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovery(discovery) => discovery.fmt(formatter),
            Self::JwksUrl(endpoint) => endpoint.fmt(formatter),
        }
    }
}

/// The keys of one issuer, as they were last read.
pub struct KeySource {
    auth: Arc<str>,
    origin: Origin,
    series: JwksSeries,
    keys: ArcSwapOption<KeySet>,
    /// Why the last attempt to read them failed, if it did.
    failure: ArcSwapOption<String>,
    demand: Mutex<Demand>,
    /// The round that tokens asked for; its end tells the task that the source is no longer used.
    asked: watch::Sender<Asked>,
    /// The last round that ended.
    ended: watch::Sender<u64>,
    tended: AtomicBool,
}

impl KeySource {
    /// A source of the method `auth` from which nothing was read yet.
    pub(super) fn new(auth: Arc<str>, origin: Origin, series: JwksSeries) -> Arc<Self> {
        let demand = Demand::new();
        Arc::new(Self {
            auth,
            origin,
            series,
            keys: ArcSwapOption::empty(),
            failure: ArcSwapOption::empty(),
            asked: watch::Sender::new(demand.asked()),
            demand: Mutex::new(demand),
            ended: watch::Sender::new(0),
            tended: AtomicBool::new(false),
        })
    }

    /// The name of the method whose keys these are.
    pub fn auth(&self) -> &str {
        &self.auth
    }

    /// What is known of the keys.
    pub fn series(&self) -> &JwksSeries {
        &self.series
    }

    /// Where the keys come from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether keys were read at least once; until then every token is answered with [`Reason::KeysUnavailable`].
    pub fn is_ready(&self) -> bool {
        self.keys.load().is_some()
    }

    /// Why the last attempt to read the keys failed; nothing when it did not.
    pub fn failure(&self) -> Option<Arc<String>> {
        self.failure.load_full()
    }

    /// Waits until the first attempt to read the keys has ended, well or not. A reload that brings a new source can wait
    /// for it, so that its policy does not begin with tokens that nobody can verify. Ends only if someone tends the source.
    pub async fn settled(&self) {
        // The sender lives as long as the source does.
        let _ = self.ended.subscribe().wait_for(|ended| *ended > 0).await;
    }

    /// Takes over the fetching, unless a task has done so already. It is given back when the [`Tending`] is dropped.
    pub fn tend(self: &Arc<Self>) -> Option<Tending> {
        let tended = self.tended.swap(true, Ordering::AcqRel);
        (!tended).then(|| Tending {
            source: Arc::downgrade(self),
            asked: self.asked.subscribe(),
            begun: self.demand().begun(),
        })
    }

    /// The key that signed `token`. When it may be one that the issuer has added since, the keys are read again first, as
    /// often as [`Demand`] allows.
    ///
    /// # Errors
    /// Why there is none. [`Reason::KeyFetchPending`] when the issuer may have the key, and a fetch that shows it is due,
    /// takes too long or has failed.
    pub(super) async fn verify(&self, token: &Signed<'_>) -> Result<Arc<Key>, Reason> {
        let Some(keys) = self.keys.load_full() else {
            self.ask(Demand::ask);
            return Err(Reason::KeysUnavailable);
        };
        let Unverified { reason, may_be_newer } = match keys.verify(token) {
            Ok(key) => return Ok(key),
            Err(unverified) => unverified,
        };
        if !may_be_newer {
            return Err(reason);
        }
        let name = name_of(token.kid());
        let is_absent = match self.ask(|demand, now| demand.judge(name, now)) {
            Verdict::Absent => true,
            Verdict::Later => false,
            Verdict::Round { wait_for, decides } => {
                let mut ended = self.ended.subscribe();
                let is_known = || self.keys.load().as_ref().is_some_and(|keys| keys.verify(token).is_ok());
                // Whether the wait was long enough shows in what the rounds have brought.
                let _ = timeout(LONGEST_WAIT, ended.wait_for(|ended| *ended >= wait_for || is_known())).await;
                self.demand().has_succeeded(decides)
            }
        };
        let undecided = |reason| if is_absent { reason } else { Reason::KeyFetchPending };
        match self.keys.load_full() {
            Some(newer) if !Arc::ptr_eq(&newer, &keys) => newer.verify(token).map_err(|unverified| {
                let Unverified { reason, may_be_newer } = unverified;
                if may_be_newer { undecided(reason) } else { reason }
            }),
            Some(_) | None => Err(undecided(reason)),
        }
    }

    /// Lets `ask` ask for a round, and tells the task.
    fn ask<T>(&self, ask: impl FnOnce(&mut Demand, Instant) -> T) -> T {
        let mut demand = self.demand();
        let before = demand.asked().round;
        let result = ask(&mut demand, Instant::now());
        let asked = demand.asked();
        if asked.round != before {
            self.asked.send_replace(asked);
        }
        result
    }

    fn demand(&self) -> MutexGuard<'_, Demand> {
        // Nothing that holds the lock can panic half-way through a change.
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands for a `kid`, or for naming none, among the unknown keys.
fn name_of(kid: Option<&str>) -> Fingerprint {
    match kid {
        Some(kid) => Fingerprint::of(&[b"kid", kid.as_bytes()]),
        None => Fingerprint::of(&[]),
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeySource")
            .field("auth", &self.auth)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// The right, and the duty, to fetch the keys of a source. It does not keep the source alive.
pub struct Tending {
    source: Weak<KeySource>,
    asked: watch::Receiver<Asked>,
    begun: u64,
}

/// The source is no longer used by anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Tending {
    /// Waits until a token asks for newer keys than the last round can have brought, and until a fetch is available.
    ///
    /// # Errors
    /// [`Gone`], at once, when the source is no longer used.
    pub async fn asked(&mut self) -> Result<(), Gone> {
        let begun = self.begun;
        let asked = self.asked.wait_for(|asked| asked.round > begun).await.map(|asked| *asked);
        let Asked { not_before, .. } = asked.map_err(|_closed| Gone)?;
        tokio::select! {
            () = sleep_until(not_before) => Ok(()),
            _closed = self.asked.wait_for(|_| false) => Err(Gone),
        }
    }

    /// Begins an attempt to read the keys.
    ///
    /// # Errors
    /// [`Gone`] when the source is no longer used.
    pub fn begin(&mut self) -> Result<Round, Gone> {
        let source = self.source.upgrade().ok_or(Gone)?;
        self.begun = source.demand().begin();
        Ok(Round { source, number: self.begun })
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        if let Some(source) = self.source.upgrade() {
            source.tended.store(false, Ordering::Release);
        }
    }
}

/// One attempt to read the keys. Dropping it ends the attempt, so that nobody waits for one that was given up.
pub struct Round {
    source: Arc<KeySource>,
    number: u64,
}

/// What a successful round changed.
#[derive(Debug)]
pub struct Refreshed {
    /// How many keys are in use now.
    pub keys: usize,
    /// Whether they are others than before.
    pub changed: bool,
    /// The keys that are not used.
    pub left_out: Vec<LeftOut>,
}

impl Round {
    /// Uses the keys of the JWK set `document`, which was received at `now`, in seconds since the Unix epoch. Keys that
    /// are no longer in it are retired.
    ///
    /// # Errors
    /// Why it holds no keys. Those in use stay.
    pub fn accept(self, document: &[u8], now: u64) -> Result<Refreshed, NoKeys> {
        let KeySource { keys, series, failure, .. } = &*self.source;
        let before = keys.load_full();
        let Reading { keys: read, left_out } =
            read_jwks(document, before.as_deref()).inspect_err(|no_keys| {
                failure.store(Some(Arc::new(no_keys.to_string())));
                series.failed.inc();
            })?;
        failure.store(None);
        let count = read.len();
        let changed = before.as_ref().is_none_or(|before| !before.has_same_keys(&read));
        let read = Arc::new(read);
        keys.store(Some(read.clone()));
        let removed = before.iter().flat_map(|before| before.removed_in(&read)).map(|key| name_of(key.id()));
        self.source.demand().succeed(self.number, removed, Instant::now());
        if let Some(before) = &before {
            before.retire_for(&read);
        }
        series.succeed(count, now);
        Ok(Refreshed { keys: count, changed, left_out })
    }

    /// Ends the attempt without keys, because of `why`. Those in use stay.
    pub fn fail(self, why: &impl fmt::Display) {
        self.source.failure.store(Some(Arc::new(why.to_string())));
        self.source.series.failed.inc();
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.source.demand().end(self.number);
        self.source.ended.send_replace(self.number);
    }
}
