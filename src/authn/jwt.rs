//! JSON Web Tokens (RFC 7519) that an issuer signed: access tokens of OAuth 2.0 (RFC 9068) and their like.
//!
//! `jsonwebtoken` reads keys and aws-lc verifies signatures; what a token must look like and say is checked here, because
//! a gateway has to be stricter than a library: see `compact` for the outside of a token and `claims` for its inside.
//! Nothing here does I/O: keys that are fetched come through a [`KeySource`] that a floor above keeps fresh.

mod algorithm;
mod cache;
mod claim_path;
mod claims;
mod compact;
mod compile;
mod config;
mod describe;
mod endpoint;
mod json;
mod key_demand;
mod key_document;
mod key_set;
mod key_source;
mod material;
mod signer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Attempt;
use super::credential::Token;
use super::identity::Identity;
use super::reason::Reason;
use super::witness::{Check, Finding, Nobody, Outcome, Witness};
use crate::telemetry::metrics::AuthSeries;
use algorithm::Algorithms;
use cache::Remembered;
use claims::Rules;
use compact::{Compact, Signed};
use json::Object;
use key_set::{Key, KeySet};

pub use claim_path::ClaimPath;
pub use config::{AlgorithmName, Audience, Claims, Config};
pub use endpoint::{BadMetadata, Discovery, Endpoint, NotAnEndpoint};
pub use key_demand::{BURST, COOL_DOWN};
pub use key_document::{LeftOut, NoKeys};
pub use key_source::{Gone, KeySource, Origin, Refreshed, Round, Tending};
pub use signer::Signer;

/// A compiled method: one issuer, the keys it signs with, and what its tokens must say.
pub struct Method {
    name: Arc<str>,
    policy: Policy,
    keys: Keys,
    remembered: Remembered,
    series: AuthSeries,
}

/// Everything that the file says about a method, but for its keys.
#[derive(Clone, Debug, PartialEq)]
struct Policy {
    algorithms: Algorithms,
    rules: Rules,
    forward_credential: bool,
}

/// The keys of a method.
enum Keys {
    /// Read again and again from elsewhere.
    Fetched(Arc<KeySource>),
    /// Part of the policy.
    Fixed(KeySet),
}

impl Method {
    /// The name in `auth`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its series.
    pub fn series(&self) -> &AuthSeries {
        &self.series
    }

    /// Whether the token stays in the request.
    pub fn forwards_credential(&self) -> bool {
        self.policy.forward_credential
    }

    /// How long a token can live at most, leeway included.
    pub fn longest_lifetime(&self) -> Duration {
        let Rules { max_lifetime, leeway, .. } = &self.policy.rules;
        // The bound was made from whole seconds of a `Duration`, so it comes back as one.
        Duration::try_from_secs_f64(*max_lifetime)
            .unwrap_or(Duration::MAX)
            .saturating_add(Duration::from_secs(*leeway))
    }

    /// The issuer whose tokens it takes.
    pub fn issuer(&self) -> &str {
        &self.policy.rules.issuer
    }

    /// The keys that have to be fetched, if they do.
    pub fn key_source(&self) -> Option<&Arc<KeySource>> {
        match &self.keys {
            Keys::Fetched(source) => Some(source),
            Keys::Fixed(_) => None,
        }
    }

    /// Who sent `token`, if this method has verified it before and the key that it was verified with is still good. The
    /// caller checks [`Identity::validity`], as for every identity. `None` says nothing about the token: ask
    /// [`Method::attempt`]. Neither waits nor allocates.
    pub fn remembered(&self, token: Token<'_>) -> Option<Arc<Identity>> {
        self.remembered.find(token.expose()).inspect(|_identity| self.series.cache_hits.inc())
    }

    /// Verifies `token` at `now`, in seconds since the Unix epoch. It is [`Attempt::Absent`] when another issuer signed
    /// it. Waits only when the token names a key that is not known yet.
    pub async fn attempt(&self, token: Token<'_>, now: u64) -> Attempt {
        self.attempt_before(token, now, &Nobody).await
    }

    /// The same, telling `witness` how each check comes out.
    pub async fn attempt_before(&self, token: Token<'_>, now: u64, witness: &impl Witness) -> Attempt {
        match self.identify(token.expose(), now, witness).await {
            Ok(Some(identity)) => Attempt::Verified(identity),
            Ok(None) => Attempt::Absent,
            Err(reason) => Attempt::Failed(reason),
        }
    }

    async fn identify(
        &self,
        token: &str,
        now: u64,
        witness: &impl Witness,
    ) -> Result<Option<Arc<Identity>>, Reason> {
        let Policy { algorithms, rules, forward_credential: _ } = &self.policy;
        let auth = Some(&self.name);
        let malformed = |what: &'static str| {
            let what = || format!("{what}, as RFC 7515 has them");
            witness
                .tell::<()>(Check::Form, auth, Err(Reason::Malformed), what)
                .err()
                .unwrap_or(Reason::Malformed)
        };
        let compact = Compact::parse(token).ok_or_else(|| malformed("it is not three parts in base64url"))?;
        let header =
            Object::parse(compact.header()).ok_or_else(|| malformed("its header is no JSON object"))?;
        let claims =
            Object::parse(compact.payload()).ok_or_else(|| malformed("its claims are no JSON object"))?;
        let issuer = rules.is_issuer(&claims);
        if issuer == Ok(false) {
            witness.saw(|| Finding {
                check: Check::Issuer,
                auth: auth.cloned(),
                outcome: Outcome::PassedOver,
                detail: rules.describe_issuer(&claims),
            });
            return Ok(None);
        }
        witness.tell(Check::Issuer, auth, issuer, || rules.describe_issuer(&claims))?;
        self.series.cache_misses.inc();
        let signed = Signed::new(&compact, &header, *algorithms);
        let signed = witness.tell(Check::Header, auth, signed, || describe::header(&header, *algorithms))?;
        let key = self.keys.verify(&signed).await;
        let key = witness.tell(Check::Signature, auth, key, || describe::signature(&signed, &self.keys))?;
        let identity = Arc::new(rules.identify(&self.name, &key, &claims, now, witness)?);
        self.remembered.insert(token, identity.clone(), key);
        Ok(Some(identity))
    }
}

impl Keys {
    async fn verify(&self, token: &Signed<'_>) -> Result<Arc<Key>, Reason> {
        match self {
            Self::Fetched(source) => source.verify(token).await,
            Self::Fixed(keys) => keys.verify(token).map_err(|unverified| unverified.reason),
        }
    }
}

/// Without keys and remembered tokens.
impl fmt::Debug for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Method")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
