//! A policy that was refused: when it is tried again, and when it is said again that it is refused.
//!
//! Both take longer and longer, up to a bound: nobody is helped by a full log, and reading a large policy costs something
//! each time. A change of its files begins anew, because it is looked at beside all this.

use std::time::{Duration, Instant};

/// What is known of a refused policy.
pub(super) struct Refusal {
    /// What is wrong.
    what: String,
    tried: Instant,
    /// How long nothing is tried.
    pause: Duration,
    said: Instant,
    /// How long nothing is said.
    silence: Duration,
}

/// Whether people have to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// They have not heard of it.
    News,
    /// They may have forgotten.
    Reminder,
    /// They know.
    Silence,
}

/// How soon a policy that was refused is tried again. A file that could not be read, because no descriptor was free or the
/// disk was away, does not change when it can be.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

const FIRST_SILENCE: Duration = Duration::from_secs(60);
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

impl Refusal {
    /// Refused now, for this reason, after it may have been refused `before`. If a file has `changed`, the policy is tried
    /// again soon, but the same reason is not repeated: an editor changes a file several times when it saves it.
    pub(super) fn new(what: String, before: Option<Self>, changed: bool, now: Instant) -> (Self, Word) {
        let first = |what, pause| {
            let silence = FIRST_SILENCE;
            (Self { what, tried: now, pause, said: now, silence }, Word::News)
        };
        let Some(before) = before else { return first(what, FIRST_PAUSE) };
        let pause = if changed { FIRST_PAUSE } else { before.pause.saturating_mul(2).min(LONGEST_PAUSE) };
        if what != before.what {
            return first(what, pause);
        }
        let again = Self { tried: now, pause, ..before };
        if now.saturating_duration_since(again.said) < again.silence {
            return (again, Word::Silence);
        }
        let silence = again.silence.saturating_mul(2).min(LONGEST_SILENCE);
        (Self { said: now, silence, ..again }, Word::Reminder)
    }

    /// Whether it is time to try again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.tried) >= self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_policy_is_tried_and_said_less_and_less_often() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let (mut refusal, word) = Refusal::new("no disk".into(), None, false, began);
        assert_eq!(word, Word::News);
        let (mut tried, mut said) = (Vec::new(), Vec::new());
        let mut silent = 0;
        for second in 0..20_000 {
            if !refusal.is_due(at(second)) {
                continue;
            }
            tried.push(second);
            let (again, word) = Refusal::new("no disk".into(), Some(refusal), false, at(second));
            refusal = again;
            match word {
                Word::News => panic!("what is known is no news, at {second}"),
                Word::Reminder => said.push(second),
                Word::Silence => silent += 1,
            }
        }
        assert_eq!(tried[..7], [2, 6, 14, 30, 62, 122, 182]);
        assert!(tried[5..].windows(2).all(|pair| pair[1] - pair[0] == 60), "{tried:?}");
        // After a minute, two more, four more, up to one hour.
        assert_eq!(said[..6], [62, 182, 422, 902, 1862, 3782]);
        assert!(said[6..].windows(2).all(|pair| pair[1] - pair[0] == 3600), "{said:?}");
        assert_eq!(silent, tried.len() - said.len());
    }

    #[test]
    fn another_reason_is_news_and_no_haste() {
        let began = Instant::now();
        let (first, _) = Refusal::new("no disk".into(), None, false, began);
        let (second, word) = Refusal::new("no key".into(), Some(first), false, began + FIRST_PAUSE);
        assert_eq!(word, Word::News);
        assert!(!second.is_due(began + FIRST_PAUSE * 2) && second.is_due(began + FIRST_PAUSE * 3));
        let (third, word) = Refusal::new("no key".into(), Some(second), true, began + FIRST_PAUSE * 2);
        assert_eq!((word, third.pause), (Word::Silence, FIRST_PAUSE));
        let (fourth, word) = Refusal::new("no key".into(), None, false, began);
        assert_eq!((word, fourth.pause), (Word::News, FIRST_PAUSE));
    }
}
