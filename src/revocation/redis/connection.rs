//! Opens a connection to Redis: TCP, TLS, log-in. Nothing is spawned; whoever opens a connection also drives it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, Pipeline, ProtocolVersion, PushInfo,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value,
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::server::{Server, Tls};

/// A connection that is logged in. Commands are answered while its [`Driver`] is polled.
pub(super) struct Connection(MultiplexedConnection);

/// Moves bytes for a [`Connection`], and ends with it.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What takes announcements; it must not block.
pub(super) type PushSink = Arc<dyn Fn(PushInfo) + Send + Sync>;

impl Server {
    /// Connects and logs in.
    pub(super) async fn connect(&self, pushes: Option<PushSink>) -> Result<(Connection, Driver), Loss> {
        tokio::time::timeout(self.connect_timeout, self.connect_unhurried(pushes))
            .await
            .unwrap_or(Err(Loss::ConnectTimeout))
    }

    async fn connect_unhurried(&self, pushes: Option<PushSink>) -> Result<(Connection, Driver), Loss> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(Loss::Connect)?;
        tcp.set_nodelay(true).map_err(Loss::Connect)?;
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some(Tls { config, name }) => {
                let connector = TlsConnector::from(config.clone());
                Stream::Tls(Box::new(connector.connect(name.clone(), tcp).await.map_err(Loss::Tls)?))
            }
        };
        let mut login = RedisConnectionInfo::default()
            .set_db(self.database)
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name();
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = self.password.as_ref().and_then(|password| password.expose_text()) {
            login = login.set_password(password);
        }
        let mut config = AsyncConnectionConfig::new().set_response_timeout(Some(self.response_timeout));
        if let Some(pushes) = pushes {
            config = config.set_push_sender(move |push: PushInfo| {
                pushes(push);
                Ok::<(), redis::aio::SendError>(())
            });
        }
        let (connection, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
        Ok((Connection(connection), Box::pin(driver)))
    }

    /// Connects, lets `work` use the connection and closes it.
    pub(super) async fn with_connection<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, Loss>,
    ) -> Result<T, Loss> {
        let (mut connection, driver) = self.connect(None).await?;
        tokio::select! {
            // What was answered counts, even when the connection closes in the same moment.
            biased;
            outcome = work(&mut connection) => outcome,
            () = driver => Err(Loss::Closed),
        }
    }
}

impl Connection {
    /// Sends a command and waits for its answer.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Loss> {
        Ok(command.query_async(&mut self.0).await?)
    }

    /// Sends the commands in one piece and waits for all answers, which may be errors one by one.
    pub(super) async fn ask_all(&mut self, commands: &mut Pipeline) -> Result<Vec<RedisResult<Value>>, Loss> {
        Ok(commands.ignore_errors().query_async(&mut self.0).await?)
    }

    /// Sends the commands as one transaction; any error is the error of all.
    pub(super) async fn transact<T: FromRedisValue>(&mut self, commands: &mut Pipeline) -> Result<T, Loss> {
        Ok(commands.atomic().query_async(&mut self.0).await?)
    }
}

/// Why Redis cannot be used.
#[derive(Debug, Error)]
pub enum Loss {
    /// The connection ended.
    #[error("the connection was closed")]
    Closed,
    /// A node of a cluster holds only a part of the list.
    #[error("this is a node of a Redis Cluster, which is not supported")]
    Cluster,
    /// The address does not answer.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The address does not answer in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// Redis answers what it should not.
    #[error("unexpected answer to {0}")]
    Nonsense(&'static str),
    /// A replica that has lost its primary does not hear of revocations.
    #[error("the replica has no link to its primary")]
    Orphaned,
    /// Redis refuses a command.
    #[error("{0}")]
    Refused(String),
    /// Redis does not answer in time.
    #[error("no answer in time")]
    ResponseTimeout,
    /// The certificate or the handshake is not acceptable.
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Transport(String),
    /// This Redis cannot be written to.
    #[error("this Redis is a read-only replica")]
    ReadOnly,
}

/// How much of what a server says is repeated in a log.
const LONGEST_QUOTE: usize = 200;

impl From<RedisError> for Loss {
    fn from(error: RedisError) -> Self {
        if error.is_timeout() {
            return Self::ResponseTimeout;
        }
        // The text comes from the other end, so it may be long and hold anything.
        let text: String =
            error.to_string().chars().filter(|letter| !letter.is_control()).take(LONGEST_QUOTE).collect();
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::ReadOnly,
            ErrorKind::Io => Self::Transport(text),
            _ => Self::Refused(text),
        }
    }
}

/// A connection with or without TLS.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
