//! What a key consists of, which algorithms that fits, and how it verifies a signature.
//!
//! The kind of key decides which algorithms are possible (RFC 8725 §3.1), so no token can have a public key used as a
//! shared secret. Everything that can be prepared for verifying is prepared here, once for each key.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    VerificationAlgorithm,
};

use super::algorithm::{Algorithm, Algorithms};
use crate::fingerprint::Fingerprint;
use crate::secret::Secret;

/// The parts of a key.
#[derive(Clone, Debug)]
pub(super) enum Material {
    /// An Ed25519 public key (RFC 8032 §5.1.5).
    Ed25519(Vec<u8>),
    /// A point on P-256, uncompressed (SEC 1 §2.3.3).
    P256(Vec<u8>),
    /// A point on P-384, uncompressed.
    P384(Vec<u8>),
    /// An RSA public key: big-endian numbers without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// A shared secret.
    Shared(Secret),
}

impl Material {
    /// An RSA public key from big-endian numbers, which may have leading zeros as DER and some issuers write them.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        Self::Rsa { modulus: without_leading_zeros(modulus), exponent: without_leading_zeros(exponent) }
    }

    /// The algorithms that a key of this kind can verify.
    pub(super) fn algorithms(&self) -> Algorithms {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::Ed25519(_) => [EdDsa].into_iter().collect(),
            Self::P256(_) => [Es256].into_iter().collect(),
            Self::P384(_) => [Es384].into_iter().collect(),
            Self::Rsa { .. } => [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512].into_iter().collect(),
            Self::Shared(_) => Algorithms::SYMMETRIC,
        }
    }

    /// A stand-in for the whole key, by which it is recognised when it is read again.
    pub(super) fn fingerprint(&self, id: Option<&str>, algorithms: Algorithms) -> Fingerprint {
        let id = match id {
            Some(id) => format!("+{id}"),
            None => "-".to_owned(),
        };
        let algorithms = algorithms.to_string();
        let (kind, first, second): (&str, &[u8], &[u8]) = match self {
            Self::Ed25519(key) => ("Ed25519", key, &[]),
            Self::P256(point) => ("P-256", point, &[]),
            Self::P384(point) => ("P-384", point, &[]),
            Self::Rsa { modulus, exponent } => ("RSA", modulus, exponent),
            Self::Shared(secret) => ("oct", secret.expose(), &[]),
        };
        Fingerprint::of(&[id.as_bytes(), algorithms.as_bytes(), kind.as_bytes(), first, second])
    }

    /// Prepares the key for each of `algorithms` that fits it.
    ///
    /// # Errors
    /// Why the key cannot be used.
    pub(super) fn verifiers(&self, algorithms: Algorithms) -> Result<Box<[(Algorithm, Verifier)]>, Unusable> {
        match self {
            Self::Ed25519(key) => check_length(key, 32)?,
            Self::P256(point) => check_length(point, 1 + 2 * 32)?,
            Self::P384(point) => check_length(point, 1 + 2 * 48)?,
            Self::Rsa { modulus, exponent } => check_rsa(modulus, exponent)?,
            Self::Shared(_) => {}
        }
        algorithms
            .and(self.algorithms())
            .iter()
            .map(|algorithm| Ok((algorithm, self.verifier(algorithm)?)))
            .collect()
    }

    fn verifier(&self, algorithm: Algorithm) -> Result<Verifier, Unusable> {
        let public = |method: Option<&'static dyn VerificationAlgorithm>, key: &[u8]| {
            let key = ParsedPublicKey::new(method.ok_or(Unusable::Unfit)?, key);
            key.map(Verifier::Public).map_err(|_rejected| Unusable::Malformed)
        };
        match self {
            Self::Ed25519(key) => public(curve_method(algorithm), key),
            Self::P256(point) | Self::P384(point) => public(curve_method(algorithm), point),
            Self::Rsa { modulus, exponent } => {
                RsaPublicKeyComponents { n: modulus.as_slice(), e: exponent.as_slice() }
                    .to_parsed_public_key(rsa_method(algorithm).ok_or(Unusable::Unfit)?)
                    .map(Verifier::Public)
                    .map_err(|_rejected| Unusable::Malformed)
            }
            Self::Shared(secret) => {
                let method = hmac_method(algorithm).ok_or(Unusable::Unfit)?;
                Ok(Verifier::Shared(Box::new(hmac::Key::new(method, secret.expose()))))
            }
        }
    }
}

