//! `portcullis revoke`: revokes a token, a key, a session or everything issued to a subject, lifts that again, and lists
//! what is revoked. It writes to the Redis that the configuration file names; Redis announces the change to every gateway.

pub(super) mod known;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use thiserror::Error;

use crate::authn::revocable::Kind;
use crate::clock::{Clock, rfc3339};
use crate::revocation::Backing;
use crate::revocation::entry::{Entry, Invalid, Issuer, Lifetime, Name};
use crate::revocation::request::lifetime;
use crate::revocation::store::{Cursor, Failure, LARGEST_PAGE, Listed, Store};
use crate::units::HumanDuration;

/// Revoke a credential, lift a revocation, or list what is revoked.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    what: What,
    /// The token's issuer, as in `iss`; without it, the `jti` is revoked whoever issued it.
    #[arg(
        long,
        value_name = "URL",
        conflicts_with_all = ["sub", "sid", "client", "key", "user", "list"],
        value_parser = NonEmptyStringValueParser::new()
    )]
    issuer: Option<String>,
    /// How long the entry stays in force, such as `24h` or `24h 30s`, or `never` until you lift it. You rarely need it:
    /// without it, an entry for a jti, sid or client lasts as long as any token can live (`max_lifetime` and `leeway` in the
    /// file), and one for a sub, key or user until you lift it.
    #[arg(long = "for", value_name = "TIME", conflicts_with_all = ["lift", "list"])]
    lifetime: Option<Lifetime>,
    /// Why, and who asks for it; shown by --list and recorded in the audit log of the gateways.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["lift", "list"])]
    reason: Option<String>,
    /// Take the revocation back.
    #[arg(long, conflicts_with = "list")]
    lift: bool,
    /// With --list: how many entries to show at most.
    #[arg(
        long,
        value_name = "NUMBER",
        conflicts_with_all = ["jti", "sub", "sid", "client", "key", "user"],
        default_value_t = 1000
    )]
    limit: usize,
}

const EXAMPLES: &str = "\
Examples:
  portcullis revoke --key k_4fQ9xT --reason \"found in a public repository\"
  portcullis revoke --sub 5f0c2a9e-7d0b-4e0c-9d5e-0d7e4a1b2c3d --reason \"left the company\"
  portcullis revoke --jti 7d9c3e --issuer https://id.example.com
  portcullis revoke --key k_4fQ9xT --lift
  portcullis revoke --list";

/// What is meant; exactly one of them.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// One token, by its `jti`.
    #[arg(long, value_name = "ID")]
    jti: Option<String>,
    /// Everything issued to a subject until now: tokens, API keys and Basic users of that name.
    #[arg(long, value_name = "SUBJECT")]
    sub: Option<String>,
    /// One session, by the `sid` of its tokens.
    #[arg(long, value_name = "ID")]
    sid: Option<String>,
    /// Every token issued to a client until now, by `azp` or `client_id`.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// One API key, by its public identifier, such as `k_4fQ9xT`.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// One Basic user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Show what is revoked.
    #[arg(long)]
    list: bool,
}

/// Why nothing was revoked, lifted or listed.
#[derive(Debug, Error)]
pub enum Error {
    /// The list is where only the gateway itself can reach it.
    #[error(
        "this gateway keeps its revocations in its own memory, where no other program can reach them: use its admin \
         API, or give it a `redis` section"
    )]
    InMemory,
    /// The entry would be invalid.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The list is out of reach.
    #[error("{0}")]
    Store(#[from] Failure),
}

/// Does what `args` say to the list in `backing` and returns what to tell the user. `longest_token` is how long a token
/// that the gateway accepts can live at most, leeway included, where that is known.
///
/// # Errors
/// See [`enum@Error`]; nothing was changed then, or Redis was lost before it said so.
pub async fn run(
    args: &Args,
    backing: &Backing,
    longest_token: Option<Duration>,
    clock: &Clock,
) -> Result<String, Error> {
    let store = match backing {
        Backing::Memory => return Err(Error::InMemory),
        Backing::Redis(server) => Store::redis(Arc::clone(server), clock.clone()),
    };
    let Args { what, issuer, lifetime: given, reason, lift, limit } = args;
    let Some((kind, id)) = what.named() else { return list(&store, *limit).await };
    let issuer = issuer.as_deref().map_or(Issuer::Any, Issuer::Named);
    let name = Name::new(kind, id, issuer)?;
    if *lift {
        return Ok(lifted(&name, store.remove(&name).await?));
    }
    let lifetime = lifetime(kind, *given, longest_token)?;
    let entry = Entry::new(name, lifetime, reason.as_deref().unwrap_or_default(), clock.unix_seconds())?;
    store.add(&entry).await?;
    Ok(revoked(&entry, longest_token))
}

