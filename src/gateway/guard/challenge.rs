//! The `WWW-Authenticate` fields of a route (RFC 9110 §11.6.1), built when the policy is compiled.

use std::sync::Arc;

use http::HeaderValue;

use crate::authn::Authenticator;
use crate::gateway::requirement::Requirement;

/// The challenges of a route, by what the client sent.
#[derive(Clone, Debug)]
pub(super) struct Challenges {
    plain: Arc<ChallengeSet>,
    invalid_token: Arc<ChallengeSet>,
}

/// The challenges of a 401, one for each scheme of the route. There is always at least one (RFC 9110 §15.5.2).
#[derive(Debug)]
pub struct ChallengeSet {
    all: Vec<HeaderValue>,
    without_dialog: Vec<HeaderValue>,
}

impl ChallengeSet {
    fn new(authenticators: &[Authenticator], bearer: &str) -> Self {
        let without_basic = list(authenticators, bearer, None);
        let without_dialog = if without_basic.is_empty() {
            list(authenticators, bearer, Some(BASIC_WITHOUT_DIALOG))
        } else {
            without_basic
        };
        Self { all: list(authenticators, bearer, Some("Basic")), without_dialog }
    }

    /// All challenges.
    pub fn all(&self) -> &[HeaderValue] {
        &self.all
    }

    /// The challenges for a script in a browser: none for which the browser asks its user for a password. It would not hand
    /// the response to the script before the user has closed the dialog.
    pub fn without_dialog(&self) -> &[HeaderValue] {
        &self.without_dialog
    }
}

/// Stands for `Basic` where there is no other challenge. No browser knows this scheme, and other servers (DHIS2, Kiali) use
/// it for the same purpose.
const BASIC_WITHOUT_DIALOG: &str = "xBasic";

/// One sentence for whatever was wrong with a token: which it was helps only a guesser.
const INVALID_TOKEN: &str = "The access token is malformed, expired, revoked or not meant for this API";

const REALM: &str = "portcullis";

impl Challenges {
    pub(super) fn new(authenticators: &[Authenticator]) -> Self {
        let plain = format!("Bearer realm=\"{REALM}\"");
        let error = format!(
            "Bearer realm=\"{REALM}\", error=\"invalid_token\", error_description=\"{INVALID_TOKEN}\""
        );
        let set = |bearer: &str| Arc::new(ChallengeSet::new(authenticators, bearer));
        Self { plain: set(&plain), invalid_token: set(&error) }
    }

    /// For a request without a token (RFC 6750 §3.1: without an error then).
    pub(super) fn plain(&self) -> Arc<ChallengeSet> {
        self.plain.clone()
    }

    /// For a request with a token that is not accepted.
    pub(super) fn invalid_token(&self) -> Arc<ChallengeSet> {
        self.invalid_token.clone()
    }
}

/// The challenge for a bearer whose token lacks something. Roles are no scopes and are not told.
pub(super) fn insufficient_scope(requirement: &Requirement) -> HeaderValue {
    let mut text = format!("Bearer realm=\"{REALM}\", error=\"insufficient_scope\"");
    if !requirement.scopes.is_empty() {
        text.push_str(&format!(", scope=\"{}\"", requirement.scopes.join(" ")));
    }
    // Scopes were held to their grammar when the policy was compiled, so this cannot fail; if it did, less is said.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer error=\"insufficient_scope\""))
}

/// One challenge for each scheme. Two schemes with the same challenge share it. HTTP Basic gets the name `basic`, or none.
fn list(authenticators: &[Authenticator], bearer: &str, basic: Option<&str>) -> Vec<HeaderValue> {
    let mut texts: Vec<String> = Vec::new();
    for authenticator in authenticators {
        let text = match authenticator {
            Authenticator::ApiKey(_) => format!("ApiKey realm=\"{REALM}\""),
            Authenticator::Basic(method) => match basic {
                Some(scheme) => format!("{scheme} realm=\"{}\", charset=\"UTF-8\"", method.realm()),
                None => continue,
            },
            Authenticator::Jwt(_) => bearer.to_owned(),
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.into_iter().filter_map(|text| HeaderValue::try_from(text).ok()).collect()
}
