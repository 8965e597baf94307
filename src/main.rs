//! The process: reads the command line, runs a command, prints what it has to say and exits with its status.
#![forbid(unsafe_code)]

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;
use portcullis::cli::{self, Arguments};

/// Requests allocate and free small pieces all the time, which jemalloc does in less time and memory than the system's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let output = cli::execute(Arguments::parse());
    // A reader that closed its end early, such as `head`, is no failure of the command.
    if !output.complaint.is_empty() {
        let _ = writeln!(stderr(), "{}", output.complaint);
    }
    if !output.text.is_empty() {
        let _ = writeln!(stdout(), "{}", output.text);
    }
    output.status.into()
}
