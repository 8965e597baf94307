//! API keys: opaque secrets that a file lists by their SHA-256.
//!
//! A look-up costs one hash and one table access, however many keys there are. The table is searched by digest, so a
//! guess that shares a prefix with a real key comes no closer in time: its digest shares nothing.

mod file;
pub mod format;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::{constant_time, digest};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Attempt;
use super::credential::Key;
use super::identity::{Identity, Method as Kind, Subject, Told, Validity, WORD, Words, is_word};
use super::reason::Reason;
use super::revocable::{self, Revocable};
use super::stand_in::StandIn;
use crate::loading::Loading;
use crate::telemetry::metrics::{AuthSeries, Metrics};
use crate::yaml::Located;

pub use file::{Expiry, KeyEntry, KeyFile};

/// API keys, listed in a file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file that lists the keys by their SHA-256, such as `keys.yaml`. `portcullis keys new` appends to it. The file may
    /// be empty.
    #[schemars(with = "String")]
    pub keys: Located<PathBuf>,
    /// Leaves the key in the request that goes upstream instead of removing it.
    #[serde(default)]
    pub forward_credential: bool,
}

/// A compiled set of keys.
#[derive(Debug)]
pub struct Method {
    name: Arc<str>,
    forward_credential: bool,
    /// The table's hasher is keyed at random for each process, so its order cannot be predicted from outside.
    keys: HashMap<Digest, Arc<Identity>>,
    /// When keys expire, in seconds since the Unix epoch, ascending.
    expiries: Box<[u64]>,
    series: AuthSeries,
}

impl Method {
    /// Reads the key file. Everything wrong with it goes to `loading`.
    pub fn compile(
        name: &Arc<str>,
        config: &Located<Config>,
        metrics: &Metrics,
        loading: &mut Loading<'_>,
    ) -> Option<Self> {
        let Config { keys, forward_credential } = &**config;
        let errors_before = loading.problems.error_count();
        let file = KeyFile::read(keys, loading)?;
        warn_if_others_have_access(keys, loading);
        let place = keys.place();
        let keys = compile_keys(name, &file, loading);
        if loading.problems.error_count() > errors_before {
            return None;
        }
        if keys.is_empty() {
            loading
                .problems
                .warning(place, "this key file has no keys, so the gateway rejects every API key")
                .hint("`portcullis keys new` adds a key");
        }
        let mut expiries: Vec<u64> = keys.values().filter_map(|identity| identity.validity.until).collect();
        expiries.sort_unstable();
        expiries.dedup();
        Some(Self {
            name: name.clone(),
            forward_credential: *forward_credential,
            keys,
            expiries: expiries.into(),
            series: metrics.auth(name),
        })
    }

    /// The name in `auth`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// When the next key expires after `now`, both in seconds since the Unix epoch.
    pub fn next_expiry(&self, now: u64) -> Option<u64> {
        self.expiries.get(self.expiries.partition_point(|expiry| *expiry <= now)).copied()
    }

    /// Its series.
    pub fn series(&self) -> &AuthSeries {
        &self.series
    }

    /// Whether the key stays in the request.
    pub fn forwards_credential(&self) -> bool {
        self.forward_credential
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whom the keys belong to, and what each may.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.keys.values().map(|identity| &**identity)
    }

    /// Identifier and owner of each key.
    pub fn listed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys
            .values()
            .map(|identity| (identity.key_id.as_deref().unwrap_or_default(), identity.subject.as_str()))
    }

    /// The same keys, and for each of them one of `stand_in`.
    #[must_use]
    pub fn stood_in(mut self, stand_in: &StandIn) -> Self {
        let others: Vec<(Digest, Arc<Identity>)> = self
            .keys
            .values()
            .filter_map(|identity| {
                let key = stand_in.key(identity.key_id.as_deref()?);
                Some((Digest::of(key.as_bytes()), identity.clone()))
            })
            .collect();
        self.keys.extend(others);
        self
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether `key` is one of them, whatever it is good for.
    pub fn knows(&self, key: &str) -> bool {
        self.keys.contains_key(&Digest::of(key.as_bytes()))
    }

    /// Looks `key` up at the time `now`, in seconds since the Unix epoch.
    pub fn attempt(&self, key: &Key<'_>, now: u64) -> Attempt {
        let key = key.expose();
        if format::check(key) == format::Shape::Mistyped {
            return Attempt::Failed(Reason::Malformed);
        }
        match self.keys.get(&Digest::of(key.as_bytes())) {
            None => Attempt::Absent,
            Some(identity) => match identity.validity.check(now) {
                Ok(()) => Attempt::Verified(identity.clone()),
                Err(reason) => Attempt::Failed(reason),
            },
        }
    }
}

/// The SHA-256 of a key.
#[derive(Clone, Copy, Debug)]
struct Digest([u8; 32]);

impl Digest {
    fn of(key: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, key).as_ref());
        Self(bytes)
    }
}

/// Compared without telling how much of it fits.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

fn compile_keys(
    name: &Arc<str>,
    file: &Located<KeyFile>,
    loading: &mut Loading<'_>,
) -> HashMap<Digest, Arc<Identity>> {
    let KeyFile { keys: entries } = &**file;
    let mut keys = HashMap::with_capacity(entries.len());
    let mut ids: HashMap<&str, &Located<String>> = HashMap::with_capacity(entries.len());
    for entry in entries {
        let KeyEntry { id, owner, label: _, sha256, scopes, roles, created, expires } = entry;
        if let Some(first) = ids.insert(id, id) {
            loading.error(id.place(), format!("the key id `{}` is used twice", **id)).hint_at_line(
                "the first one is in line ",
                first.place(),
                ": an id names one key in logs and revocations",
            );
        }
        let Some(subject) = Subject::new(owner) else {
            loading
                .error(owner.place(), "this owner cannot be passed on in a header")
                .hint("use 1 to 512 characters without control characters or white space at either end");
            continue;
        };
        if let Some(word) = scopes.iter().chain(roles).find(|word| !is_word(word)) {
            loading.error(id.place(), format!("the key `{}` cannot have {word:?}", **id)).hint(WORD);
        }
        let identity = Identity {
            auth: name.clone(),
            method: Kind::ApiKey,
            revocable: Revocable::new(owner, *created).with(revocable::Kind::Key, id),
            subject,
            scopes: Words::new(scopes.iter().map(String::as_str)),
            roles: Words::new(roles.iter().map(String::as_str)),
            key_id: Some(id.as_str().into()),
            claims: Box::default(),
            validity: Validity { from: None, until: expires.until() },
            told: Told::default(),
        };
        if keys.insert(Digest(sha256.0), Arc::new(identity)).is_some() {
            loading
                .error(id.place(), format!("the key `{}` has the same `sha256` as another one", **id))
                .hint("a key belongs to one owner: remove one of the entries");
        }
    }
    keys
}

/// A key file that others may write lets them add keys.
fn warn_if_others_have_access(path: &Located<PathBuf>, loading: &mut Loading<'_>) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = std::fs::metadata(crate::loading::resolve(path)) else { return };
    let mode = metadata.permissions().mode();
    if mode & 0o022 != 0 {
        loading
            .problems
            .warning(
                path.place(),
                format!("this key file can be written by others (mode {:o})", mode & 0o777),
            )
            .hint("whoever can write it can add keys: `chmod go-w` it");
    } else if mode & 0o004 != 0 {
        loading
            .problems
            .warning(path.place(), format!("this key file can be read by everyone (mode {:o})", mode & 0o777))
            .hint("it holds no keys, but owners and scopes: `chmod o-r` it");
    }
}

#[cfg(test)]
mod tests;
