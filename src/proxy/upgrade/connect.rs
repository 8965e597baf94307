//! Connections with upstreams for requests that ask for another protocol.
//!
//! The proxy library passes the (empty) body of such a request on and reads the answer at the same time, and in no order:
//! when the answer is there first, it takes the end of that body for the end of what the client has to say in the new
//! protocol, and ends the connection. On these connections, what was written is followed by everything else that is ready
//! before anything is read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Connects over TCP, and gives up after `within`.
#[derive(Debug)]
pub(in crate::proxy) struct UpgradeConnector {
    within: Duration,
}

impl UpgradeConnector {
    pub(in crate::proxy) fn new(within: Duration) -> Arc<Self> {
        Arc::new(Self { within })
    }
}

#[async_trait]
impl L4Connect for UpgradeConnector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let SocketAddr::Inet(address) = address else {
            return Err(Error::new_up(ErrorType::ConnectNoRoute));
        };
        let Ok(connected) = timeout(self.within, TcpStream::connect(address)).await else {
            return Err(Error::new_up(ErrorType::ConnectTimedout));
        };
        let stream = connected.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                _ => ErrorType::ConnectError,
            };
            Error::because(kind, "connecting for an upgrade", error).into_up()
        })?;
        let socket = UpgradeSocket { stream, written: false };
        Ok(Stream::from(VirtualSocketStream::new(Box::new(socket))))
    }
}

#[derive(Debug)]
struct UpgradeSocket {
    stream: TcpStream,
    /// Something was written, and nobody has tried to read since.
    written: bool,
}

impl VirtualSocket for UpgradeSocket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for UpgradeSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.written {
            self.written = false;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for UpgradeSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written = true;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
