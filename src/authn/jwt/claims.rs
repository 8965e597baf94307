//! What the claims of a token must say (RFC 7519 §4.1, RFC 9068 §4), and who they say sent it.
//!
//! Everything here runs after the signature was verified, but for [`Rules::is_issuer`], which only picks the method. A
//! claim of the wrong type is never skipped as if it were absent.

use std::sync::Arc;

use super::claim_path::ClaimPath;
use super::describe;
use super::json::{Json, Object};
use super::key_set::Key;
use crate::authn::Reason;
use crate::authn::identity::{Identity, Method, Subject, Told, Validity, Words, carries};
use crate::authn::revocable::{Kind, Revocable};
use crate::authn::witness::{Check, Witness};

/// What a method asks of claims, and where it finds what an identity consists of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rules {
    pub(super) issuer: Box<str>,
    pub(super) audience: Box<[Box<str>]>,
    /// In seconds.
    pub(super) max_lifetime: f64,
    /// In seconds.
    pub(super) leeway: u64,
    pub(super) subject: ClaimPath,
    pub(super) scopes: ClaimPath,
    pub(super) roles: Option<ClaimPath>,
    /// The claims that the policy passes on.
    pub(super) wanted: Arc<[ClaimPath]>,
}

impl Rules {
    /// Whether the token says that it comes from this method's issuer.
    ///
    /// # Errors
    /// [`Reason::MissingClaim`] when it does not say where it comes from.
    pub(super) fn is_issuer(&self, claims: &Object<'_>) -> Result<bool, Reason> {
        let issuer = claims.get("iss").and_then(Json::text).ok_or(Reason::MissingClaim)?;
        Ok(*issuer == *self.issuer)
    }

    /// Who sent a token with these claims, which the method `auth` verified with `key`.
    ///
    /// # Errors
    /// Which rule the claims break.
    pub(super) fn identify(
        &self,
        auth: &Arc<str>,
        key: &Key,
        claims: &Object<'_>,
        now: u64,
        witness: &impl Witness,
    ) -> Result<Identity, Reason> {
        let name = Some(auth);
        witness.tell(Check::Kind, name, refuse_other_kinds(claims), || describe::kind(claims))?;
        witness.tell(Check::Audience, name, self.check_audience(claims), || {
            describe::audience(claims, &self.audience)
        })?;
        let times = self.check_times(claims, now);
        let (validity, issued_at) =
            witness.tell(Check::Times, name, times, || describe::times(claims, now, self))?;
        let subject = witness.tell(Check::Subject, name, self.find_subject(claims), || {
            describe::claim(&self.subject, claims)
        })?;
        let grants = self.grants(claims);
        let (scopes, roles) = witness.tell(Check::Claims, name, grants, || describe::grants(claims, self))?;
        let revocable = self.revocable(&subject, claims, issued_at).or_else(|reason| {
            witness.tell(Check::Claims, name, Err(reason), || {
                "`sub`, `jti`, `sid`, `azp` and `client_id` must be text where they are there".to_owned()
            })
        })?;
        Ok(Identity {
            auth: auth.clone(),
            method: Method::Jwt,
            scopes,
            roles,
            key_id: key.id().filter(|id| carries(id)).map(Box::from),
            claims: self.wanted.iter().map(|path| passed_on(path.find(claims)?)).collect(),
            validity,
            revocable,
            subject,
            told: Told::default(),
        })
    }

    fn find_subject(&self, claims: &Object<'_>) -> Result<Subject, Reason> {
        let subject = self.subject.find(claims).and_then(Json::text).ok_or(Reason::MissingClaim)?;
        Subject::new(subject).ok_or(Reason::Malformed)
    }

    /// Scopes and roles.
    fn grants(&self, claims: &Object<'_>) -> Result<(Words, Words), Reason> {
        let roles = match &self.roles {
            Some(path) => words(path.find(claims), |role| vec![role])?,
            None => Words::default(),
        };
        Ok((words(self.scopes.find(claims), |scopes| scopes.split(' ').collect())?, roles))
    }

    fn check_audience(&self, claims: &Object<'_>) -> Result<(), Reason> {
        let audience = claims.get("aud").ok_or(Reason::MissingClaim)?;
        let named = match audience.text() {
            Some(one) => vec![one],
            None => audience.texts().ok_or(Reason::MissingClaim)?,
        };
        let ours = |name: &&str| self.audience.iter().any(|own| **own == **name);
        if named.iter().any(ours) { Ok(()) } else { Err(Reason::WrongAudience) }
    }

    /// Checks `exp`, `nbf` and `iat`, and returns the validity and the time of issue.
    fn check_times(&self, claims: &Object<'_>, now: u64) -> Result<(Validity, Option<u64>), Reason> {
        let expiry = numeric_date(claims, "exp")?.ok_or(Reason::MissingClaim)?;
        let not_before = numeric_date(claims, "nbf")?;
        let issued_at = numeric_date(claims, "iat")?;
        // The clock reads whole seconds, so a fraction of one is not over before the next second.
        let validity = Validity {
            from: not_before.map(|from| whole_seconds(from.ceil()).saturating_sub(self.leeway)),
            until: Some(whole_seconds(expiry.ceil()).saturating_add(self.leeway)),
        };
        validity.check(now)?;
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
        let (now, latest_issue) = (now as f64, now.saturating_add(self.leeway) as f64);
        if issued_at.is_some_and(|issued_at| issued_at > latest_issue) {
            return Err(Reason::IssuedInFuture);
        }
        // Lifetimes count in whole seconds: the difference of two fractions is not exact.
        if (expiry - issued_at.unwrap_or(now)).floor() > self.max_lifetime {
            return Err(Reason::LifetimeTooLong);
        }
        // A token that is remembered is judged by its validity alone, so the time of its issue is part of that.
        let issued = issued_at.map(|at| whole_seconds(at.ceil()).saturating_sub(self.leeway));
        let validity = Validity { from: validity.from.max(issued), ..validity };
        Ok((validity, issued_at.map(whole_seconds)))
    }

