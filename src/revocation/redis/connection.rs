//! Opens a connection to Redis: TCP, TLS, log-in. Nothing is spawned; whoever opens a connection also drives it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, Pipeline, ProtocolVersion, PushInfo,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value,
};
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::cluster::{Asking, Elsewhere};
use super::endpoint::Endpoint;
use super::meter::Meter;
use super::right::missing_right;
use super::server::{Route, Server};

/// A connection that is logged in. Commands are answered while its [`Driver`] is polled.
pub(super) struct Connection(MultiplexedConnection);

/// Moves bytes for a [`Connection`], and ends with it.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What takes announcements; it must not block.
pub(super) type PushSink = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// A connection, what moves its bytes, and where it leads.
pub(super) struct Link {
    pub(super) endpoint: Endpoint,
    pub(super) connection: Connection,
    pub(super) driver: Driver,
}

impl Server {
    /// Finds the server, connects and logs in. In a cluster that is any node.
    pub(super) async fn connect(&self, pushes: Option<PushSink>) -> Result<Link, Loss> {
        match &self.route {
            Route::Cluster(cluster) => self.connect_to_any(cluster).await,
            Route::Direct(endpoint) => self.connect_to(endpoint, pushes).await,
            Route::Sentinel(sentinel) => {
                let endpoint = self.locate(sentinel).await?;
                self.connect_to(&endpoint, pushes).await.inspect_err(|_| Self::distrust(sentinel))
            }
        }
    }

    /// Connects to the server at `endpoint` and logs in.
    pub(super) async fn connect_to(
        &self,
        endpoint: &Endpoint,
        pushes: Option<PushSink>,
    ) -> Result<Link, Loss> {
        let login = self.login.to_redis().set_db(i64::from(self.database));
        let opened = tokio::time::timeout(self.connect_timeout, self.open(endpoint, login, pushes)).await;
        opened.unwrap_or(Err(Loss::ConnectTimeout))
    }

    /// Connects to `endpoint` and logs in, however long it takes.
    pub(super) async fn open(
        &self,
        endpoint: &Endpoint,
        login: RedisConnectionInfo,
        pushes: Option<PushSink>,
    ) -> Result<Link, Loss> {
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(Loss::Connect)?;
        tcp.set_nodelay(true).map_err(Loss::Connect)?;
        let transport = match &self.trust {
            None => Transport::Plain(tcp),
            Some(trust) => {
                let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| Loss::Unnameable)?;
                let connector = TlsConnector::from(trust.clone());
                Transport::Tls(Box::new(connector.connect(name, tcp).await.map_err(Loss::Tls)?))
            }
        };
        let stream = Stream { transport, meter: Meter::default() };
        let login = login.set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        let mut config = AsyncConnectionConfig::new().set_response_timeout(Some(self.response_timeout));
        if let Some(pushes) = pushes {
            config = config.set_push_sender(move |push: PushInfo| {
                pushes(push);
                Ok::<(), redis::aio::SendError>(())
            });
        }
        let opened = MultiplexedConnection::new_with_config(&login, stream, config).await;
        let (connection, driver) = opened.map_err(|error| Loss::at_log_in(error, &login))?;
        let connection = Connection(connection);
        Ok(Link { endpoint: endpoint.clone(), connection, driver: Box::pin(driver) })
    }

    /// Connects, lets `work` use the connection and closes it.
    pub(super) async fn with_connection<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, Loss>,
    ) -> Result<T, Loss> {
        let Link { endpoint: _, mut connection, driver } = self.connect(None).await?;
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
}

