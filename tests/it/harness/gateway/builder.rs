//! Writing a gateway's files and starting it.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Files, Gateway, Listener, ListenerKind, LogLine};
use crate::harness::process::{DRAIN_DELAY, Finished, Process, portcullis_command, run};
use crate::harness::text::{dedent, fill};
use crate::harness::tls::Authority;

/// A gateway that is about to start; see [`Gateway::builder`].
#[must_use = "a gateway runs once it is started"]
pub struct GatewayBuilder {
    yaml: String,
    files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    arguments: Vec<OsString>,
    program: Option<OsString>,
    shell: Option<String>,
    stdout: Stdio,
    recipe: Recipe,
}

/// How texts of a test become texts of files.
#[derive(Clone)]
pub(super) struct Recipe {
    values: Vec<(String, String)>,
}

/// What a test need not write. Each line is left out when the test's text has a line with the same key.
const PREAMBLE: [&str; 4] = [
    "version: 1",
    r#"listen: [{ address: "127.0.0.1:0", tls: true }]"#,
    r#"admin: { address: "127.0.0.1:0" }"#,
    "tls: { certificates: [{ cert: server.crt, key: server.key }] }",
];

/// The names in the certificate that a gateway has unless a test gives it another.
const NAMES: [&str; 4] = ["localhost", "127.0.0.1", "api.example.com", "*.example.com"];

/// How long a gateway may take to start: longer than anything else, because the machine may be busy compiling.
const START: Duration = Duration::from_secs(30);

impl GatewayBuilder {
    pub(super) fn new(yaml: &str) -> Self {
        Self {
            yaml: yaml.to_owned(),
            files: Vec::new(),
            environment: Vec::new(),
            arguments: Vec::new(),
            program: None,
            shell: None,
            stdout: Stdio::piped(),
            recipe: Recipe { values: Vec::new() },
        }
    }

    /// Fills the placeholder `{name}`, in this and all other files, with this value. `{directory}` needs no value.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.recipe.values.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a file beside `gateway.yaml`. Common indentation is taken away and placeholders are filled.
    pub fn file(mut self, name: &str, text: impl AsRef<str>) -> Self {
        self.files.push((name.to_owned(), dedent(text.as_ref())));
        self
    }

    /// Sets an environment variable. There are no others.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Adds an argument after `run --config gateway.yaml`.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Runs this program instead of the gateway's, with the same arguments. Only the tests of the harness need it.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Starts it by this script of the shell, in which `"$0" "$@"` is the gateway with its arguments:
    /// `ulimit -n 64; exec "$0" "$@"`.
    pub fn shell(mut self, script: &str) -> Self {
        self.shell = Some(script.to_owned());
        self
    }

