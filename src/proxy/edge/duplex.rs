//! A connection with an upstream on which neither direction waits for the other.
//!
//! The library's session does one thing at a time: while it waits for an upstream to take a piece of a body, nobody reads
//! what the upstream says meanwhile. One that answers as it reads, and takes nothing more until somebody has taken its
//! answer, would wait for the gateway while the gateway waits for it. Here a write never waits: what the system does not take
//! at once is kept, and [sent](Duplex::send_rest) while the session reads. Nothing is read that the session did not ask for,
//! so that what is left unread on a connection is found there when it is given back.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// A handle of such a connection. The session has one, and whoever sends what is kept has another.
#[derive(Clone, Debug)]
pub(super) struct Duplex(Arc<Mutex<Connection>>);

#[derive(Debug)]
struct Connection {
    stream: Stream,
    /// Written and not yet taken by the system: at most what is written before [`Duplex::send_rest`].
    rest: BytesMut,
    /// TLS may keep something of what it was given.
    flushes: bool,
}

impl Duplex {
    pub(super) fn new(stream: Stream) -> Self {
        Self(Arc::new(Mutex::new(Connection { stream, rest: BytesMut::new(), flushes: false })))
    }

    /// Whether the system has everything that was written.
    pub(super) fn has_sent(&self) -> bool {
        let connection = self.lock();
        connection.rest.is_empty() && !connection.flushes
    }

    /// Sends what is kept. Nothing is lost when this is not waited for.
    ///
    /// # Errors
    /// When the upstream is gone, or took not all of it `within` this time.
    pub(super) async fn send_rest(&self, within: Option<Duration>) -> Result<()> {
        if self.has_sent() {
            return Ok(());
        }
        let sending = poll_fn(|context| self.lock().poll_send(context));
        let sent = match within {
            None => sending.await,
            Some(within) => timeout(within, sending)
                .await
                .map_err(|_| Error::explain(ErrorType::WriteTimedout, "sending a body").into_up())?,
        };
        sent.map_err(|error| Error::because(ErrorType::WriteError, "sending a body", error).into_up())
    }

    /// The connection as it was, if this is its last handle and nothing is kept.
    pub(super) fn into_inner(self) -> Option<Stream> {
        let connection = Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner);
        (connection.rest.is_empty() && !connection.flushes).then_some(connection.stream)
    }

    /// It is never locked while something is waited for.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Keeps `pieces` if there is something before them, or if `write` would have to wait.
    fn write(
        &mut self,
        pieces: &[IoSlice<'_>],
        write: impl FnOnce(Pin<&mut Stream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.flushes = true;
        if self.rest.is_empty()
            && let taken @ Poll::Ready(_) = write(Pin::new(&mut self.stream))
        {
            return taken;
        }
        for piece in pieces {
            self.rest.extend_from_slice(piece);
        }
        Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
    }

    /// Sends what is kept, and what TLS keeps.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.rest.advance(taken),
            }
        }
        // No memory for whoever only waits for an answer.
        self.rest = BytesMut::new();
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.flushes = false;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().write(&[IoSlice::new(bytes)], |stream| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().write(pieces, |stream| stream.poll_write_vectored(context, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.lock().poll_send(context) {
            Poll::Pending => Poll::Ready(Ok(())),
            sent @ Poll::Ready(_) => sent,
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for Duplex {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Duplex {
    fn id(&self) -> UniqueIDType {
        self.lock().stream.id()
    }
}

impl Ssl for Duplex {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.lock().stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.lock().stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Duplex {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.lock().stream.get_timing_digest()
    }
}

impl GetProxyDigest for Duplex {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.lock().stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Duplex {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.lock().stream.get_socket_digest()
    }
}

impl Peek for Duplex {}

#[cfg(test)]
mod tests {
    use pingora::ErrorSource;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// How much the other side takes without reading.
    const ROOM: usize = 8;

    #[tokio::test]
    async fn what_is_not_taken_at_once_is_kept_in_order() {
        let (ours, mut theirs) = duplex(ROOM);
        let mut one = Duplex::new(Box::new(ours));
        one.write_all(b"first, ").await.unwrap();
        one.write_all(b"second, ").await.unwrap();
        one.write_all(b"third").await.unwrap();
        one.flush().await.unwrap();
        assert!(!one.has_sent());
        // It is read all the same.
        theirs.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        one.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        let mut all = [0; 20];
        let (sent, read) = tokio::join!(one.send_rest(None), theirs.read_exact(&mut all));
        sent.unwrap();
        read.unwrap();
        assert_eq!(&all, b"first, second, third");
        assert!(one.has_sent());
        assert!(one.into_inner().is_some());
    }

    #[tokio::test]
    async fn a_connection_with_something_unsent_or_with_another_handle_is_not_given_back() {
        let (ours, _theirs) = duplex(ROOM);
        let mut one = Duplex::new(Box::new(ours));
        assert!(one.clone().into_inner().is_none());
        one.write_all(b"more than there is room for").await.unwrap();
        assert!(one.into_inner().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_takes_nothing_is_given_up() {
        let (ours, theirs) = duplex(ROOM);
        let mut one = Duplex::new(Box::new(ours));
        one.write_all(b"more than there is room for").await.unwrap();
        let error = one.send_rest(Some(Duration::from_secs(5))).await.unwrap_err();
        assert_eq!((error.etype(), error.esource()), (&ErrorType::WriteTimedout, &ErrorSource::Upstream));
        drop(theirs);
        let error = one.send_rest(Some(Duration::from_secs(5))).await.unwrap_err();
        assert_eq!((error.etype(), error.esource()), (&ErrorType::WriteError, &ErrorSource::Upstream));
    }
}
