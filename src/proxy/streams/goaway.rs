//! Ends an HTTP/2 connection without losing a request (RFC 9113 §6.8).
//!
//! The client gets `GOAWAY` twice: first with the highest stream identifier, which asks it to open no more streams, and at
//! least a round trip later with the last stream that was served. The h2 library can do the first part too, but adds a
//! `PING`, and Python's h2 treats every frame after a `GOAWAY` as an error of the connection (python-hyper/h2#1181). So the
//! first `GOAWAY` is written here, between two frames of the library, and the second is the library's.
//!
//! Then the gateway closes its side and reads until the client has closed, too. A socket that is closed while data is
//! unread resets the connection, and the client may lose the last response by that.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::super::downstream::Downstream;

/// `GOAWAY` with the highest stream identifier and no error: 8 bytes on stream 0.
const NOTICE: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// How long a client may take to close its side after the last `GOAWAY`.
const LINGER: Duration = Duration::from_secs(1);

/// How much of what the client sends in that time is read and discarded.
const MOST_DISCARDED: usize = 1 << 20;

/// Makes a connection announce its shutdown.
#[derive(Clone, Default)]
pub(super) struct Announcement(Arc<AtomicBool>);

impl Announcement {
    /// Sends the first `GOAWAY` when the connection is flushed next.
    pub(super) fn send(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client's connection under the HTTP/2 library.
pub(super) struct Http2Transport {
    client: Downstream,
    announcement: Announcement,
    /// How many bytes of [`NOTICE`] were written.
    written: usize,
    linger: Option<Linger>,
}

struct Linger {
    until: Pin<Box<Sleep>>,
    discarded: usize,
}

impl Http2Transport {
    pub(super) fn new(client: Downstream) -> (Self, Announcement) {
        let announcement = Announcement::default();
        (Self { client, announcement: announcement.clone(), written: 0, linger: None }, announcement)
    }

    fn poll_notice(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = NOTICE.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.client).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads until the client has closed its side, within bounds.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let begin = || Linger { until: Box::pin(sleep(LINGER)), discarded: 0 };
        let linger = self.linger.get_or_insert_with(begin);
        let mut space = [0; 4 << 10];
        while linger.discarded < MOST_DISCARDED && linger.until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut self.client).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            linger.discarded += buffer.filled().len();
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Http2Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().client).poll_read(context, buffer)
    }
}

impl AsyncWrite for Http2Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.written > 0 {
            // A frame that has begun comes first.
            ready!(this.poll_notice(context))?;
        }
        Pin::new(&mut this.client).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The library flushes when everything that it had was written, so this is the end of a frame.
        if this.announcement.0.load(Ordering::Relaxed) {
            ready!(this.poll_notice(context))?;
        }
        Pin::new(&mut this.client).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.client).poll_shutdown(context))?;
        }
        this.poll_linger(context).map(Ok)
    }
}

#[async_trait]
impl Shutdown for Http2Transport {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl fmt::Debug for Http2Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Http2Transport").finish_non_exhaustive()
    }
}

impl UniqueID for Http2Transport {
    fn id(&self) -> UniqueIDType {
        self.client.id()
    }
}

impl GetProxyDigest for Http2Transport {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.client.get_proxy_digest()
    }
}

impl GetSocketDigest for Http2Transport {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.client.get_socket_digest()
    }
}

impl GetTimingDigest for Http2Transport {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.client.get_timing_digest()
    }
}

impl Ssl for Http2Transport {}

impl Peek for Http2Transport {}
