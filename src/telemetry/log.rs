//! The log of the process: one line an event on standard error, as JSON or, on a terminal, as text.
//!
//! Only events of Portcullis itself are written. What dependencies log is dropped whatever the level, because they log
//! raw requests and upstream headers at levels that people turn on to find a problem.

use std::io::{IsTerminal, Write, stderr};

use log::{LevelFilter, Log, Metadata, Record};
use serde::Serialize;

use crate::clock::{Clock, rfc3339_millis};

/// Starts logging at `level`. Calling it again changes nothing.
pub fn start(level: LevelFilter, clock: Clock) {
    let format = if stderr().is_terminal() { Format::Text } else { Format::Json };
    if log::set_boxed_logger(Box::new(StandardError { clock, format })).is_ok() {
        log::set_max_level(level);
    }
}

struct StandardError {
    clock: Clock,
    format: Format,
}

enum Format {
    Json,
    Text,
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    level: &'a str,
    message: &'a str,
}

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        target == "portcullis" || target.starts_with("portcullis::")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = rfc3339_millis(self.clock.unix_millis());
        let message = record.args().to_string();
        let mut line = match self.format {
            Format::Json => {
                let level = record.level().as_str().to_ascii_lowercase();
                serde_json::to_string(&Line { time: &time, level: &level, message: &message })
                    .unwrap_or_default()
            }
            Format::Text => format!("{time} {:5} {message}", record.level()),
        };
        // The line and its end at once: another process may write to the same place, as one does that replaces this one.
        line.push('\n');
        // Standard error being closed is no reason to stop serving.
        let _ = stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}