    /// Every name under which the token can be revoked. One of the wrong type, `null` among them, could not be revoked, and is
    /// refused (RFC 7519 §4.1.7).
    fn revocable(
        &self,
        subject: &Subject,
        claims: &Object<'_>,
        issued_at: Option<u64>,
    ) -> Result<Revocable, Reason> {
        let mut revocable = Revocable::new(subject.as_str(), issued_at);
        // Where the subject is taken from another claim, programs that know only `sub` can still revoke.
        if let Some(sub) = optional_text(claims, "sub")?.filter(|sub| *sub != subject.as_str()) {
            revocable = revocable.with(Kind::Sub, sub);
        }
        if let Some(jti) = optional_text(claims, "jti")? {
            revocable = revocable.with_jti(&self.issuer, jti);
        }
        if let Some(session) = optional_text(claims, "sid")? {
            revocable = revocable.with(Kind::Sid, session);
        }
        let (party, client) = (optional_text(claims, "azp")?, optional_text(claims, "client_id")?);
        // Where both are there and differ, whoever revokes either of them means this token.
        for client in party.into_iter().chain(client.filter(|client| Some(*client) != party)) {
            revocable = revocable.with(Kind::Client, client);
        }
        Ok(revocable)
    }
}

/// Refuses what was signed by the same keys for another purpose (RFC 8725 §3.11): ID tokens (OIDC Core
/// §3.1.3.6 and §3.3.2.11), Cognito's and Keycloak's ways of marking them, and security events (RFC 8417 §2.2), which a
/// logout token is.
fn refuse_other_kinds(claims: &Object<'_>) -> Result<(), Reason> {
    let says = |name: &str, kinds: &[&str]| {
        let said = claims.get(name).and_then(Json::text);
        said.is_some_and(|said| kinds.iter().any(|kind| kind.eq_ignore_ascii_case(said)))
    };
    let other = claims.get("at_hash").is_some()
        || claims.get("c_hash").is_some()
        || matches!(claims.get("events"), Some(Json::Object(_)))
        || says("token_use", &["id", "refresh"])
        || says("typ", &["ID", "Refresh", "Offline", "Logout"]);
    if other { Err(Reason::WrongType) } else { Ok(()) }
}

/// A `NumericDate` (RFC 7519 §2): seconds since the Unix epoch, with or without a fraction. Numbers too large for a
/// double were refused when the claims were parsed.
fn numeric_date(claims: &Object<'_>, name: &str) -> Result<Option<f64>, Reason> {
    match claims.get(name) {
        None => Ok(None),
        Some(Json::Number(number)) => {
            let seconds = number.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
            seconds.map(Some).ok_or(Reason::MissingClaim)
        }
        Some(Json::Boolean(_) | Json::List(_) | Json::Null | Json::Object(_) | Json::Text(_)) => {
            Err(Reason::MissingClaim)
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers are not negative, and `as` saturates at times that never come"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds as u64
}

fn optional_text<'j>(claims: &'j Object<'_>, name: &str) -> Result<Option<&'j str>, Reason> {
    claims.get(name).map(|value| value.text().ok_or(Reason::MissingClaim)).transpose()
}

/// A list of texts, or one text that `split` takes apart.
fn words(value: Option<&Json<'_>>, split: impl Fn(&str) -> Vec<&str>) -> Result<Words, Reason> {
    match value {
        None => Ok(Words::default()),
        Some(Json::Text(text)) => Ok(Words::new(split(text))),
        Some(list) => Ok(Words::new(list.texts().ok_or(Reason::MissingClaim)?)),
    }
}

/// Values that are passed on are no longer than this, in bytes.
const LONGEST_VALUE: usize = 4096;

/// The text of a claim as a header field carries it, or `None` when the header has to be left out.
fn passed_on(value: &Json<'_>) -> Option<Box<str>> {
    let text = match value {
        Json::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(simple_text).collect();
            let items = items?;
            // A recipient could not tell such an item from two.
            if items.iter().any(|item| item.contains(',')) {
                return None;
            }
            items.join(",")
        }
        Json::Boolean(_) | Json::Null | Json::Number(_) | Json::Object(_) | Json::Text(_) => {
            simple_text(value)?
        }
    };
    (text.len() <= LONGEST_VALUE && carries(&text)).then(|| text.into())
}

fn simple_text(value: &Json<'_>) -> Option<String> {
    match value {
        Json::Boolean(value) => Some(value.to_string()),
        Json::Number(number) => Some(number.to_string()),
        Json::Text(text) => Some(text.to_string()),
        Json::List(_) | Json::Null | Json::Object(_) => None,
    }
}
