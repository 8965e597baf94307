//! The audit log: one JSON line for each refusal, and for each change of what refusals are decided by.
//!
//! It says who was turned away, when the policy, the keys of an issuer or the revocation list changed, and on whose word. It
//! never says a credential. Like the access log it is written by a thread of its own and loses lines rather than time: a
//! gateway that waited for its audit log could be stopped by whoever makes it refuse a lot.

use std::net::IpAddr;

use serde::Serialize;

use super::access_log::Entry;
use super::journal::Journal;
use crate::clock::{Clock, rfc3339_millis};

/// The audit log.
#[derive(Clone)]
pub struct Audit {
    /// Nothing where nothing is ever recorded.
    journal: Option<Journal>,
    clock: Clock,
}

/// Something that is recorded, apart from requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// Somebody who may not has asked for revocations or the status page, for a change of them, or to sign in. Of many
    /// such attempts not each is recorded.
    AdminRefused {
        /// Who it was.
        by: Administrator,
        /// The method and the path.
        asked: &'a str,
        /// The status of the answer.
        status: u16,
        /// What the answer says.
        reason: &'a str,
        /// How many of the same network were refused since the last one that was recorded.
        #[serde(skip_serializing_if = "is_nothing")]
        left_out: u64,
    },
    /// Other keys of an issuer are in use than before.
    KeysChanged {
        /// The name of the method in `auth`.
        auth: &'a str,
        /// Where they come from.
        origin: &'a str,
        /// How many they are.
        keys: usize,
    },
    /// A policy is in force.
    PolicyLoaded {
        /// What it was made from.
        policy: &'a str,
        /// Who asked for it.
        by: Prompt,
    },
    /// A policy was refused, and the one before goes on.
    PolicyRefused {
        /// What it would have been made from.
        policy: &'a str,
        /// Who asked for it.
        by: Prompt,
        /// What is wrong with it.
        problems: &'a [String],
    },
    /// The revocation list in Redis is not followed any more.
    RedisLost {
        /// Which server, group or cluster.
        server: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// The revocation list in Redis is followed again, or for the first time.
    RedisRegained {
        /// Which server, group or cluster.
        server: &'a str,
        /// How many entries it has.
        entries: usize,
    },
    /// The admin API has revoked something.
    RevocationAdded {
        /// Who asked for it.
        by: Administrator,
        /// What is revoked.
        revoked: &'a str,
        /// When it ends (RFC 3339); nothing when it is to be lifted.
        until: Option<&'a str>,
        /// Why, in their words.
        reason: &'a str,
    },
    /// The admin API was to revoke or lift something, and the list has not said that it did. It may have.
    RevocationFailed {
        /// Who asked for it.
        by: Administrator,
        /// What was to be revoked, or no longer.
        revoked: &'a str,
        /// What went wrong.
        reason: &'a str,
    },
    /// The admin API has lifted a revocation.
    RevocationLifted {
        /// Who asked for it.
        by: Administrator,
        /// What is no longer revoked.
        revoked: &'a str,
    },
    /// Somebody has signed in to the status page.
    SignedIn {
        /// Who it was.
        by: Administrator,
    },
    /// Somebody has signed out of the status page.
    SignedOut {
        /// Who it was.
        by: Administrator,
    },
    /// The process serves requests.
    Started {
        /// Its version.
        version: &'a str,
        /// Its number.
        pid: u32,
    },
    /// The process ends once what is under way is done.
    Stopping {
        /// How many connections are open.
        connections: usize,
    },
    /// The process serves no more requests.
    Stopped,
}

/// Who made a policy be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// A file of it has changed.
    File,
    /// It had been refused, and was tried again.
    Retry,
    /// SIGHUP.
    Signal,
    /// The start of the process.
    Start,
}

/// Who uses the admin API, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Administrator {
    /// What they have shown.
    pub principal: Principal,
    /// Where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
}

/// What somebody has shown to use the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// The cookie of a session on the status page, which was opened with the admin token.
    AdminSession,
    /// The admin token.
    AdminToken,
    /// Nothing, because no token is asked for on a loopback address.
    Loopback,
    /// Nothing that counts.
    Nobody,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "this is how it is called")]
fn is_nothing(count: &u64) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl Audit {
    /// An audit log that is written to `journal`.
    pub fn new(journal: Journal, clock: Clock) -> Self {
        Self { journal: Some(journal), clock }
    }

    /// One that keeps nothing, for processes that serve no requests.
    pub fn silent() -> Self {
        Self { journal: None, clock: Clock::system() }
    }

    /// Records an event.
    pub fn record(&self, event: &Event<'_>) {
        self.append(|out| {
            let line = Line { time: &rfc3339_millis(self.clock.unix_millis()), event };
            // Texts and numbers can always be written to a vector.
            let _ = serde_json::to_writer(&mut *out, &line);
            out.push(b'\n');
        });
    }

    /// Records a request that was refused, or would have been if its route enforced it.
    pub fn refused(&self, entry: &Entry<'_>) {
        self.append(|out| entry.append_to(Some("request_refused"), out));
    }

    fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(journal) = &self.journal {
            journal.append(write);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use prometheus::IntCounter;
    use serde_json::{Value, json};

    use super::super::journal::Destination;
    use super::*;

    #[test]
    fn a_line_says_when_and_what() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let journal = Journal::new("audit log", IntCounter::new("dropped", "dropped").unwrap());
        let audit = Audit::new(journal.clone(), Clock::manual(0));
        audit.record(&Event::Stopped);
        journal.turn_to(Destination::File(path.clone()).open().unwrap());
        let by = Administrator { principal: Principal::Loopback, source: Some([127, 0, 0, 1].into()) };
        audit.record(&Event::RevocationLifted { by, revoked: "sub:a\n\"b" });
        audit.record(&Event::Stopped);
        audit.refused(&Entry { status: 401, ..Entry::default() });
        journal.close();
        journal.write_out();
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines[..2],
            [
                json!({
                    "time": "1970-01-01T00:00:00.000Z",
                    "event": "revocation_lifted",
                    "by": { "principal": "loopback", "source": "127.0.0.1" },
                    "revoked": "sub:a\n\"b",
                }),
                json!({ "time": "1970-01-01T00:00:00.000Z", "event": "stopped" }),
            ]
        );
        assert_eq!((&lines[2]["event"], &lines[2]["status"]), (&json!("request_refused"), &json!(401)));
    }
}
