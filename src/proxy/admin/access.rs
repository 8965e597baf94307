//! Who may read and write on the admin listener.
//!
//! Whoever may write here can lock users out, or let a revoked one in again. It therefore takes the admin token, or, when
//! there is none, a loopback address that is also asked for by that name: a web page in the operator's browser can reach
//! the address, but under another name, and it cannot send JSON there. Whatever the token, a browser that says that it
//! asks for a page of another origin is refused.

use std::net::IpAddr;
use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use super::answer::Refused;
use super::sessions::{Open, Sessions};
use crate::authn::guessing::{Kind, Limiter, Memory};
use crate::config::listeners::Admin;
use crate::request::authority::Authority;
use crate::secret::Secret;
use crate::telemetry::audit::Principal;
use crate::units::Quota;

/// How many wrong tokens a minute are borne from a source.
const WRONG_TOKENS: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// How many sources of wrong tokens are remembered.
const SOURCES: usize = 1 << 10;

/// What is known of those who come to the admin listener.
pub(super) struct Access {
    limiter: Limiter,
    pub(super) sessions: Sessions,
}

impl Access {
    /// Nobody has come yet.
    pub(super) fn new() -> Self {
        let memory = Memory::with_entries(SOURCES);
        let limiter = Limiter::new(memory, Quota::a_minute(WRONG_TOKENS), Quota::Unlimited);
        Self { limiter, sessions: Sessions::default() }
    }

    /// Whether a program may read and write: it sends the token with each request, where there is one.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        admin: &Admin,
        source: IpAddr,
    ) -> Result<Principal, Refused> {
        let Some(token) = &admin.token else {
            return check_is_local(headers, admin, source).map(|()| Principal::Loopback);
        };
        let sent = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let sent = match sent.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest,
            Some(_) | None => &[],
        };
        self.check_token(token, sent, source).map(|()| Principal::AdminToken)
    }

    /// Whether the status page may be read: by whoever has signed in to it, and by programs.
    pub(super) fn check_reading(
        &self,
        headers: &HeaderMap,
        admin: &Admin,
        source: IpAddr,
    ) -> Result<Principal, Refused> {
        check_origin(headers)?;
        match &admin.token {
            Some(token) if self.sessions.find(headers, token).is_some() => Ok(Principal::AdminSession),
            Some(_) | None => self.check(headers, admin, source),
        }
    }

    /// Whether the status page may change something: only by a page of our own, of a session, that says so itself. Its
    /// cookie alone is sent by pages that know nothing of it, such as those of another port of the same host.
    pub(super) fn check_changing(&self, headers: &HeaderMap, admin: &Admin) -> Result<Open, Refused> {
        check_own_page(headers)?;
        let token = admin.token.as_ref().ok_or_else(read_only)?;
        let open = self.sessions.find(headers, token).ok_or_else(|| {
            Refused::new(StatusCode::UNAUTHORIZED, "sign in: there is no session, or it has ended")
        })?;
        if open.is_repeated_in(headers) {
            Ok(open)
        } else {
            Err(Refused::new(StatusCode::FORBIDDEN, "this does not come from a page of the session"))
        }
    }

    /// Whether `sent` is the token. A source that was wrong too often is not told, unless the token is so long that nobody
    /// finds it by trying: then whoever has it is heard, whatever others behind the same address have sent.
    pub(super) fn check_token(&self, token: &Secret, sent: &[u8], source: IpAddr) -> Result<(), Refused> {
        let needed = || Refused::new(StatusCode::UNAUTHORIZED, "the admin token is needed");
        if sent.is_empty() {
            // Nobody guesses by saying nothing.
            return Err(needed());
        }
        let [is, should] = [sent, token.expose()].map(|bytes| digest::digest(&digest::SHA256, bytes));
        let right = constant_time::verify_slices_are_equal(is.as_ref(), should.as_ref()).is_ok();
        if right && token.expose().len() >= Admin::LONG_TOKEN {
            return Ok(());
        }
        let attempt = self.limiter.guess(Kind::Key, source, b"").take()?;
        if !right {
            log::warn!("a wrong admin token from {source}");
            return Err(needed());
        }
        attempt.was_right();
        Ok(())
    }
}

/// Refuses what a browser sends for a page of another origin. Programs send neither of these fields.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Refused> {
    let own = headers.get(header::ORIGIN).is_none_or(|origin| is_own(origin, headers));
    // Fetch Metadata: what did not come from a page at all is `none`.
    let near = site(headers).is_none_or(|site| matches!(site, b"none" | b"same-origin"));
    if own && near { Ok(()) } else { Err(foreign()) }
}

/// Refuses what does not come from a page of our own. Browsers send `Origin` with whatever changes something.
pub(super) fn check_own_page(headers: &HeaderMap) -> Result<(), Refused> {
    let own = headers.get(header::ORIGIN).is_some_and(|origin| is_own(origin, headers));
    let same = site(headers).is_none_or(|site| site == b"same-origin");
    if own && same { Ok(()) } else { Err(foreign()) }
}

/// Whether the page came by HTTPS, which something in front of this listener must have spoken.
pub(super) fn came_by_https(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// Without a token nobody can sign in, and the page changes nothing.
pub(super) fn read_only() -> Refused {
    Refused::new(StatusCode::FORBIDDEN, "without `admin: { token }` the status page is read-only")
}

fn foreign() -> Refused {
    Refused::new(StatusCode::FORBIDDEN, "this is not for web pages of another origin")
}

fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let origin = origin.as_bytes();
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

fn site(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get("sec-fetch-site").map(HeaderValue::as_bytes)
}

/// Where there is no token: whether the request comes from a loopback address and to one, by the name of one. Where it comes
/// from has to be asked as well: a reload may have changed the address in the file, and the socket is still the old one.
pub(super) fn check_is_local(headers: &HeaderMap, admin: &Admin, source: IpAddr) -> Result<(), Refused> {
    let refused = |why| Err(Refused::new(StatusCode::FORBIDDEN, why));
    if !admin.address.ip().is_loopback() || !source.to_canonical().is_loopback() {
        return refused("without `admin: { token }` this is possible on a loopback address only");
    }
    if !is_for_loopback(headers) {
        return refused("ask for this by a loopback address or `localhost`");
    }
    Ok(())
}

/// Whether the request names the machine itself, and not a name that was made to point to it (DNS rebinding).
fn is_for_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let Ok(authority) = Authority::parse(host) else { return false };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also when the file says by now that the address is a loopback one, while the socket is still another.
    #[test]
    fn without_a_token_only_the_machine_itself_may() {
        for (address, source, host, may) in [
            ("127.0.0.1:9180", "127.0.0.1", "localhost:9180", true),
            ("127.0.0.1:9180", "127.0.0.1", "127.0.0.1:9180", true),
            ("[::1]:9180", "::1", "[::1]:9180", true),
            ("[::1]:9180", "::ffff:127.0.0.1", "localhost", true),
            ("127.0.0.1:9180", "192.0.2.2", "localhost", false),
            ("127.0.0.1:9180", "::ffff:192.0.2.2", "localhost", false),
            ("0.0.0.0:9180", "127.0.0.1", "localhost", false),
            ("127.0.0.1:9180", "127.0.0.1", "rebound.example", false),
        ] {
            let admin = Admin { address: address.parse().unwrap(), token: None };
            let headers = [(header::HOST, HeaderValue::from_static(host))].into_iter().collect();
            let allowed = check_is_local(&headers, &admin, source.parse().unwrap()).is_ok();
            assert_eq!(allowed, may, "{address} {source} {host}");
        }
    }
}
