//! A key that stands in for those of an issuer, so that claims can be judged without its signature.

use std::sync::Arc;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, Algorithms};
use super::cache::{self, Remembered};
use super::key_document::read_pem;
use super::key_set::{Key, KeySet};
use super::material::Material;
use super::{Keys, Method};
use crate::authn::stand_in::{NoStandIn, StandIn};
use crate::secret::Secret;

/// Signs tokens that one method accepts.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
}

/// How a private key in PEM is read.
type ReadKey = fn(&[u8]) -> Result<EncodingKey, jsonwebtoken::errors::Error>;

/// In this order an algorithm is chosen among those that a method accepts: RSA keys take long to make.
const PREFERRED: [Algorithm; 12] = [
    Algorithm::Es256,
    Algorithm::EdDsa,
    Algorithm::Es384,
    Algorithm::Hs256,
    Algorithm::Hs384,
    Algorithm::Hs512,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

impl Method {
    /// The same method with a key of `stand_in` in the place of its issuer's.
    ///
    /// # Errors
    /// A key cannot be made.
    pub fn stood_in(&self, stand_in: &StandIn) -> Result<Arc<Self>, NoStandIn> {
        let accepted = self.policy.algorithms;
        let algorithm = PREFERRED.into_iter().find(|algorithm| accepted.contains(*algorithm));
        let algorithm = algorithm.ok_or_else(|| NoStandIn("no algorithm is accepted".to_owned()))?;
        let (signer, keys) = Signer::new(algorithm)?;
        stand_in.keep(&self.name, signer);
        Ok(Arc::new(Self {
            name: self.name.clone(),
            policy: self.policy.clone(),
            keys: Keys::Fixed(keys),
            remembered: Remembered::new(cache::CAPACITY),
            series: self.series.clone(),
        }))
    }

    /// The first of the audiences that it takes tokens for.
    pub fn audience(&self) -> &str {
        self.policy.rules.audience.first().map_or("", |audience| audience)
    }
}

impl Signer {
    fn new(algorithm: Algorithm) -> Result<(Self, KeySet), NoStandIn> {
        let wrong = |error: &dyn std::fmt::Display| NoStandIn(format!("a key cannot be made: {error}"));
        if algorithm.is_symmetric() {
            let mut secret = [0; 64];
            aws_lc_rs::rand::fill(&mut secret).map_err(|error| wrong(&error))?;
            let accepted: Algorithms = [algorithm].into_iter().collect();
            let material = Material::Shared(Secret::new(secret.to_vec()));
            let key = Key::new(None, &material, accepted).map_err(|error| wrong(&error))?;
            let keys = KeySet::new(vec![key], None).ok_or_else(|| wrong(&"it is not usable"))?;
            return Ok((Self { algorithm, key: EncodingKey::from_secret(&secret) }, keys));
        }
        let (kind, read): (_, ReadKey) = match algorithm {
            Algorithm::EdDsa => (&rcgen::PKCS_ED25519, EncodingKey::from_ed_pem),
            Algorithm::Es256 => (&rcgen::PKCS_ECDSA_P256_SHA256, EncodingKey::from_ec_pem),
            Algorithm::Es384 => (&rcgen::PKCS_ECDSA_P384_SHA384, EncodingKey::from_ec_pem),
            Algorithm::Hs256
            | Algorithm::Hs384
            | Algorithm::Hs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512
            | Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512 => (&rcgen::PKCS_RSA_SHA256, EncodingKey::from_rsa_pem),
        };
        let pair = rcgen::KeyPair::generate_for(kind).map_err(|error| wrong(&error))?;
        let key = read(pair.serialize_pem().as_bytes()).map_err(|error| wrong(&error))?;
        let keys = read_pem(pair.public_key_pem().as_bytes(), None).map_err(|error| wrong(&error))?.keys;
        Ok((Self { algorithm, key }, keys))
    }

    /// A token with these claims.
    pub(in crate::authn) fn sign(&self, claims: &Map<String, Value>) -> Result<String, NoStandIn> {
        let wrong =
            |error: jsonwebtoken::errors::Error| NoStandIn(format!("the token cannot be signed: {error}"));
        let algorithm = self.algorithm.name().parse().map_err(wrong)?;
        jsonwebtoken::encode(&Header::new(algorithm), claims, &self.key).map_err(wrong)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}([redacted])", self.algorithm)
    }
}
