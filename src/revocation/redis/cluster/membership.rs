//! Whom to follow in a cluster, and how old the view of the whole list is.
//!
//! Nodes may disagree: one was cut off, or a change has not got around. So whoever is said to hold entries by anyone who
//! is followed has to be followed, and the list is as old as the oldest proof of them all. That errs on the safe side:
//! following one too many adds nothing wrong, and an entry is taken out only when nobody has it (see [`super::rounds`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tokio::sync::watch;

use super::rounds::Round;
use super::view::{Id, View};
use crate::revocation::mirror::{Absence, Mirror};
use crate::revocation::redis::connection::Loss;
use crate::revocation::redis::endpoint::Endpoint;

/// What is known about a cluster.
pub(in crate::revocation::redis) struct Membership<'a> {
    pub(super) mirror: &'a Mirror,
    pub(super) state: watch::Sender<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// What somebody said when there was nobody to follow yet.
    rumour: Option<View>,
    /// Why the last one who was asked said nothing.
    silence: String,
    pub(super) nodes: BTreeMap<Id, Followed>,
    pub(super) round: Round,
}

/// A node that is being followed, or should be.
pub(super) struct Followed {
    endpoint: Endpoint,
    /// What it said last; nothing while there is no connection.
    view: Option<View>,
    /// Everything that was on the node then is in the mirror.
    as_of: Option<Instant>,
}

/// The nodes that have to be followed, and where each may be.
pub(super) type Plan = BTreeMap<Id, BTreeSet<Endpoint>>;

impl<'a> Membership<'a> {
    pub(super) fn new(mirror: &'a Mirror) -> Self {
        Self { mirror, state: watch::Sender::new(State::default()) }
    }

    /// Notes what was heard from somebody who is not followed.
    pub(super) fn heard(&self, view: View) {
        self.state.send_modify(|state| state.rumour = Some(view));
    }

    /// Notes why nothing was heard from somebody.
    pub(super) fn heard_nothing(&self, why: String) {
        self.state.send_if_modified(|state| {
            state.silence = why;
            false
        });
    }

    /// Where nodes are, replicas included.
    pub(super) fn endpoints(&self) -> BTreeSet<Endpoint> {
        self.state.borrow().counted(true).into_iter().flat_map(View::endpoints).cloned().collect()
    }

    /// A node is to be followed there.
    pub(super) fn enter(&self, id: &Id, endpoint: &Endpoint) {
        let followed = Followed { endpoint: endpoint.clone(), view: None, as_of: None };
        self.state.send_modify(|state| {
            state.nodes.insert(id.clone(), followed);
        });
    }

    /// A node is not followed any more.
    pub(super) fn leave(&self, id: &Id) {
        self.state.send_modify(|state| {
            state.nodes.remove(id);
            state.round.spoil();
            // What it announced last may not have been so: whoever replaced it has to be read again.
            state.round.want(Absence::Lifted);
        });
    }

    /// Whether anybody says who has to be followed.
    pub(super) fn is_guided(&self) -> bool {
        !self.state.borrow().counted(false).is_empty()
    }

    pub(super) fn plan(&self) -> Plan {
        self.state.borrow().plan()
    }

    /// Waits until the plan is another one.
    pub(super) async fn is_not(&self, plan: &Plan) {
        // The sender lives as long as this does, so there is always an end to waiting.
        let _ = self.state.subscribe().wait_for(|state| state.plan() != *plan).await;
    }

    /// Why the list as a whole is not being followed, if it is not.
    pub(super) fn trouble(&self) -> Option<Loss> {
        self.state.borrow().trouble()
    }
}

/// The part in it that one node has.
#[derive(Clone, Copy)]
pub(in crate::revocation::redis) struct Member<'a> {
    pub(super) membership: &'a Membership<'a>,
    pub(in crate::revocation::redis) id: &'a Id,
    pub(in crate::revocation::redis) endpoint: &'a Endpoint,
}

