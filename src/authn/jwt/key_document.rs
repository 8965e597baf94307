//! Reads keys from what issuers and people write: a JWK set (RFC 7517) or PEM text.
//!
//! A key that cannot be used is left out and named with its reason; the rest of the document is used. A document without
//! a single usable key is refused as a whole, so that it never replaces keys that work.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::{Algorithm, Algorithms};
use super::key_set::{Key, KeySet};
use super::material::{Material, Unusable};
use crate::authn::identity::carries;

/// Keys that a document may hold; real issuers publish two to ten.
const MOST_KEYS: usize = 100;

/// What was read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) keys: KeySet,
    pub(super) left_out: Vec<LeftOut>,
}

/// A key that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its `kid`, or its position in the document.
    name: String,
    reason: Unusable,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is left out: {}", self.name, self.reason)
    }
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// It was read, and holds no usable key.
    #[error("it holds no usable key{}", reasons(.0))]
    NoneUsable(Vec<LeftOut>),
    /// Not JSON with a list `keys` (RFC 7517 §5).
    #[error("it is not a JWK set: a JSON object with a list `keys`")]
    NotJwks,
    /// No PEM section in it.
    #[error("it is not PEM text: a section such as `-----BEGIN PUBLIC KEY-----`")]
    NotPem,
}

fn reasons(left_out: &[LeftOut]) -> String {
    left_out.iter().flat_map(|key| ["; ".to_owned(), key.to_string()]).collect()
}

/// Reads a JWK set. Keys that `before` has too are taken from there.
///
/// # Errors
/// Why there is no usable key.
pub(super) fn read_jwks(document: &[u8], before: Option<&KeySet>) -> Result<Reading, NoKeys> {
    let JwkSet { keys } = serde_json::from_slice(document).map_err(|_unreadable| NoKeys::NotJwks)?;
    let read = keys.into_iter().enumerate().map(|(at, jwk)| {
        let kid = jwk.get("kid").and_then(Value::as_str).filter(|kid| kid.len() <= 64 && carries(kid));
        let name = kid.map_or_else(|| position(at), |kid| format!("key `{kid}`"));
        (name, if at < MOST_KEYS { read_jwk(jwk) } else { Err(Unusable::Surplus(MOST_KEYS)) })
    });
    collect(read, before)
}

