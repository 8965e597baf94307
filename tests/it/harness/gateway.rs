//! The real binary, running, with its files, its logs and its metrics at hand.

mod builder;
mod metrics;

pub use builder::GatewayBuilder;
pub use metrics::Metrics;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use self::builder::Recipe;
use super::client::Client;
use super::deadline::{DEADLINE, eventually};
use super::process::{Process, Signal};
use super::tls::{Authority, ClientTls};

/// A running gateway. Dropping it kills it; when the test failed, its logs are printed.
///
/// A gateway that has panicked fails the test, even if every answer was right.
pub struct Gateway {
    process: Process,
    files: Files,
    recipe: Recipe,
    listeners: Vec<Listener>,
    admin: SocketAddr,
}

/// One entry of `listen:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens, with the port that it was given.
    pub address: SocketAddr,
    /// What it speaks.
    pub kind: ListenerKind,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// HTTP in the clear.
    Plaintext,
    /// HTTP in the clear, only to send everyone to HTTPS.
    Redirect,
    /// HTTPS.
    Tls,
}

/// A line of the process's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// What happened.
    pub message: String,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new policy is in force.
    Accepted,
    /// The old one goes on; the line of the log that says so.
    Refused(String),
}

/// How the log says that a reload was accepted.
pub const RELOADED: &str = "reloaded";

/// How the log says that a reload was refused.
pub const RELOAD_REFUSED: &str = "reload refused";

/// The directory of one gateway.
struct Files(TempDir);

impl Gateway {
    /// Prepares a gateway with this `gateway.yaml`. Common indentation is taken away, `{placeholders}` are filled with
    /// [`GatewayBuilder::with`], and of `version`, `listen`, `admin` and `tls` those that the text does not have are put
    /// in front of it: one TLS listener, and the certificate `server.crt` of [`Authority::shared`] for `localhost`,
    /// `127.0.0.1`, `api.example.com` and `*.example.com`. Ports are always 0.
    pub fn builder(yaml: &str) -> GatewayBuilder {
        GatewayBuilder::new(yaml)
    }

    /// The listeners, in the order of the file.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The port of the TLS listener with this number, counted from 0.
    pub fn https_port(&self, at: usize) -> u16 {
        self.listener(at, |kind| kind == ListenerKind::Tls).port()
    }

    /// The port of the listener without TLS with this number, counted from 0.
    pub fn http_port(&self, at: usize) -> u16 {
        self.listener(at, |kind| kind != ListenerKind::Tls).port()
    }

    /// The port of the admin listener.
    pub fn admin_port(&self) -> u16 {
        self.admin.port()
    }

    /// A client of the first TLS listener that trusts [`Authority::shared`] and asks for `localhost`.
    pub fn https(&self) -> Client {
        let address = self.listener(0, |kind| kind == ListenerKind::Tls);
        Client::tls(address, ClientTls::trusting(Authority::shared()))
    }

    /// A client of the first listener without TLS.
    pub fn http(&self) -> Client {
        Client::plain(self.listener(0, |kind| kind != ListenerKind::Tls))
    }

    /// A client of the admin listener.
    pub fn admin(&self) -> Client {
        Client::plain(self.admin)
    }

    /// The directory with `gateway.yaml` and all other files.
    pub fn directory(&self) -> &Path {
        self.files.0.path()
    }

    /// The path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    /// Replaces a file at once, by renaming a new one to its name. Placeholders are filled.
    pub fn write(&self, name: &str, text: &str) {
        self.files.replace(name, &self.recipe.text(text));
    }

    /// Writes a file in place, as an editor or a mounted volume might. Placeholders are filled.
    pub fn write_in_place(&self, name: &str, text: &str) {
        self.files.write(name, &self.recipe.text(text));
    }

    /// Replaces `gateway.yaml` by a text like that of [`Gateway::builder`]. Takes effect with [`Gateway::reload`].
    pub fn write_yaml(&self, yaml: &str) {
        self.files.replace("gateway.yaml", &self.recipe.yaml(yaml));
    }

    /// Asks for a reload (`SIGHUP`) and waits until the log says what came of it: a line that begins with [`RELOADED`] or
    /// with [`RELOAD_REFUSED`].
    pub async fn reload(&self) -> Reload {
        let position = self.log_position();
        self.process.signal(Signal::Hangup);
        let decided =
            |line: &LogLine| line.message.starts_with(RELOADED) || line.message.starts_with(RELOAD_REFUSED);
        let line = self.wait_for_log_after(position, decided).await;
        if line.message.starts_with(RELOADED) { Reload::Accepted } else { Reload::Refused(line.message) }
    }

    /// Replaces `gateway.yaml`, asks for a reload, and fails the test unless it is accepted.
    pub async fn reload_with(&self, yaml: &str) {
        self.write_yaml(yaml);
        assert_eq!(self.reload().await, Reload::Accepted);
    }

    /// Sends a signal and waits for nothing.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Asks it to finish (`SIGTERM`) and waits for its end.
    pub async fn terminate(&self) -> ExitStatus {
        self.process.signal(Signal::Terminate);
        self.process.wait().await
    }

    /// Waits for its end.
    pub async fn ended(&self) -> ExitStatus {
        self.process.wait().await
    }

    /// The process itself, with its memory, its time and its raw output.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Memory that is resident, in bytes.
    pub fn rss_bytes(&self) -> u64 {
        self.process.rss_bytes()
    }

