//! What a caller needs for a method, and which methods there are.

use http::HeaderValue;

use crate::authn::identity::Words;
use crate::authn::witness::{Check, Finding, Outcome};
use crate::authn::{Identity, Reason, Witness};

/// The methods that a route without a list accepts. CONNECT and TRACE are never among them: the one makes a tunnel, the
/// other echoes credentials.
pub const USUAL_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// A set of methods and how it is told to a client.
#[derive(Clone, Debug)]
pub struct Methods {
    names: Vec<Box<str>>,
    allow: HeaderValue,
}

impl Methods {
    /// The methods `names`, which are tokens.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        // A token has no byte that a header value may not have; an empty value stands for "none".
        let allow = HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""));
        Self { names, allow }
    }

    /// All methods that a route without a list accepts.
    pub fn usual() -> Self {
        Self::new(USUAL_METHODS)
    }

    /// Whether `method` is among them; methods are case-sensitive (RFC 9110 §9.1).
    pub fn contains(&self, method: &str) -> bool {
        self.names.iter().any(|name| **name == *method)
    }

    /// The value of an `Allow` field (RFC 9110 §10.2.1).
    pub fn allow(&self) -> HeaderValue {
        self.allow.clone()
    }

    /// The methods.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}

/// What a caller needs: all of the scopes, and one of the roles if there are any.
#[derive(Clone, Debug, Default)]
pub struct Requirement {
    /// All of these.
    pub scopes: Words,
    /// One of these, unless there are none.
    pub roles: Words,
}

/// What a caller lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// One of the roles.
    Role,
    /// At least one scope.
    Scope,
}

impl Requirement {
    /// Whether `identity` has what is needed.
    ///
    /// # Errors
    /// What it lacks; scopes come first.
    pub fn check(&self, identity: &Identity) -> Result<(), Missing> {
        if !self.scopes.iter().all(|scope| identity.scopes.contains(scope)) {
            return Err(Missing::Scope);
        }
        if !self.roles.is_empty() && !self.roles.iter().any(|role| identity.roles.contains(role)) {
            return Err(Missing::Role);
        }
        Ok(())
    }

    /// Tells `witness` what came of [`Requirement::check`].
    pub(super) fn tell(&self, identity: &Identity, checked: Result<(), Missing>, witness: &impl Witness) {
        let finding = |check, outcome, detail| Finding { check, auth: None, outcome, detail };
        let lacks_scope = checked == Err(Missing::Scope);
        witness.saw(|| {
            let lacks = Outcome::Failed(Reason::MissingScope.label());
            let detail = detail("all", &self.scopes, &identity.scopes);
            finding(Check::Scopes, if lacks_scope { lacks } else { Outcome::Passed }, detail)
        });
        // Roles are not looked at when a scope is missing.
        if !lacks_scope {
            witness.saw(|| {
                let lacks = Outcome::Failed(Reason::MissingRole.label());
                let detail = detail("one", &self.roles, &identity.roles);
                finding(Check::Roles, if checked.is_err() { lacks } else { Outcome::Passed }, detail)
            });
        }
    }
}

fn detail(how_many: &str, needed: &Words, granted: &Words) -> String {
    let list = |words: &Words| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    if needed.is_empty() {
        return "none are needed".to_owned();
    }
    let has = if granted.is_empty() { "none".to_owned() } else { list(granted) };
    format!("needed: {how_many} of {}; the caller has {has}", list(needed))
}