/// A key that is ready to verify signatures of one algorithm.
pub(super) enum Verifier {
    Public(ParsedPublicKey),
    Shared(Box<hmac::Key>),
}

impl Verifier {
    /// Whether `signature` is a signature of `message`. ECDSA signatures are two numbers of fixed length, as RFC 7518
    /// §3.4 wants them; DER, zero and numbers beyond the order of the curve are refused.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
            Self::Shared(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

/// Why a key is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// The value of `alg` is unknown or does not fit the key.
    #[error("its `alg` does not fit it or is not supported")]
    Algorithm,
    /// P-521, secp256k1, Ed448 and others.
    #[error("its curve is not supported, only P-256, P-384 and Ed25519 are")]
    Curve,
    /// Neither RSA nor one of the curves.
    #[error("keys of its kind are not supported, only RSA, EC and Ed25519 are")]
    Kind,
    /// Numbers or points that are none.
    #[error("it is not well formed")]
    Malformed,
    /// It is for signing or for wrapping keys, not for verifying.
    #[error("its `key_ops` does not contain `verify`")]
    Operations,
    /// A private key.
    #[error("it is a private key, which belongs to the issuer alone")]
    Private,
    /// Beyond the number of keys that are read.
    #[error("only the first {0} keys are read")]
    Surplus(usize),
    /// A shared secret.
    #[error("it is a shared secret, which must not stand among public keys")]
    Symmetric,
    /// The RSA modulus is outside 2048 to 8192 bits (RFC 7518 §3.3).
    #[error("its RSA modulus has {0} bits, and 2048 to 8192 are needed")]
    Size(usize),
    /// No algorithm remains.
    #[error("it fits none of the algorithms")]
    Unfit,
    /// It is for something else than signatures.
    #[error("its `use` is not `sig`")]
    Use,
}

/// aws-lc would also take a key in DER here, and one of another kind.
fn check_length(key: &[u8], length: usize) -> Result<(), Unusable> {
    if key.len() == length { Ok(()) } else { Err(Unusable::Malformed) }
}

/// The size, and an exponent that aws-lc would refuse only when it verifies: odd, above 1 and below 2³³.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), Unusable> {
    let Some(first) = modulus.first() else { return Err(Unusable::Malformed) };
    let bits = modulus.len() * 8 - first.leading_zeros() as usize;
    if !(2048..=8192).contains(&bits) {
        return Err(Unusable::Size(bits));
    }
    let small_enough = exponent.len() < 5 || (exponent.len() == 5 && exponent[0] == 1);
    let odd = exponent.last().is_some_and(|byte| byte & 1 == 1);
    if small_enough && odd && exponent != [1] { Ok(()) } else { Err(Unusable::Malformed) }
}

fn without_leading_zeros(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

fn curve_method(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        Algorithm::EdDsa => Some(&ED25519),
        Algorithm::Es256 => Some(&ECDSA_P256_SHA256_FIXED),
        Algorithm::Es384 => Some(&ECDSA_P384_SHA384_FIXED),
        Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512
        | Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512 => None,
    }
}

fn rsa_method(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::EdDsa
        | Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512 => None,
    }
}

fn hmac_method(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        Algorithm::EdDsa
        | Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512
        | Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512 => None,
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Public(_) => "public key",
            Self::Shared(_) => "[redacted]",
        })
    }
}
