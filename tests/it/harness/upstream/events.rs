//! Server-sent events, one at a time, when the test says so: whether an event arrives before the next one is sent is
//! what tells a gateway that streams from one that buffers.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast;

use super::respond::After;
use crate::harness::deadline::eventually;
use crate::harness::tls::Stream;

/// The test's end of an event stream. Everyone who is subscribed gets every event.
#[derive(Clone)]
pub struct Events(Arc<broadcast::Sender<Option<String>>>);

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(broadcast::Sender::new(1024)))
    }
}

impl Events {
    /// Sends an event with this text, which is one line.
    pub fn send(&self, text: &str) {
        let _ = self.0.send(Some(text.to_owned()));
    }

    /// Ends every stream properly.
    pub fn end(&self) {
        let _ = self.0.send(None);
    }

    /// How many are subscribed now.
    pub fn subscribers(&self) -> usize {
        self.0.receiver_count()
    }

    /// Waits until exactly so many are subscribed: one before the first event, none after the client has gone.
    pub async fn wait_for_subscribers(&self, count: usize) {
        eventually(format!("{count} subscribers"), || (self.subscribers() == count).then_some(())).await;
    }

    pub(super) async fn serve(&self, stream: &mut Stream) -> io::Result<After> {
        let mut events = self.0.subscribe();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
            Transfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        let mut byte = [0];
        loop {
            let event = tokio::select! {
                event = events.recv() => event.ok().flatten(),
                // A client that goes away is noticed at once, not at the next event.
                _ = stream.read(&mut byte) => return Ok(After::Close),
            };
            let Some(event) = event else {
                stream.write_all(b"0\r\n\r\n").await?;
                return Ok(After::Continue);
            };
            let text = format!("data: {event}\n\n");
            stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await?;
            stream.flush().await?;
        }
    }
}
