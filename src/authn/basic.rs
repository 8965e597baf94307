//! HTTP Basic (RFC 7617): names and passwords, checked against a file of password hashes.
//!
//! A password is hashed once, not once for each request: each user remembers a keyed fingerprint of the pair that was
//! verified last, and a request with the same pair only compares it. An unknown user costs the work of a known one.

mod file;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::digest;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::Attempt;
use super::credential::Pair;
use super::guessing::Guess;
use super::identity::{Identity, Method as Kind, Subject, Told, Validity, WORD, Words, is_word};
use super::password::{HashingPool, StoredHash};
use super::reason::Reason;
use super::revocable::{self, Revocable};
use super::stand_in::StandIn;
use crate::fingerprint::Fingerprint;
use crate::loading::Loading;
use crate::problem::Place;
use crate::telemetry::metrics::{AuthSeries, Metrics};
use crate::yaml::Located;

/// Names and passwords, listed in a file of password hashes.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file of `name:hash` lines, argon2id or bcrypt. `portcullis hash-password` writes a line.
    #[schemars(with = "String")]
    pub users: Located<PathBuf>,
    /// What browsers show when they ask for the password.
    pub realm: Located<String>,
    /// Scopes that every user of this file has.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Roles that every user of this file has.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Leaves name and password in the request that goes upstream instead of removing them.
    #[serde(default)]
    pub forward_credential: bool,
}

/// A compiled set of users.
pub struct Method {
    name: Arc<str>,
    realm: String,
    forward_credential: bool,
    users: HashMap<Box<str>, User>,
    decoys: Decoys,
    pool: HashingPool,
    /// Verifications that are under way, so that a burst of one pair is hashed once.
    under_way: Mutex<HashMap<Fingerprint, watch::Receiver<Option<Verdict>>>>,
    series: AuthSeries,
}

/// The hashes of all users, to verify against when a user is unknown.
///
/// Hashes may differ in what they cost, so which one an unknown name gets must tell nothing either. The hashes stand on
/// a ring, each at its own digest, and a name gets the one that follows its digest: as many unknown names as known ones
/// cost this or that, a name costs the same on every gateway and after every start, and a line that is added or changed
/// touches only the names before it. Nobody who has not seen the salts knows where on the ring a hash stands.
struct Decoys(Box<[(u64, StoredHash)]>);

/// One of them, and how far it is from the name that it is for.
#[derive(Clone, Copy)]
pub struct Decoy<'a> {
    distance: u64,
    hash: &'a StoredHash,
}

impl Decoys {
    fn new<'h>(hashes: impl Iterator<Item = &'h StoredHash>) -> Self {
        let mut ring: Vec<_> =
            hashes.map(|hash| (place_on_ring(hash.expose().as_bytes()), hash.clone())).collect();
        ring.sort_unstable_by_key(|(place, _)| *place);
        Self(ring.into())
    }

    fn nearest(&self, name: &str) -> Option<Decoy<'_>> {
        let own = place_on_ring(name.as_bytes());
        let next = self.0.partition_point(|(place, _)| *place < own);
        let (place, hash) = self.0.get(next).or_else(|| self.0.first())?;
        Some(Decoy { distance: place.wrapping_sub(own), hash })
    }
}

impl Decoy<'_> {
    /// The distance on the ring: of several methods, the one whose decoy is nearest verifies.
    pub fn distance(self) -> u64 {
        self.distance
    }
}

fn place_on_ring(text: &[u8]) -> u64 {
    let digest = digest::digest(&digest::SHA256, text);
    digest.as_ref().iter().take(8).fold(0, |place, byte| place << 8 | u64::from(*byte))
}

/// Where the users of a file are whose hashes cost a guesser too little; who they are, and why.
pub fn weak_hashes(users: &Located<PathBuf>, loading: &mut Loading<'_>) -> Vec<(Place, String)> {
    let lines = file::read(users, loading).unwrap_or_default();
    let weak = |(place, user, hash): (Place, Box<str>, StoredHash)| {
        let weakness = hash.weakness()?;
        Some((place, format!("`{user}` with {weakness}")))
    };
    lines.into_iter().filter_map(weak).collect()
}

