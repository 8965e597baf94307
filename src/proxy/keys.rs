//! Keeps the keys of one method fresh: when to read them, where from, and what to do when that fails.
//!
//! What a set of keys is and which of them are used is decided in [`crate::authn::jwt`]. Here is the loop around it: as
//! often as the issuer allows, at once when a token names an unknown key, and ever more slowly while the issuer is down.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::{Instant, timeout};

use super::fetch::{Document, Documents, Fetch, FetchError, SetupError};
use crate::authn::Authenticator;
use crate::authn::jwt::{
    BadMetadata, Discovery, Endpoint, Gone, KeySource, LeftOut, NoKeys, Origin, Refreshed, Round,
};
use crate::clock::Clock;
use crate::config::Configuration;
use crate::telemetry::audit::{Audit, Event};

/// Keys are read again after this, unless the issuer says otherwise.
const USUAL_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The issuer is believed within these bounds: below them it would be flooded, and beyond them a key that it withdrew
/// would be trusted for too long.
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// After one failure, and after many; doubled in between.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_secs(60);

/// The issuer's metadata is read again after this, and whenever reading the keys has failed.
const METADATA_AGE: Duration = Duration::from_secs(60 * 60);

/// Keeps the keys of every method of a policy fresh.
pub(super) struct KeyKeeper {
    fetch: Fetch,
    clock: Clock,
    audit: Audit,
}

impl KeyKeeper {
    pub(super) fn new(clock: Clock, audit: Audit) -> Result<Self, SetupError> {
        Ok(Self { fetch: Fetch::new()?, clock, audit })
    }

    /// Starts a task for each source of `configuration` that has none yet. Tasks end with the last policy that uses
    /// their source.
    pub(super) fn tend(&self, configuration: &Configuration) {
        for source in sources(configuration) {
            self.keep(source);
        }
    }

    /// Reads `source`, or finds that it cannot be read, and keeps it fresh from then on.
    pub(super) async fn read(&self, source: &Arc<KeySource>) {
        self.keep(source.clone());
        source.settled().await;
    }

    fn keep(&self, source: Arc<KeySource>) {
        let Self { fetch, clock, audit } = self;
        tokio::spawn(keep_fresh(source, fetch.clone(), clock.clone(), audit.clone()));
    }

    /// Waits until every source of `configuration` has been read, or could not be.
    pub(super) async fn settled(configuration: &Configuration) {
        for source in sources(configuration) {
            source.settled().await;
        }
    }
}

/// The keys of `configuration` that have to be fetched.
pub(super) fn sources(configuration: &Configuration) -> impl Iterator<Item = Arc<KeySource>> {
    configuration.gateway.methods.iter().filter_map(|method| match method {
        Authenticator::ApiKey(_) | Authenticator::Basic(_) => None,
        Authenticator::Jwt(method) => method.key_source().cloned(),
    })
}

/// Reads the keys of `source` again and again, until no policy uses it any more. Returns at once when another task does
/// so already, so it can be called for every source after every reload. Dropping the future is a clean end too.
pub(super) async fn keep_fresh<F: Documents>(source: Arc<KeySource>, fetch: F, clock: Clock, audit: Audit) {
    let Some(mut tending) = source.tend() else { return };
    let mut reader = Reader {
        auth: source.auth().to_owned(),
        origin: source.origin().clone(),
        fetch,
        clock,
        audit,
        metadata: None,
        failures: 0,
        left_out: Vec::new(),
    };
    // The task must not keep alive what it serves.
    drop(source);
    let mut pause = Duration::ZERO;
    // The time being up is as good a reason as being asked.
    while timeout(pause, tending.asked()).await != Ok(Err(Gone)) {
        let Ok(round) = tending.begin() else { return };
        pause = reader.read(round).await;
    }
}

struct Reader<F> {
    auth: String,
    origin: Origin,
    fetch: F,
    clock: Clock,
    audit: Audit,
    /// Where the issuer's metadata said that the keys are, and when it did.
    metadata: Option<(Endpoint, Instant)>,
    /// Failed rounds since the last good one.
    failures: u32,
    /// What was left out last, so that it is not logged again every five minutes.
    left_out: Vec<LeftOut>,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Keys(#[from] NoKeys),
    #[error(transparent)]
    Metadata(#[from] BadMetadata),
}

impl<F: Documents> Reader<F> {
    /// Reads the keys once, and says how long to wait before the next time.
    async fn read(&mut self, round: Round) -> Duration {
        let (read, pause) = match self.document().await {
            Ok(Document { body, max_age }) => {
                let read = round.accept(&body, self.clock.unix_seconds()).map_err(Failure::Keys);
                (read, max_age.unwrap_or(USUAL_PAUSE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
            }
            Err(failure) => {
                round.fail(&failure);
                (Err(failure), USUAL_PAUSE)
            }
        };
        match read {
            Ok(refreshed) => {
                self.failures = 0;
                self.report(refreshed);
                pause
            }
            Err(failure) => {
                let pause = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(6)).min(LAST_BACKOFF);
                self.failures = self.failures.saturating_add(1);
                log::warn!("auth `{}`: cannot read the keys of {}: {failure}", self.auth, self.origin);
                pause
            }
        }
    }

    async fn document(&mut self) -> Result<Document, Failure> {
        let endpoint = match self.origin.clone() {
            Origin::JwksUrl(endpoint) => endpoint,
            Origin::Discovery(discovery) => self.jwks_uri(&discovery).await?,
        };
        Ok(self.fetch.get(&endpoint).await?)
    }

    async fn jwks_uri(&mut self, discovery: &Discovery) -> Result<Endpoint, Failure> {
        if let Some((endpoint, read_at)) = &self.metadata
            && self.failures == 0
            && read_at.elapsed() < METADATA_AGE
        {
            return Ok(endpoint.clone());
        }
        match (self.discover(discovery).await, &self.metadata) {
            (Ok(endpoint), _) => {
                self.metadata = Some((endpoint.clone(), Instant::now()));
                Ok(endpoint)
            }
            // Keys do not move because the page that says where they are is down.
            (Err(Failure::Fetch(_)), Some((endpoint, _))) => Ok(endpoint.clone()),
            (Err(failure), _) => Err(failure),
        }
    }

    async fn discover(&self, discovery: &Discovery) -> Result<Endpoint, Failure> {
        let [first, second] = discovery.locations();
        let document = match self.fetch.get(&first).await {
            Err(FetchError::Status(StatusCode::NOT_FOUND)) => self.fetch.get(&second).await?,
            document => document?,
        };
        Ok(discovery.jwks_uri(&document.body)?)
    }

    fn report(&mut self, refreshed: Refreshed) {
        let Refreshed { keys, changed, left_out } = refreshed;
        if changed {
            let origin = self.origin.to_string();
            self.audit.record(&Event::KeysChanged { auth: &self.auth, origin: &origin, keys });
            log::info!("auth `{}`: {keys} keys of {} are in use", self.auth, self.origin);
        }
        if left_out != self.left_out {
            for key in &left_out {
                log::warn!("auth `{}`: of the keys of {}, {key}", self.auth, self.origin);
            }
            self.left_out = left_out;
        }
    }
}

#[cfg(test)]
mod tests;
