//! Finds out which entries nobody has any more.
//!
//! In a cluster an entry that is gone from one node may be on another, where its slot went. So an entry whose absence
//! was not announced by the owner of its slot is taken out in a round only: every node is read from the beginning to the
//! end, and then proves that all it announced meanwhile was looked at. An entry that wandered in between was announced by
//! the node that it came to. What nobody had then was lifted; or lost, when one of the nodes may have lost entries.
//!
//! Rounds go on beside everything else: a view is not the older for one.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::membership::{Member, Membership, State};
use super::view::Id;
use crate::revocation::mirror::Absence;
use crate::revocation::redis::feed::each_part;

/// The shortest pause between two rounds. It is never shorter than the round before it.
const PAUSE: Duration = Duration::from_secs(1);

/// How far a round has come.
#[derive(Default)]
pub(super) struct Round {
    number: u64,
    /// Everybody who held entries when it began.
    nodes: BTreeSet<Id>,
    stage: Stage,
    /// That another one is needed, and what it means when an entry is found nowhere.
    wanted: Option<Absence>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// There is none, or it came to nothing.
    #[default]
    Idle,
    /// These nodes have not been read to the end.
    Reading(BTreeSet<Id>),
    /// These nodes have not yet proved that they were heard after the last one was read.
    Proving { since: Instant, missing: BTreeSet<Id> },
    /// What was not seen can go.
    Over,
}

impl Round {
    /// Another round is needed. Says whether that is news.
    pub(super) fn want(&mut self, absence: Absence) -> bool {
        let before = self.wanted;
        if before != Some(Absence::Unexplained) {
            self.wanted = Some(absence);
        }
        self.wanted != before
    }

    /// The round that is under way, if there is one, will not tell. Says whether there was one.
    pub(super) fn spoil(&mut self) -> bool {
        let was_under_way = std::mem::take(&mut self.stage) != Stage::Idle;
        if was_under_way {
            self.want(Absence::Lifted);
        }
        was_under_way
    }

    /// A node has been heard, with all that it had announced before `sent`, and now these `holders` are known, if all of
    /// them are followed. Says whether the round is decided by that.
    pub(super) fn proved(&mut self, id: &Id, sent: Instant, holders: Option<&BTreeSet<Id>>) -> bool {
        if self.stage != Stage::Idle && holders != Some(&self.nodes) {
            // Entries may have gone to somebody who was not read.
            return self.spoil();
        }
        let Stage::Proving { since, missing } = &mut self.stage else { return false };
        if sent >= *since {
            missing.remove(id);
        }
        let is_over = missing.is_empty();
        if is_over {
            self.stage = Stage::Over;
        }
        is_over
    }

    fn begin(&mut self, nodes: BTreeSet<Id>) {
        self.number += 1;
        self.nodes.clone_from(&nodes);
        self.stage = Stage::Reading(nodes);
    }

    fn read(&mut self, number: u64, id: &Id, now: Instant) {
        let Stage::Reading(missing) = &mut self.stage else { return };
        if self.number == number {
            missing.remove(id);
            if missing.is_empty() {
                self.stage = Stage::Proving { since: now, missing: self.nodes.clone() };
            }
        }
    }

    fn has_to_read(&self, id: &Id) -> Option<u64> {
        matches!(&self.stage, Stage::Reading(missing) if missing.contains(id)).then_some(self.number)
    }
}

impl Member<'_> {
    /// The round for which this node has to be read, if it has.
    pub(in crate::revocation::redis) fn reads(&self) -> Option<u64> {
        self.membership.state.borrow().round.has_to_read(self.id)
    }

    /// Waits until this node has to be read.
    pub(in crate::revocation::redis) async fn has_to_read(&self) {
        let has_to = |state: &State| state.round.has_to_read(self.id).is_some();
        let _ = self.membership.state.subscribe().wait_for(has_to).await;
    }

    /// This node has been read for the round.
    pub(in crate::revocation::redis) fn has_read(&self, number: u64) {
        self.membership.state.send_modify(|state| state.round.read(number, self.id, Instant::now()));
    }
}

