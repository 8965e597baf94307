//! A real Redis for a test: on a port of its own, empty, and gone when the test is over.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, TlsCertificates, Value};
use tempfile::TempDir;

use super::deadline::{DEADLINE, comes_true, within};
use super::port::ReservedPort;
use super::process::{Signal, signal};
use super::tls::{Authority, Certificate};

/// A running `redis-server`.
pub struct Redis {
    port: ReservedPort,
    directory: TempDir,
    options: Vec<String>,
    password: Option<String>,
    authority: Option<&'static Authority>,
    process: Option<Child>,
}

/// What is special about a Redis.
#[derive(Default)]
pub struct RedisBuilder {
    options: Vec<String>,
    password: Option<String>,
    acl: Option<String>,
    tls: Option<Certificate>,
}

/// The user that the harness itself is, whatever the others may do.
const HARNESS: &str = "user harness on >harness ~* &* +@all";

impl Redis {
    /// Starts an ordinary one.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Says what is special before it starts.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What `redis.url` wants: `redis://127.0.0.1:40123/0`, or `rediss://…`. Contains no password.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{}/0", self.address())
    }

    /// The password of the default user, if there is one.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Runs a command as a user who may do everything, and shows the reply as `redis-cli` would: `nil` for nothing, one
    /// line for each element of a list. Fails the test when Redis refuses.
    pub async fn cli<A: AsRef<str>>(&self, arguments: &[A]) -> String {
        let shown: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        self.try_cli(arguments).await.unwrap_or_else(|error| panic!("{shown:?}: {error}"))
    }

    /// Runs a command for a slot that is on its way to this node of a cluster, or says why Redis refuses.
    pub async fn try_asking(&self, arguments: &[&str]) -> Result<String, redis::RedisError> {
        let mut connection = self.try_connection().await?;
        let mut command = redis::Cmd::new();
        command.arg(arguments);
        let mut both = redis::pipe();
        both.cmd("ASKING").ignore().add_command(command);
        let (reply,): (Value,) = within("a reply of Redis", both.query_async(&mut connection)).await?;
        Ok(show(&reply))
    }

    /// Runs a command, or says why Redis refuses.
    pub async fn try_cli<A: AsRef<str>>(&self, arguments: &[A]) -> Result<String, redis::RedisError> {
        let mut connection = self.try_connection().await?;
        let mut command = redis::Cmd::new();
        for argument in arguments {
            command.arg(argument.as_ref());
        }
        let reply: Value = within("a reply of Redis", command.query_async(&mut connection)).await?;
        Ok(show(&reply))
    }

    /// A connection of a user who may do everything, for pipelines and speed.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.try_connection().await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_connection(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        let scheme = if self.authority.is_some() { "rediss" } else { "redis" };
        let url = format!("{scheme}://harness:harness@{}/0", self.address());
        let client = match self.authority {
            None => redis::Client::open(url)?,
            Some(authority) => {
                // The crate takes the default of the process; a second call changes nothing.
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                let root_cert = Some(authority.pem().as_bytes().to_vec());
                redis::Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert })?
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(DEADLINE));
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Ends it at once. Connections are refused from now on, and everything in it is lost.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on the same port, empty.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "Redis is running");
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let process = Command::new("redis-server")
            .args(&self.options)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.process = Some(process);
        let ready = async {
            loop {
                if self.try_cli(&["PING"]).await.is_ok() {
                    return;
                }
                let process = self.process.as_mut().unwrap();
                assert!(process.try_wait().unwrap().is_none(), "redis-server ended: {}", self.log());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("Redis to be ready", ready).await;
    }

    /// Freezes the process: connections are accepted by the kernel, and nothing is answered.
    pub fn pause(&self) {
        signal(self.pid(), Signal::Stop);
        let stopped =
            || std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap().contains(") T ");
        assert!(comes_true(DEADLINE, stopped), "Redis does not stop");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        signal(self.pid(), Signal::Continue);
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn pid(&self) -> u32 {
        self.process.as_ref().expect("Redis is running").id()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

impl RedisBuilder {
    /// The default user has this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The users are these, as in an ACL file: `user gateway on >secret ~portcullis:* &* +@read`.
    #[must_use]
    pub fn acl(mut self, users: &str) -> Self {
        self.acl = Some(users.to_owned());
        self
    }

    /// Speaks TLS only, with this certificate of [`Authority::shared`].
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.tls = Some(certificate.clone());
        self
    }

    /// Any option of `redis-server`: `option("replicaof", &["127.0.0.1", "6379"])`.
    #[must_use]
    pub fn option(mut self, name: &str, values: &[&str]) -> Self {
        self.options.push(format!("--{name}"));
        self.options.extend(values.iter().map(|value| (*value).to_owned()));
        self
    }

    /// Starts it and waits until it answers.
    pub async fn start(self) -> Redis {
        let Self { options: further, password, acl, tls } = self;
        let directory = tempfile::tempdir().unwrap();
        let port = ReservedPort::take();
        let write = |name: &str, text: &str| write(directory.path(), name, text);
        let mut options: Vec<String> = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--repl-diskless-load",
            "on-empty-db",
            "--loglevel",
            "notice",
        ]
        .map(str::to_owned)
        .into();
        let mut set = |name: &str, value: &str| {
            options.extend([format!("--{name}"), value.to_owned()]);
        };
        let number = port.port().to_string();
        if let Some(certificate) = &tls {
            set("port", "0");
            set("tls-port", &number);
            set("tls-auth-clients", "optional");
            set("tls-cert-file", &write("server.crt", &certificate.cert_pem));
            set("tls-key-file", &write("server.key", &certificate.key_pem));
            set("tls-ca-cert-file", &write("ca.crt", Authority::shared().pem()));
        } else {
            set("port", &number);
        }
        let default = match &password {
            Some(password) => format!("user default on >{password} ~* &* +@all"),
            None => "user default on nopass ~* &* +@all".to_owned(),
        };
        set("aclfile", &write("users.acl", &format!("{HARNESS}\n{}\n", acl.unwrap_or(default))));
        options.extend(further);
        let authority = tls.map(|_| Authority::shared());
        let mut redis = Redis { port, directory, options, password, authority, process: None };
        redis.start_again().await;
        redis
    }
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn show(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        Value::Okay => "OK".to_owned(),
        Value::Array(values) => values.iter().map(show).collect::<Vec<_>>().join("\n"),
        other => format!("{other:?}"),
    }
}
