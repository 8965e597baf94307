//! What stands before a guarded route: which credentials it accepts, and what a caller needs for a method.

mod challenge;

use std::sync::Arc;

use http::HeaderValue;

use super::refusal::{Refusal, Told, Unauthenticated, told};
use super::requirement::{Methods, Missing, Requirement};
use crate::authn::credential::{self, Accepted, Found, Key, Location, Pair, Token};
use crate::authn::identity::Method;
use crate::authn::{Attempt, Authenticator, Identity, Reason};
use crate::request::{Request, Transport};
use challenge::Challenges;

/// The guard of a route.
#[derive(Debug)]
pub struct Guard {
    authenticators: Vec<Authenticator>,
    accepted: Accepted,
    rules: Vec<Rule>,
    methods: Methods,
    challenges: Challenges,
}

/// What a caller needs for some methods.
#[derive(Clone, Debug)]
pub struct Rule {
    /// For which methods.
    pub methods: Methods,
    /// What is needed.
    pub requirement: Requirement,
}

/// A caller whose credential was verified.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// The field to remove before the request goes upstream.
    pub strip: Option<Location>,
}

/// A caller that is refused.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// What the client is told.
    pub refusal: Refusal,
    /// Why.
    pub reason: Reason,
    /// The name of the method that looked at the credential.
    pub auth: Option<Arc<str>>,
    /// Who it is, where that was verified.
    pub identity: Option<Arc<Identity>>,
    /// The field to remove if the request passes all the same.
    pub strip: Option<Location>,
}

impl Guard {
    /// A guard that accepts the credentials of `authenticators` and asks for what `rules` say.
    pub fn new(authenticators: Vec<Authenticator>, rules: Vec<Rule>) -> Self {
        let accepted = Accepted {
            api_key: authenticators.iter().any(|method| matches!(method, Authenticator::ApiKey(_))),
            basic: authenticators.iter().any(|method| matches!(method, Authenticator::Basic(_))),
            jwt: authenticators.iter().any(|method| matches!(method, Authenticator::Jwt(_))),
        };
        let challenges = Challenges::new(&authenticators);
        let methods = Methods::new(rules.iter().flat_map(|rule| rule.methods.iter()));
        Self { authenticators, accepted, rules, methods, challenges }
    }

    /// What a caller needs for `method`; `None` when it is not allowed at all.
    pub fn requirement(&self, method: &str) -> Option<&Requirement> {
        self.rules.iter().find(|rule| rule.methods.contains(method)).map(|rule| &rule.requirement)
    }

    /// What a caller needs, by method.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The value of an `Allow` field.
    pub fn allow(&self) -> HeaderValue {
        self.methods.allow()
    }

    /// The accepted methods of authentication.
    pub fn authenticators(&self) -> &[Authenticator] {
        &self.authenticators
    }

    /// Finds and verifies the credential of `request` at the time `now`, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// Why there is none, or why it is not accepted.
    pub async fn identify(&self, request: &Request<'_>, now: u64) -> Result<Known, Rejected> {
        if request.connection().transport == Transport::Plaintext {
            // What came in the clear may be known to others by now; it is not looked at, let alone accepted.
            let reason = if credential::is_present(request) {
                Reason::CredentialOnPlaintext
            } else {
                Reason::NoCredential
            };
            return Err(Rejected {
                refusal: Refusal::TlsRequired,
                ..self.rejected(reason, Sent::Nothing, None)
            });
        }
        match credential::find(request, self.accepted) {
            Found::Absent => Err(self.rejected(Reason::NoCredential, Sent::Nothing, None)),
            Found::ApiKey(key, location) => self.identify_key(&key, location, now),
            Found::Basic(pair) => self.identify_user(&pair).await,
            Found::Bearer(token) => self.identify_bearer(token, now).await,
            Found::InQuery => Err(self.rejected(Reason::CredentialInQuery, Sent::Nothing, None)),
            Found::Malformed => Err(self.rejected(Reason::Malformed, Sent::Unknown, None)),
            Found::Several => Err(self.rejected(Reason::MultipleCredentials, Sent::Unknown, None)),
        }
    }

    fn identify_key(&self, key: &Key<'_>, location: Location, now: u64) -> Result<Known, Rejected> {
        let mut only = Only::Nobody;
        for authenticator in &self.authenticators {
            let Authenticator::ApiKey(method) = authenticator else { continue };
            only = only.and(method.name());
            let strip = (!method.forwards_credential()).then_some(location);
            match method.attempt(key, now) {
                Attempt::Absent => {}
                Attempt::Failed(reason) => {
                    return Err(self.rejected(reason, Sent::Other(strip), Some(method.name())));
                }
                Attempt::Verified(identity) => return Ok(Known { identity, strip }),
            }
        }
        Err(self.rejected(Reason::UnknownKey, Sent::Other(Some(location)), only.name()))
    }

