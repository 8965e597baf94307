//! Finds the one credential of a request, and says where it stands so that it can be removed from there.
//!
//! Only the kinds that the route accepts count. More than one of them, or one that is repeated, is never sorted out in
//! favour of the better one: the request is refused.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::identity::Method;
use crate::hex;
use crate::request::Request;

/// The header field of an API key.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The user under which HTTP Basic carries an API key.
pub const API_KEY_USER: &str = "apikey";

/// The kinds of credential that a route accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// API keys.
    pub api_key: bool,
    /// Names and passwords.
    pub basic: bool,
    /// Signed tokens.
    pub jwt: bool,
}

impl Accepted {
    /// The names of the schemes, as logs and problem documents have them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let Self { api_key, basic, jwt } = self;
        let schemes = [(api_key, Method::ApiKey), (basic, Method::Basic), (jwt, Method::Jwt)];
        schemes.into_iter().filter(|(accepted, _)| *accepted).map(|(_, scheme)| scheme.name())
    }
}

/// Where a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// `X-API-Key`.
    ApiKey,
    /// `Authorization`.
    Authorization,
}

impl Location {
    /// The header field.
    pub fn header(self) -> HeaderName {
        match self {
            Self::ApiKey => API_KEY,
            Self::Authorization => header::AUTHORIZATION,
        }
    }
}

/// The fields that are removed from a request before it goes upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strip {
    api_key: bool,
    authorization: bool,
}

impl Strip {
    /// All fields in which a credential of an `accepted` kind may stand.
    pub fn all(accepted: Accepted) -> Self {
        let Accepted { api_key, basic, jwt } = accepted;
        Self { api_key, authorization: api_key || basic || jwt }
    }

    /// The names of the fields.
    pub fn headers(self) -> impl Iterator<Item = HeaderName> {
        let Self { api_key, authorization } = self;
        api_key.then_some(API_KEY).into_iter().chain(authorization.then_some(header::AUTHORIZATION))
    }
}

impl From<Option<Location>> for Strip {
    fn from(location: Option<Location>) -> Self {
        Self {
            api_key: location == Some(Location::ApiKey),
            authorization: location == Some(Location::Authorization),
        }
    }
}

/// What was found.
#[derive(Debug)]
pub enum Found<'a> {
    /// Nothing that the route accepts.
    Absent,
    /// An API key and where it stood.
    ApiKey(Key<'a>, Location),
    /// A name and a password.
    Basic(Pair),
    /// A signed token.
    Bearer(Token<'a>),
    /// A credential in the query.
    InQuery,
    /// A credential that is not well formed.
    Malformed,
    /// More than one credential.
    Several,
}

/// The text of an API key.
pub enum Key<'a> {
    /// From a header field of its own or the `ApiKey` scheme.
    Borrowed(&'a str),
    /// From the password of HTTP Basic.
    Decoded(Zeroizing<String>),
}

impl Key<'_> {
    /// The key itself.
    pub fn expose(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// The compact serialization of a token.
#[derive(Clone, Copy)]
pub struct Token<'a>(&'a str);

impl<'a> Token<'a> {
    /// The token itself.
    pub fn expose(self) -> &'a str {
        self.0
    }
}

impl<'a> From<&'a str> for Token<'a> {
    fn from(text: &'a str) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// A decoded name and password (RFC 7617 §2).
pub struct Pair {
    text: Zeroizing<String>,
    colon: usize,
}

impl Pair {
    /// The user's name.
    pub fn user(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The password itself.
    pub fn expose_password(&self) -> &str {
        &self.text[self.colon + 1..]
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:[redacted]", self.user())
    }
}

/// Query parameters that look like a credential.
const QUERY_NAMES: [&str; 5] = ["api_key", "apikey", "access_token", "token", "jwt"];

/// Whether anything in `request` could be a credential, without looking at it.
pub fn is_present(request: &Request<'_>) -> bool {
    let headers = request.headers();
    headers.contains_key(header::AUTHORIZATION)
        || headers.contains_key(API_KEY)
        || request.target().query().is_some_and(has_credential)
}

/// Finds the credential of `request`.
pub fn find<'a>(request: &Request<'a>, accepted: Accepted) -> Found<'a> {
    if request.target().query().is_some_and(has_credential) {
        return Found::InQuery;
    }
    let headers = request.headers();
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = authorizations.next();
    if authorizations.next().is_some() {
        return Found::Several;
    }
    let authorization = authorization.map_or(Found::Absent, |value| authorization_field(value, accepted));
    if !accepted.api_key {
        return authorization;
    }
    let mut keys = headers.get_all(API_KEY).iter();
    let Some(key) = keys.next() else { return authorization };
    match authorization {
        _ if keys.next().is_some() => Found::Several,
        Found::Absent => api_key_field(key),
        Found::ApiKey(..)
        | Found::Basic(_)
        | Found::Bearer(_)
        | Found::InQuery
        | Found::Malformed
        | Found::Several => Found::Several,
    }
}

