//! Replaces the policy while requests are being served: on SIGHUP, and when a file of it changes.
//!
//! A file that is refused changes nothing. A request that has begun keeps the policy that it began with.

mod refusal;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::background;
use super::journals::Outputs;
use super::keys::KeyKeeper;
use super::shared::Shared;
use crate::authn::password::HashingPool;
use crate::config::{Configuration, Rejected, Services};
use crate::telemetry::audit::{Event, Prompt};
use refusal::{Refusal, Word};

/// Reloads the policy.
pub(super) struct Reloader {
    pub(super) shared: Arc<Shared>,
    pub(super) path: PathBuf,
    pub(super) hashing: HashingPool,
    pub(super) keeper: KeyKeeper,
    pub(super) hangup: Signal,
    /// When the reading of the policy that is in place began, in milliseconds since the Unix epoch.
    pub(super) read_at: u64,
    /// Policies that were replaced while requests went on by them.
    pub(super) replaced: Vec<Arc<Configuration>>,
}

/// A policy that is refused.
struct Refused<'a> {
    /// Its fingerprint.
    policy: &'a str,
    by: Prompt,
    /// That it was refused before.
    before: Option<Refusal>,
}

/// What a reload came to.
struct Outcome {
    /// The files to watch from now on.
    files: Vec<PathBuf>,
    /// That it was refused.
    refusal: Option<Refusal>,
    /// The policy in whose place another one was put.
    replaced: Option<Arc<Configuration>>,
}

/// How often files are looked at. A change counts when two looks in a row agree, so that a file that is being written is
/// not read half way.
const LOOK: Duration = Duration::from_millis(250);

/// How long a reload waits for the keys of issuers that it has not met before.
const FIRST_KEYS: Duration = Duration::from_secs(5);

impl Reloader {
    /// Watches for reasons to reload, for as long as the process lives.
    pub(super) async fn run(mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut files = self.shared.configuration.load().files.iter().cloned().collect::<Vec<_>>();
        let mut loaded = Stamps::of(&files).of_what_was_read_at(self.read_at, None);
        let mut seen = Stamps::of(&files);
        let mut refused: Option<Refusal> = None;
        loop {
            let forced = tokio::select! {
                _ = self.hangup.recv() => true,
                _ = looks.tick() => false,
            };
            self.forget_replaced().await;
            let now = Stamps::of(&files);
            let settled = now == seen;
            seen = now.clone();
            let by = if forced {
                Prompt::Signal
            } else if settled && now != loaded {
                Prompt::File
            } else if refused.as_ref().is_some_and(|refusal| refusal.is_due(Instant::now())) {
                Prompt::Retry
            } else {
                continue;
            };
            // An operator who sends the signal wants to know what is wrong, even if it is what was wrong before.
            let before = refused.take().filter(|_| by != Prompt::Signal);
            let began = self.shared.clock.unix_millis();
            let outcome = self.reload(by, before).await;
            self.replaced.extend(outcome.replaced);
            files = outcome.files;
            seen = Stamps::of(&files);
            // A reload takes its time, and a file that changes meanwhile has to be read again.
            loaded = seen.clone().of_what_was_read_at(began, Some(&now));
            refused = outcome.refusal;
        }
    }

    /// Loads the policy and puts it in place. What goes with a policy is done and said once it is sure to be the one: a
    /// policy that is refused is tried again and again.
    async fn reload(&self, by: Prompt, refused_before: Option<Refusal>) -> Outcome {
        let before = self.shared.configuration.load_full();
        let configuration = match self.load(before.clone()).await {
            Ok(Ok(configuration)) => configuration,
            Err(error) => {
                let problem = format!("the policy cannot be read now: {error}");
                let refused = Refused { policy: "unknown", by, before: refused_before };
                return self.refuse(&[problem], before.files.iter().cloned().collect(), refused);
            }
            Ok(Err(rejected)) => {
                // Warnings are no reason to refuse it, and the policy is not in force.
                let problems = rejected.problems.error_lines();
                let mut files = rejected.files;
                files.extend(before.files.iter().cloned());
                let refused = Refused { policy: &rejected.fingerprint, by, before: refused_before };
                return self.refuse(&problems, files.into_iter().collect(), refused);
            }
        };
        let refused = Refused { policy: &configuration.fingerprint, by, before: refused_before };
        let outputs = match Outputs::open(Some(&before.logs), &configuration.logs) {
            Ok(outputs) => outputs,
            Err(error) => {
                return self.refuse(&[error.to_string()], both(&before, &configuration), refused);
            }
        };
        // Requests that need the keys of a new issuer would be answered 503 until they have been read.
        self.keeper.tend(&configuration);
        let settled = timeout(FIRST_KEYS, KeyKeeper::settled(&configuration)).await.is_ok();
        if let (Some(state), Some(tls)) = (&self.shared.tls, &configuration.tls)
            && let Err(error) = state.replace(tls)
        {
            return self.refuse(&[error.to_string()], both(&before, &configuration), refused);
        }
        for problem in configuration.warnings.lines() {
            warn!("{problem}");
        }
        warn_about_fixed_parts(&before, &configuration);
        if !settled {
            warn!("the keys of an issuer have not been read yet");
        }
        let files = configuration.files.iter().cloned().collect();
        let policy = configuration.fingerprint.clone();
        let replaced = Some(self.shared.accept(configuration));
        self.shared.metrics.reloads_accepted.inc();
        self.shared.journals.turn_to(outputs);
        self.shared.audit.record(&Event::PolicyLoaded { policy: &policy, by });
        info!("reloaded {}", self.path.display());
        Outcome { files, refusal: None, replaced }
    }

