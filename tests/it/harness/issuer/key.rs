//! Keys that sign tokens. They sign with aws-lc-rs directly and write their JWKs themselves, so that nothing here agrees
//! with the gateway's JWT library by being it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A key and its id.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    algorithm: &'static str,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Ecdsa(Arc<EcdsaKeyPair>, &'static str),
    Ed25519(Arc<Ed25519KeyPair>),
    Rsa(Arc<RsaKeyPair>),
    Secret(Arc<[u8]>),
}

impl SigningKey {
    /// A new P-256 key.
    pub fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(kid, "ES256", Material::Ecdsa(Arc::new(pair), "P-256"))
    }

    /// A new P-384 key.
    pub fn es384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self::new(kid, "ES384", Material::Ecdsa(Arc::new(pair), "P-384"))
    }

    /// A new Ed25519 key.
    pub fn eddsa(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        Self::new(kid, "EdDSA", Material::Ed25519(Arc::new(pair)))
    }

    /// The RSA key of this process, of 2048 bits, under any id: making one takes a good part of a second. Signs as RS256
    /// unless [`SigningKey::with_algorithm`] says otherwise.
    pub fn rsa(kid: &str) -> Self {
        static SHARED: OnceLock<Arc<RsaKeyPair>> = OnceLock::new();
        let pair = SHARED.get_or_init(|| Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
        Self::new(kid, "RS256", Material::Rsa(pair.clone()))
    }

    /// Another RSA key than the one of this process.
    pub fn new_rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self::new(kid, "RS256", Material::Rsa(Arc::new(pair)))
    }

    /// A shared secret, or the bytes of anything that an attacker would pass off as one.
    pub fn secret(kid: &str, secret: impl AsRef<[u8]>) -> Self {
        Self::new(kid, "HS256", Material::Secret(secret.as_ref().into()))
    }

    /// Signs as this algorithm: RS256/384/512 and PS256/384/512 for RSA, HS256/384/512 for secrets.
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: &'static str) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The same key under another id.
    #[must_use]
    pub fn with_kid(mut self, kid: &str) -> Self {
        kid.clone_into(&mut self.kid);
        self
    }

    /// Its id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs as.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The public key as a JWK (RFC 7517), with `kid`, `use` and `alg`. A secret gives an `oct` key.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.material {
            Material::Ecdsa(pair, curve) => {
                // An uncompressed point: 4, and then both coordinates.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
            }
            Material::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key().as_ref()) })
            }
            Material::Rsa(pair) => {
                let (modulus, exponent) = rsa_numbers(pair.public_key().as_ref());
                json!({ "kty": "RSA", "n": base64url(modulus), "e": base64url(exponent) })
            }
            Material::Secret(secret) => json!({ "kty": "oct", "k": base64url(secret) }),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm);
        jwk
    }

    /// The public key as PEM (`BEGIN PUBLIC KEY`); a secret has none.
    pub fn public_pem(&self) -> String {
        let der = match &self.material {
            Material::Ecdsa(pair, _) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Material::Ed25519(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Material::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Material::Secret(_) => panic!("a secret has no public key"),
        };
        let text = STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The signature of `message` in the form of RFC 7518.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.material {
            Material::Ecdsa(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Material::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Material::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(self.rsa_encoding(), &random, message, &mut signature).unwrap();
                signature
            }
            Material::Secret(secret) => {
                let algorithm = match self.algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
            }
        }
    }

    fn new(kid: &str, algorithm: &'static str, material: Material) -> Self {
        Self { kid: kid.to_owned(), algorithm, material }
    }

    fn rsa_encoding(&self) -> &'static dyn RsaEncoding {
        match self.algorithm {
            "RS384" => &RSA_PKCS1_SHA384,
            "RS512" => &RSA_PKCS1_SHA512,
            "PS256" => &RSA_PSS_SHA256,
            "PS384" => &RSA_PSS_SHA384,
            "PS512" => &RSA_PSS_SHA512,
            _ => &RSA_PKCS1_SHA256,
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.kid, self.algorithm)
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1): a sequence of two integers.
fn rsa_numbers(der: &[u8]) -> (&[u8], &[u8]) {
    let (sequence, _) = der_value(der);
    let (modulus, rest) = der_value(sequence);
    let (exponent, _) = der_value(rest);
    // A leading zero only says that the number is positive.
    let number = |bytes| <[u8]>::strip_prefix(bytes, &[0_u8]).unwrap_or(bytes);
    (number(modulus), number(exponent))
}

/// The content of the DER element at the beginning, and what follows it.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match der[1] {
        short @ 0..=127 => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            let length = der[2..2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, 2 + count)
        }
    };
    (&der[start..start + length], &der[start + length..])
}
