//! One JSON line for each finished request.
//!
//! A request only appends its line to a bounded buffer; a writer thread, started by the proxy, takes the buffer and
//! writes it out in batches. When the writer cannot keep up and the buffer is full, lines are dropped and counted:
//! a slow disk must not slow down requests, and must not be silent either.

mod line;

use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;

use crate::clock::Timestamp;

/// What is said about one request. Fields that do not apply are left out of the line.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    /// When the request's first byte arrived, RFC 3339 in UTC.
    pub time: Timestamp,
    /// The identifier that the upstream and the client saw in `X-Request-Id`.
    pub request_id: &'a str,
    /// The address of the client: the peer, or what a trusted proxy said.
    pub client: Option<IpAddr>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'a str,
    /// The request's method, or `other` for one that is not registered.
    pub method: &'a str,
    /// The host that was asked for.
    pub host: &'a str,
    /// The path without its query; segments that look like credentials are redacted.
    pub path: &'a str,
    /// The route's name, or `none`.
    pub route: &'a str,
    /// The status of the answer; 0 when the client was gone before there was one.
    pub status: u16,
    /// From the request's first byte to the answer's last; written in milliseconds.
    pub duration: Micros,
    /// The upstream's name.
    pub upstream: Option<&'a str>,
    /// From choosing the upstream to its answer's head; written in milliseconds.
    pub upstream_took: Option<Micros>,
    /// Bytes of the request's body that were read.
    pub received_bytes: u64,
    /// Bytes of the answer's body that were sent.
    pub sent_bytes: u64,
    /// The name of the method in `auth`.
    pub auth: Option<&'a str>,
    /// `api_key`, `basic` or `jwt`.
    pub auth_method: Option<&'a str>,
    /// Who it was.
    pub subject: Option<&'a str>,
    /// The public identifier of the API key, or the `kid` of the key that signed the token.
    pub key_id: Option<&'a str>,
    /// `public`, `allowed`, `refused` or `reported`.
    pub outcome: &'a str,
    /// Why, from a closed set: `ok`, `no_credential`, `expired`, …
    pub reason: &'a str,
}

/// Whole microseconds, which are precise enough for a line and keep it short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Micros(pub u64);

impl From<Duration> for Micros {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

/// The buffer between requests and the writer.
#[derive(Clone)]
pub struct AccessLog(Arc<Shared>);

struct Shared {
    buffer: Mutex<Buffer>,
    filled: Condvar,
    dropped: IntCounter,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    closed: bool,
}

/// The most that waits to be written: about 30,000 lines.
const CAPACITY: usize = 16 << 20;

/// How long the writer collects lines before it writes them, so that a busy gateway makes few system calls.
const BATCH: Duration = Duration::from_millis(10);

impl AccessLog {
    /// An empty buffer; lines that find it full are counted in `dropped`.
    pub fn new(dropped: IntCounter) -> Self {
        Self(Arc::new(Shared { buffer: Mutex::default(), filled: Condvar::new(), dropped }))
    }

    /// Appends a line.
    pub fn write(&self, entry: &Entry<'_>) {
        let mut buffer = self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.lines.len() >= CAPACITY {
            drop(buffer);
            self.0.dropped.inc();
            return;
        }
        let was_empty = buffer.lines.is_empty();
        entry.append_to(&mut buffer.lines);
        drop(buffer);
        if was_empty {
            self.0.filled.notify_one();
        }
    }

    /// Writes lines to `output` until [`AccessLog::close`] was called and everything is out. Blocks; runs on a thread
    /// of its own. Lines that `output` refuses are lost and counted.
    pub fn write_out(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        let mut torn = false;
        loop {
            let closed = {
                let mut buffer = self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner);
                while buffer.lines.is_empty() && !buffer.closed {
                    buffer = self.0.filled.wait(buffer).unwrap_or_else(PoisonError::into_inner);
                }
                if !buffer.closed {
                    (buffer, _) = self
                        .0
                        .filled
                        .wait_timeout_while(buffer, BATCH, |buffer| !buffer.closed)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                std::mem::swap(&mut batch, &mut buffer.lines);
                buffer.closed
            };
            let written = write_lines(&mut output, &batch, torn);
            torn = written.torn;
            self.0.dropped.inc_by(written.lost);
            batch.clear();
            if closed {
                let rest = self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner).lines.is_empty();
                if rest {
                    return;
                }
            }
        }
    }

