//! Signs tokens for tests, with keys made on the spot by aws-lc.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RsaPublicKeyComponents, RsaSignatureEncoding,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A key pair or a shared secret, and the `kid` in the header of its tokens.
pub(crate) struct Signer {
    pub(crate) kid: Option<&'static str>,
    pub(crate) pair: Pair,
}

pub(crate) enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
    Shared(Vec<u8>),
}

impl Signer {
    pub(crate) fn ed25519(kid: impl Into<Option<&'static str>>) -> Self {
        Self { kid: kid.into(), pair: Pair::Ed25519(Ed25519KeyPair::generate().unwrap()) }
    }

    pub(crate) fn p256(kid: impl Into<Option<&'static str>>) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.into(), pair: Pair::P256(pair) }
    }

    pub(crate) fn p384(kid: impl Into<Option<&'static str>>) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self { kid: kid.into(), pair: Pair::P384(pair) }
    }

    pub(crate) fn rsa(kid: impl Into<Option<&'static str>>) -> Self {
        Self { kid: kid.into(), pair: Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())) }
    }

    pub(crate) fn shared(secret: impl Into<Vec<u8>>) -> Self {
        Self { kid: None, pair: Pair::Shared(secret.into()) }
    }

    /// The algorithms that it signs with.
    pub(crate) fn algorithms(&self) -> &'static [&'static str] {
        match self.pair {
            Pair::Ed25519(_) => &["EdDSA", "Ed25519"],
            Pair::P256(_) => &["ES256"],
            Pair::P384(_) => &["ES384"],
            Pair::Rsa(_) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            Pair::Shared(_) => &["HS256", "HS384", "HS512"],
        }
    }

    /// A token with `claims` and the usual header, signed with the first algorithm.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(self.algorithms()[0], &self.header(self.algorithms()[0]), &claims.to_string())
    }

    /// The usual header.
    pub(crate) fn header(&self, algorithm: &str) -> String {
        match self.kid {
            Some(kid) => json!({ "alg": algorithm, "kid": kid }),
            None => json!({ "alg": algorithm }),
        }
        .to_string()
    }

    /// A token of exactly these texts, signed with `algorithm` whatever the header says.
    pub(crate) fn sign(&self, algorithm: &str, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(payload));
        let signature = encode(self.signature(algorithm, message.as_bytes()));
        format!("{message}.{signature}")
    }

    pub(crate) fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let encoding: &'static RsaSignatureEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    other => panic!("{other}"),
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signed).unwrap();
                signed
            }
            Pair::Shared(secret) => {
                let hash = match algorithm {
                    "HS256" => hmac::HMAC_SHA256,
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    other => panic!("{other}"),
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
        }
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self) -> Value {
        let curve = |name: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({ "kty": "EC", "crv": name, "x": encode(x), "y": encode(y) })
        };
        let mut jwk = match &self.pair {
            Pair::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()) }),
            Pair::P256(pair) => curve("P-256", pair.public_key().as_ref()),
            Pair::P384(pair) => curve("P-384", pair.public_key().as_ref()),
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } =
                    RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
            }
            Pair::Shared(secret) => json!({ "kty": "oct", "k": encode(secret) }),
        };
        if let Some(kid) = self.kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    /// The public key as a `SubjectPublicKeyInfo`.
    pub(crate) fn spki(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Shared(_) => panic!("a secret is not published"),
        }
    }

    /// The public key as PEM text.
    pub(crate) fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki())
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Base64url without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The JWK set of `signers`.
pub(crate) fn jwks(signers: &[&Signer]) -> String {
    jwk_set(signers.iter().map(|signer| signer.jwk()))
}

/// A JWK set of `keys`.
pub(crate) fn jwk_set(keys: impl IntoIterator<Item = Value>) -> String {
    json!({ "keys": keys.into_iter().collect::<Vec<Value>>() }).to_string()
}