impl Member<'_> {
    /// The node looked at the cluster like this, and everything that was on it at `sent` is in the mirror.
    pub(in crate::revocation::redis) fn proved(&self, sent: Instant, view: View) {
        let Membership { mirror, state } = self.membership;
        state.send_if_modified(|state| {
            let Some(node) = state.nodes.get_mut(self.id) else { return false };
            let is_news = node.view.as_ref() != Some(&view) || node.as_of.is_none();
            node.view = Some(view);
            node.as_of = Some(sent);
            let holders = state.all_followed();
            let is_decided = state.round.proved(self.id, sent, holders.as_ref());
            if let Some(as_of) = state.complete_as_of() {
                mirror.is_complete_as_of(as_of);
            }
            is_news || is_decided
        });
    }

    /// The node looked at the cluster like this, and that is all that is known.
    pub(in crate::revocation::redis) fn saw(&self, view: View) {
        self.membership.state.send_if_modified(|state| {
            let Some(node) = state.nodes.get_mut(self.id) else { return false };
            let is_news = node.view.as_ref() != Some(&view);
            node.view = Some(view);
            is_news
        });
    }

    /// Nothing is known of the node until it is connected and read again.
    pub(in crate::revocation::redis) fn lost(&self) {
        self.membership.state.send_modify(|state| {
            if let Some(node) = state.nodes.get_mut(self.id) {
                (node.view, node.as_of) = (None, None);
            }
            state.round.spoil();
        });
    }

    /// Changes of the node were missed, and entries that are gone from it may be on no other.
    pub(in crate::revocation::redis) fn missed(&self, absence: Absence, is_first: bool) {
        // What is read at the start cannot have been there before.
        if is_first && !self.membership.mirror.has_been_read() {
            return;
        }
        self.membership.state.send_modify(|state| {
            state.round.spoil();
            state.round.want(absence);
        });
    }

    /// The node does not have an entry any more, and another one may.
    pub(in crate::revocation::redis) fn passed_on(&self) {
        self.membership.state.send_if_modified(|state| {
            // Where it went nobody knows yet, so what has been read for a round does not count.
            state.round.spoil() | state.round.want(Absence::Lifted)
        });
    }

    /// Waits until this node need not be followed, or not there.
    pub(super) async fn is_dismissed(&self) {
        let dismissed = |state: &State| {
            !state.plan().get(self.id).is_some_and(|endpoints| endpoints.contains(self.endpoint))
        };
        let _ = self.membership.state.subscribe().wait_for(dismissed).await;
    }
}

impl State {
    /// The views that count. Somebody whom none of the others knows was thrown out and has not heard of it.
    fn counted(&self, with_rumour: bool) -> Vec<&View> {
        let live: Vec<(&Id, &View)> =
            self.nodes.iter().filter_map(|(id, node)| Some((id, node.view.as_ref()?))).collect();
        let known = |id: &Id| live.iter().any(|(other, view)| *other != id && view.knows(id));
        let counted: Vec<&View> =
            live.iter().filter(|(id, _)| live.len() == 1 || known(id)).map(|(_, view)| *view).collect();
        if counted.is_empty() && with_rumour { self.rumour.iter().collect() } else { counted }
    }

    fn plan(&self) -> Plan {
        let mut plan = Plan::new();
        for (id, endpoint) in self.counted(true).into_iter().flat_map(View::holders) {
            plan.entry(id.clone()).or_default().insert(endpoint.clone());
        }
        plan
    }

    fn trouble(&self) -> Option<Loss> {
        let counted = self.counted(false);
        if counted.is_empty() {
            return Some(Loss::Undiscovered(self.silence.clone()));
        }
        let name = |id: &Id| self.nodes.get(id).map_or_else(String::new, |node| node.endpoint.to_string());
        if let Some(loss) = counted.into_iter().find_map(|view| view.trouble(|| name(&view.myself))) {
            return Some(loss);
        }
        self.plan().into_iter().find_map(|(id, endpoints)| match self.nodes.get(&id) {
            Some(node) if node.as_of.is_some() && endpoints.contains(&node.endpoint) => None,
            Some(_) | None => {
                Some(Loss::Unfollowed(endpoints.first().map(ToString::to_string).unwrap_or_default()))
            }
        })
    }

    /// As of when the mirror has everything that is on any of the nodes.
    fn complete_as_of(&self) -> Option<Instant> {
        if self.trouble().is_some() {
            return None;
        }
        self.plan().keys().map(|id| self.nodes.get(id)?.as_of).min().flatten()
    }

    /// Everybody who has to be followed, if all of them are.
    pub(super) fn all_followed(&self) -> Option<BTreeSet<Id>> {
        self.trouble().is_none().then(|| self.plan().into_keys().collect())
    }
}

#[cfg(test)]
mod tests;