impl Membership<'_> {
    /// Holds rounds when they are needed, for as long as it is polled.
    pub(super) async fn hold_rounds(&self) -> Infallible {
        let mut states = self.state.subscribe();
        loop {
            let ready = |state: &State| state.round.wanted.is_some() && state.all_followed().is_some();
            let _ = states.wait_for(|state| ready(state)).await;
            let begun = Instant::now();
            if let Some(absence) = self.take_wanted() {
                each_part(self.mirror, |part| self.mirror.begin_comparison(part, absence)).await;
                if self.begin_round(absence) {
                    let is_decided = |state: &State| matches!(state.round.stage, Stage::Idle | Stage::Over);
                    let _ = states.wait_for(is_decided).await;
                    if self.take_over() {
                        each_part(self.mirror, |part| self.mirror.end_comparison(part)).await;
                    }
                }
            }
            tokio::time::sleep(begun.elapsed().max(PAUSE)).await;
        }
    }

    fn take_wanted(&self) -> Option<Absence> {
        let mut wanted = None;
        self.state.send_if_modified(|state| {
            wanted = state.round.wanted.take();
            false
        });
        wanted
    }

    /// Begins to read, unless what was wanted is no longer enough.
    fn begin_round(&self, absence: Absence) -> bool {
        self.state.send_if_modified(|state| match (state.round.wanted, state.all_followed()) {
            // Entries may have been lost since they were marked.
            (Some(Absence::Unexplained), _) => false,
            (_, Some(nodes)) => {
                state.round.begin(nodes);
                true
            }
            (_, None) => {
                state.round.want(absence);
                false
            }
        })
    }

    fn take_over(&self) -> bool {
        self.state.send_if_modified(|state| {
            let is_over = state.round.stage == Stage::Over;
            state.round.stage = Stage::Idle;
            is_over
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> BTreeSet<Id> {
        text.chars().map(|id| id.to_string()).collect()
    }

    /// A round that has been read by everybody at `now`.
    fn proving(now: Instant) -> Round {
        let mut round = Round::default();
        round.begin(ids("ab"));
        assert_eq!((round.has_to_read(&"a".into()), round.has_to_read(&"c".into())), (Some(1), None));
        round.read(1, &"a".into(), now);
        round.read(7, &"b".into(), now);
        assert_eq!(round.stage, Stage::Reading(ids("b")), "what was read for another round does not count");
        round.read(1, &"b".into(), now);
        assert_eq!(round.stage, Stage::Proving { since: now, missing: ids("ab") });
        round
    }

    #[test]
    fn a_round_is_over_when_everybody_was_read_and_then_heard() {
        let now = Instant::now();
        let (before, after) = (now, now + Duration::from_secs(1));
        let (mut round, all) = (proving(after), ids("ab"));
        for (id, sent, is_over) in
            [("a", before, false), ("b", after, false), ("b", after, false), ("a", before, false)]
        {
            assert_eq!(round.proved(&id.into(), sent, Some(&all)), is_over, "{id}");
        }
        assert!(round.proved(&"a".into(), after, Some(&all)));
        assert_eq!((round.stage, round.wanted), (Stage::Over, None));
    }

    #[test]
    fn a_round_comes_to_nothing_when_somebody_else_may_hold_entries() {
        let now = Instant::now();
        for holders in [None, Some(ids("abc")), Some(ids("a"))] {
            let mut round = proving(now);
            round.proved(&"a".into(), now, Some(&ids("ab")));
            assert!(round.proved(&"b".into(), now, holders.as_ref()));
            assert_eq!((&round.stage, round.wanted), (&Stage::Idle, Some(Absence::Lifted)), "{holders:?}");
        }
    }

    #[test]
    fn what_may_have_been_lost_outweighs_what_was_lifted() {
        let mut round = Round::default();
        let steps = [
            (Absence::Lifted, true),
            (Absence::Lifted, false),
            (Absence::Unexplained, true),
            (Absence::Lifted, false),
        ];
        for (absence, is_news) in steps {
            assert_eq!(round.want(absence), is_news, "{absence:?}");
        }
        assert_eq!(round.wanted, Some(Absence::Unexplained));
    }
}
