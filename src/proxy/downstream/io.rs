//! Reading and writing for the HTTP library, and the small interfaces that it asks of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Buf;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::sleep;

use super::super::upgrade::Progress;
use super::{Downstream, MalformedBody, Mode, Stall, Transport};
use crate::request::chunks::ChunkReader;

/// The most that is kept for the next request while one is being answered.
const MOST_AHEAD: usize = 64 << 10;

/// What is written is collected up to the size of a TLS record.
const RECORD: usize = 16 << 10;

/// How long a closing connection may take to send its last bytes.
pub(super) const CLOSING: Duration = Duration::from_secs(5);

/// What comes of using a connection that was given back.
fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Gone => gone(),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Gone => gone(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Gone => gone(),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Gone => gone(),
        }
    }
}

impl Downstream {
    /// Hands over at most `most` bytes, from what was received before or from the connection.
    fn hand_over(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        let room = buffer.remaining().min(usize::try_from(most).unwrap_or(usize::MAX));
        if !self.inbound.is_empty() {
            let count = room.min(self.inbound.len());
            buffer.put_slice(&self.inbound[..count]);
            self.inbound.advance(count);
            return Poll::Ready(Ok(count));
        }
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if room == buffer.remaining() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.transport).poll_read(context, buffer))?;
            return Poll::Ready(Ok(buffer.filled().len() - before));
        }
        // The end of the body is nearer than the end of the buffer: read into the part of it that may be filled.
        let mut limited = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.transport).poll_read(context, &mut limited))?;
        let count = limited.filled().len();
        buffer.advance(count);
        Poll::Ready(Ok(count))
    }

    /// Hands over a chunked body up to its end. What arrived behind that is kept.
    fn hand_over_chunks(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        mut reader: ChunkReader,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.hand_over(context, buffer, u64::MAX))?;
        let arrived = &buffer.filled()[before..];
        match reader.read(arrived) {
            Ok(None) => self.mode = Mode::Chunked(reader),
            Ok(Some(end)) => {
                if end < arrived.len() {
                    let mut inbound = bytes::BytesMut::from(&arrived[end..]);
                    inbound.extend_from_slice(&self.inbound);
                    self.inbound = inbound;
                }
                buffer.set_filled(before + end);
                self.mode = Mode::Hold;
            }
            Err(malformed) => {
                buffer.set_filled(before);
                return Poll::Ready(Err(io::Error::other(MalformedBody(malformed))));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads ahead without handing anything over, to notice that the client is gone.
    fn hold(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended && self.inbound.len() < MOST_AHEAD {
            self.inbound.reserve(super::READ_SIZE);
            let read = ready!(poll_read_buf(&mut self.transport, context, &mut self.inbound))?;
            if read == 0 {
                self.ended = true;
            }
        }
        // A client that sent its next request and closed its side still gets both answers.
        if self.ended && self.inbound.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Sends what has been written, and says that nothing follows.
    pub(super) fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.flush_outbound(context))?;
        let closed = Pin::new(&mut self.transport).poll_shutdown(context);
        self.stall.judge(context, closed)
    }

    fn flush_outbound(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbound.is_empty() {
            let written = Pin::new(&mut self.transport).poll_write(context, &self.outbound);
            let written = ready!(self.stall.judge(context, written))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbound.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl Stall {
    /// What came of an attempt to send, which has failed if the client takes nothing for too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.until = None;
        } else if let Some(patience) = self.patience {
            let until = self.until.get_or_insert_with(|| Box::pin(sleep(patience)));
            ready!(until.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        sent
    }
}

/// Reads into the spare room of `buffer`.
pub(super) fn poll_read_buf(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    buffer: &mut bytes::BytesMut,
) -> Poll<io::Result<usize>> {
    let future = std::pin::pin!(tokio::io::AsyncReadExt::read_buf(stream, buffer));
    future.poll(context)
}

impl AsyncRead for Downstream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.mode {
                Mode::Hold => return this.hold(context),
                Mode::Lost => return gone(),
                Mode::Upgrade => match this.facts.upgrade.poll(context) {
                    Progress::Waiting => return this.hold(context),
                    Progress::Agreed => {
                        let count = ready!(this.hand_over(context, buffer, u64::MAX))?;
                        if count > 0 {
                            this.facts.upgrade.touch();
                        }
                        return Poll::Ready(Ok(()));
                    }
                    Progress::Ended => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                    Progress::Idle | Progress::Overdue => {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                },
                Mode::Head { rest: 0, then } => this.mode = then.into(),
                Mode::Head { rest, then } => {
                    let count = rest.min(buffer.remaining());
                    buffer.put_slice(&this.inbound[..count]);
                    this.inbound.advance(count);
                    this.mode = Mode::Head { rest: rest - count, then };
                    return Poll::Ready(Ok(()));
                }
                Mode::Length(0) => this.mode = Mode::Hold,
                Mode::Length(length) => {
                    let count = ready!(this.hand_over(context, buffer, length))?;
                    this.mode = Mode::Length(length - count as u64);
                    return Poll::Ready(Ok(()));
                }
                Mode::Chunked(reader) => return this.hand_over_chunks(context, buffer, reader),
                Mode::Open => return this.hand_over(context, buffer, u64::MAX).map_ok(|_| ()),
            }
        }
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if matches!(this.mode, Mode::Upgrade) {
            this.facts.upgrade.touch();
        }
        if this.outbound.len() + bytes.len() > RECORD {
            ready!(this.flush_outbound(context))?;
            if bytes.len() >= RECORD {
                let written = Pin::new(&mut this.transport).poll_write(context, bytes);
                return this.stall.judge(context, written);
            }
        }
        this.outbound.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.flush_outbound(context))?;
        let flushed = Pin::new(&mut this.transport).poll_flush(context);
        this.stall.judge(context, flushed)
    }

    /// The library is done with the connection. Over HTTP/1, [`Downstream::close`] ends it, or another request follows.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.mode == Mode::Open {
            return this.poll_close(context);
        }
        ready!(this.flush_outbound(context))?;
        this.give_back();
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Shutdown for Downstream {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Downstream {
    fn id(&self) -> UniqueIDType {
        use std::os::fd::AsRawFd;
        match &self.transport {
            Transport::Plain(stream) => stream.as_raw_fd(),
            Transport::Tls(stream) => stream.get_ref().0.as_raw_fd(),
            Transport::Gone => -1,
        }
    }
}

impl Ssl for Downstream {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match &self.transport {
            Transport::Gone | Transport::Plain(_) => None,
            Transport::Tls(stream) => match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Some(ALPN::H2),
                Some(_) | None => Some(ALPN::H1),
            },
        }
    }
}

impl GetTimingDigest for Downstream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Downstream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for Downstream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Peek for Downstream {}
