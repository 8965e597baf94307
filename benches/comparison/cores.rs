//! Which processors the contestants run on, and which the loader and the upstream.
//!
//! On a machine with more than one, contestants have the last one to themselves, so that all of them are driven alike.
//! `taskset`, which is part of every Linux, does that; where it is missing the operating system decides.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// A command for `program`, on the processor of the contestants.
pub(crate) fn apart(program: &OsStr) -> Command {
    let Some(last) = last() else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &last.to_string()]).arg(program);
    command
}

/// Keeps this process away from there. Threads that have been started already are not moved.
pub(crate) fn leave_to_contestants() {
    let Some(last) = last() else { return };
    let others = format!("0-{}", last - 1);
    let process = std::process::id().to_string();
    let mut command = Command::new("taskset");
    let _ = command.args(["--cpu-list", "--pid", &others, &process]).stdout(Stdio::null()).status();
}

/// The last processor, if there are more and something can be moved to it.
fn last() -> Option<u32> {
    let last = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let last: u32 = last.trim().rsplit(['-', ',']).next()?.parse().ok()?;
    let works = Command::new("taskset").args(["--cpu-list", &last.to_string(), "true"]).status();
    (last > 0 && works.is_ok_and(|status| status.success())).then_some(last)
}