impl Args {
    /// What is to be revoked, as a kind and what was given for it; `None` for a listing and for lifting.
    pub(super) fn revokes(&self) -> Option<(Kind, &str)> {
        self.what.named().filter(|_| !self.lift)
    }
}

impl What {
    /// The kind and what was given for it, or `None` for a listing.
    fn named(&self) -> Option<(Kind, &str)> {
        let Self { jti, sub, sid, client, key, user, list: _ } = self;
        [
            (Kind::Jti, jti),
            (Kind::Sub, sub),
            (Kind::Sid, sid),
            (Kind::Client, client),
            (Kind::Key, key),
            (Kind::User, user),
        ]
        .into_iter()
        .find_map(|(kind, id)| Some((kind, id.as_deref()?)))
    }
}

/// What the user is told about a new entry.
fn revoked(entry: &Entry, longest_token: Option<Duration>) -> String {
    let (name, lifetime) = (entry.name(), entry.lifetime());
    let mut text = match entry.time() {
        None => format!("revoked {name} {lifetime}"),
        Some(time) => format!("revoked what was issued to {name} until {}, {lifetime}", rfc3339(time)),
    };
    let Some(chosen) = lifetime.duration() else { return text };
    if let Some(longest) = longest_token.filter(|longest| concerns_tokens(name.kind()) && chosen < *longest) {
        let longest = HumanDuration(longest);
        let _ = write!(
            text,
            "\nnote: the gateway accepts tokens that live for {longest}: one that outlives this entry is accepted again. \
             Without `--for`, the entry lasts long enough"
        );
    }
    if let Some(what) = outlasting(name.kind()) {
        let _ = write!(
            text,
            "\nnote: {what} accepted again after that. Without `--for`, the entry lasts until you lift it"
        );
    }
    text
}

fn concerns_tokens(kind: Kind) -> bool {
    match kind {
        Kind::Client | Kind::Jti | Kind::Sid | Kind::Sub => true,
        Kind::Key | Kind::User => false,
    }
}

/// Credentials that an entry of this kind revokes and that have no end of their own.
fn outlasting(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Key => Some("the key is"),
        Kind::Sub => Some("API keys and Basic users of this subject are"),
        Kind::User => Some("the user is"),
        Kind::Client | Kind::Jti | Kind::Sid => None,
    }
}

fn lifted(name: &Name, was_there: bool) -> String {
    if was_there {
        return format!("lifted {name}");
    }
    let mut text = format!(
        "{name} is not in Redis; gateways that still enforce it, because Redis has lost it, lift it now"
    );
    if name.kind() == Kind::Jti {
        text.push_str("\nnote: a jti that was revoked with --issuer is lifted with --issuer");
    }
    text
}

async fn list(store: &Store, limit: usize) -> Result<String, Error> {
    let (mut entries, mut cursor) = (Vec::new(), Some(Cursor::default()));
    while let Some(at) = cursor.take_if(|_| entries.len() < limit) {
        let page = store.list(None, &at, (limit - entries.len()).min(LARGEST_PAGE)).await?;
        entries.extend(page.entries);
        cursor = page.next;
    }
    let more = cursor.is_some() || entries.len() > limit;
    entries.truncate(limit);
    if entries.is_empty() && !more {
        return Ok("nothing is revoked".to_owned());
    }
    entries.sort_by(|left, right| (left.kind, &left.id).cmp(&(right.kind, &right.id)));
    entries.dedup();
    let mut text = table(&entries);
    if more {
        let _ = write!(text, "\nthere are more: use --limit");
    }
    Ok(text)
}

/// Columns as wide as they need to be, without white space at the ends of lines.
fn table(entries: &[Listed]) -> String {
    let header = ["KIND", "ID", "ISSUER", "ISSUED UNTIL", "EXPIRES", "REASON"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(header).chain(entries.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What other programs wrote may hold anything, and a terminal obeys some of it.
fn row(entry: &Listed) -> [String; 6] {
    let Listed { kind, id, issuer_hash, issued_until, expires, reason } = entry;
    let shown = |text: &str| {
        let letter = |letter: char| {
            if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() }
        };
        text.chars().map(letter).collect::<String>()
    };
    [
        (*kind).to_owned(),
        shown(id),
        issuer_hash.clone().unwrap_or_default(),
        issued_until.clone().unwrap_or_default(),
        expires.clone().unwrap_or_else(|| "never".to_owned()),
        shown(reason),
    ]
}

#[cfg(test)]
mod tests;