    async fn identify_user(&self, pair: &Pair) -> Result<Known, Rejected> {
        let mut only = Only::Nobody;
        let mut last = None;
        for authenticator in &self.authenticators {
            let Authenticator::Basic(method) = authenticator else { continue };
            only = only.and(method.name());
            last = Some(method);
            let strip = (!method.forwards_credential()).then_some(Location::Authorization);
            if let Some(identity) = method.remembered(pair) {
                return Ok(Known { identity, strip });
            }
            match method.attempt(pair).await {
                Attempt::Absent => {}
                Attempt::Failed(reason) => {
                    return Err(self.rejected(reason, Sent::Other(strip), Some(method.name())));
                }
                Attempt::Verified(identity) => return Ok(Known { identity, strip }),
            }
        }
        let reason = match last {
            Some(method) => method.decoy(pair).await,
            None => Reason::NoCredential,
        };
        Err(self.rejected(reason, Sent::Other(Some(Location::Authorization)), only.name()))
    }

    async fn identify_bearer(&self, token: Token<'_>, now: u64) -> Result<Known, Rejected> {
        let mut only = Only::Nobody;
        for authenticator in &self.authenticators {
            let Authenticator::Jwt(method) = authenticator else { continue };
            only = only.and(method.name());
            let strip = (!method.forwards_credential()).then_some(Location::Authorization);
            let attempt = match method.remembered(token) {
                Some(identity) => match identity.validity.check(now) {
                    Ok(()) => Attempt::Verified(identity),
                    Err(reason) => Attempt::Failed(reason),
                },
                None => method.attempt(token, now).await,
            };
            match attempt {
                Attempt::Absent => {}
                Attempt::Failed(reason) => {
                    return Err(self.rejected(reason, Sent::Token(strip), Some(method.name())));
                }
                Attempt::Verified(identity) => return Ok(Known { identity, strip }),
            }
        }
        Err(self.rejected(Reason::WrongIssuer, Sent::Token(Some(Location::Authorization)), only.name()))
    }

    /// Refuses a caller whose credential was verified, because it was revoked or that cannot be told.
    pub(super) fn refused(&self, reason: Reason, known: &Known) -> Rejected {
        let sent = Sent::of(known);
        Rejected {
            identity: Some(known.identity.clone()),
            ..self.rejected(reason, sent, Some(&known.identity.auth))
        }
    }

    /// Refuses a caller that lacks something.
    pub(super) fn forbidden(&self, missing: Missing, requirement: &Requirement, known: &Known) -> Rejected {
        let reason = match missing {
            Missing::Role => Reason::MissingRole,
            Missing::Scope => Reason::MissingScope,
        };
        let challenge = match Sent::of(known) {
            Sent::Token(_) => Some(challenge::insufficient_scope(requirement)),
            Sent::Nothing | Sent::Other(_) | Sent::Unknown => None,
        };
        Rejected { refusal: Refusal::Forbidden(challenge), ..self.refused(reason, known) }
    }

    fn rejected(&self, reason: Reason, sent: Sent, auth: Option<&Arc<str>>) -> Rejected {
        let (challenges, strip) = match sent {
            Sent::Nothing | Sent::Unknown => (self.challenges.plain(), None),
            Sent::Other(strip) => (self.challenges.plain(), strip),
            Sent::Token(strip) => (self.challenges.invalid_token(), strip),
        };
        let refusal = match told(reason) {
            Told::Challenge(code) => Refusal::Unauthenticated(Unauthenticated { code, challenges }),
            Told::Forbid => Refusal::Forbidden(None),
            Told::Plainly(refusal) => refusal,
        };
        Rejected { refusal, reason, auth: auth.cloned(), identity: None, strip }
    }
}

/// What a caller sent, as far as it matters for the challenge, and the field to remove if the request passes anyway.
#[derive(Clone, Copy)]
enum Sent {
    Nothing,
    Other(Option<Location>),
    Token(Option<Location>),
    Unknown,
}

impl Sent {
    fn of(known: &Known) -> Self {
        match known.identity.method {
            Method::Jwt => Self::Token(known.strip),
            Method::ApiKey | Method::Basic => Self::Other(known.strip),
        }
    }
}

/// Which method looked at a credential: known when there is only one of its kind.
enum Only {
    Nobody,
    One(Arc<str>),
    Several,
}

impl Only {
    fn and(self, name: &Arc<str>) -> Self {
        match self {
            Self::Nobody => Self::One(name.clone()),
            Self::One(_) | Self::Several => Self::Several,
        }
    }

    fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::One(name) => Some(name),
            Self::Nobody | Self::Several => None,
        }
    }
}
