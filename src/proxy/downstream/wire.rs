//! The bytes below TLS, read in larger pieces when many come.
//!
//! The TLS library asks for 4 KiB at a time, which is plenty for a request without a body. A large body would take five
//! system calls for each record of 16 KiB. So once a read has filled all that was asked for, the next ones read ahead; and
//! as soon as nothing more is there, the buffer is given back, because an idle connection must not keep one.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::io::poll_read_buf;

/// How much is read at once: two records of TLS.
const AHEAD: usize = 32 << 10;

/// What is asked for by somebody who reads a record piece by piece; a read of less says nothing about what follows.
const PIECE: usize = 4 << 10;

/// A connection on which TLS is spoken.
#[derive(Debug)]
pub(in crate::proxy) struct Wire<S> {
    stream: S,
    /// Read and not yet asked for.
    ahead: BytesMut,
    /// The last read found more than was asked for.
    many: bool,
}

impl<S> Wire<S> {
    pub(in crate::proxy) fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::new(), many: false }
    }
}

impl<S: AsRawFd> AsRawFd for Wire<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() && !this.many {
            let (room, before) = (buffer.remaining(), buffer.filled().len());
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            this.many = room >= PIECE && buffer.filled().len() - before == room;
            return Poll::Ready(Ok(()));
        }
        if this.ahead.is_empty() {
            this.ahead.reserve(AHEAD);
            let read = poll_read_buf(&mut this.stream, context, &mut this.ahead);
            this.many = matches!(read, Poll::Ready(Ok(count)) if count >= PIECE);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                this.ahead = BytesMut::new();
            }
            ready!(read)?;
        }
        let count = buffer.remaining().min(this.ahead.len());
        buffer.put_slice(&this.ahead[..count]);
        this.ahead.advance(count);
        if this.ahead.is_empty() && !this.many {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// However much comes at a time and however much is asked for, every byte comes in its order, and then the end.
    #[tokio::test]
    async fn nothing_is_lost_or_moved() {
        let sent: Vec<u8> = (0..500_000_u32).map(|at| (at % 251) as u8).collect();
        for (capacity, piece, room) in [
            (PIECE, 1_000, PIECE),
            (AHEAD, AHEAD, PIECE),
            (3 * AHEAD, 5 * AHEAD, PIECE),
            (3 * AHEAD, PIECE, 3 * PIECE),
            (1 << 20, 1 << 20, PIECE),
            (1 << 20, 1 << 20, 100),
            (1 << 20, 1 << 20, 2 * AHEAD),
        ] {
            let (mut client, server) = duplex(capacity);
            let bytes = sent.clone();
            let writer = tokio::spawn(async move {
                for piece in bytes.chunks(piece) {
                    client.write_all(piece).await.unwrap();
                }
            });
            let mut wire = Wire::new(server);
            let mut received = Vec::new();
            let mut buffer = vec![0; room];
            loop {
                let count = wire.read(&mut buffer).await.unwrap();
                if count == 0 {
                    break;
                }
                received.extend_from_slice(&buffer[..count]);
            }
            writer.await.unwrap();
            assert!(received == sent, "{capacity} {piece} {room}");
            assert_eq!(wire.ahead.capacity(), 0, "{capacity} {piece} {room}");
        }
    }

    /// A connection that waits has no buffer.
    #[tokio::test]
    async fn a_buffer_is_given_back_as_soon_as_nothing_comes() {
        let (mut client, server) = duplex(1 << 20);
        let mut wire = Wire::new(server);
        client.write_all(&vec![1; 3 * AHEAD]).await.unwrap();
        let mut buffer = vec![0; PIECE];
        for _ in 0..3 * AHEAD / PIECE {
            wire.read_exact(&mut buffer).await.unwrap();
        }
        assert!(wire.many);
        let waiting = once(wire.read(&mut buffer)).await;
        assert!(waiting.is_none());
        assert_eq!(wire.ahead.capacity(), 0);
        client.write_all(b"again").await.unwrap();
        assert_eq!(wire.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(wire.ahead.capacity(), 0);
    }

    /// What `future` is ready with at once.
    async fn once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            Poll::Ready(match future.as_mut().poll(context) {
                Poll::Ready(value) => Some(value),
                Poll::Pending => None,
            })
        })
        .await
    }
}
