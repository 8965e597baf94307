//! Who sent a request, once its credential was verified.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::{HeaderName, HeaderValue};

use super::reason::Reason;
use super::revocable::Revocable;

/// How someone proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// An API key.
    ApiKey,
    /// A name and a password (RFC 7617).
    Basic,
    /// A signed token (RFC 7519).
    Jwt,
}

impl Method {
    /// The name in logs and in the identity header.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Basic => "basic",
            Self::Jwt => "jwt",
        }
    }
}

/// A verified caller. It is made when a credential is verified, shared while the credential is remembered, and says
/// nothing that the credential did not prove.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name of the method in `auth`.
    pub auth: Arc<str>,
    /// The kind of credential.
    pub method: Method,
    /// Who it is: the owner of the key, the user, or the token's subject.
    pub subject: Subject,
    /// What the caller was granted.
    pub scopes: Words,
    /// What the caller is.
    pub roles: Words,
    /// The public identifier of the API key, or the `kid` of the key that signed the token.
    pub key_id: Option<Box<str>>,
    /// The values of the claims that the policy passes on, in the order in which the policy names them.
    pub claims: Box<[Option<Box<str>>]>,
    /// From when to when the credential is good.
    pub validity: Validity,
    /// Under what it can be revoked.
    pub revocable: Revocable,
    /// What upstreams are told, once it was put into words.
    pub told: Told,
}

/// The fields that upstreams receive about an identity, written once and sent with each request.
#[derive(Clone, Debug, Default)]
pub struct Told(OnceLock<(Edition, Box<Fields>)>);

/// Names and values of header fields.
type Fields = [(HeaderName, HeaderValue)];

impl Told {
    /// The fields as `edition` of the policy words them, from `write` if nobody has written them yet. `None` when another
    /// edition has: an identity can be remembered for longer than a policy lasts.
    pub fn get_or_write(&self, edition: Edition, write: impl FnOnce() -> Box<Fields>) -> Option<&Fields> {
        let (written, fields) = self.0.get_or_init(|| (edition, write()));
        (*written == edition).then_some(fields)
    }
}

/// Tells one wording of the identity headers from every other one in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition(u64);

impl Edition {
    /// An edition that nobody else has.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// From when to when a credential is good, in seconds since the Unix epoch; leeway is already added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// Not before this second.
    pub from: Option<u64>,
    /// Not from this second on.
    pub until: Option<u64>,
}

impl Validity {
    /// Whether the credential is good at `now`; checked on every request, remembered credential or not.
    ///
    /// # Errors
    /// [`Reason::Expired`] or [`Reason::NotYetValid`].
    pub fn check(self, now: u64) -> Result<(), Reason> {
        match self {
            Self { until: Some(until), .. } if now >= until => Err(Reason::Expired),
            Self { from: Some(from), .. } if now < from => Err(Reason::NotYetValid),
            Self { .. } => Ok(()),
        }
    }
}

/// A subject that can stand in a header field and comes out the same at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Box<str>);

/// Longer subjects than this are no names but an attack on whoever stores them.
const LONGEST_SUBJECT: usize = 512;

impl Subject {
    /// Takes `text` unless it is empty, overlong, contains control characters, or begins or ends with white space: a
    /// recipient would cut that off and see someone else.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= LONGEST_SUBJECT && carries(text)).then(|| Self(text.into()))
    }

    /// The subject.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` arrives unchanged as the value of a header field (RFC 9110 §5.5).
pub fn carries(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control)
}

/// Whether a list of scopes or roles can carry `text` as one of them.
pub fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.chars().any(|letter| letter.is_whitespace() || letter.is_control() || letter == ',')
}

/// What [`is_word`] asks for, for people.
pub const WORD: &str = "scopes and roles are words without white space, commas and control characters";

/// A set of scopes or roles, in the order they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Box<[Box<str>]>);

impl Words {
    /// Collects `words`; empty ones and those with white space, commas or control characters are left out, because a
    /// recipient would read them as several.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self(words.into_iter().filter(|word| is_word(word)).map(Box::from).collect())
    }

    /// Whether `word` is among them.
    pub fn contains(&self, word: &str) -> bool {
        self.0.iter().any(|own| **own == *word)
    }

    /// The words.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|word| &**word)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them with `separator` between.
    pub fn join(&self, separator: &str) -> String {
        self.0.join(separator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_is_half_open() {
        let validity = Validity { from: Some(10), until: Some(20) };
        for (now, expect) in [
            (9, Err(Reason::NotYetValid)),
            (10, Ok(())),
            (19, Ok(())),
            (20, Err(Reason::Expired)),
            (21, Err(Reason::Expired)),
        ] {
            assert_eq!(validity.check(now), expect, "{now}");
        }
        assert_eq!(Validity::default().check(0), Ok(()));
    }

    #[test]
    fn subjects_that_a_header_would_change_are_refused() {
        for good in ["alice", "auth0|5f7c", "José", "a b"] {
            assert_eq!(Subject::new(good).unwrap().as_str(), good);
        }
        for bad in
            ["", " alice", "alice ", "a\r\nX: y", "a\0", "a\tb", "\u{a0}a", "a\u{85}", &"x".repeat(513)]
        {
            assert_eq!(Subject::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn words_that_a_list_would_split_are_left_out() {
        let words = Words::new(["read", "", "a b", "x,admin", "write\n"]);
        assert_eq!(words.join(" "), "read");
        assert!(words.contains("read") && !words.contains("admin"));
    }
}