/// Reads PEM text: public keys (RFC 7468 §13), RSA public keys (RFC 8017 §A.1.1) and certificates, of which only the
/// key is used.
///
/// # Errors
/// Why there is no usable key.
pub(super) fn read_pem(document: &[u8], before: Option<&KeySet>) -> Result<Reading, NoKeys> {
    let sections: Vec<Pem> =
        Pem::iter_from_buffer(document).collect::<Result<_, _>>().map_err(|_unreadable| NoKeys::NotPem)?;
    if sections.is_empty() {
        return Err(NoKeys::NotPem);
    }
    let read = sections.into_iter().enumerate().map(|(at, section)| {
        let key = if at < MOST_KEYS { read_section(&section) } else { Err(Unusable::Surplus(MOST_KEYS)) };
        (position(at), key)
    });
    collect(read, before)
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

fn position(at: usize) -> String {
    format!("key {}", at + 1)
}

fn collect(
    read: impl Iterator<Item = (String, Result<Arc<Key>, Unusable>)>,
    before: Option<&KeySet>,
) -> Result<Reading, NoKeys> {
    let (mut keys, mut left_out) = (Vec::new(), Vec::new());
    for (name, key) in read {
        match key {
            Ok(key) => keys.push(key),
            Err(reason) => left_out.push(LeftOut { name, reason }),
        }
    }
    match KeySet::new(keys, before) {
        Some(keys) => Ok(Reading { keys, left_out }),
        None => Err(NoKeys::NoneUsable(left_out)),
    }
}

fn read_jwk(jwk: Value) -> Result<Arc<Key>, Unusable> {
    // A private key that is published verifies what anyone wrote.
    if jwk.get("d").is_some() {
        return Err(Unusable::Private);
    }
    let kind = Kind::of(&jwk)?;
    // By its text: the crate does not know `Ed25519` (RFC 9864), and has one value for all that it does not know.
    let named: Option<Algorithms> = match jwk.get("alg") {
        None => None,
        Some(name) => {
            let algorithm = name.as_str().and_then(Algorithm::named).ok_or(Unusable::Algorithm)?;
            Some([algorithm].into_iter().collect())
        }
    };
    let jwk: Jwk = serde_json::from_value(jwk).map_err(|_unreadable| Unusable::Malformed)?;
    match &jwk.common.public_key_use {
        None | Some(PublicKeyUse::Signature) => {}
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => return Err(Unusable::Use),
    }
    if jwk.common.key_operations.as_ref().is_some_and(|uses| !uses.contains(&KeyOperations::Verify)) {
        return Err(Unusable::Operations);
    }
    let decoded = DecodingKey::from_jwk(&jwk).map_err(|_undecodable| Unusable::Malformed)?;
    let material = match (kind, decoded.kind()) {
        (Kind::Ed25519, DecodingKeyKind::SecretOrDer(key)) => Material::Ed25519(key.clone()),
        (Kind::P256, DecodingKeyKind::SecretOrDer(point)) => Material::P256(point.clone()),
        (Kind::P384, DecodingKeyKind::SecretOrDer(point)) => Material::P384(point.clone()),
        (Kind::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => Material::rsa(n, e),
        (Kind::Ed25519 | Kind::P256 | Kind::P384, DecodingKeyKind::RsaModulusExponent { .. })
        | (Kind::Rsa, DecodingKeyKind::SecretOrDer(_)) => return Err(Unusable::Malformed),
    };
    let algorithms = named.map_or(material.algorithms(), |named| material.algorithms().and(named));
    if algorithms.is_empty() {
        return Err(Unusable::Algorithm);
    }
    Key::new(jwk.common.key_id.as_deref(), &material, algorithms)
}

/// The kinds of public key that can verify something here.
#[derive(Clone, Copy)]
enum Kind {
    Ed25519,
    P256,
    P384,
    Rsa,
}

impl Kind {
    /// The kind of `jwk` (RFC 7518 §6.1, RFC 8037 §2).
    fn of(jwk: &Value) -> Result<Self, Unusable> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str).ok_or(Unusable::Malformed);
        match text("kty")? {
            "EC" => match text("crv")? {
                "P-256" => Ok(Self::P256),
                "P-384" => Ok(Self::P384),
                _ => Err(Unusable::Curve),
            },
            "OKP" => match text("crv")? {
                "Ed25519" => Ok(Self::Ed25519),
                _ => Err(Unusable::Curve),
            },
            "RSA" => Ok(Self::Rsa),
            "oct" => Err(Unusable::Symmetric),
            _ => Err(Unusable::Kind),
        }
    }
}

fn read_section(section: &Pem) -> Result<Arc<Key>, Unusable> {
    let material = match section.label.as_str() {
        "PUBLIC KEY" => {
            let (_, key) = SubjectPublicKeyInfo::from_der(&section.contents).map_err(malformed)?;
            public_key(&key)?
        }
        "RSA PUBLIC KEY" => rsa_key(&section.contents)?,
        "CERTIFICATE" => {
            let (_, certificate) = X509Certificate::from_der(&section.contents).map_err(malformed)?;
            public_key(certificate.public_key())?
        }
        label if label.ends_with("PRIVATE KEY") => return Err(Unusable::Private),
        _ => return Err(Unusable::Kind),
    };
    Key::new(None, &material, material.algorithms())
}

/// The key in a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7, RFC 5480 §2.1.1, RFC 8410 §4).
fn public_key(key: &SubjectPublicKeyInfo<'_>) -> Result<Material, Unusable> {
    let bits = key.subject_public_key.data.as_ref();
    let kind = &key.algorithm.algorithm;
    if *kind == OID_PKCS1_RSAENCRYPTION {
        return rsa_key(bits);
    }
    if *kind == OID_SIG_ED25519 {
        return Ok(Material::Ed25519(bits.to_vec()));
    }
    if *kind != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return Err(Unusable::Kind);
    }
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match curve {
        Some(curve) if curve == OID_EC_P256 => Ok(Material::P256(bits.to_vec())),
        Some(curve) if curve == OID_NIST_EC_P384 => Ok(Material::P384(bits.to_vec())),
        Some(_) | None => Err(Unusable::Curve),
    }
}

fn rsa_key(der: &[u8]) -> Result<Material, Unusable> {
    let (_, key) = RSAPublicKey::from_der(der).map_err(malformed)?;
    Ok(Material::rsa(key.modulus, key.exponent))
}

fn malformed<E>(_unreadable: E) -> Unusable {
    Unusable::Malformed
}