    /// Processor time that it has used.
    pub fn cpu_time(&self) -> Duration {
        self.process.cpu_time()
    }

    /// The process's log so far.
    pub fn log(&self) -> Vec<LogLine> {
        self.process.stderr.since(0).iter().filter_map(|line| LogLine::parse(line)).collect()
    }

    /// How many lines the process's log has: the place to wait from for what happens next.
    pub fn log_position(&self) -> usize {
        self.process.stderr.count()
    }

    /// Waits for a line of the process's log, from its beginning on.
    #[track_caller]
    pub fn wait_for_log(&self, find: impl Fn(&LogLine) -> bool) -> impl Future<Output = LogLine> {
        self.wait_for_log_after(0, find)
    }

    /// Waits for a line of the process's log after this position.
    #[track_caller]
    pub fn wait_for_log_after(
        &self,
        position: usize,
        find: impl Fn(&LogLine) -> bool,
    ) -> impl Future<Output = LogLine> {
        let find = move |line: &str| LogLine::parse(line).filter(&find);
        self.process.stderr.wait_for("a line of the log", position, find)
    }

    /// The access log so far. Every line must be one JSON object.
    #[track_caller]
    pub fn access_log(&self) -> Vec<Value> {
        self.process.stdout.since(0).iter().map(|line| access_line(line)).collect()
    }

    /// Waits for a line of the access log; it is written some milliseconds after the answer.
    #[track_caller]
    pub fn wait_for_access(&self, find: impl Fn(&Value) -> bool) -> impl Future<Output = Value> {
        let find = move |line: &str| Some(access_line(line)).filter(&find);
        self.process.stdout.wait_for("a line of the access log", 0, find)
    }

    /// The lines of a log in the directory so far; none if it is not there. Every line must be one JSON object.
    #[track_caller]
    pub fn log_file(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        // A line may be about to be written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(access_line).collect()
    }

    /// Waits for a line of a log in the directory.
    pub async fn wait_for_line(&self, name: &str, find: impl Fn(&Value) -> bool) -> Value {
        eventually(format!("a line of {name}"), || self.log_file(name).into_iter().find(&find)).await
    }

    /// Asks for the files of logs to be opened anew (`SIGUSR1`) and waits until `count` of them are.
    pub async fn reopen_logs(&self, count: usize) {
        let position = self.log_position();
        self.process.signal(Signal::User1);
        let reopened = |line: &&LogLine| line.message.contains(": reopened ");
        let count_now = || self.log()[position..].iter().filter(reopened).count();
        eventually("the files of logs to be opened anew", || (count_now() == count).then_some(())).await;
    }

    /// Everything that it has written anywhere: what must not contain a secret.
    pub fn everything_logged(&self) -> String {
        let files = fs::read_dir(self.directory()).unwrap().map(|entry| entry.unwrap().path());
        let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        let logs: Vec<String> = logs.map(|path| fs::read_to_string(path).unwrap()).collect();
        format!("{}\n{}\n{}", self.process.stdout.text(), self.process.stderr.text(), logs.join("\n"))
    }

    /// The metrics as they are now.
    pub async fn metrics(&self) -> Metrics {
        let response = self.admin().get("/metrics").await;
        response.assert_status(200);
        Metrics::parse(response.text())
    }

    /// Waits until the sum of all series of `name` with these labels is as wanted, and returns it.
    pub async fn wait_for_metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        wanted: impl Fn(f64) -> bool,
    ) -> f64 {
        let mut last = None;
        let found = async {
            loop {
                last = self.metrics().await.sum(name, labels);
                if let Some(value) = last.filter(|value| wanted(*value)) {
                    return value;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, found).await;
        found.unwrap_or_else(|_| panic!("waited in vain for {name}{labels:?}; it is {last:?}"))
    }

    /// Waits until the counters of `name` with these labels add up to `count`.
    pub async fn wait_for_count(&self, name: &str, labels: &[(&str, &str)], count: u32) {
        self.wait_for_metric(name, labels, |value| (value - f64::from(count)).abs() < 0.5).await;
    }

    fn listener(&self, at: usize, wanted: impl Fn(ListenerKind) -> bool) -> SocketAddr {
        let found = self.listeners.iter().filter(|listener| wanted(listener.kind)).nth(at);
        found.unwrap_or_else(|| panic!("no such listener among {:?}", self.listeners)).address
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill();
        let log = self.process.stderr.text();
        if std::thread::panicking() {
            show("log", &log);
            show("access log", &self.process.stdout.text());
        } else {
            assert!(!log.contains("panicked at"), "the gateway panicked:\n{log}");
        }
    }
}

/// Shows the end of a text to whoever reads why a test failed.
#[expect(clippy::print_stderr, reason = "the runner shows what a failing test prints")]
fn show(what: &str, text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    let end = &lines[lines.len().saturating_sub(200)..];
    eprintln!("--- the gateway's {what} ---\n{}\n---", end.join("\n"));
}

impl LogLine {
    fn parse(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        text("time")?;
        Some(Self { level: text("level")?, message: text("message")? })
    }
}

#[track_caller]
fn access_line(line: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => value,
        _ => panic!("the access log has a line that is no JSON object: {line}"),
    }
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        use std::io::Write;
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut options = fs::OpenOptions::new();
        // As files with secrets should be: others can neither read nor write it.
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn replace(&self, name: &str, text: &str) {
        let next = format!("{name}.next");
        self.write(&next, text);
        fs::rename(self.path(&next), self.path(name)).unwrap();
    }
}