    fn refuse(&self, problems: &[String], files: Vec<PathBuf>, refused: Refused<'_>) -> Outcome {
        let Refused { policy, by, before } = refused;
        self.shared.metrics.reload_successful.set(0);
        self.shared.metrics.reloads_refused.inc();
        let (refusal, word) = Refusal::new(problems.join("\n"), before, by == Prompt::File, Instant::now());
        let said = match word {
            Word::News => {
                self.shared.audit.record(&Event::PolicyRefused { policy, by, problems });
                Some("reload refused, the old configuration stays")
            }
            Word::Reminder => Some("reload still refused, the old configuration stays"),
            Word::Silence => None,
        };
        for (said, problem) in said.into_iter().flat_map(|said| problems.iter().map(move |one| (said, one))) {
            error!("{said}: {problem}");
        }
        Outcome { files, refusal: Some(refusal), replaced: None }
    }

    /// Takes policies apart by which no request goes on any more: whoever lets go of one last has to, which takes long if it
    /// has many keys, and should not be a thread that serves.
    async fn forget_replaced(&mut self) {
        let idle: Vec<_> =
            self.replaced.extract_if(.., |replaced| Arc::strong_count(replaced) == 1).collect();
        if !idle.is_empty() {
            let _ = background::run("forgetting", move || drop(idle)).await;
        }
    }

    /// Reads the policy on a thread of its own: it may be large, and what goes on beside requests, such as following the
    /// revocation list, must not wait for it.
    async fn load(&self, before: Arc<Configuration>) -> io::Result<Result<Configuration, Rejected>> {
        let (shared, path, hashing) = (self.shared.clone(), self.path.clone(), self.hashing.clone());
        background::run("reading", move || {
            let services = Services {
                clock: shared.clock.clone(),
                environment: &|name| std::env::var(name).ok(),
                metrics: shared.metrics.clone(),
                hashing,
            };
            Configuration::load(&path, &services, Some(&before))
        })
        .await
    }
}

/// The files of either: a change to any of them is a reason to try again.
fn both(before: &Configuration, now: &Configuration) -> Vec<PathBuf> {
    before.files.union(&now.files).cloned().collect()
}

/// What only a restart can change is said by name.
fn warn_about_fixed_parts(before: &Configuration, now: &Configuration) {
    let fixed = [
        ("listen", before.listeners != now.listeners),
        ("admin", before.admin.address != now.admin.address),
        ("tracing", before.tracing != now.tracing),
        ("redis", before.list.backing() != &now.backing),
    ];
    for (name, changed) in fixed {
        if changed {
            warn!("`{name}` has changed, which needs a restart: the old one stays");
        }
    }
}

/// What files look like from outside, to tell whether they changed.
#[derive(Clone, PartialEq, Eq)]
struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamps {
    fn of(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    /// What the files looked like when they were read, which began at the time `began` in milliseconds: as `before`, or,
    /// for files that were not looked at before, as now. If such a file has changed since, nobody knows.
    fn of_what_was_read_at(self, began: u64, before: Option<&Self>) -> Self {
        let known = |path: &PathBuf| before.and_then(|before| before.0.get(path)).copied();
        let unless_changed = |now: Option<Stamp>| now.map(|now| now.unless_changed_since(began));
        let stamps = self.0.into_iter().map(|(path, now)| {
            let stamp = known(&path).unwrap_or_else(|| unless_changed(now));
            (path, stamp)
        });
        Self(stamps.collect())
    }
}

impl Stamp {
    /// Of no file.
    const UNKNOWN: Self = Self { device: 0, inode: 0, size: 0, modified: (0, 0), changed: (0, 0) };

    fn unless_changed_since(self, began: u64) -> Self {
        let (seconds, nanoseconds) = self.changed;
        let changed = seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000);
        if i64::try_from(began).is_ok_and(|began| changed > began) { Self::UNKNOWN } else { self }
    }

    /// Follows symbolic links: a mounted folder is replaced by pointing a link elsewhere.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
