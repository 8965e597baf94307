//! Puts a credential to the authenticators of its kind, in their order, as often as failures before allow it.

use super::{Guard, Known, Rejected, Sent};
use crate::authn::credential::{Key, Location, Pair, Token};
use crate::authn::guessing::{Guess, Kind, Standing};
use crate::authn::identity::Method;
use crate::authn::witness::{Check, Finding, Outcome};
use crate::authn::{Attempt, Authenticator, Reason, Witness, basic};

impl Guard {
    /// A long key cannot be guessed, so it is always looked up, and one that is right always passes: whoever fails beside
    /// it cannot lock it out. For short ones failures before count, and for all of them failures are answered.
    pub(super) fn identify_key(
        &self,
        key: &Key<'_>,
        location: Location,
        now: u64,
        guess: &Guess<'_>,
        witness: &impl Witness,
    ) -> Result<Known, Rejected> {
        let (sent, only) = (|| self.sent(location, Method::ApiKey), || self.only(Method::ApiKey));
        let refuse = |too_many| self.too_many(too_many, sent(), only());
        if guess.kind() == Kind::Key {
            guess.check().map_err(refuse)?;
        }
        for (at, authenticator) in self.authenticators.iter().enumerate() {
            let Authenticator::ApiKey(method) = authenticator else { continue };
            let strip = (!method.forwards_credential()).then_some(location);
            let attempt = method.attempt(key, now);
            tell(witness, authenticator, &attempt, key_check);
            match attempt {
                Attempt::Absent => {}
                Attempt::Failed(reason) => {
                    return Err(self.rejected(reason, Sent::Other(strip), Some(at)));
                }
                Attempt::Verified(identity) => return Ok(Known { identity, strip, method: at }),
            }
        }
        guess.check().map_err(refuse)?;
        guess.failed();
        Err(self.rejected(Reason::UnknownKey, sent(), only()))
    }

