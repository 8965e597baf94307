//! The proof that a request may go upstream. It is made by [`super::Gateway::admit`] and nowhere else.

use std::sync::Arc;

use super::guard::{Known, Outcome, Rejected};
use super::refusal::Refusal;
use super::route::{Mode, Route};
use crate::authn::Identity;
use crate::authn::credential::Strip;

/// A request that may go upstream, and as whom.
#[derive(Clone, Debug)]
pub struct Admission {
    route: Arc<Route>,
    caller: Caller,
}

/// Who sent a request that may go upstream.
#[derive(Clone, Debug)]
enum Caller {
    /// Nobody in particular, on a public route.
    Anonymous,
    /// Someone who was verified and allowed.
    Known(Known),
    /// Someone who would have been refused, on a route that only reports.
    Reported(Rejected),
}

impl Admission {
    pub(super) fn anonymous(route: Arc<Route>) -> Self {
        Self { route, caller: Caller::Anonymous }
    }

    pub(super) fn known(route: Arc<Route>, known: Known) -> Self {
        Self { route, caller: Caller::Known(known) }
    }

    pub(super) fn reported(route: Arc<Route>, rejected: Rejected) -> Self {
        Self { route, caller: Caller::Reported(rejected) }
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Who it is, if a credential was verified and is good. On a route that only reports, that may be someone who lacks a
    /// scope or a role, but nobody whose credential was revoked or could not be checked.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match &self.caller {
            Caller::Anonymous => None,
            Caller::Known(known) => Some(&known.identity),
            Caller::Reported(rejected) => {
                rejected.identity.as_ref().filter(|_| matches!(rejected.refusal, Refusal::Forbidden(_)))
            }
        }
    }

    /// Who it is, or was before the credential was revoked, for the log.
    pub fn caller(&self) -> Option<&Arc<Identity>> {
        match &self.caller {
            Caller::Anonymous => None,
            Caller::Known(known) => Some(&known.identity),
            Caller::Reported(rejected) => rejected.identity.as_ref(),
        }
    }

    /// Whose credential has to stay good for as long as the request goes on. A route that only reports ends nothing.
    pub fn leased_to(&self) -> Option<&Arc<Identity>> {
        match self.route.mode {
            Mode::Enforce => self.identity(),
            Mode::Report => None,
        }
    }

    /// The fields that may hold a credential and are removed before the request goes upstream.
    pub fn credential_to_strip(&self) -> Strip {
        match &self.caller {
            Caller::Anonymous => Strip::default(),
            Caller::Known(known) => known.strip.into(),
            Caller::Reported(rejected) => rejected.strip,
        }
    }

    /// How the decision came out; nothing was decided on a public route.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.caller {
            Caller::Anonymous => None,
            Caller::Known(_) => Some(Outcome::Allowed),
            Caller::Reported(rejected) => Some(Outcome::Reported(rejected.reason)),
        }
    }

    /// The authenticator that looked at the credential, by its place in the route's guard.
    pub fn method(&self) -> Option<usize> {
        match &self.caller {
            Caller::Anonymous => None,
            Caller::Known(known) => Some(known.method),
            Caller::Reported(rejected) => rejected.method,
        }
    }
}
