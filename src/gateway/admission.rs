//! The proof that a request may go upstream. It is made by [`super::Gateway::admit`] and nowhere else.

use std::sync::Arc;

use super::guard::{Known, Outcome, Rejected};
use super::route::Route;
use crate::authn::Identity;
use crate::authn::credential::Location;

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

    /// Who it is, if a credential was verified.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match &self.caller {
            Caller::Anonymous => None,
            Caller::Known(known) => Some(&known.identity),
            Caller::Reported(rejected) => rejected.identity.as_ref(),
        }
    }

    /// The field that holds the credential and is removed before the request goes upstream.
    pub fn credential_to_strip(&self) -> Option<Location> {
        match &self.caller {
            Caller::Anonymous => None,
            Caller::Known(known) => known.strip,
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
