//! Credentials from somewhere else than the command line, which everybody on the machine can read.

use std::io::{Read, stdin};

use zeroize::Zeroizing;

/// Reads credentials; standard input can be read only once.
#[derive(Default)]
pub(super) struct Secrets {
    input_is_read: bool,
}

impl Secrets {
    /// What `text` stands for: itself, standard input for `-`, a file for `@FILE`, a variable for `env:NAME`. The end of
    /// the last line does not belong to it.
    pub(super) fn read(&mut self, text: &str) -> Result<Zeroizing<String>, String> {
        let read = if text == "-" {
            if std::mem::replace(&mut self.input_is_read, true) {
                return Err("only one credential can be read from standard input".to_owned());
            }
            let mut input = Zeroizing::new(String::new());
            stdin()
                .read_to_string(&mut input)
                .map_err(|error| format!("cannot read standard input: {error}"))?;
            input
        } else if let Some(path) = text.strip_prefix('@') {
            read_file(path)?
        } else if let Some(name) = text.strip_prefix("env:") {
            let value = std::env::var(name)
                .map_err(|_| format!("the environment variable `{name}` is not set, or is not UTF-8 text"))?;
            Zeroizing::new(value)
        } else {
            return Ok(Zeroizing::new(text.to_owned()));
        };
        let secret = read.strip_suffix('\n').map_or(&**read, |line| line.strip_suffix('\r').unwrap_or(line));
        if secret.is_empty() {
            return Err("the credential is empty".to_owned());
        }
        Ok(Zeroizing::new(secret.to_owned()))
    }

    /// The header fields that `text` stands for: itself, or the lines of a file for `@FILE`.
    pub(super) fn fields(text: &str) -> Result<Vec<Zeroizing<String>>, String> {
        let Some(path) = text.strip_prefix('@') else { return Ok(vec![Zeroizing::new(text.to_owned())]) };
        let lines = read_file(path)?;
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        Ok(lines.map(|line| Zeroizing::new(line.to_owned())).collect())
    }
}

fn read_file(path: &str) -> Result<Zeroizing<String>, String> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| format!("cannot read `{path}`: {error}"))
}
