//! Credentials for trying a policy out without knowing any: a key for each entry of a key file, a password for each user,
//! and tokens that an issuer's key seems to have signed.
//!
//! A policy that is compiled with a stand-in accepts its credentials beside the real ones, and tokens of its keys only. They
//! are made at random for each process, and no policy that serves requests is compiled with one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::jwt::Signer;
use crate::hex;

/// The stand-in of one process.
pub struct StandIn {
    secret: Zeroizing<String>,
    signers: Mutex<HashMap<Arc<str>, Signer>>,
}

/// A stand-in cannot be made, or cannot sign.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoStandIn(pub String);

impl StandIn {
    /// A stand-in that nobody else can guess.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new() -> Result<Self, NoStandIn> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut bytes[..]).map_err(|_| NoStandIn("there is no randomness".to_owned()))?;
        Ok(Self { secret: Zeroizing::new(hex::encode(&bytes[..])), signers: Mutex::default() })
    }

    /// The key that stands in for the one with this identifier.
    pub fn key(&self, id: &str) -> Zeroizing<String> {
        Zeroizing::new(format!("{}-{id}", *self.secret))
    }

    /// The password that stands in for that of every user.
    pub fn password(&self) -> &str {
        &self.secret
    }

    /// A token with these claims that the method `auth` takes for one of its issuer.
    ///
    /// # Errors
    /// The method takes no tokens, or the token cannot be signed.
    pub fn token(&self, auth: &str, claims: &Map<String, Value>) -> Result<Zeroizing<String>, NoStandIn> {
        let signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        let signer = signers.get(auth).ok_or_else(|| NoStandIn(format!("`{auth}` takes no tokens")))?;
        signer.sign(claims).map(Zeroizing::new)
    }

    /// Signs for the method `auth` from now on.
    pub(super) fn keep(&self, auth: &Arc<str>, signer: Signer) {
        self.signers.lock().unwrap_or_else(PoisonError::into_inner).insert(auth.clone(), signer);
    }
}

impl std::fmt::Debug for StandIn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("StandIn([redacted])")
    }
}