/// Why Redis cannot be used.
#[derive(Debug, Error)]
pub enum Loss {
    /// The connection ended.
    #[error("the connection was closed")]
    Closed,
    /// A node of a cluster holds only a part of the list.
    #[error(
        "this is a node of a Redis Cluster: name some of its nodes in `cluster`, in place of `url` or `sentinel`"
    )]
    Cluster,
    /// A node says that the cluster does not work.
    #[error("the cluster is down, says {0}")]
    ClusterDown(String),
    /// The address does not answer.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The address does not answer in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The server is not the primary any more.
    #[error("the server is not the primary any more")]
    Demoted,
    /// What is asked for is on another node of the cluster.
    #[error("the nodes of the cluster do not agree on where a key is")]
    Elsewhere(Elsewhere),
    /// The log-in is answered with something that may have the password in it.
    #[error("the server does not take the log-in: Redis 6 or newer, or Valkey, is needed")]
    LogIn,
    /// An ACL of Redis forbids a command; this is how the right to use it is written.
    #[error(
        "the Redis user has no right to run `{}`: grant it with `ACL SETUSER USER +{_0}`, and keep it with `ACL SAVE`",
        _0.replace('|', " ").to_uppercase()
    )]
    NoRight(&'static str),
    /// An ACL of Redis forbids the keys of the list.
    #[error(
        "the Redis user may not use the keys of the revocation list: grant them with `ACL SETUSER USER \
         ~portcullis:*`, and keep that with `ACL SAVE`"
    )]
    NoRightToKeys,
    /// There is no Sentinel to ask.
    #[error("there is no Sentinel to ask")]
    NoSentinel,
    /// Redis answers what it should not.
    #[error("unexpected answer to {0}")]
    Nonsense(&'static str),
    /// A replica that has lost its primary does not hear of revocations.
    #[error("the replica has no link to its primary")]
    Orphaned,
    /// Redis refuses a command.
    #[error("{0}")]
    Refused(String),
    /// Another node has the address of the one that was to be followed.
    #[error("another node is there now")]
    Replaced,
    /// Redis does not answer in time.
    #[error("no answer in time")]
    ResponseTimeout,
    /// No Sentinel says where the primary is; this is what the last one said.
    #[error("no Sentinel knows the primary: {0}")]
    Sentinel(#[source] Box<Loss>),
    /// The certificate or the handshake is not acceptable.
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Transport(String),
    /// The cluster is busy with a change.
    #[error("the cluster says to try again: {0}")]
    TryAgain(String),
    /// There are keys that nobody has.
    #[error("slot {slot} of the cluster has no owner that is well, says {who}")]
    Uncovered {
        /// The first such slot.
        slot: u16,
        /// Who says so.
        who: String,
    },
    /// Nobody knows who is in the cluster; this is what was heard from the last one.
    #[error("no node of the cluster can be asked: {0}")]
    Undiscovered(String),
    /// Somebody who has a part of the list is not heard.
    #[error("the node {0} of the cluster cannot be followed")]
    Unfollowed(String),
    /// A Sentinel does not know the name.
    #[error("Sentinel knows no service called `{0}`")]
    UnknownService(String),
    /// No certificate can be issued for the host.
    #[error("no certificate can be issued for this host")]
    Unnameable,
    /// This Redis cannot be written to.
    #[error("this Redis is a read-only replica")]
    ReadOnly,
}

impl Loss {
    /// What is lost when the log-in `login` met `error`. Servers repeat what they do not understand, and here that is a
    /// password; so only errors that are about log-ins are shown, and those only without one.
    fn at_log_in(error: RedisError, login: &RedisConnectionInfo) -> Self {
        let is_known =
            matches!(error.code(), Some("LOADING" | "MASTERDOWN" | "NOAUTH" | "NOPERM" | "WRONGPASS"));
        let text = error.to_string();
        let repeats = login.password().is_some_and(|password| text.contains(password));
        match Self::from(error) {
            Self::Refused(_) | Self::Transport(_) if repeats => Self::LogIn,
            Self::Refused(_) if !is_known => Self::LogIn,
            loss => loss,
        }
    }
}

impl Loss {
    fn elsewhere(error: &RedisError, asking: Asking, text: String) -> Self {
        let place = error.redirect_node().and_then(|(place, _)| Elsewhere::read(asking, place));
        place.map_or(Self::Refused(text), Self::Elsewhere)
    }
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
            ErrorKind::Server(ServerErrorKind::Ask) => Self::elsewhere(&error, Asking::Yes, text),
            ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::TryAgain) => {
                Self::TryAgain(text)
            }
            ErrorKind::Server(ServerErrorKind::Moved) => Self::elsewhere(&error, Asking::No, text),
            // A transaction that may not be carried out is discarded, with the reason in the text.
            ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ExecAbort) => {
                missing_right(error.detail().unwrap_or_default()).unwrap_or(Self::Refused(text))
            }
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::ReadOnly,
            ErrorKind::Io => Self::Transport(text),
            _ => Self::Refused(text),
        }
    }
}

/// A connection on which no answer is larger than any of Redis would be.
struct Stream {
    transport: Transport,
    meter: Meter,
}

/// A connection with or without TLS.
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { transport, meter } = self.get_mut();
        let before = buffer.filled().len();
        ready!(match transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        })?;
        Poll::Ready(meter.count(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