struct User {
    hash: StoredHash,
    identity: Arc<Identity>,
    /// The fingerprint of name, password and hash that was verified.
    verified: OnceLock<Fingerprint>,
}

type Verdict = Result<(), Reason>;

/// One verification of a password.
struct Trial<'a> {
    pair: &'a Pair,
    hash: &'a StoredHash,
    /// Where it is remembered; nowhere when the user does not exist and the hash is a decoy.
    verified: Option<&'a OnceLock<Fingerprint>>,
    guess: &'a Guess<'a>,
}

impl Method {
    /// Reads the user file. Users whose line did not change since `previous` keep their verified pair.
    pub fn compile(
        name: &Arc<str>,
        config: &Located<Config>,
        pool: &HashingPool,
        previous: Option<&Method>,
        metrics: &Metrics,
        loading: &mut Loading<'_>,
    ) -> Option<Self> {
        let Config { users, realm, scopes, roles, forward_credential } = &**config;
        if realm.is_empty()
            || !realm.chars().all(|letter| letter == ' ' || letter.is_ascii_graphic())
            || realm.contains(['"', '\\'])
        {
            loading.error(realm.place(), "a realm is printable ASCII text without quotes and backslashes");
            return None;
        }
        if let Some(word) = scopes.iter().chain(roles).find(|word| !is_word(word)) {
            loading.error(config.place(), format!("users cannot have {word:?}")).hint(WORD);
            return None;
        }
        let lines = file::read(users, loading)?;
        let mut compiled = HashMap::with_capacity(lines.len());
        for (_, user, hash) in lines {
            let Some(subject) = Subject::new(&user) else { continue };
            let verified = previous
                .and_then(|previous| previous.users.get(&user))
                .filter(|before| before.hash.expose() == hash.expose())
                .map_or_else(OnceLock::new, |before| before.verified.clone());
            let identity = Identity {
                auth: name.clone(),
                method: Kind::Basic,
                revocable: Revocable::new(&user, None).with(revocable::Kind::User, &user),
                subject,
                scopes: Words::new(scopes.iter().map(String::as_str)),
                roles: Words::new(roles.iter().map(String::as_str)),
                key_id: None,
                claims: Box::default(),
                validity: Validity::default(),
                told: Told::default(),
            };
            compiled.insert(user, User { hash, identity: Arc::new(identity), verified });
        }
        if compiled.is_empty() {
            loading
                .error(users.place(), "this file lists no user")
                .hint("`portcullis hash-password NAME` writes a line");
            return None;
        }
        Some(Self {
            name: name.clone(),
            realm: realm.to_string(),
            forward_credential: *forward_credential,
            decoys: Decoys::new(compiled.values().map(|user| &user.hash)),
            users: compiled,
            pool: pool.clone(),
            under_way: Mutex::default(),
            series: metrics.auth(name),
        })
    }

    /// The name in `auth`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its series.
    pub fn series(&self) -> &AuthSeries {
        &self.series
    }

    /// What browsers show.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether name and password stay in the request.
    pub fn forwards_credential(&self) -> bool {
        self.forward_credential
    }

