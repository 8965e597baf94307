//! What stands before a guarded route: which credentials it accepts, and what a caller needs for a method.

mod challenge;
mod describe;
mod identify;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::refusal::{Refusal, Told, Unauthenticated, told};
use super::requirement::{Methods, Missing, Requirement};
use crate::authn::api_key::format;
use crate::authn::credential::{self, Accepted, Found, Location, Strip};
use crate::authn::guessing::{Kind, Limiter, TooMany};
use crate::authn::identity::Method;
use crate::authn::witness::{Check, Finding};
use crate::authn::{Authenticator, Identity, Reason, Witness};
use crate::request::{Request, Transport};
use crate::telemetry::metrics::RouteSeries;
pub use challenge::ChallengeSet;
use challenge::Challenges;
use describe::{judge, reason_for_absence};
pub use tally::Outcome;
use tally::Tallies;

/// The guard of a route.
#[derive(Debug)]
pub struct Guard {
    authenticators: Vec<Authenticator>,
    accepted: Accepted,
    rules: Vec<Rule>,
    methods: Methods,
    challenges: Challenges,
    tallies: Tallies,
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
    /// The authenticator that knows it, by its place in the guard.
    pub method: usize,
}

/// A caller that is refused.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// What the client is told.
    pub refusal: Refusal,
    /// Why.
    pub reason: Reason,
    /// The authenticator that looked at the credential, by its place in the guard.
    pub method: Option<usize>,
    /// Who it is, where that was verified.
    pub identity: Option<Arc<Identity>>,
    /// The fields to remove if the request passes all the same.
    pub strip: Strip,
}

impl Guard {
    /// A guard that accepts the credentials of `authenticators`, asks for what `rules` say and counts in `series`.
    pub fn new(authenticators: Vec<Authenticator>, rules: Vec<Rule>, series: &Arc<RouteSeries>) -> Self {
        let accepted = Accepted {
            api_key: authenticators.iter().any(|method| matches!(method, Authenticator::ApiKey(_))),
            basic: authenticators.iter().any(|method| matches!(method, Authenticator::Basic(_))),
            jwt: authenticators.iter().any(|method| matches!(method, Authenticator::Jwt(_))),
        };
        let challenges = Challenges::new(&authenticators);
        let methods = Methods::new(rules.iter().flat_map(|rule| rule.methods.iter()));
        let tallies = Tallies::new(&authenticators, series);
        Self { authenticators, accepted, rules, methods, challenges, tallies }
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

    /// The name in `auth` of the authenticator at `method`.
    pub fn auth(&self, method: Option<usize>) -> Option<&str> {
        method.and_then(|at| self.authenticators.get(at)).map(|authenticator| &**authenticator.name())
    }

    /// Counts a decision about a credential of the authenticator at `method`.
    pub fn count(&self, method: Option<usize>, outcome: Outcome, took: Duration) {
        self.tallies.count(method, outcome, took);
    }

    /// Finds and verifies the credential of `request` at the time `now`, in seconds since the Unix epoch, as often as
    /// `limiter` bears it.
    ///
    /// # Errors
    /// Why there is none, or why it is not accepted.
    pub async fn identify(
        &self,
        request: &Request<'_>,
        now: u64,
        limiter: &Limiter,
        witness: &impl Witness,
    ) -> Result<Known, Rejected> {
        if request.connection().transport == Transport::Plaintext {
            // What came in the clear may be known to others by now; it is not looked at, let alone accepted.
            let reason = if credential::is_present(request) {
                Reason::CredentialOnPlaintext
            } else {
                Reason::NoCredential
            };
            let _ = witness.tell::<()>(Check::Transport, None, Err(reason), || {
                "the listener is in the clear, where no credential is read and no guarded route served"
                    .to_owned()
            });
            return Err(Rejected {
                refusal: Refusal::TlsRequired,
                ..self.rejected(reason, Sent::Unknown, None)
            });
        }
        witness.saw(|| Finding::passed(Check::Transport, "the connection is encrypted".to_owned()));
        let found = credential::find(request, self.accepted);
        let _ =
            witness.tell(Check::Credential, None, judge(&found, request), || self.describe(&found, request));
        match found {
            Found::Absent => Err(self.rejected(reason_for_absence(request), Sent::Nothing, None)),
            Found::ApiKey(key, location) => {
                let kind = if format::is_short(key.expose()) { Kind::Key } else { Kind::Token };
                let guess = limiter.guess(kind, request.client(), key.expose().as_bytes());
                self.identify_key(&key, location, now, &guess, witness)
            }
            Found::Basic(pair) => {
                let guess = limiter.guess(Kind::Password, request.client(), pair.user().as_bytes());
                self.identify_user(&pair, &guess, witness).await
            }
            Found::Bearer(token) => {
                let guess = limiter.guess(Kind::Token, request.client(), b"");
                self.identify_bearer(token, now, &guess, witness).await
            }
            Found::InQuery => Err(self.rejected(Reason::CredentialInQuery, Sent::Unknown, None)),
            Found::Malformed => Err(self.rejected(Reason::Malformed, Sent::Unknown, None)),
            Found::Several => Err(self.rejected(Reason::MultipleCredentials, Sent::Unknown, None)),
        }
    }

    /// Refuses a caller whose credential was verified, because it was revoked or that cannot be told.
    pub(super) fn refused(&self, reason: Reason, known: &Known) -> Rejected {
        let sent = Sent::of(known);
        Rejected { identity: Some(known.identity.clone()), ..self.rejected(reason, sent, Some(known.method)) }
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

    /// Refuses an attempt that is not made, because there were too many failures.
    fn too_many(&self, too_many: TooMany, sent: Sent, method: Option<usize>) -> Rejected {
        let TooMany { retry_after } = too_many;
        let refusal = Refusal::TooManyAttempts(retry_after);
        Rejected { refusal, ..self.rejected(Reason::TooManyAttempts, sent, method) }
    }

    fn rejected(&self, reason: Reason, sent: Sent, method: Option<usize>) -> Rejected {
        let (challenges, strip) = match sent {
            Sent::Nothing => (self.challenges.plain(), Strip::default()),
            Sent::Other(strip) => (self.challenges.plain(), strip.into()),
            Sent::Token(strip) => (self.challenges.invalid_token(), strip.into()),
            Sent::Unknown => (self.challenges.plain(), self.strip_all()),
        };
        let refusal = match told(reason) {
            Told::Challenge(code) => {
                let accepted = self.accepted;
                Refusal::Unauthenticated(Unauthenticated { code, challenges, accepted })
            }
            Told::Forbid => Refusal::Forbidden(None),
            Told::Plainly(refusal) => refusal,
        };
        Rejected { refusal, reason, method, identity: None, strip }
    }

    /// What is removed when it is not known which of several credentials was meant, or where one begins that is not well
    /// formed: all that may be one, unless an upstream is to see credentials.
    fn strip_all(&self) -> Strip {
        let stays = self.authenticators.iter().any(Authenticator::forwards_credential);
        if stays { Strip::default() } else { Strip::all(self.accepted) }
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
