//! Advice about credentials: how long they live, when they were made, and how passwords are kept.

use crate::authn::api_key::{self, Expiry, KeyEntry, KeyFile};
use crate::authn::{basic, jwt};
use crate::loading::Loading;
use crate::problem::Problems;
use crate::units::TimeSpan;
use crate::yaml::Located;

/// More names are not shown.
const MOST: usize = 5;

const DAY: u64 = 24 * 60 * 60;

/// Keys that are older are due for another one.
const OLD_KEY: u64 = 365 * DAY;

/// Tokens that live longer are as good as passwords for whoever finds one.
const LONG_TOKEN: TimeSpan = TimeSpan::seconds(DAY);

pub(super) fn api_keys(config: &Located<api_key::Config>, loading: &mut Loading<'_>, advice: &mut Problems) {
    if config.forward_credential {
        advice
            .advice(config.place(), "the upstream receives the key itself, and could use it elsewhere")
            .hint("identity headers say who it is: remove `forward_credential`");
    }
    let now = loading.clock.unix_seconds();
    let Some(file) = KeyFile::read(&config.keys, loading) else { return };
    let made_before = |entry: &KeyEntry, age| entry.created.is_some_and(|at| now.saturating_sub(at) > age);
    let unlimited = |entry: &KeyEntry| entry.expires == Expiry::Never;
    let expired = |entry: &KeyEntry| matches!(entry.expires, Expiry::At(end) if end <= now);
    let old = |entry: &KeyEntry| made_before(entry, OLD_KEY) && !unlimited(entry) && !expired(entry);
    keys(
        &file,
        unlimited,
        "never expire",
        advice,
        "make others with `portcullis keys new --expires 90d`, and remove these when those are in use",
    );
    keys(&file, expired, "have expired", advice, "remove their entries");
    keys(
        &file,
        old,
        "were made more than a year ago",
        advice,
        "whoever has seen them in the meantime still has them: make others",
    );
}

/// Advises on all keys of a file that `are` so, at the first of them.
fn keys(file: &KeyFile, are: impl Fn(&KeyEntry) -> bool, what: &str, advice: &mut Problems, cure: &str) {
    let found: Vec<&KeyEntry> = file.keys.iter().filter(|entry| are(entry)).collect();
    let Some(first) = found.first() else { return };
    let names = found.iter().map(|entry| format!("`{}` of {}", *entry.id, *entry.owner));
    advice.advice(first.id.place(), format!("keys {what}: {}", listed(names))).hint(cure);
}

/// The first few of `names`, and how many more there are.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(MOST);
    let text = names.take(MOST).collect::<Vec<_>>().join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}

pub(super) fn users(config: &Located<basic::Config>, loading: &mut Loading<'_>, advice: &mut Problems) {
    if config.forward_credential {
        advice
            .advice(config.place(), "the upstream receives the password itself")
            .hint("identity headers say who it is: remove `forward_credential`");
    }
    let weak = basic::weak_hashes(&config.users, loading);
    let Some((place, _)) = weak.first() else { return };
    let names = weak.iter().map(|(_, weakness)| weakness.clone());
    advice
        .advice(place, format!("passwords are cheap to guess from these hashes: {}", listed(names)))
        .hint("whoever gets hold of the file could guess them: write the lines again with `portcullis hash-password`");
}

pub(super) fn tokens(config: &Located<jwt::Config>, advice: &mut Problems) {
    if config.forward_credential {
        advice
            .advice(config.place(), "the upstream receives the token itself, and could use it elsewhere")
            .hint("identity headers say who it is: remove `forward_credential`");
    }
    if let Some(span) = &config.max_lifetime
        && **span > LONG_TOKEN
    {
        advice
            .advice(span.place(), format!("tokens may live for {}", **span))
            .hint("whoever finds one can use it for so long: use short ones that are renewed");
    }
    if let Some(secret) = &config.secret {
        advice
            .advice(secret.place(), "whoever can verify these tokens can also sign them")
            .hint("with `jwks_url` or `public_key` only the issuer can");
    }
}
