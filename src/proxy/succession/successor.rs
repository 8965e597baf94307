//! The new process: takes the sockets, gets ready to decide, and begins to accept.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use log::{info, warn};
use rustix::process::{Signal, getppid, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::sleep;

use super::super::readiness::{self, Waiting};
use super::super::shared::Shared;
use super::{Estate, PREDECESSOR, READY, SERVING, SuccessionError, Turn};
use crate::revocation::store::Bequest;

/// What is known of the process that is to be replaced.
#[derive(Debug)]
pub(in crate::proxy) struct Successor {
    estate: Estate,
    channel: UnixStream,
}

/// How long the sockets may take, which are sent before this process begins.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// How often it is looked whether requests could be decided.
const LOOK: Duration = Duration::from_millis(10);

impl Successor {
    /// Takes over the sockets, if this process was started to replace another one.
    pub(in crate::proxy) fn find() -> Result<Option<Self>, SuccessionError> {
        let Some(predecessor) = std::env::var_os(PREDECESSOR) else { return Ok(None) };
        let parent = getppid().map(|parent| parent.as_raw_nonzero().to_string());
        if parent.is_none_or(|parent| *parent != *predecessor) {
            return Err(SuccessionError::NotAsked);
        }
        let channel = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        channel.set_read_timeout(Some(FIRST_WORD))?;
        let estate = Estate::receive(&channel)?;
        Ok(Some(Self { estate, channel }))
    }

    /// The socket that is listened on at an address of the file; nothing when the old process did not.
    pub(in crate::proxy) fn listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.estate.listeners.iter().position(|(named, _)| *named == address)?;
        Some(self.estate.listeners.remove(at).1)
    }

    /// The same for the admin listener.
    pub(in crate::proxy) fn admin(&self, address: SocketAddr) -> Option<TcpListener> {
        let (named, socket) = &self.estate.admin;
        if *named == address { socket.try_clone().ok() } else { None }
    }

    /// Waits until requests can be decided, takes over what the old process has in memory, and opens the gate.
    pub(in crate::proxy) async fn take_over(self, shared: &Shared) -> Result<(), SuccessionError> {
        self.channel.set_nonblocking(true)?;
        let mut channel = BufReader::new(tokio::net::UnixStream::from_std(self.channel)?);
        tokio::select! {
            () = ready(shared) => {}
            // Nothing is said to this process before it is ready, so this is the end of the old one.
            _ = channel.fill_buf() => return Err(gone()),
        }
        say(&mut channel, READY).await?;
        let mut line = Vec::new();
        if channel.read_until(b'\n', &mut line).await? == 0 {
            return Err(gone());
        }
        let bequests: Vec<Bequest> = serde_json::from_slice(&line)
            .map_err(|_| SuccessionError::Protocol("the revocations cannot be read"))?;
        if !shared.configuration.load().list.store().inherit(&bequests) {
            return Err(SuccessionError::Inheritance);
        }
        // From here on nothing of the old process is needed: if it is gone, this one serves all the same.
        if say(&mut channel, SERVING).await.is_ok() {
            let _ = channel.fill_buf().await;
        }
        shared.gate.turn(Turn::Ours);
        info!("this process serves now, with {} revocations of the old one", bequests.len());
        // Somebody may have renamed the files since this process has opened them, and told the old one.
        shared.journals.reopen(&shared.configuration.load());
        Ok(())
    }
}

/// Passes a signal on to the process that this one has replaced, for as long as that one drains: nobody else knows of it
/// any more. Its parent is that one, or the number would be another one.
pub(in crate::proxy) fn pass_on(signal: Signal) {
    let Some(predecessor) = std::env::var_os(PREDECESSOR) else { return };
    let parent = getppid().filter(|parent| *predecessor == *parent.as_raw_nonzero().to_string());
    if let Some(Err(error)) = parent.map(|parent| kill_process(parent, signal)) {
        warn!("the process that this one has replaced cannot be sent a signal: {error}");
    }
}

fn gone() -> SuccessionError {
    SuccessionError::Gone(std::io::ErrorKind::UnexpectedEof.into())
}

async fn ready(shared: &Shared) {
    let mut said: Option<Waiting> = None;
    while let Some(waiting) = readiness::missing_for_takeover(shared) {
        if said.as_ref() != Some(&waiting) {
            info!("this process does not serve yet: {waiting}");
            said = Some(waiting);
        }
        sleep(LOOK).await;
    }
}

async fn say(channel: &mut BufReader<tokio::net::UnixStream>, word: &str) -> Result<(), SuccessionError> {
    channel.write_all(format!("{word}\n").as_bytes()).await?;
    Ok(())
}
