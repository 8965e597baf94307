//! Clients. [`Client`] says where and how to connect; what comes of it is a [`Connection`] (HTTP/1.1, with as much or as
//! little help as a test wants), an [`Http2`], [`Frames`] for broken HTTP/2, a [`WebSocket`], or a [`Load`].

mod call;
mod connection;
mod failure;
mod frames;
mod hpack;
mod http2;
mod load;
mod response;
mod websocket;

pub use call::{Call, Request};
pub use connection::{Connection, End};
pub use failure::Failure;
pub use frames::{Frame, Frames, Outcome, encode, flag, kind};
pub use hpack::{block, literal};
pub use http2::{Http2, Http2Stream};
pub use load::{Load, Report};
pub use response::Response;
pub use websocket::WebSocket;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::deadline::within;
use super::tls::{ClientTls, Negotiated, Stream};

/// Where to connect, and as whom. Cheap to clone; connects only when it is asked to.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    source: Option<Ipv4Addr>,
    tls: Option<ClientTls>,
    server_name: String,
    host: String,
    headers: Vec<(String, String)>,
}

impl Client {
    /// Speaks HTTP in the clear. The `Host` is `localhost` until [`Client::host`] says otherwise.
    pub fn plain(address: SocketAddr) -> Self {
        let localhost = || "localhost".to_owned();
        Self {
            address,
            source: None,
            tls: None,
            server_name: localhost(),
            host: localhost(),
            headers: Vec::new(),
        }
    }

    /// Speaks HTTP over TLS.
    pub fn tls(address: SocketAddr, tls: ClientTls) -> Self {
        Self::plain(address).with_tls(tls)
    }

    /// Asks for this host, in `Host` and `:authority` and as the server name of TLS.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        host.split(':').next().unwrap_or(host).clone_into(&mut self.server_name);
        self
    }

    /// Asks for this server name in TLS, whatever the host.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.server_name);
        self
    }

    /// Comes from this address. All of 127.0.0.0/8 is this machine, so `127.0.0.2` is another client.
    #[must_use]
    pub fn source(mut self, address: Ipv4Addr) -> Self {
        self.source = Some(address);
        self
    }

    /// Speaks TLS by this recipe.
    #[must_use]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sends this field with every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks for `path` again and again until it is answered with this status.
    #[track_caller]
    pub fn wait_for(&self, path: &str, status: u16) -> impl Future<Output = ()> {
        within(format!("{status} for {path}"), async move {
            while !self.get(path).outcome().await.is_ok_and(|answer| answer.status == status) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    }

    /// Where it connects.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A `GET` over a connection of its own: `client.get("/").header("X-API-Key", key).await`.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    /// A `POST` over a connection of its own.
    pub fn post(&self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    /// Any method over a connection of its own.
    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call::fresh(self, Request::new(method, path))
    }

    /// Opens a connection for HTTP/1.1.
    ///
    /// # Panics
    /// When that fails; see [`Client::try_connect`].
    pub async fn connect(&self) -> Connection {
        self.try_connect().await.unwrap_or_else(|failure| panic!("{}: {failure}", self.address))
    }

    /// Opens a connection for HTTP/1.1, or says why not. With TLS 1.3 a server refuses a client's certificate after the
    /// handshake, so that shows on the first read only.
    pub async fn try_connect(&self) -> Result<Connection, Failure> {
        let (stream, tls) = self.stream(&["http/1.1"]).await?;
        Ok(Connection::new(stream, tls, self.clone()))
    }

    /// Opens a connection that agreed on this protocol by ALPN, and sends nothing on it.
    pub async fn connect_for(&self, protocol: &str) -> Connection {
        let (stream, tls) = self.stream(&[protocol]).await.unwrap_or_else(|failure| panic!("{failure}"));
        Connection::new(stream, tls, self.clone())
    }

    /// Opens a connection for HTTP/2: by ALPN over TLS, by prior knowledge in the clear.
    pub async fn http2(&self) -> Http2 {
        self.try_http2().await.unwrap_or_else(|failure| panic!("{}: {failure}", self.address))
    }

    /// Opens a connection for HTTP/2, or says why not.
    pub async fn try_http2(&self) -> Result<Http2, Failure> {
        let (stream, tls) = self.stream(&["h2"]).await?;
        Http2::open(stream, tls, self.clone()).await
    }

    /// Opens a connection that has agreed on HTTP/2 and on which nothing has been said.
    pub async fn connect_for_http2(&self) -> Connection {
        let (stream, tls) = self.stream(&["h2"]).await.unwrap_or_else(|failure| panic!("{failure}"));
        Connection::new(stream, tls, self.clone())
    }

    /// Opens a connection for HTTP/2 frames written by hand. The preface and the settings have been sent.
    pub async fn frames(&self) -> Frames {
        Frames::open(self.connect_for_http2().await).await
    }

    /// Opens a WebSocket, or hands back the answer that was not a 101.
    pub async fn websocket(&self, path: &str, headers: &[(&str, &str)]) -> Result<WebSocket, Response> {
        WebSocket::open(self.connect().await, path, headers).await
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = self.source {
            socket.bind((source, 0).into())?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Connects, offering these protocols by ALPN.
    async fn stream(&self, protocols: &[&str]) -> Result<(Stream, Option<Negotiated>), Failure> {
        within(format!("a connection to {}", self.address), async {
            let stream = self.tcp().await.map_err(|error| Failure::refused(&error))?;
            let Some(tls) = &self.tls else { return Ok((Stream::Plain(stream), None)) };
            let name = ServerName::try_from(self.server_name.clone()).unwrap();
            let connector = TlsConnector::from(tls.config(protocols));
            let stream = connector
                .connect(name, stream)
                .await
                .map_err(|error| Failure::Handshake(error.to_string()))?;
            let negotiated = Negotiated::of(stream.get_ref().1);
            Ok((Stream::Tls(Box::new(stream.into())), Some(negotiated)))
        })
        .await
    }
}
