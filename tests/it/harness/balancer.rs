//! A real nginx or HAProxy in front of gateways.
//!
//! A test writes the part of the configuration that it is about. `{listen}` is the address that the balancer listens on,
//! `{directory}` a folder with `ca.crt` (the authority that signed the gateways' certificates), `server.crt` and `server.key`
//! (a certificate of that authority for `localhost`), and `server.pem` (both in one file, as HAProxy wants them). Other
//! placeholders get their values from [`BalancerBuilder::with`].

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::client::Client;
use super::deadline::within_time;
use super::port::ReservedPort;
use super::process::Process;
use super::text::{dedent, fill};
use super::tls::{Authority, ClientTls};

/// A running balancer. Dropping it kills it.
pub struct Balancer {
    process: Process,
    port: ReservedPort,
    _directory: TempDir,
}

/// A balancer that is about to start.
#[must_use = "a balancer runs once it is started"]
pub struct BalancerBuilder {
    program: Program,
    configuration: String,
    values: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Haproxy,
    Nginx,
}

/// How long a balancer may take to start on a busy machine.
const START: Duration = Duration::from_secs(30);

/// The parts of `nginx.conf` around the test's own. One process that stays in the foreground: it ends when it is killed.
const NGINX: &str = r"
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr {level};
events { worker_connections 1024; }
http {
    log_format test '$request_method $request_uri $status upstream=$upstream_addr upstream_status=$upstream_status';
    access_log /dev/stdout test;
    client_max_body_size 0;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{configuration}
}
";

/// The parts of `haproxy.cfg` before the test's own.
const HAPROXY: &str = r"
global
    log stdout format raw local0
    nbthread 1
    maxconn 1000
defaults
    mode http
    log global
    option httplog
    timeout connect 2s
    timeout client 10s
    timeout server 10s
{configuration}
";

impl Balancer {
    /// An nginx with this inside its `http { … }` block: `upstream` and `server` blocks. The `server` needs
    /// `listen {listen};`. Bodies of any size are accepted.
    pub fn nginx(configuration: &str) -> BalancerBuilder {
        BalancerBuilder::new(Program::Nginx, configuration)
    }

    /// A HAProxy with these sections: `frontend` and `backend`, or `listen`. The former needs `bind {listen}`.
    pub fn haproxy(configuration: &str) -> BalancerBuilder {
        BalancerBuilder::new(Program::Haproxy, configuration)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// A client of a listener without TLS.
    pub fn http(&self) -> Client {
        Client::plain(self.address())
    }

    /// A client of a listener with TLS that trusts [`Authority::shared`] and asks for `localhost`.
    pub fn https(&self) -> Client {
        Client::tls(self.address(), ClientTls::trusting(Authority::shared()))
    }

    /// The process itself.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Everything that it has logged: a line for each request, and its messages.
    pub fn log(&self) -> String {
        self.process.stdout.text() + &self.process.stderr.text()
    }
}

impl BalancerBuilder {
    fn new(program: Program, configuration: &str) -> Self {
        Self { program, configuration: dedent(configuration), values: Vec::new() }
    }

    /// Fills the placeholder `{name}` with this value.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.values.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it and waits until it accepts connections.
    pub async fn start(self) -> Balancer {
        let Self { program, configuration, mut values } = self;
        let (port, directory) = (ReservedPort::take(), tempfile::tempdir().unwrap());
        let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        let certificate = Authority::shared().server(&["localhost", "127.0.0.1"]);
        write("ca.crt", Authority::shared().pem());
        write("server.crt", &certificate.cert_pem);
        write("server.key", &certificate.key_pem);
        write("server.pem", &(certificate.cert_pem.clone() + &certificate.key_pem));
        values.push(("listen".to_owned(), port.address().to_string()));
        values.push(("directory".to_owned(), directory.path().to_string_lossy().into_owned()));
        values.push(("level".to_owned(), "info".to_owned()));
        let configuration = fill(&configuration, &values);
        values.push(("configuration".to_owned(), configuration));
        let mut command = match program {
            Program::Nginx => {
                write("nginx.conf", &fill(NGINX, &values));
                let mut command = Command::new("nginx");
                command.args(["-e", "stderr", "-p", &path(""), "-c", &path("nginx.conf")]);
                command
            }
            Program::Haproxy => {
                write("haproxy.cfg", &fill(HAPROXY, &values));
                let mut command = Command::new("haproxy");
                command.args(["-db", "-f", &path("haproxy.cfg")]);
                command
            }
        };
        let process = Process::start(&mut command);
        let ready = async {
            while tokio::net::TcpStream::connect(port.address()).await.is_err() {
                let ended = process.ended();
                assert!(ended.is_none(), "the balancer ended: {}", process.stderr.text());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within_time(START, "the balancer to listen", ready).await;
        Balancer { process, port, _directory: directory }
    }
}
