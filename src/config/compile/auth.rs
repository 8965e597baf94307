//! Compiles `auth`: one authenticator for each name.

use std::sync::Arc;

use super::{Named, names};
use crate::authn::{Authenticator, api_key, basic, jwt};
use crate::config::document::AuthEntry;
use crate::config::{Purpose, Services};
use crate::gateway::Gateway;
use crate::gateway::fact::IdentityHeaders;
use crate::loading::Loading;
use crate::yaml::{Entries, Located};

pub(super) fn compile(
    entries: &Entries<AuthEntry>,
    headers: Option<&IdentityHeaders>,
    purpose: Purpose<'_>,
    services: &Services<'_>,
    previous: Option<&Gateway>,
    loading: &mut Loading<'_>,
) -> Vec<Named<Authenticator>> {
    let claims: Arc<[jwt::ClaimPath]> = headers.map(|headers| headers.claims().clone()).unwrap_or_default();
    let mut compiled = Vec::with_capacity(entries.len());
    for (name, entry) in entries.iter() {
        names::check(name, loading);
        let label: Arc<str> = name.as_str().into();
        let before =
            previous.and_then(|previous| previous.methods.iter().find(|method| **method.name() == *label));
        let method = match entry {
            AuthEntry::ApiKey(config) => api_key::Method::compile(&label, config, &services.metrics, loading)
                .map(|method| match purpose {
                    Purpose::Serving => method,
                    Purpose::Trying(stand_in) => method.stood_in(stand_in),
                })
                .map(|method| Authenticator::ApiKey(Arc::new(method))),
            AuthEntry::Basic(config) => {
                let before = match before {
                    Some(Authenticator::Basic(before)) => Some(&**before),
                    Some(Authenticator::ApiKey(_) | Authenticator::Jwt(_)) | None => None,
                };
                basic::Method::compile(&label, config, &services.hashing, before, &services.metrics, loading)
                    .map(|method| match purpose {
                        Purpose::Serving => method,
                        Purpose::Trying(stand_in) => method.stood_in(stand_in),
                    })
                    .map(|method| Authenticator::Basic(Arc::new(method)))
            }
            AuthEntry::Jwt(config) => {
                let before = match before {
                    Some(Authenticator::Jwt(before)) => Some(before),
                    Some(Authenticator::ApiKey(_) | Authenticator::Basic(_)) | None => None,
                };
                jwt::Method::compile(label, config, &claims, before, &services.metrics, loading)
                    .and_then(|method| stand_in_for_issuer(method, purpose, name, loading))
                    .map(Authenticator::Jwt)
            }
        };
        compiled.push((name.clone(), method));
    }
    compiled
}

/// The method itself, or with another key in the place of its issuer's.
fn stand_in_for_issuer(
    method: Arc<jwt::Method>,
    purpose: Purpose<'_>,
    name: &Located<String>,
    loading: &mut Loading<'_>,
) -> Option<Arc<jwt::Method>> {
    let Purpose::Trying(stand_in) = purpose else { return Some(method) };
    let stood_in = method.stood_in(stand_in);
    stood_in
        .map_err(|error| {
            loading.error(name.place(), error.to_string());
        })
        .ok()
}