    /// Failures before count even for a pair that is remembered: otherwise whoever has to wait would learn from the
    /// answer whether a guess was right.
    pub(super) async fn identify_user(
        &self,
        pair: &Pair,
        guess: &Guess<'_>,
        witness: &impl Witness,
    ) -> Result<Known, Rejected> {
        let (sent, only) =
            (|| self.sent(Location::Authorization, Method::Basic), || self.only(Method::Basic));
        let standing = guess.check().map_err(|too_many| self.too_many(too_many, sent(), only()))?;
        let mut stand_in: Option<(&basic::Method, basic::Decoy<'_>)> = None;
        for (at, authenticator) in self.authenticators.iter().enumerate() {
            let Authenticator::Basic(method) = authenticator else { continue };
            let strip = (!method.forwards_credential()).then_some(Location::Authorization);
            let attempt = match method.remembered(pair) {
                Some(identity) => Attempt::Verified(identity),
                None => method.attempt(pair, guess).await,
            };
            tell(witness, authenticator, &attempt, |_| Check::Password);
            match attempt {
                Attempt::Absent => {
                    let nearest = stand_in.iter().map(|(_, decoy)| decoy.distance()).min();
                    if let Some(decoy) = method.decoy(pair)
                        && nearest.is_none_or(|nearest| decoy.distance() < nearest)
                    {
                        stand_in = Some((method, decoy));
                    }
                }
                Attempt::Failed(reason) => {
                    return Err(self.wrong(reason, guess, Sent::Other(strip), Some(at)));
                }
                Attempt::Verified(identity) => {
                    if standing == Standing::Stranger {
                        guess.succeeded();
                    }
                    return Ok(Known { identity, strip, method: at });
                }
            }
        }
        let reason = match stand_in {
            Some((method, decoy)) => method.refuse_stranger(pair, decoy, guess).await,
            None => Reason::NoCredential,
        };
        Err(self.wrong(reason, guess, sent(), only()))
    }

    /// A token that was verified before is not an attempt. The others cost a signature each, which is what counts.
    pub(super) async fn identify_bearer(
        &self,
        token: Token<'_>,
        now: u64,
        guess: &Guess<'_>,
        witness: &impl Witness,
    ) -> Result<Known, Rejected> {
        for (at, authenticator) in self.authenticators.iter().enumerate() {
            let Authenticator::Jwt(method) = authenticator else { continue };
            let strip = (!method.forwards_credential()).then_some(Location::Authorization);
            let sent = Sent::Token(strip);
            let attempt = if let Some(identity) = method.remembered(token) {
                match identity.validity.check(now) {
                    Ok(()) => Attempt::Verified(identity),
                    Err(reason) => Attempt::Failed(reason),
                }
            } else {
                guess.check().map_err(|too_many| self.too_many(too_many, sent, Some(at)))?;
                method.attempt_before(token, now, witness).await
            };
            match attempt {
                Attempt::Absent => {}
                Attempt::Failed(reason) => {
                    if reason == Reason::BadSignature {
                        guess.failed();
                    }
                    return Err(self.rejected(reason, sent, Some(at)));
                }
                Attempt::Verified(identity) => return Ok(Known { identity, strip, method: at }),
            }
        }
        let sent = self.sent(Location::Authorization, Method::Jwt);
        Err(self.rejected(Reason::WrongIssuer, sent, self.only(Method::Jwt)))
    }

    /// Refuses a pair; when others at the same time took the last attempts, it says how long that takes.
    fn wrong(&self, reason: Reason, guess: &Guess<'_>, sent: Sent, method: Option<usize>) -> Rejected {
        if reason == Reason::TooManyAttempts
            && let Err(too_many) = guess.check()
        {
            return self.too_many(too_many, sent, method);
        }
        self.rejected(reason, sent, method)
    }

    /// The place of the authenticator of this kind, when there is only one.
    fn only(&self, kind: Method) -> Option<usize> {
        let mut fitting = self.of_kind(kind);
        match (fitting.next(), fitting.next()) {
            (Some((at, _)), None) => Some(at),
            (Some(_) | None, _) => None,
        }
    }

    /// What was sent when nobody knows the credential. It is removed if the request passes all the same, unless one of those
    /// who might have known it would have left it.
    fn sent(&self, location: Location, kind: Method) -> Sent {
        let stays = self.of_kind(kind).any(|(_, authenticator)| authenticator.forwards_credential());
        let strip = (!stays).then_some(location);
        if kind == Method::Jwt { Sent::Token(strip) } else { Sent::Other(strip) }
    }

    fn of_kind(&self, kind: Method) -> impl Iterator<Item = (usize, &Authenticator)> {
        self.authenticators.iter().enumerate().filter(move |(_, authenticator)| authenticator.kind() == kind)
    }
}

/// Tells what came of putting a key or a pair to a method. What is wrong with a pair is not known to be its name.
fn tell(
    witness: &impl Witness,
    authenticator: &Authenticator,
    attempt: &Attempt,
    check: impl FnOnce(&Attempt) -> Check,
) {
    witness.saw(|| {
        let (outcome, detail) = match attempt {
            Attempt::Absent => {
                (Outcome::PassedOver, "it does not stand in the file of this method".to_owned())
            }
            Attempt::Failed(reason) => (Outcome::Failed(reason.label()), words(*reason).to_owned()),
            Attempt::Verified(identity) => {
                let id = identity.key_id.as_ref().map(|id| format!("`{id}` of ")).unwrap_or_default();
                (Outcome::Passed, format!("it is {id}`{}`", identity.subject.as_str()))
            }
        };
        Finding { check: check(attempt), auth: Some(authenticator.name().clone()), outcome, detail }
    });
}

fn key_check(attempt: &Attempt) -> Check {
    match attempt {
        Attempt::Failed(Reason::Malformed) => Check::Form,
        Attempt::Failed(Reason::Expired | Reason::NotYetValid) => Check::Times,
        Attempt::Absent | Attempt::Failed(_) | Attempt::Verified(_) => Check::Key,
    }
}

fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::BadPassword => "the password is not that of this user",
        Reason::Expired => "it has expired",
        Reason::Malformed => "its last six characters do not fit the rest: it was mistyped or cut off",
        Reason::NotYetValid => "it is not valid yet",
        Reason::Overloaded => "too many passwords are being verified",
        Reason::TooManyAttempts => "there were too many failed attempts",
        reason => reason.label(),
    }
}
