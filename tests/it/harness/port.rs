//! Ports that stay ours. A socket that is bound and not listening keeps a port from being given to anyone else while
//! connections to it are refused, so "down, and later up again on the same port" needs no luck.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use super::background::servers;

/// A port on 127.0.0.1 that refuses connections until someone listens on it.
pub struct ReservedPort {
    /// Never listens; its being bound is what reserves the port.
    _guard: TcpSocket,
    address: SocketAddr,
}

impl ReservedPort {
    /// Reserves a free port.
    pub fn take() -> Self {
        let guard = TcpSocket::new_v4().unwrap();
        guard.set_reuseaddr(true).unwrap();
        guard.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = guard.local_addr().unwrap();
        Self { _guard: guard, address }
    }

    /// The address, such as `127.0.0.1:40123`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port alone.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Listens on the port, on the runtime of the servers. The port refuses connections again when the listener is
    /// dropped.
    pub fn listen(&self) -> TcpListener {
        let _entered = servers().enter();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        socket.listen(1024).unwrap()
    }
}
