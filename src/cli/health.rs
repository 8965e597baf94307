//! `portcullis health`: asks a gateway on this machine whether requests should be sent to it, for container runtimes and
//! scripts. It needs neither a shell nor another program. Of the configuration it reads the admin address alone.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Output, check};
use crate::config::admin_address;
use crate::units::TimeSpan;

/// Ask a running gateway whether it is ready.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct HealthArguments {
    /// The configuration file whose `admin` address is asked [default: gateway.yaml, if it is there].
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The `admin` address of the gateway, instead of the one in the file.
    #[arg(long, value_name = "ADDRESS", env = "PORTCULLIS_ADMIN")]
    admin: Option<SocketAddr>,
    /// Ask only whether the process lives (`/healthz`), and not whether it can decide (`/readyz`).
    #[arg(long)]
    live: bool,
    /// How long the response may take.
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    timeout: TimeSpan,
}

/// The file that is read when the arguments name none, as by the other commands.
const DEFAULT_FILE: &str = "gateway.yaml";

/// A response is some lines.
const LONGEST_ANSWER: usize = 16 * 1024;

pub(super) fn execute(arguments: &HealthArguments) -> Output {
    let HealthArguments { config, admin, live, timeout } = arguments;
    let admin = match admin.map_or_else(|| find(config.as_deref()), Ok) {
        Ok(admin) => admin,
        Err(complaint) => return Output::failure(complaint),
    };
    let path = if *live { "/healthz" } else { "/readyz" };
    match ask(admin, path, timeout.duration()) {
        Ok(answer) => match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Output::success(body.trim_end()),
            Some((head, body)) if head.starts_with("HTTP/1.1 503 ") => Output::failure(body.trim_end()),
            _ => Output::failure(format!("error: {admin} is no admin listener of a gateway")),
        },
        Err(error) => Output::failure(format!("error: {admin} does not answer: {error}")),
    }
}

/// The admin address of the file, or the default address where there is no file.
fn find(config: Option<&Path>) -> Result<SocketAddr, String> {
    let path = match config {
        Some(path) => path,
        None if Path::new(DEFAULT_FILE).exists() => Path::new(DEFAULT_FILE),
        None => return Ok(admin_address::DEFAULT),
    };
    let environment = |name: &str| std::env::var(name).ok();
    admin_address::read(path, &environment).map_err(|problems| {
        let hint = "the address can also be passed with `--admin`";
        format!("{}\n{hint}", check::report(&problems))
    })
}

/// Everything that is received within `limit`.
fn ask(admin: SocketAddr, path: &str, limit: Duration) -> io::Result<String> {
    let end = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&admin, limit)?;
    stream.set_write_timeout(Some(limit))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while answer.len() < LONGEST_ANSWER {
        // A time of zero would stand for waiting for ever.
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => break,
            count => answer.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