    /// Makes [`AccessLog::write_out`] return once everything is written.
    pub fn close(&self) {
        self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.filled.notify_all();
    }
}

/// What became of some lines.
struct Written {
    /// How many did not get out whole.
    lost: u64,
    /// Whether the last of those that were begun has no end.
    torn: bool,
}

/// Writes whole lines. One that was `torn` before is ended first, so that those behind it can be read.
fn write_lines(output: &mut impl Write, lines: &[u8], torn: bool) -> Written {
    let count = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    if torn && output.write_all(b"\n").is_err() {
        return Written { lost: count(lines), torn };
    }
    let mut rest = lines;
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(length) if length > 0 => rest = rest.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    let (out, _) = lines.split_at(lines.len() - rest.len());
    Written { lost: count(rest), torn: out.last().is_some_and(|byte| *byte != b'\n') }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> AccessLog {
        AccessLog::new(IntCounter::new("dropped", "dropped").unwrap())
    }

    #[test]
    fn a_line_is_json_and_leaves_out_what_does_not_apply() {
        let log = log();
        log.write(&Entry {
            path: "/a\r\n\u{1b}[31m",
            status: 200,
            subject: Some("\"acme\""),
            ..Entry::default()
        });
        log.close();
        let mut output = Vec::new();
        log.write_out(&mut output);
        let text = String::from_utf8(output).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["path"], "/a\r\n\u{1b}[31m");
        assert_eq!(line["subject"], "\"acme\"");
        assert!(line.get("upstream").is_none());
    }

    #[test]
    fn a_full_buffer_drops_and_counts() {
        let log = log();
        let path = "x".repeat(1 << 20);
        for _ in 0..20 {
            log.write(&Entry { path: &path, ..Entry::default() });
        }
        assert_eq!(log.0.dropped.get(), 4);
    }

    /// A disk with so much room, of which a write takes a few bytes at a time.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let length = bytes.len().min(self.room).min(7);
            if length == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= length;
            self.bytes.extend(&bytes[..length]);
            Ok(length)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_spoil_no_other() {
        let lines = b"{first}\n{second}\n{third}\n";
        for (room, written, lost, torn) in [
            (0, "", 3, false),
            (3, "{fi", 3, true),
            (7, "{first}", 3, true),
            (8, "{first}\n", 2, false),
            (12, "{first}\n{sec", 2, true),
            (100, "{first}\n{second}\n{third}\n", 0, false),
        ] {
            let mut disk = Disk { bytes: Vec::new(), room };
            let outcome = write_lines(&mut disk, lines, false);
            assert_eq!((outcome.lost, outcome.torn), (lost, torn), "{room}");
            assert_eq!(disk.bytes, written.as_bytes(), "{room}");
            // Still full: what is torn stays so.
            let outcome = write_lines(&mut disk, b"{lost}\n", outcome.torn);
            if room < 100 {
                assert_eq!((outcome.lost, outcome.torn), (1, torn), "{room}");
                disk.room = 100;
            }
            let outcome = write_lines(&mut disk, b"{next}\n", outcome.torn);
            assert_eq!((outcome.lost, outcome.torn), (0, false), "{room}");
            let text = String::from_utf8(disk.bytes).unwrap();
            assert!(text.ends_with("\n{next}\n") || text == "{next}\n", "{room}: {text}");
        }
    }

    #[test]
    fn the_writer_counts_what_is_lost() {
        let log = log();
        log.write(&Entry::default());
        log.write(&Entry::default());
        log.close();
        log.write_out(Disk { bytes: Vec::new(), room: 100 });
        assert_eq!(log.0.dropped.get(), 2);
    }
}
