//! Entries of the revocation list and their layout in Redis, which any program can write.
//!
//! Reading is lenient: whatever stands under a key that names a credential revokes it. Writing is strict: what is
//! refused here could not be what the writer meant.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::cutoff::carries_time;
use crate::authn::api_key::format::{self, Shape};
use crate::authn::revocable::{Kind, issuer_hash};
use crate::fingerprint::Fingerprint;
use crate::units::{HumanDuration, TimeSpan};

/// Every entry is a key that begins with this.
pub const PREFIX: &str = "portcullis:revoked:";

/// The longest identifier that is written, in bytes.
pub const LONGEST_ID: usize = 1024;

/// The longest reason that is written, in bytes.
pub const LONGEST_REASON: usize = 1024;

/// What an entry names: a kind, and what follows it in the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    kind: Kind,
    /// For a `jti`, `<issuer-hash or *>:<jti>`.
    id: Box<str>,
}

/// Whose token a `jti` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer<'a> {
    /// Anybody's.
    Any,
    /// That of an issuer with this hash, as a listing shows it.
    Hash(&'a str),
    /// This issuer's, as it stands in `iss`.
    Named(&'a str),
}

impl Name {
    /// The name of the entry for `id`. An issuer goes with a `jti` and with nothing else.
    ///
    /// # Errors
    /// What cannot name a credential, or could not be told from something else in a log.
    pub fn new(kind: Kind, id: &str, issuer: Issuer<'_>) -> Result<Self, Invalid> {
        if id.is_empty() {
            return Err(Invalid::EmptyId);
        }
        if id.len() > LONGEST_ID {
            return Err(Invalid::LongId);
        }
        if id.chars().any(char::is_control) {
            return Err(Invalid::ControlCharacter("identifier"));
        }
        // The whole credential would stand in Redis, in logs and in listings, and revoke nothing.
        if format::check(id) != Shape::Foreign {
            return Err(Invalid::WholeKey);
        }
        if id.starts_with("eyJ") && id.matches('.').count() == 2 {
            return Err(Invalid::WholeToken);
        }
        let id = match (kind, issuer) {
            (Kind::Jti, Issuer::Any) => format!("*:{id}"),
            (Kind::Jti, Issuer::Hash(hash)) if is_issuer_hash(hash) => format!("{hash}:{id}"),
            (Kind::Jti, Issuer::Hash(_)) => return Err(Invalid::IssuerHash),
            (Kind::Jti, Issuer::Named("")) => return Err(Invalid::EmptyIssuer),
            (Kind::Jti, Issuer::Named(issuer)) => format!("{}:{id}", issuer_hash(issuer)),
            (Kind::Client | Kind::Key | Kind::Sid | Kind::Sub | Kind::User, Issuer::Any) => id.to_owned(),
            (
                Kind::Client | Kind::Key | Kind::Sid | Kind::Sub | Kind::User,
                Issuer::Hash(_) | Issuer::Named(_),
            ) => return Err(Invalid::NeedlessIssuer(kind.name())),
        };
        Ok(Self { kind, id: id.into() })
    }

    /// The name that a key in Redis stands for, or `None` when it names no credential.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        parse_key(key).map(|(kind, id)| Self { kind, id: id.into() })
    }

    /// The key in Redis.
    pub fn key(&self) -> String {
        format!("{PREFIX}{self}")
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What follows the kind: for a `jti`, `<issuer-hash or *>:<jti>`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Under what the mirror knows it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.kind.fingerprint(&self.id)
    }
}

/// The name as it is shown: the kind, and what follows it.
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.kind.name(), self.id)
    }
}

/// Takes a key apart into the kind and what follows it, or `None` when it names no credential: another prefix, an
/// unknown kind, an empty identifier, a `jti` without an issuer's hash or `*`, or bytes that are no text.
pub fn parse_key(key: &[u8]) -> Option<(Kind, &str)> {
    let key = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let (kind, id) = key.split_once(':')?;
    let kind = Kind::named(kind)?;
    let names_something = match kind {
        Kind::Jti => id
            .split_once(':')
            .is_some_and(|(issuer, jti)| !jti.is_empty() && (issuer == "*" || is_issuer_hash(issuer))),
        Kind::Client | Kind::Key | Kind::Sid | Kind::Sub | Kind::User => !id.is_empty(),
    };
    names_something.then_some((kind, id))
}

fn is_issuer_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// How long an entry stays in force. Written like `24h` or `24h 30s`, or `never` for one that ends only when it is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is lifted.
    Endless,
    /// For so many seconds.
    Seconds(u64),
}

/// A hundred years; Redis refuses times that overflow its own.
const LONGEST_LIFETIME: u64 = 100 * 366 * 86_400;

