//! A real redis-server for tests: on a free port, in a folder of its own, gone with the test.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{Config, Server};
use crate::authn::revocable::Revocable;
use crate::clock::Clock;
use crate::loading::Loading;
use crate::revocation::{Backing, List, Policy, Standing};
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use crate::yaml::Located;

/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// A redis-server.
pub(crate) struct Redis {
    process: Child,
    folder: TempDir,
    pub(crate) port: u16,
    options: Vec<String>,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a Sentinel that watches `primary` under the name `mymaster` and needs no other to decide.
    pub(crate) fn start_sentinel(primary: &Self) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "sentinel monitor mymaster 127.0.0.1 {} 1\nsentinel down-after-milliseconds mymaster 300\n\
             sentinel failover-timeout mymaster 3000\n",
            primary.port
        );
        std::fs::write(&file, text).unwrap();
        let options = vec!["--sentinel".to_owned()];
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(process) = spawn(folder.path(), port, &options) {
                return Self { process, folder, port, options };
            }
        }
    }

    /// Starts a server with further command-line options.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        // Between choosing a free port and using it, another test may have taken it.
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(process) = spawn(folder.path(), port, &options) {
                return Self { process, folder, port, options };
            }
        }
    }

    /// Ends the server without a chance to say anything, and starts another one on the same port. It begins with what
    /// the first one saved.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let started = Instant::now();
        while started.elapsed() < DEADLINE {
            if let Some(process) = spawn(self.folder.path(), self.port, &self.options) {
                self.process = process;
                return;
            }
        }
        panic!("redis-server does not start again on port {}", self.port);
    }

    pub(crate) fn kill(&mut self) {
        self.resume();
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops the process: connections stay open, and nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // It may have ended already.
        let _ = kill_process(Pid::from_child(&self.process), signal);
    }

    /// A connection of another program.
    pub(crate) fn client(&self) -> redis::Connection {
        client(self.port).unwrap()
    }

    /// A connection of another program, if the server takes one.
    pub(crate) fn try_client(&self) -> Option<redis::Connection> {
        client(self.port).ok()
    }

    /// Runs one command of another program and expects it to succeed.
    pub(crate) fn run(&self, words: &[&str]) -> redis::Value {
        run(&mut self.client(), words)
    }

    /// Runs one command, and says nothing when the server has no ear for it: a replica that is being promoted drops its
    /// clients.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query(&mut client(self.port).ok()?).ok()
    }

    /// The server as a file without anything special describes it.
    pub(crate) fn server(&self) -> Arc<Server> {
        Arc::new(server(&format!("{{ url: \"redis://127.0.0.1:{}\" }}", self.port)))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.resume();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client(port: u16) -> redis::RedisResult<redis::Connection> {
    redis::Client::open(("127.0.0.1", port))?.get_connection_with_timeout(Duration::from_secs(5))
}

/// Runs one command and expects it to succeed.
pub(crate) fn run(client: &mut redis::Connection, words: &[&str]) -> redis::Value {
    redis::cmd(words[0]).arg(&words[1..]).query(client).unwrap()
}

/// Starts a server and waits until it answers; `None` when it ends because the port is taken.
fn spawn(folder: &Path, port: u16, options: &[String]) -> Option<Child> {
    let mut command = Command::new("redis-server");
    let file = folder.join("sentinel.conf");
    if file.exists() {
        command.arg(file);
    } else {
        command.args(["--save", "", "--daemonize", "no"]);
    }
    let mut process = command
        .current_dir(folder)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if tells_its_process(port, process.id()) {
            return Some(process);
        }
        assert!(started.elapsed() < DEADLINE, "redis-server does not answer");
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Whether the server on this port is this process, or needs a password before it says so.
fn tells_its_process(port: u16, process: u32) -> bool {
    let info: redis::RedisResult<String> =
        client(port).and_then(|mut client| redis::cmd("INFO").arg("server").query(&mut client));
    match info {
        Ok(info) => info.contains(&format!("process_id:{process}\r\n")),
        Err(error) => error.code() == Some("NOAUTH"),
    }
}

/// The section `redis` of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    redis: Located<Config>,
}

/// Compiles the section `redis` with this text.
pub(crate) fn server(section: &str) -> Server {
    try_server(section).unwrap_or_else(|problems| panic!("{section}: {problems}"))
}

/// Compiles the section `redis` with this text, or returns what is wrong with it.
pub(crate) fn try_server(section: &str) -> Result<Server, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, format!("redis: {section}\n")).unwrap();
    let environment = |name: &str| match name {
        "REDIS_PASSWORD" => Some("hunter2".to_owned()),
        "REDIS_URL" => Some("redis://:hunter2@127.0.0.1".to_owned()),
        _ => None,
    };
    let mut loading = Loading::new(Clock::system(), &environment, &[]);
    let document: Option<Located<Document>> = loading.root_document(&path);
    let server = document.and_then(|document| Server::compile(&document.redis, &mut loading));
    let problems = loading.problems.render(false);
    server.filter(|_| !loading.problems.has_errors()).ok_or(problems)
}

/// A list that is being followed, until it is dropped.
pub(crate) struct Following {
    pub(crate) list: List,
    pub(crate) metrics: Arc<Metrics>,
    task: JoinHandle<()>,
}

impl Following {
    /// Follows a list, whether it can be read or not.
    pub(crate) fn begin(server: Arc<Server>) -> Self {
        let list = List::new(Backing::Redis(server), Clock::system());
        let metrics = Metrics::new("test", "test").unwrap();
        let (followed, told) = (list.clone(), metrics.clone());
        let task = tokio::spawn(async move { match followed.follow(&told, &Audit::silent()).await {} });
        Self { list, metrics, task }
    }

    /// Follows a list and waits until it has been read.
    pub(crate) async fn ready(redis: &Redis) -> Self {
        let following = Self::begin(redis.server());
        following.in_touch().await;
        following
    }

    pub(crate) fn standing(&self, credential: &Revocable) -> Standing {
        self.list.under(Policy::default()).standing(credential)
    }

    pub(crate) async fn in_touch(&self) {
        until("in touch", || self.list.under(Policy::default()).is_in_touch()).await;
    }

    /// Waits until `credential` stands like this.
    pub(crate) async fn stands(&self, credential: &Revocable, expect: Standing) {
        until(&format!("{expect:?}"), || self.standing(credential) == expect).await;
    }

    /// The value of a series, as it is written.
    pub(crate) fn series(&self, name: &str) -> String {
        let text = String::from_utf8(self.metrics.render()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).to_owned()
    }

    /// Whether the task is still there: it must survive whatever Redis does.
    pub(crate) fn lives(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until it can be said that Redis was heard from after this call, so that what it announced has been heard.
pub(crate) async fn until_heard(following: &Following) {
    let called = Instant::now();
    let mirror = following.list.mirror.clone();
    until("a later sign of life", move || {
        let now = Instant::now();
        mirror.age(now).is_some_and(|age| age < now.duration_since(called))
    })
    .await;
}