    /// The users.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.users.values().map(|user| &*user.identity)
    }

    /// Whether the file has a user of this name.
    pub fn knows(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// The same users, who also seem to have signed in with the password of `stand_in`.
    #[must_use]
    pub fn stood_in(mut self, stand_in: &StandIn) -> Self {
        for (name, user) in &mut self.users {
            let fingerprint = fingerprint_of(name, stand_in.password(), &user.hash);
            user.verified = OnceLock::from(fingerprint);
        }
        self
    }

    /// The identity of a pair that has been verified before; costs a fingerprint and a comparison.
    pub fn remembered(&self, pair: &Pair) -> Option<Arc<Identity>> {
        let user = self.users.get(pair.user())?;
        let known = user.verified.get()?;
        if *known != fingerprint(pair, &user.hash) {
            return None;
        }
        self.series.cache_hits.inc();
        Some(user.identity.clone())
    }

    /// Verifies a pair on the hashing pool, if `guess` allows it. A user who is not in the file is [`Attempt::Absent`],
    /// without any work: the caller owes [`Method::refuse_stranger`] when no other method knows the user either.
    pub async fn attempt(&self, pair: &Pair, guess: &Guess<'_>) -> Attempt {
        let Some(user) = self.users.get(pair.user()) else { return Attempt::Absent };
        let fingerprint = fingerprint(pair, &user.hash);
        let trial = Trial { pair, hash: &user.hash, verified: Some(&user.verified), guess };
        match self.verify_once(fingerprint, trial).await {
            Ok(()) => Attempt::Verified(user.identity.clone()),
            Err(reason) => Attempt::Failed(reason),
        }
    }

    /// The hash that stands in for the one that the user of `pair`, whom no method knows, does not have.
    pub fn decoy(&self, pair: &Pair) -> Option<Decoy<'_>> {
        self.decoys.nearest(pair.user())
    }

    /// Does the work of a verification that cannot succeed, which takes as long as for the user whose hash `decoy` is.
    pub async fn refuse_stranger(&self, pair: &Pair, decoy: Decoy<'_>, guess: &Guess<'_>) -> Reason {
        let fingerprint = fingerprint(pair, decoy.hash);
        let trial = Trial { pair, hash: decoy.hash, verified: None, guess };
        self.verify_once(fingerprint, trial).await.err().unwrap_or(Reason::BadPassword)
    }

    /// Verifies, or waits for the outcome when the same pair is being verified for another request. However many ask, it
    /// is one guess.
    async fn verify_once(&self, fingerprint: Fingerprint, trial: Trial<'_>) -> Verdict {
        let Trial { pair, hash, verified, guess } = trial;
        let (announce, mut outcome) = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(outcome) = under_way.get(&fingerprint) {
                (None, outcome.clone())
            } else if verified.is_some_and(|verified| verified.get() == Some(&fingerprint)) {
                // Another request was faster, and is not under way any more.
                return Ok(());
            } else {
                let taken = guess.take().map_err(|_too_many| Reason::TooManyAttempts)?;
                let (announce, outcome) = watch::channel(None);
                under_way.insert(fingerprint, outcome.clone());
                (Some((announce, taken)), outcome)
            }
        };
        if let Some((announce, taken)) = announce {
            if verified.is_some() {
                self.series.cache_misses.inc();
            }
            // Taken out again even when this request is dropped half way, or others would wait for nobody.
            let _entry = UnderWay { method: self, fingerprint };
            let password = Zeroizing::new(pair.expose_password().to_owned());
            let verdict = match (self.pool.verify(hash.clone(), password).await, verified) {
                (Ok(true), Some(verified)) => {
                    let _ = verified.set(fingerprint);
                    taken.was_right();
                    Ok(())
                }
                // Even if the password happens to fit the decoy, the user does not exist.
                (Ok(_), _) => {
                    taken.was_wrong();
                    Err(Reason::BadPassword)
                }
                // It stays counted: otherwise whoever keeps the pool busy could guess for nothing at a pair that is
                // remembered, which needs no pool.
                (Err(_), _) => Err(Reason::Overloaded),
            };
            announce.send_replace(Some(verdict));
            return verdict;
        }
        match outcome.wait_for(Option::is_some).await {
            Ok(verdict) => verdict.unwrap_or(Err(Reason::Overloaded)),
            Err(_) => Err(Reason::Overloaded),
        }
    }
}

struct UnderWay<'a> {
    method: &'a Method,
    fingerprint: Fingerprint,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.method.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.fingerprint);
    }
}

impl std::fmt::Debug for Method {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Basic")
            .field("name", &self.name)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

/// Covers the hash as well, so that a changed password is verified anew.
fn fingerprint(pair: &Pair, hash: &StoredHash) -> Fingerprint {
    fingerprint_of(pair.user(), pair.expose_password(), hash)
}

fn fingerprint_of(user: &str, password: &str, hash: &StoredHash) -> Fingerprint {
    Fingerprint::of(&[user.as_bytes(), password.as_bytes(), hash.expose().as_bytes()])
}

#[cfg(test)]
mod tests;
