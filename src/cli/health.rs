//! `portcullis health`: asks a gateway on this machine whether requests should be sent to it, for container runtimes and
//! scripts. It needs neither a shell nor another program, and it reads no configuration, whose secrets are not its business.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Output;
use crate::units::TimeSpan;

/// Ask a running gateway whether it is ready.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct HealthArguments {
    /// The `admin` address of the gateway.
    #[arg(long, value_name = "ADDRESS", env = "PORTCULLIS_ADMIN", default_value = "127.0.0.1:9180")]
    admin: SocketAddr,
    /// Ask only whether the process lives (`/healthz`), and not whether it can decide (`/readyz`).
    #[arg(long)]
    live: bool,
    /// How long the answer may take.
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    timeout: TimeSpan,
}

/// An answer is a word or a sentence.
const LONGEST_ANSWER: usize = 16 * 1024;

pub(super) fn execute(arguments: &HealthArguments) -> Output {
    let HealthArguments { admin, live, timeout } = arguments;
    let path = if *live { "/healthz" } else { "/readyz" };
    match ask(*admin, path, timeout.duration()) {
        Ok(answer) => match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Output::success(body.trim_end()),
            Some((head, body)) if head.starts_with("HTTP/1.1 503 ") => Output::failure(body.trim_end()),
            _ => Output::failure(format!("error: {admin} is no admin listener of a gateway")),
        },
        Err(error) => Output::failure(format!("error: {admin} does not answer: {error}")),
    }
}

/// Everything that is answered within `limit`.
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