impl Lifetime {
    /// The lifetime `span`, rounded up to whole seconds.
    ///
    /// # Errors
    /// Nothing at all, and more than a hundred years.
    pub fn new(span: Duration) -> Result<Self, Invalid> {
        match span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0)) {
            0 => Err(Invalid::NoLifetime),
            seconds if seconds > LONGEST_LIFETIME => Err(Invalid::LongLifetime),
            seconds => Ok(Self::Seconds(seconds)),
        }
    }

    /// The lifetime as a span, or `None` when it has no end.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Endless => None,
            Self::Seconds(seconds) => Some(Duration::from_secs(seconds)),
        }
    }
}

impl FromStr for Lifetime {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "never" {
            return Ok(Self::Endless);
        }
        // As it is shown, such as `24h 30s`.
        let mut parts = text.split_ascii_whitespace().map(str::parse::<TimeSpan>).peekable();
        parts.peek().ok_or(Invalid::LifetimeSyntax)?;
        parts
            .try_fold(Duration::ZERO, |sum, part| sum.checked_add(part.ok()?.duration()))
            .ok_or(Invalid::LifetimeSyntax)
            .and_then(Self::new)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endless => formatter.write_str("until it is lifted"),
            Self::Seconds(seconds) => {
                write!(formatter, "for {}", HumanDuration(Duration::from_secs(*seconds)))
            }
        }
    }
}

/// An entry that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    name: Name,
    lifetime: Lifetime,
    /// In seconds since the Unix epoch, for the kinds that carry a time.
    time: Option<u64>,
    reason: Box<str>,
}

impl Entry {
    /// Revokes what `name` names at the time `now`, in seconds since the Unix epoch. The reason is for people, and may
    /// be empty.
    ///
    /// # Errors
    /// A reason that is overlong or has control characters.
    pub fn new(name: Name, lifetime: Lifetime, reason: &str, now: u64) -> Result<Self, Invalid> {
        if reason.len() > LONGEST_REASON {
            return Err(Invalid::LongReason);
        }
        if reason.chars().any(char::is_control) {
            return Err(Invalid::ControlCharacter("reason"));
        }
        Ok(Self { time: carries_time(name.kind).then_some(now), name, lifetime, reason: reason.into() })
    }

    /// What it names.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// How long it stands.
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Up to when it denies what was issued, in seconds since the Unix epoch; `None` for the kinds that have no time.
    pub fn time(&self) -> Option<u64> {
        self.time
    }

    /// Why, in the writer's words.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The value in Redis: the time, for the kinds that carry one, and the reason after a space.
    pub fn value(&self) -> String {
        match (self.time, &*self.reason) {
            (None, reason) => reason.to_owned(),
            (Some(time), "") => time.to_string(),
            (Some(time), reason) => format!("{time} {reason}"),
        }
    }
}

/// The reason in the value of an entry of this kind.
pub fn reason_in(kind: Kind, value: &str) -> &str {
    let reason = if carries_time(kind) {
        value.split_once(|letter: char| letter.is_ascii_whitespace()).map_or("", |(_, reason)| reason)
    } else {
        value
    };
    reason.trim()
}

/// Why an entry cannot be written.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Invalid {
    /// A control character would garble a log.
    #[error("the {0} contains a control character")]
    ControlCharacter(&'static str),
    /// There is nothing to revoke.
    #[error("the identifier is empty")]
    EmptyId,
    /// No token has an empty issuer.
    #[error("the issuer is empty")]
    EmptyIssuer,
    /// The hash of an issuer has a fixed form.
    #[error("an issuer's hash is 16 hexadecimal digits in lower case, as a listing shows it")]
    IssuerHash,
    /// Both say whose token it is.
    #[error("give the issuer or its hash, not both")]
    IssuerTwice,
    /// A lifetime that is none.
    #[error("say how long it stands, such as `30m`, `24h`, `90d` or `never`")]
    LifetimeSyntax,
    /// Longer than names are.
    #[error("the identifier is longer than {LONGEST_ID} bytes")]
    LongId,
    /// Longer than Redis can count.
    #[error("it would stand for more than 100 years: use `never`")]
    LongLifetime,
    /// Longer than a line.
    #[error("the reason is longer than {LONGEST_REASON} bytes")]
    LongReason,
    /// Only tokens have an issuer here.
    #[error("an issuer goes with a `jti` only, not with a `{0}`")]
    NeedlessIssuer(&'static str),
    /// It would end at once.
    #[error("it would end at once: say how long it stands, such as `24h` or `never`")]
    NoLifetime,
    /// How long the credential could still live is not known, and guessing too short would bring it back.
    #[error(
        "say how long it stands: at least as long as the credential could still live, such as `24h`, or `never`"
    )]
    UnknownLifetime,
    /// Not one of the kinds.
    #[error("the kind is one of `client`, `jti`, `key`, `sid`, `sub` and `user`")]
    UnknownKind,
    /// A secret, which is not what a key is revoked by.
    #[error(
        "this is an API key itself: revoke it by its identifier, which stands behind `pcl_`, such as `k_4fQ9xT`"
    )]
    WholeKey,
    /// A secret, which is not what a token is revoked by.
    #[error("this is a token itself: revoke it by one of its claims, such as its `jti`")]
    WholeToken,
}

#[cfg(test)]
mod tests;
