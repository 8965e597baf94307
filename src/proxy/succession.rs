//! Replacing the process by a new one, of another version perhaps, without a moment in which nobody serves.
//!
//! On SIGUSR2 the process starts its binary once more and hands it the sockets that it listens on. Both hold them from
//! then on, and only the old one accepts. The new one reads the policy, the keys of issuers and the revocation list, and
//! says when it is ready to decide. Then the old one stops taking revocations, hands over those that it has in memory,
//! and lets go when the new one says that it has them: it closes the channel, drains and ends. Whatever goes wrong before
//! that, the old one goes on as if nothing had been asked of it.
//!
//! The new one accepts when the channel is closed, and not before: it is closed either by a process that has let go, or by
//! the end of one, and a new process that is not to serve has been killed by then. So there is always one of them that
//! serves, and never two that take revocations.
//!
//! They talk through a pair of sockets, of which one is the new process's standard input:
//!
//! ```text
//! old → new    {"version":1,"listeners":["0.0.0.0:8443"],"admin":"127.0.0.1:9180"}    with the sockets themselves
//! new → old    ready
//! old → new    [{"key":"…","time":null,"seconds":3600,"reason":"…"}]
//! new → old    serving
//! old → new    the end of the channel
//! ```

mod message;
mod predecessor;
mod successor;

use tokio::sync::watch;

pub(super) use message::Estate;
pub(super) use predecessor::hand_over;
pub(super) use successor::{Successor, pass_on};

/// Names the process that is to be replaced, in the environment of the one that replaces it.
const PREDECESSOR: &str = "PORTCULLIS_PREDECESSOR";

/// What a new process says when it could serve.
const READY: &str = "ready";

/// What it says when it has everything, and serves once the other has let go.
const SERVING: &str = "serving";

/// What has gone wrong between the two processes.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionError {
    /// The other process has said something that is not understood.
    #[error("the other process does not keep to the protocol: {0}")]
    Protocol(&'static str),
    /// The other process has ended, or cannot be talked to.
    #[error("the other process cannot be talked to: {0}")]
    Gone(#[from] std::io::Error),
    /// It takes too long.
    #[error("it was not ready within {0} seconds")]
    Slow(u64),
    /// The process was not started by the one that it is told to replace.
    #[error("`{PREDECESSOR}` is set, and this process was not started by that one to replace it")]
    NotAsked,
    /// The process is the first of a container, which ends with it.
    #[error("the first process of a container cannot be replaced: replace the container")]
    First,
    /// The new process keeps its list elsewhere.
    #[error(
        "what is revoked in the memory of the old process would be lost: the new one has its list in Redis; \
         revoke it there, lift it here, and try again"
    )]
    Inheritance,
    /// Nobody would know that the new process is the service.
    #[error(
        "whoever started this process may take its end for that of the service: let systemd start it (`Type=notify`), or \
         say that it does not matter, with `portcullis run --replaceable`"
    )]
    Unfollowed,
    /// It is ending, and says why in its own log.
    #[error("it has ended ({0}); why, it has logged")]
    Ended(std::process::ExitStatus),
}

/// Who accepts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Not this process, yet.
    NotYet,
    /// This process.
    Ours,
    /// The one that has replaced it.
    Theirs,
}

/// Tells the parts of the process whose turn it is.
#[derive(Debug)]
pub(super) struct Gate(watch::Sender<Turn>);

impl Gate {
    /// A closed gate.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Turn::NotYet))
    }

    /// From now on it is the turn of `turn`.
    pub(super) fn turn(&self, turn: Turn) {
        self.0.send_replace(turn);
    }

    /// Waits until it is this process's turn, or has been.
    pub(super) async fn opened(&self) {
        // The sender lives as long as this does, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|turn| *turn != Turn::NotYet).await;
    }

    /// Whether it is the turn of another process.
    pub(super) fn is_handed_over(&self) -> bool {
        *self.0.borrow() == Turn::Theirs
    }

    /// Waits until it is the turn of another process.
    pub(super) async fn handed_over(&self) {
        let _ = self.0.subscribe().wait_for(|turn| *turn == Turn::Theirs).await;
    }
}