fn api_key_field(value: &HeaderValue) -> Found<'_> {
    match text_of(value) {
        Some(text) if text.contains(',') => Found::Several,
        Some(text) if is_word(text) => Found::ApiKey(Key::Borrowed(text), Location::ApiKey),
        Some(_) | None => Found::Malformed,
    }
}

/// `scheme SP credential` (RFC 9110 §11.4): one run of spaces, and a credential without white space.
fn authorization_field(value: &HeaderValue, accepted: Accepted) -> Found<'_> {
    let Some(text) = text_of(value) else { return Found::Malformed };
    // A proxy in front may have joined repeated fields, and no credential of ours contains a comma.
    if text.contains(',') {
        return Found::Several;
    }
    let (scheme, credential) = match text.split_once(' ') {
        Some((scheme, rest)) => (scheme, rest.trim_start_matches(' ')),
        None => (text, ""),
    };
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("bearer") && accepted.jwt {
        return if is_word(credential) { Found::Bearer(Token(credential)) } else { Found::Malformed };
    }
    if is("apikey") && accepted.api_key {
        return if is_word(credential) {
            Found::ApiKey(Key::Borrowed(credential), Location::Authorization)
        } else {
            Found::Malformed
        };
    }
    if is("basic") && (accepted.basic || accepted.api_key) {
        return basic_field(credential, accepted);
    }
    // `Bearer<TAB>token` names no scheme that exists. If it was meant to be one that the route accepts, say so.
    if scheme.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_' | b'.' | b'+'))
    {
        return Found::Malformed;
    }
    Found::Absent
}

fn basic_field(credential: &str, accepted: Accepted) -> Found<'_> {
    let Some(pair) = decode_pair(credential) else { return Found::Malformed };
    if accepted.api_key && pair.user() == API_KEY_USER {
        let key = pair.expose_password();
        return if is_word(key) {
            Found::ApiKey(Key::Decoded(Zeroizing::new(key.to_owned())), Location::Authorization)
        } else {
            Found::Malformed
        };
    }
    if accepted.basic { Found::Basic(pair) } else { Found::Absent }
}

fn decode_pair(credential: &str) -> Option<Pair> {
    if credential.len() > LONGEST_PAIR {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(credential).ok()?);
    let text = Zeroizing::new(std::str::from_utf8(&bytes).ok()?.to_owned());
    let colon = text.find(':')?;
    let usable = colon > 0 && colon + 1 < text.len() && !text.chars().any(char::is_control);
    usable.then_some(Pair { text, colon })
}

/// In base64; password hashes take time with the length of their input.
const LONGEST_PAIR: usize = 1024;

/// Visible ASCII without white space. A token is long: there is no branch for each byte, so that several are looked at in
/// one instruction.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().fold(true, |word, byte| word & byte.is_ascii_graphic())
}

/// The text of a field that holds a credential; anything but ASCII is refused when its parts are looked at.
fn text_of(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// Whether a parameter of `query` is named like a credential, in any spelling.
pub fn has_credential(query: &str) -> bool {
    query.split(['&', ';']).any(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default();
        if name.len() > LONGEST_NAME {
            return false;
        }
        let name = hex::unescape(name);
        QUERY_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// `access_token` with every letter escaped.
const LONGEST_NAME: usize = 3 * "access_token".len();

#[cfg(test)]
mod tests;
