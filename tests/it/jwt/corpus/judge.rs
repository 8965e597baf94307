//! What the standards and the contract say about a token: each rule once, in the order in which they can be asked.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value;

use super::reading::{Fault, Json, base64url, json};
use crate::harness::issuer::AUDIENCE;

/// The first rule that a token breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// None.
    Kept,
    /// No signature but one that the policy lists, and the key fits (RFC 8725 section 3.1, RFC 7518 section 3.1).
    Algorithm,
    /// `aud` is a text or a list of texts, one of them ours (RFC 7519 section 4.1.3).
    Audience,
    /// A claim is of its type: `sub` is there and can be passed on, `jti` and `scope` are texts (RFC 7519 section 4.1.2 and
    /// 4.1.7, RFC 8693 section 4.2).
    Claim,
    /// Nested no deeper than a reader can bear.
    Depth,
    /// Names are unique at every level (RFC 7515 section 4, RFC 7519 section 4).
    Duplicate,
    /// Nothing that must be understood and is not (RFC 7515 section 4.1.11), no unencoded payload (RFC 7797 section 7), no
    /// encryption (RFC 7516 section 9), no key of the token's own.
    Extension,
    /// `iss` is a text and names an issuer exactly (RFC 7519 section 4.1.1).
    Issuer,
    /// Header and claims are each one JSON object (RFC 7515 section 5.2, RFC 7519 section 7.2).
    Json,
    /// `kid` is the name of a key (RFC 7515 section 4.1.4).
    Key,
    /// An access token, and no token in a token (RFC 8725 section 3.11, RFC 9068 section 4, RFC 7519 section 5.2).
    Kind,
    /// `alg`, `kid`, `typ` and `cty` are texts, and `alg` is there (RFC 7515 section 4.1).
    Parameter,
    /// Three parts (RFC 7515 section 7.1).
    Parts,
    /// The signature is one, of what was sent, by the key (RFC 7515 section 5.2).
    Signature,
    /// It fits into a request's head.
    Size,
    /// Each part has one spelling (RFC 7515 section 2).
    Spelling,
    /// `exp` is there, the times are numbers, and now is between them; no longer than a day (RFC 7519 section 4.1.4 to 4.1.6).
    Time,
}

/// Whose tokens are accepted.
pub(super) struct Judge {
    pub(super) now: u64,
    /// Publishes `keys`.
    pub(super) issuer: String,
    pub(super) keys: Vec<Value>,
    /// Shares `secret`.
    pub(super) legacy: &'static str,
    pub(super) secret: &'static [u8],
}

/// In seconds.
const LEEWAY: f64 = 30.0;
const LONGEST_LIFE: f64 = 24.0 * 3600.0;
/// A request's head, in bytes.
const LONGEST: usize = 32 << 10;

type Verdict = Result<(), Rule>;

impl Judge {
    pub(super) fn rule(&self, token: &str) -> Rule {
        self.verdict(token).err().unwrap_or(Rule::Kept)
    }

    fn verdict(&self, token: &str) -> Verdict {
        if token.len() > LONGEST {
            return Err(Rule::Size);
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = *parts else { return Err(Rule::Parts) };
        let (message, _) = token.rsplit_once('.').unwrap();
        let part = |text| base64url(text).ok_or(Rule::Spelling);
        let (header, claims, signature) = (part(header)?, part(claims)?, part(signature)?);
        let (header, claims) = (object(&header)?, object(&claims)?);
        let issuer = claims.get("iss").and_then(Json::text).ok_or(Rule::Issuer)?;
        if issuer != self.issuer && issuer != self.legacy {
            return Err(Rule::Issuer);
        }
        check_header(&header)?;
        self.check_signature(&header, issuer, message.as_bytes(), &signature)?;
        self.check_claims(&claims)
    }

    fn check_signature(&self, header: &Json, issuer: &str, message: &[u8], signature: &[u8]) -> Verdict {
        let algorithm = header.get("alg").and_then(Json::text).ok_or(Rule::Parameter)?;
        if issuer == self.legacy {
            let method = hmac_method(algorithm).ok_or(Rule::Algorithm)?;
            let key = hmac::Key::new(method, self.secret);
            return hmac::verify(&key, message, signature).map_err(|_| Rule::Signature);
        }
        let known = ["RS", "PS"].iter().any(|kind| {
            algorithm.strip_prefix(kind).is_some_and(|size| ["256", "384", "512"].contains(&size))
        });
        if !known && !["ES256", "ES384", "EdDSA", "Ed25519"].contains(&algorithm) {
            return Err(Rule::Algorithm);
        }
        let kid = header.get("kid").map(|kid| kid.text().unwrap());
        let named: Vec<&Value> =
            self.keys.iter().filter(|key| kid.is_none_or(|kid| key["kid"] == kid)).collect();
        if named.is_empty() {
            return Err(Rule::Key);
        }
        let fitting: Vec<&Value> = named.into_iter().filter(|key| fits(key, algorithm)).collect();
        if fitting.is_empty() {
            return Err(Rule::Algorithm);
        }
        let verified = fitting.iter().any(|key| verifies(key, algorithm, message, signature));
        if verified { Ok(()) } else { Err(Rule::Signature) }
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    fn check_claims(&self, claims: &Json) -> Verdict {
        let ours = match claims.get("aud").ok_or(Rule::Audience)? {
            Json::Text(one) => one == AUDIENCE,
            Json::List(many) => {
                let texts: Option<Vec<&str>> = many.iter().map(Json::text).collect();
                texts.ok_or(Rule::Audience)?.contains(&AUDIENCE)
            }
            Json::Boolean | Json::Null | Json::Number(_) | Json::Object(_) => false,
        };
        if !ours {
            return Err(Rule::Audience);
        }
        let now = self.now as f64;
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Json::Number(seconds)) => Ok(Some(*seconds)),
            Some(Json::Boolean | Json::List(_) | Json::Null | Json::Object(_) | Json::Text(_)) => {
                Err(Rule::Time)
            }
        };
        let (ends, begins, issued) = (time("exp")?.ok_or(Rule::Time)?, time("nbf")?, time("iat")?);
        let in_time = now < ends + LEEWAY
            && begins.is_none_or(|begins| begins <= now + LEEWAY)
            && issued.is_none_or(|issued| issued <= now + LEEWAY)
            && ends - issued.unwrap_or(now) <= LONGEST_LIFE;
        if !in_time {
            return Err(Rule::Time);
        }
        let subject = claims.get("sub").and_then(Json::text).ok_or(Rule::Claim)?;
        let text_or_absent = |name: &str| claims.get(name).is_none_or(|value| value.text().is_some());
        if subject.contains(|letter: char| letter < ' ') || !text_or_absent("jti") || !text_or_absent("scope")
        {
            return Err(Rule::Claim);
        }
        Ok(())
    }
}

