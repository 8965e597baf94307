//! Replaces the policy while requests are being served: on SIGHUP, and when a file of it changes.
//!
//! A file that is refused changes nothing. A request that has begun keeps the policy that it began with.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use log::{error, info, warn};
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::keys::KeyKeeper;
use super::shared::Shared;
use crate::authn::password::HashingPool;
use crate::config::{Configuration, Rejected, Services};

/// Reloads the policy.
pub(super) struct Reloader {
    pub(super) shared: Arc<Shared>,
    pub(super) path: PathBuf,
    pub(super) hashing: HashingPool,
    pub(super) keeper: KeyKeeper,
    pub(super) hangup: Signal,
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
        let mut loaded = Stamps::of(&files);
        let mut seen = loaded.clone();
        loop {
            let forced = tokio::select! {
                _ = self.hangup.recv() => true,
                _ = looks.tick() => false,
            };
            let now = Stamps::of(&files);
            let settled = now == seen;
            seen = now.clone();
            if forced || (settled && now != loaded) {
                files = self.reload().await;
                loaded = Stamps::of(&files);
                seen = loaded.clone();
            }
        }
    }

    /// Loads the policy and puts it in place; returns the files to watch from now on.
    async fn reload(&self) -> Vec<PathBuf> {
        let before = self.shared.configuration.load_full();
        let configuration = match self.load(&before) {
            Ok(configuration) => configuration,
            Err(rejected) => {
                self.shared.metrics.reload_successful.set(0);
                for problem in rejected.problems.sorted() {
                    error!("reload refused, the old configuration stays: {problem}");
                }
                let mut files = rejected.files;
                files.extend(before.files.iter().cloned());
                return files.into_iter().collect();
            }
        };
        for problem in configuration.warnings.sorted() {
            warn!("{problem}");
        }
        warn_about_fixed_parts(&before, &configuration);
        // Requests that need the keys of a new issuer would be answered 503 until they have been read.
        self.keeper.tend(&configuration);
        if timeout(FIRST_KEYS, KeyKeeper::settled(&configuration)).await.is_err() {
            warn!("the keys of an issuer have not been read yet");
        }
        if let (Some(state), Some(tls)) = (&self.shared.tls, &configuration.tls)
            && let Err(error) = state.replace(tls)
        {
            self.shared.metrics.reload_successful.set(0);
            error!("reload refused, the old configuration stays: {error}");
            return before.files.iter().cloned().collect();
        }
        let files = configuration.files.iter().cloned().collect();
        self.shared.accept(configuration);
        info!("reloaded {}", self.path.display());
        files
    }

    fn load(&self, before: &Configuration) -> Result<Configuration, Rejected> {
        let services = Services {
            clock: self.shared.clock.clone(),
            environment: &|name| std::env::var(name).ok(),
            metrics: self.shared.metrics.clone(),
            hashing: self.hashing.clone(),
        };
        Configuration::load(&self.path, &services, Some(before))
    }
}

/// What only a restart can change is said by name.
fn warn_about_fixed_parts(before: &Configuration, now: &Configuration) {
    let fixed = [
        ("listen", before.listeners != now.listeners),
        ("admin", before.admin.address != now.admin.address),
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
}

impl Stamp {
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
