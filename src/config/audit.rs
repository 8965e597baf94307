//! Advice: what a file says that is no mistake, and that somebody should have decided on purpose. Each piece names its
//! line, why it matters, and the cure.
//!
//! It reads the document again, as it stands, because what is compiled no longer knows what was left out.

mod addresses;
mod credentials;
mod files;
mod paths;

use std::path::Path;

use super::document::{AuthEntry, AuthReference, Document, FailedAttemptsEntry, ModeEntry};
use super::{RESERVED, Services};
use crate::loading::Loading;
use crate::problem::Problems;
use crate::revocation::{Backing, OnOutage};
use crate::units::Quota;
use crate::yaml::Located;

/// Everything that is advised about the file at `path`, which compiles, and keeps its revocations in `backing`.
pub fn advise(path: &Path, backing: &Backing, services: &Services<'_>) -> Problems {
    let mut loading = Loading::new(services.clock.clone(), services.environment, &RESERVED);
    let mut advice = Problems::default();
    let Some(document) = loading.root_document::<Document>(path) else { return advice };
    addresses::advise(&document, &mut advice);
    files::advise(&document, &mut advice);
    paths::advise(&document, &mut advice);
    for (_, entry) in document.auth.iter() {
        match entry {
            AuthEntry::ApiKey(config) => credentials::api_keys(config, &mut loading, &mut advice),
            AuthEntry::Basic(config) => credentials::users(config, &mut loading, &mut advice),
            AuthEntry::Jwt(config) => credentials::tokens(config, &mut advice),
        }
    }
    revocations(&document, backing, &mut advice);
    limits(&document, &mut advice);
    routes(&document, &mut advice);
    advice
}

fn revocations(document: &Document, backing: &Backing, advice: &mut Problems) {
    let place = document.revocation.as_ref().map_or(document.routes.place(), Located::place);
    if let Some(revocation) = &document.revocation
        && revocation.on_outage == OnOutage::Allow
        && *backing != Backing::Memory
    {
        advice
            .advice(
                revocation.place(),
                "while Redis is away, credentials that were revoked since are accepted",
            )
            .hint("`on_outage: deny` answers 503 then; it is the default");
    }
    if *backing == Backing::Memory && !document.auth.is_empty() {
        advice
            .advice(
                place,
                "revocations are kept in the memory of the process: a restart lifts them, and no other gateway knows them",
            )
            .hint("`redis: { url: … }` with `revocation: { store: redis }` keeps them in Redis");
    }
}

fn limits(document: &Document, advice: &mut Problems) {
    let Some(entry) = &document.limits.failed_attempts else { return };
    let FailedAttemptsEntry { source, principal } = **entry;
    for (name, quota) in [("source", source), ("principal", principal)] {
        if quota == Quota::Unlimited {
            advice
                .advice(
                    entry.place(),
                    format!("failed attempts of one `{name}` are not limited, so it may guess"),
                )
                .hint("remove `unlimited`: only failures count, and nobody who does not fail is held up");
        }
    }
}

fn routes(document: &Document, advice: &mut Problems) {
    for route in document.routes.iter() {
        if route.mode == ModeEntry::Report {
            advice
                .advice(
                    route.name.place(),
                    format!("the route `{}` only reports: whoever should be refused passes", *route.name),
                )
                .hint("when its log shows no refusals that are wrong, remove `mode: report`");
        }
        let public = matches!(route.auth.as_deref(), Some(AuthReference::Public));
        if public && route.matches.methods.is_none() {
            advice
                .advice(
                    route.name.place(),
                    format!("anyone may send POST, PUT and DELETE to the public route `{}`", *route.name),
                )
                .hint("if it is for reading only, write `match: { methods: [GET, HEAD] }`");
        }
    }
}
