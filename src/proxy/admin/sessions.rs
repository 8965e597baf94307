//! Who has signed in to the status page. A browser cannot send a token by itself, so whoever has shown it once gets a
//! session: a random name in a cookie that no script can read.
//!
//! Sessions are few and short. What is kept of one is a digest of its name, so that nobody becomes an operator by reading
//! memory, and a digest of the token that it was opened with: a token that was changed ends all of its sessions. The value
//! that a page has to repeat whenever it changes something is made from the name of its session, and not kept at all.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, digest, hmac, rand};
use http::HeaderMap;
use http::header::{self, HeaderValue};

use crate::hex;
use crate::secret::Secret;

/// How long a session lasts, whether or not it is used.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How many there may be; one more ends the oldest.
const MOST: usize = 16;

/// The cookie, where the browser came in the clear, to a loopback address or through a tunnel.
const COOKIE: &str = "portcullis-status";

/// The cookie, where the browser came by HTTPS: no other host and no other scheme can have set it (RFC 6265bis §4.1.3.2).
const SECURE_COOKIE: &str = "__Host-portcullis-status";

/// The field in which a page repeats what it was told.
pub(super) const REPEATED: &str = "x-portcullis-session";

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

struct Session {
    /// Of the name.
    digest: Digest,
    /// Of the token that was shown.
    token: Digest,
    ends: Instant,
}

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// A session that a request belongs to.
pub(super) struct Open {
    digest: Digest,
    /// What the page repeats.
    pub(super) repeat: String,
    /// How long it still lasts.
    pub(super) left: Duration,
}

impl Open {
    fn new(name: &str, left: Duration) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, name.as_bytes());
        let repeat = hex::encode(hmac::sign(&key, b"portcullis status").as_ref());
        Self { digest: digest_of(name.as_bytes()), repeat, left }
    }

    /// Whether the request comes from a page of this session, and not from one that only makes the browser send its
    /// cookies.
    pub(super) fn is_repeated_in(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(REPEATED).map(HeaderValue::as_bytes).unwrap_or_default();
        constant_time::verify_slices_are_equal(sent, self.repeat.as_bytes()).is_ok()
    }
}

impl Sessions {
    /// Opens a session for somebody who has shown `token`, and says so in a cookie; `None` when there is no randomness.
    pub(super) fn open(&self, token: &Secret, secure: bool) -> Option<(Open, HeaderValue)> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).ok()?;
        let name = hex::encode(&bytes);
        let open = Open::new(&name, LIFETIME);
        let cookie = HeaderValue::try_from(set_cookie(&name, secure, LIFETIME.as_secs())).ok()?;
        let now = Instant::now();
        let mut sessions = self.lock();
        sessions.retain(|session| session.ends > now);
        if sessions.len() >= MOST {
            sessions.remove(0);
        }
        let token = digest_of(token.expose());
        sessions.push(Session { digest: open.digest, token, ends: now + LIFETIME });
        Some((open, cookie))
    }

    /// The session that a request belongs to, as long as `token` is the token.
    pub(super) fn find(&self, headers: &HeaderMap, token: &Secret) -> Option<Open> {
        let (now, token) = (Instant::now(), digest_of(token.expose()));
        let sessions = self.lock();
        names(headers).find_map(|name| {
            let digest = digest_of(name.as_bytes());
            let session = sessions.iter().find(|session| session.digest == digest)?;
            let left = session.ends.checked_duration_since(now).filter(|left| !left.is_zero())?;
            (session.token == token).then(|| Open::new(name, left))
        })
    }

    /// Ends a session, and returns the cookies that make the browser forget it.
    pub(super) fn close(&self, open: &Open) -> [HeaderValue; 2] {
        self.lock().retain(|session| session.digest != open.digest);
        [false, true].map(|secure| {
            // Nothing in it that a header field may not have.
            HeaderValue::try_from(set_cookie("", secure, 0)).unwrap_or(HeaderValue::from_static(""))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_cookie(name: &str, secure: bool, seconds: u64) -> String {
    // `__Host-` asks for `Secure` and for all paths.
    let (cookie, rest) = if secure { (SECURE_COOKIE, "Path=/; Secure") } else { (COOKIE, "Path=/status") };
    format!("{cookie}={name}; {rest}; HttpOnly; SameSite=Strict; Max-Age={seconds}")
}

/// The values of our cookies (RFC 6265 §5.4). There may be several: others can set some of the same name.
fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(';')).filter_map(|pair| {
        let (cookie, name) = pair.trim().split_once('=')?;
        [COOKIE, SECURE_COOKIE].contains(&cookie).then_some(name)
    })
}

fn digest_of(bytes: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cookie(cookie: &str) -> HeaderMap {
        [(header::COOKIE, HeaderValue::from_str(cookie).unwrap())].into_iter().collect()
    }

    fn sent(set: &HeaderValue) -> HeaderMap {
        with_cookie(set.to_str().unwrap().split(';').next().unwrap())
    }

    #[test]
    fn a_session_ends_with_its_token_with_signing_out_and_with_one_too_many() {
        let (sessions, token) = (Sessions::default(), Secret::from("first".to_owned()));
        let (first, cookie) = sessions.open(&token, false).unwrap();
        let headers = sent(&cookie);
        assert_eq!(sessions.find(&headers, &token).unwrap().repeat, first.repeat);
        assert!(sessions.find(&headers, &Secret::from("second".to_owned())).is_none());
        sessions.close(&first);
        assert!(sessions.find(&headers, &token).is_none());

        let (_, cookie) = sessions.open(&token, true).unwrap();
        let oldest = sent(&cookie);
        for _ in 1..MOST {
            sessions.open(&token, false).unwrap();
        }
        assert!(sessions.find(&oldest, &token).is_some());
        sessions.open(&token, false).unwrap();
        assert!(sessions.find(&oldest, &token).is_none());
        assert_eq!(sessions.lock().len(), MOST);
    }

    #[test]
    fn a_session_is_found_among_other_cookies_and_nothing_else_is_one() {
        let (sessions, token) = (Sessions::default(), Secret::from("token".to_owned()));
        let (open, cookie) = sessions.open(&token, false).unwrap();
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        let name = pair.split_once('=').unwrap().1.to_owned();
        for (cookies, found) in [
            (format!("a=b; {pair}; c=d"), true),
            (format!("{COOKIE}=stranger; {pair}"), true),
            (format!("{SECURE_COOKIE}={name}"), true),
            (format!("x{pair}"), false),
            (pair.to_uppercase(), false),
            (format!("{pair}0"), false),
            (format!("{COOKIE}={}", hex::encode(&open.digest)), false),
            (format!("{COOKIE}="), false),
            (COOKIE.to_owned(), false),
        ] {
            assert_eq!(sessions.find(&with_cookie(&cookies), &token).is_some(), found, "{cookies}");
        }
        for (repeated, good) in [(open.repeat.as_str(), true), ("", false), (&name, false)] {
            let headers = [(REPEATED, repeated)].map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            });
            assert_eq!(open.is_repeated_in(&headers.into_iter().collect()), good, "{repeated}");
        }
    }
}
