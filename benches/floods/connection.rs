//! TLS connections to the gateway, each from an address of its own.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::{ClientConfig, ClientConnection};
use rustls_pemfile::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection that is encrypted.
pub(crate) type Tls = TlsStream<TcpStream>;

/// Connects from an address that none before had: the whole of `127.0.0.0/8` is this machine.
pub(crate) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    static SOURCES: AtomicU32 = AtomicU32::new(0);
    let number = SOURCES.fetch_add(1, Ordering::Relaxed) % (1 << 22);
    let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 64, 0, 0).to_bits() + number);
    let socket = TcpSocket::new_v4()?;
    // Whoever does not read has little room for what is not read.
    socket.set_recv_buffer_size(16 << 10)?;
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
    let stream = socket.connect(to).await?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Connects and shakes hands.
pub(crate) async fn connect_tls(to: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Tls> {
    TlsConnector::from(config.clone()).connect(name(), connect(to).await?).await
}

/// The first bytes of a handshake.
pub(crate) fn client_hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut connection = ClientConnection::new(config.clone(), name()).expect("a client");
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).and_then(|_| bytes.flush()).expect("a message");
    bytes
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}