fn object(bytes: &[u8]) -> Result<Json, Rule> {
    match json(bytes) {
        Ok(object @ Json::Object(_)) => Ok(object),
        Ok(Json::Boolean | Json::List(_) | Json::Null | Json::Number(_) | Json::Text(_))
        | Err(Fault::Grammar) => Err(Rule::Json),
        Err(Fault::Deep) => Err(Rule::Depth),
        Err(Fault::Duplicate) => Err(Rule::Duplicate),
    }
}

fn check_header(header: &Json) -> Verdict {
    if ["crit", "b64", "enc", "jwk"].iter().any(|name| header.get(name).is_some()) {
        return Err(Rule::Extension);
    }
    let is_text = |name: &str| header.get(name).is_none_or(|value| value.text().is_some());
    if !["alg", "kid", "typ", "cty"].iter().all(|name| is_text(name)) {
        return Err(Rule::Parameter);
    }
    let says = |name: &str| header.get(name).and_then(Json::text).map(str::to_ascii_lowercase);
    let access_token = |kind: &str| {
        // "application/" is left out where there is no other slash (RFC 7515 section 4.1.9).
        ["jwt", "at+jwt"].contains(&kind.strip_prefix("application/").unwrap_or(kind))
    };
    if says("typ").is_some_and(|kind| !access_token(&kind))
        || says("cty").is_some_and(|kind| access_token(&kind))
    {
        return Err(Rule::Kind);
    }
    Ok(())
}

/// Whether a key is for an algorithm (RFC 7517 section 4.4, RFC 7518 section 6.1, RFC 8037 section 3.1, RFC 9864 section 2.2).
fn fits(key: &Value, algorithm: &str) -> bool {
    let by_kind = match (key["kty"].as_str().unwrap(), key["crv"].as_str()) {
        ("RSA", _) => algorithm.starts_with("RS") || algorithm.starts_with("PS"),
        (_, Some("P-256")) => algorithm == "ES256",
        (_, Some("P-384")) => algorithm == "ES384",
        _ => ["EdDSA", "Ed25519"].contains(&algorithm),
    };
    by_kind && key.get("alg").is_none_or(|own| own == algorithm)
}

fn verifies(key: &Value, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
    let number = |name: &str| base64url(key[name].as_str().unwrap()).unwrap();
    let curve = |method, order: &str| {
        // RFC 7518 section 3.4: two numbers of the order's length, each from 1 to the order less 1 (SEC 1 section 4.1.4).
        let order = hex(order);
        let in_range = |number: &[u8]| number.iter().any(|byte| *byte != 0) && *number < *order;
        let point = [vec![4], number("x"), number("y")].concat();
        signature.len() == 2 * order.len()
            && signature.chunks(order.len()).all(in_range)
            && UnparsedPublicKey::new(method, point).verify(message, signature).is_ok()
    };
    let method = match algorithm {
        "ES256" => return curve(&ECDSA_P256_SHA256_FIXED, ORDER_256),
        "ES384" => return curve(&ECDSA_P384_SHA384_FIXED, ORDER_384),
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        _ => {
            // RFC 8032 section 5.1.7.
            let key = UnparsedPublicKey::new(&ED25519, number("x"));
            return signature.len() == 64 && key.verify(message, signature).is_ok();
        }
    };
    let (n, e) = (number("n"), number("e"));
    // RFC 8017 sections 8.1.2, 8.2.2 and 5.2.2: as long as the modulus, and smaller.
    let in_range = signature.len() == n.len() && *signature < *n;
    in_range && RsaPublicKeyComponents { n, e }.verify(method, message, signature).is_ok()
}

fn hmac_method(algorithm: &str) -> Option<hmac::Algorithm> {
    match algorithm {
        "HS256" => Some(hmac::HMAC_SHA256),
        "HS384" => Some(hmac::HMAC_SHA384),
        "HS512" => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The orders of the curves (SEC 2 sections 2.4.2 and 2.5.1).
pub(super) const ORDER_256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
pub(super) const ORDER_384: &str =
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
