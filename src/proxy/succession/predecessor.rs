//! The old process: starts the new one, and lets go when that one serves.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use log::info;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::super::shared::Shared;
use super::super::supervisor;
use super::{Estate, PREDECESSOR, READY, SERVING, SuccessionError, Turn};
use crate::revocation::store::Bequest;

/// How long a new process may take until it could serve. Its policy may name issuers whose keys have to be fetched.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may then take to begin.
const LAST_STEP: Duration = Duration::from_secs(10);

/// Starts the binary again, with the same arguments, and hands it everything. Returns its number when it serves: this
/// process no longer accepts anything then, and has only to drain. `replaceable` says that nobody takes its end for that
/// of the service.
pub(in crate::proxy) async fn hand_over(
    estate: &Estate,
    shared: &Shared,
    replaceable: bool,
) -> Result<u32, SuccessionError> {
    if std::process::id() == 1 {
        return Err(SuccessionError::First);
    }
    if !(replaceable || supervisor::follows()) {
        return Err(SuccessionError::Unfollowed);
    }
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    // A socket of a pair that was made a moment ago has room for it, so this does not block.
    estate.send(&ours)?;
    ours.set_nonblocking(true)?;
    // It is closed after the new process was told, released or killed, so it is declared before that.
    let mut channel = BufReader::new(UnixStream::from_std(ours)?);
    let mut child = Started(Some(start(theirs)?));
    let store = shared.configuration.load().list.store().clone();
    let result = tokio::select! {
        biased;
        result = talk(&mut channel, || store.hand_over()) => result,
        ended = child.ended() => Err(ended),
    };
    if result.is_ok() {
        shared.gate.turn(Turn::Theirs);
    } else {
        child.end().await;
        store.keep();
    }
    drop(channel);
    result.map(|()| child.release())
}

/// A process that was started. Unless it is released it ends with this, because one that was started in vain must not come
/// to serve later.
struct Started(Option<Child>);

impl Started {
    async fn ended(&mut self) -> SuccessionError {
        match &mut self.0 {
            Some(child) => child.wait().await.map_or_else(SuccessionError::from, SuccessionError::Ended),
            None => std::future::pending().await,
        }
    }

    async fn end(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill().await;
        }
    }

    /// Lets it live on, and returns its number.
    fn release(&mut self) -> u32 {
        self.0.take().and_then(|child| child.id()).unwrap_or_default()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.start_kill();
        }
    }
}

fn start(channel: std::os::unix::net::UnixStream) -> Result<Child, SuccessionError> {
    let mut arguments = std::env::args_os();
    let program = arguments.next().ok_or(SuccessionError::Protocol("this process has no name"))?;
    let child = Command::new(program)
        .args(arguments)
        .env(PREDECESSOR, std::process::id().to_string())
        .stdin(Stdio::from(OwnedFd::from(channel)))
        .spawn()?;
    info!("the process {} is started to replace this one", child.id().unwrap_or_default());
    Ok(child)
}

async fn talk(
    channel: &mut BufReader<UnixStream>,
    bequeath: impl FnOnce() -> Vec<Bequest>,
) -> Result<(), SuccessionError> {
    expect(channel, READY, PATIENCE).await?;
    let mut line = serde_json::to_vec(&bequeath()).map_err(std::io::Error::from)?;
    line.push(b'\n');
    timeout(LAST_STEP, channel.write_all(&line))
        .await
        .map_err(|_| SuccessionError::Slow(LAST_STEP.as_secs()))??;
    expect(channel, SERVING, LAST_STEP).await
}

async fn expect(
    channel: &mut BufReader<UnixStream>,
    word: &str,
    within: Duration,
) -> Result<(), SuccessionError> {
    let mut line = String::new();
    let read = timeout(within, channel.read_line(&mut line)).await;
    match read.map_err(|_| SuccessionError::Slow(within.as_secs()))?? {
        0 => {
            // It is ending; how, is known in a moment, and says more.
            tokio::time::sleep(LAST_STEP).await;
            Err(SuccessionError::Gone(std::io::ErrorKind::UnexpectedEof.into()))
        }
        _ if line.trim_end() == word => Ok(()),
        _ => Err(SuccessionError::Protocol("it says something else than was expected")),
    }
}
