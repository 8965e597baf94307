//! The `WWW-Authenticate` fields of a route (RFC 9110 §11.6.1), built when the policy is compiled.

use std::sync::Arc;

use http::HeaderValue;

use crate::authn::Authenticator;
use crate::gateway::requirement::Requirement;

/// One challenge for each method of a route.
#[derive(Clone, Debug)]
pub(super) struct Challenges {
    plain: Arc<[HeaderValue]>,
    invalid_token: Arc<[HeaderValue]>,
}

/// One sentence for whatever was wrong with a token: which it was helps only a guesser.
const INVALID_TOKEN: &str = "The access token is malformed, expired, revoked or not meant for this API";

const REALM: &str = "portcullis";

impl Challenges {
    pub(super) fn new(authenticators: &[Authenticator]) -> Self {
        let plain = list(authenticators, &format!("Bearer realm=\"{REALM}\""));
        let error = format!(
            "Bearer realm=\"{REALM}\", error=\"invalid_token\", error_description=\"{INVALID_TOKEN}\""
        );
        Self { plain, invalid_token: list(authenticators, &error) }
    }

    /// For a request without a token (RFC 6750 §3.1: without an error then).
    pub(super) fn plain(&self) -> Arc<[HeaderValue]> {
        self.plain.clone()
    }

    /// For a request with a token that is not accepted.
    pub(super) fn invalid_token(&self) -> Arc<[HeaderValue]> {
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

/// One for each scheme; two methods with the same challenge share it.
fn list(authenticators: &[Authenticator], bearer: &str) -> Arc<[HeaderValue]> {
    let mut texts: Vec<String> = Vec::new();
    for authenticator in authenticators {
        let text = match authenticator {
            Authenticator::ApiKey(_) => format!("ApiKey realm=\"{REALM}\""),
            Authenticator::Basic(method) => format!("Basic realm=\"{}\", charset=\"UTF-8\"", method.realm()),
            Authenticator::Jwt(_) => bearer.to_owned(),
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.into_iter().filter_map(|text| HeaderValue::try_from(text).ok()).collect()
}
