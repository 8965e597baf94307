//! What was found where a credential may stand, in words, for whoever asks why a request was refused.

use http::header;

use super::Guard;
use crate::authn::Reason;
use crate::authn::credential::{self, API_KEY, Found, Location};
use crate::request::Request;

/// Whether what was found is a credential, and why it is none.
pub(super) fn judge(found: &Found<'_>, request: &Request<'_>) -> Result<(), Reason> {
    match found {
        Found::ApiKey(..) | Found::Basic(_) | Found::Bearer(_) => Ok(()),
        Found::Absent => Err(reason_for_absence(request)),
        Found::InQuery => Err(Reason::CredentialInQuery),
        Found::Malformed => Err(Reason::Malformed),
        Found::Several => Err(Reason::MultipleCredentials),
    }
}

/// Why `request` has no credential of an accepted scheme: it has none at all, or one of another scheme.
pub(super) fn reason_for_absence(request: &Request<'_>) -> Reason {
    if credential::is_present(request) { Reason::UnacceptedCredential } else { Reason::NoCredential }
}

impl Guard {
    /// What was found, without what it says.
    pub(super) fn describe(&self, found: &Found<'_>, request: &Request<'_>) -> String {
        match found {
            Found::ApiKey(_, Location::ApiKey) => "an API key in `X-API-Key`".to_owned(),
            Found::ApiKey(_, Location::Authorization) => "an API key in `Authorization`".to_owned(),
            Found::Basic(pair) => {
                format!("the name `{}` and a password in `Authorization`", pair.user())
            }
            Found::Bearer(_) => "a token in `Authorization`".to_owned(),
            Found::Absent => format!("the route accepts {}; {}", self.accepts(), not_accepted(request)),
            Found::InQuery => "a parameter of the query is named like a credential".to_owned(),
            Found::Malformed => "there is one, and it is not well formed".to_owned(),
            Found::Several => "there is more than one, or one that is repeated".to_owned(),
        }
    }

    fn accepts(&self) -> String {
        let names: Vec<String> = self
            .authenticators
            .iter()
            .map(|method| format!("`{}` ({})", method.name(), method.kind().name()))
            .collect();
        names.join(" or ")
    }
}

/// Which credential the request has, none of which is of an accepted scheme.
fn not_accepted(request: &Request<'_>) -> &'static str {
    let headers = request.headers();
    match (headers.contains_key(header::AUTHORIZATION), headers.contains_key(API_KEY)) {
        (true, true) => "the request has `Authorization` and `X-API-Key`, and neither holds one of these",
        (true, false) => "the request has `Authorization`, which holds none of these",
        (false, true) => "the request has `X-API-Key`, which is none of these",
        (false, false) => "the request has neither `Authorization` nor `X-API-Key`",
    }
}
