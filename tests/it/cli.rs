//! The command line, as an operator uses it: what commands print, what they write, and that the gateway takes it.

mod audit;
mod check;
mod demo;
mod dev_token;
mod health;
mod keys;
mod matrix;
mod passwords;
mod trials;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What a command did.
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs the binary in `folder` with `input` on its standard input, in an empty environment.
fn portcullis(folder: &Path, arguments: &[&str], input: &str) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).current_dir(folder).env_clear();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) }
}

impl Done {
    /// What it printed; fails the test unless it succeeded.
    #[track_caller]
    fn success(&self) -> &str {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        &self.stdout
    }

    /// What it complained of; fails the test unless it failed with status 1 and printed nothing.
    #[track_caller]
    fn failure(&self) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (1, ""), "{}", self.stderr);
        &self.stderr
    }
}

/// A folder with these files, which others cannot read.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// Every command explains itself, and what nobody knows is an error of its own kind.
#[test]
fn commands_explain_themselves() {
    let folder = folder(&[]);
    let run = |arguments: &[&str]| portcullis(folder.path(), arguments, "");
    let help = run(&["--help"]);
    for command in [
        "run",
        "check",
        "explain",
        "test",
        "routes",
        "keys",
        "hash-password",
        "dev-token",
        "demo",
        "revoke",
        "schema",
    ] {
        assert!(help.success().contains(&format!("\n  {command} ")), "{command}: {}", help.stdout);
        assert!(run(&[command, "--help"]).success().contains("Usage: portcullis"), "{command}");
    }
    assert_eq!(run(&["--version"]).success(), format!("portcullis {}\n", env!("CARGO_PKG_VERSION")));
    for arguments in [&["chek"][..], &["check", "--file", "x"], &["keys"], &["keys", "new"], &[]] {
        let done = run(arguments);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{arguments:?}: {}", done.stderr);
    }
    assert!(run(&["chek"]).stderr.contains("'check'"), "what was meant is said");
    let schema = run(&["schema"]);
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.schema.json")).unwrap();
    assert_eq!(schema.success(), file);
    for command in ["check", "routes", "run"] {
        let done = run(&[command]);
        assert_eq!(
            done.failure(),
            "error: cannot read `gateway.yaml`: No such file or directory (os error 2)\n\n1 error\n"
        );
    }
}