    /// Writes its standard output there. The access log is then not kept.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = stdout.into();
        self
    }

    /// Starts it and waits until `/readyz` on the admin listener answers 200.
    pub async fn start(self) -> Gateway {
        let gateway = self.start_unready().await;
        let started = Instant::now();
        loop {
            let answer = gateway.admin().get("/readyz").outcome().await;
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return gateway;
            }
            let late = started.elapsed() > START;
            assert!(!late && gateway.process.ended().is_none(), "the gateway is not ready: {answer:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Starts it and waits only until it listens, for gateways that cannot become ready yet.
    pub async fn start_unready(mut self) -> Gateway {
        let stdout = std::mem::replace(&mut self.stdout, Stdio::null());
        let (mut command, files, recipe) = self.write();
        let expected = listeners_in(&files);
        let process = Process::start_writing_to(stdout, &mut command);
        // The command keeps its end of a pipe open, which only the gateway shall have.
        drop(command);
        let started = Instant::now();
        loop {
            let ended = process.ended();
            let (listeners, admin) = listening(&process);
            if let Some(admin) = admin
                && listeners.len() == expected
            {
                return Gateway { process, files, recipe, listeners, admin };
            }
            if ended.is_some() || started.elapsed() > START {
                process.kill();
                panic!(
                    "the gateway does not listen ({}):\n{}\n{}",
                    ended.map_or("still running".to_owned(), |status| status.to_string()),
                    process.stderr.text(),
                    process.stdout.text(),
                );
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Starts it, expecting it to end by itself, and returns how and with what words.
    pub async fn spawn_expecting_failure(self) -> Finished {
        let (mut command, _files, _) = self.write();
        run(&mut command).await
    }

    /// Writes the files and runs a subcommand on them, with `{directory}` in the arguments filled:
    /// `["check", "--config", "{directory}/gateway.yaml"]`.
    #[track_caller]
    pub fn run(self, arguments: &[&str]) -> impl Future<Output = Finished> {
        let (mut command, files, recipe) = self.write_for(arguments);
        async move {
            let finished = run(&mut command).await;
            drop((files, recipe));
            finished
        }
    }

    fn write(self) -> (Command, Files, Recipe) {
        let arguments: Vec<String> =
            self.arguments.iter().map(|each| each.to_string_lossy().into_owned()).collect();
        let mut all = vec!["run", "--config", "{directory}/gateway.yaml"];
        all.extend(arguments.iter().map(String::as_str));
        self.write_for(&all)
    }

    #[track_caller]
    fn write_for(self, arguments: &[&str]) -> (Command, Files, Recipe) {
        let Self { yaml, files, environment, arguments: _, program, shell, stdout: _, mut recipe } = self;
        let directory = Files(tempfile::tempdir().unwrap());
        recipe.values.insert(0, ("directory".to_owned(), directory.path("").to_string_lossy().into_owned()));
        let certificate = Authority::shared().server(&NAMES);
        directory.write("server.crt", &certificate.cert_pem);
        directory.write("server.key", &certificate.key_pem);
        for (name, text) in files {
            directory.write(&name, &recipe.text(&text));
        }
        directory.write("gateway.yaml", &recipe.yaml(&yaml));
        let mut command = match (program, shell) {
            (None, None) => portcullis_command(),
            (Some(program), _) => Command::new(program),
            (None, Some(script)) => {
                let mut command = Command::new("sh");
                command
                    .env_clear()
                    .env(DRAIN_DELAY, "0s")
                    .args(["-c", &script])
                    .arg(portcullis_command().get_program());
                command
            }
        };
        command.args(arguments.iter().map(|argument| fill(argument, &recipe.values)));
        // From elsewhere, because paths are relative to the file that they stand in and to nothing else.
        command.envs(environment).current_dir(Path::new("/"));
        (command, directory, recipe)
    }
}

impl Recipe {
    /// A text with its placeholders filled.
    #[track_caller]
    pub(super) fn text(&self, text: &str) -> String {
        fill(text, &self.values)
    }

    /// A `gateway.yaml` with its placeholders filled and what is missing in front.
    #[track_caller]
    pub(super) fn yaml(&self, yaml: &str) -> String {
        let yaml = dedent(yaml);
        let mut text = String::new();
        for line in PREAMBLE {
            let (key, _) = line.split_once(':').unwrap_or((line, ""));
            let given =
                yaml.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
            if !given {
                text += line;
                text += "\n";
            }
        }
        self.text(&(text + &yaml))
    }
}

/// How many entries `listen:` has.
fn listeners_in(files: &Files) -> usize {
    let text = std::fs::read_to_string(files.path("gateway.yaml")).unwrap();
    let document: Option<Value> = serde_yaml::from_str(&text).ok();
    document.and_then(|document| document["listen"].as_array().map(Vec::len)).unwrap_or_default()
}

/// The listeners that the log has named so far, and the admin listener.
fn listening(process: &Process) -> (Vec<Listener>, Option<std::net::SocketAddr>) {
    let mut listeners = Vec::new();
    let mut admin = None;
    for line in process.stderr.since(0) {
        let Some(LogLine { message, .. }) = LogLine::parse(&line) else { continue };
        if let Some(address) = message.strip_prefix("admin on ") {
            admin = address.parse().ok();
        }
        let Some((address, kind)) =
            message.strip_prefix("listening on ").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let kind = match kind {
            "(plaintext)" => ListenerKind::Plaintext,
            "(redirect)" => ListenerKind::Redirect,
            "(tls)" => ListenerKind::Tls,
            _ => panic!("a listener of no known kind: {message}"),
        };
        let address = address.parse().unwrap_or_else(|_| panic!("no address: {message}"));
        listeners.push(Listener { address, kind });
    }
    (listeners, admin)
}
