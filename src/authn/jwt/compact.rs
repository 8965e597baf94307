//! The outside of a token: its three parts (RFC 7515 §7.1) and the rules of its header.
//!
//! Nothing here looks at a claim, and nothing in a header is believed: it may choose among the algorithms and keys that
//! the policy accepts, and everything that could make a verifier fetch or trust something else is refused or ignored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::{Algorithm, Algorithms};
use super::json::{Json, Object};
use crate::authn::Reason;

/// Tokens are no longer than this, in bytes; a request's whole header seldom is.
const LONGEST: usize = 16 << 10;

/// The decoded parts of a token.
///
/// ```text
/// eyJhbGciOiJSUzI1NiJ9 . eyJpc3MiOiJodHRwczovL2EifQ . c2lnbmF0dXJl
/// └────── header ─────┘   └──────── payload ───────┘   └ signature ┘
/// └─────────────────── message ────────────────────┘
/// ```
pub(super) struct Compact<'t> {
    message: &'t str,
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'t> Compact<'t> {
    /// Takes `token` apart: exactly three parts, each in the one canonical spelling of base64url without padding
    /// (RFC 7515 §2), so that a token cannot be respelt.
    pub(super) fn parse(token: &'t str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        // The engine refuses padding, characters of other alphabets (the dot too) and trailing bits that are not zero.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        Some(Self { message, header, payload, signature })
    }

    /// The JSON of the header.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// The JSON of the claims.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// A token whose header may be followed; its signature has yet to be verified.
pub(super) struct Signed<'t> {
    compact: &'t Compact<'t>,
    algorithm: Algorithm,
    kid: Option<&'t str>,
}

impl<'t> Signed<'t> {
    /// Holds `header`, which is that of `compact`, to the rules, and its algorithm to `accepted`.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::WrongType`] or [`Reason::WrongAlgorithm`].
    pub(super) fn new(
        compact: &'t Compact<'t>,
        header: &'t Object<'_>,
        accepted: Algorithms,
    ) -> Result<Self, Reason> {
        if REFUSED.iter().any(|name| header.get(name).is_some()) {
            return Err(Reason::Malformed);
        }
        check_types(header)?;
        let name = header.get("alg").and_then(Json::text).ok_or(Reason::Malformed)?;
        let algorithm = Algorithm::named(name)
            .filter(|algorithm| accepted.contains(*algorithm))
            .ok_or(Reason::WrongAlgorithm)?;
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.text().ok_or(Reason::Malformed)?),
        };
        Ok(Self { compact, algorithm, kid })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid
    }

    /// What was signed.
    pub(super) fn message(&self) -> &[u8] {
        self.compact.message.as_bytes()
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.compact.signature
    }
}

/// Header parameters that change what a token means: extensions that must be understood (RFC 7515 §4.1.11), an unencoded
/// payload (RFC 7797), encryption and compression (RFC 7516), and a key that the token brings along (RFC 7515 §4.1.3).
/// `jku`, `x5u` and `x5c` are ignored, as they may be: nothing is ever fetched or trusted because of them.
const REFUSED: [&str; 5] = ["b64", "crit", "enc", "jwk", "zip"];

/// `typ` values of access tokens (RFC 9068 §2.1) and of tokens that do not say what they are (RFC 7519 §5.1).
const TYPES: [&str; 4] = ["JWT", "at+jwt", "application/at+jwt", "application/jwt"];

fn check_types(header: &Object<'_>) -> Result<(), Reason> {
    if let Some(kind) = header.get("typ") {
        let kind = kind.text().ok_or(Reason::Malformed)?;
        if !TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
            return Err(Reason::WrongType);
        }
    }
    match header.get("cty") {
        None => Ok(()),
        // The claims would be another token (RFC 7519 §5.2), and what stands here are claims.
        Some(Json::Text(content)) if !content.to_ascii_lowercase().ends_with("jwt") => Ok(()),
        Some(_) => Err(Reason::Malformed),
    }
}
