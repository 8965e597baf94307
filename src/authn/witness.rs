//! Seeing the checks of a decision as they are made, so that an explanation comes from the very code that decides.
//!
//! While requests are served, the witness is [`Nobody`]: nothing is put into words then, and the compiler leaves the calls
//! out.

use std::sync::{Arc, Mutex, PoisonError};

use super::reason::Reason;

/// Something that wants to know how the checks of a decision come out.
pub trait Witness: Sync {
    /// A check came out like this. `finding` is not called when nobody wants to know.
    fn saw(&self, finding: impl FnOnce() -> Finding);

    /// Tells how a check of the method `auth` came out, and hands on what it came to.
    ///
    /// # Errors
    /// The one that it was given.
    fn tell<T>(
        &self,
        check: Check,
        auth: Option<&Arc<str>>,
        result: Result<T, Reason>,
        detail: impl FnOnce() -> String,
    ) -> Result<T, Reason> {
        self.saw(|| Finding {
            check,
            auth: auth.cloned(),
            outcome: match &result {
                Ok(_) => Outcome::Passed,
                Err(reason) => Outcome::Failed(reason.label()),
            },
            detail: detail(),
        });
        result
    }
}

/// How one check came out. No text here contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// By which method in `auth`.
    pub auth: Option<Arc<str>>,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, for people.
    pub detail: String,
}

impl Finding {
    /// A check that nobody's credential is needed for, and that passed.
    pub fn passed(check: Check, detail: String) -> Self {
        Self { check, auth: None, outcome: Outcome::Passed, detail }
    }
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did not pass, and this is the reason in the log.
    Failed(&'static str),
    /// The request may go on.
    Passed,
    /// It is not for this method: the next one is asked.
    PassedOver,
}

/// What is checked of a request, in the order in which that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The route allows what stands in the path.
    Path,
    /// The body that the request announces is not too large.
    Body,
    /// The route takes the method.
    Method,
    /// Anyone may.
    Public,
    /// The connection is encrypted.
    Transport,
    /// There is one credential, of a kind that the route accepts.
    Credential,
    /// The form of the credential.
    Form,
    /// The API key is in the file.
    Key,
    /// Name and password.
    Password,
    /// The token's issuer.
    Issuer,
    /// The token's header: its type and its algorithm.
    Header,
    /// The token's signature.
    Signature,
    /// The token is an access token.
    Kind,
    /// Whom the token is for.
    Audience,
    /// From when to when the credential is good.
    Times,
    /// Whom the credential is about.
    Subject,
    /// The claims that grant something, or by which the token is revoked.
    Claims,
    /// The revocation list.
    Revocation,
    /// The scopes that are needed.
    Scopes,
    /// The roles that are needed.
    Roles,
}

impl Check {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Body => "body",
            Self::Method => "method",
            Self::Public => "public",
            Self::Transport => "transport",
            Self::Credential => "credential",
            Self::Form => "form",
            Self::Key => "key",
            Self::Password => "password",
            Self::Issuer => "issuer",
            Self::Header => "header",
            Self::Signature => "signature",
            Self::Kind => "kind",
            Self::Audience => "audience",
            Self::Times => "times",
            Self::Subject => "subject",
            Self::Claims => "claims",
            Self::Revocation => "revocation",
            Self::Scopes => "scopes",
            Self::Roles => "roles",
        }
    }
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Witness for Nobody {
    #[inline]
    fn saw(&self, _finding: impl FnOnce() -> Finding) {}
}

/// Everything that was found, in its order.
#[derive(Debug, Default)]
pub struct Transcript(Mutex<Vec<Finding>>);

impl Transcript {
    /// What was found.
    pub fn into_findings(self) -> Vec<Finding> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for Transcript {
    fn saw(&self, finding: impl FnOnce() -> Finding) {
        let finding = finding();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }
}
