//! HTTP clients that are programs of their own: curl, Python (`requests`, `httpx`, `grpc`) and Node.js (`undici`).
//!
//! `scripts/install test` installs them. Each gets the certificate of [`Authority::shared`] in a file, the environment
//! variable `CA`, and with [`curl`] as its argument.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::NamedTempFile;

use super::process::{Finished, run};
use super::tls::Authority;

/// Runs curl with these arguments, trusting [`Authority::shared`].
pub async fn curl<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Finished {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--cacert"]).arg(ca()).args(arguments);
    run(&mut command).await
}

/// Runs a Python script with these arguments. `requests`, `httpx` (with HTTP/2) and `grpc` can be imported.
pub async fn python(script: &str, arguments: &[&str]) -> Finished {
    let program = installed("python/bin/python");
    let mut command = Command::new(program);
    // `-I`: nothing of the machine's own settings or packages.
    command.args(["-I", "-c", script]).args(arguments).env("CA", ca()).env("REQUESTS_CA_BUNDLE", ca());
    run(&mut command).await
}

/// Runs a script of Node.js (a `CommonJS` module) with these arguments from `process.argv[2]` on. `undici` can be required.
pub async fn node(script: &str, arguments: &[&str]) -> Finished {
    let modules = installed("node/node_modules");
    let mut file = tempfile::Builder::new().suffix(".cjs").tempfile().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    let mut command = Command::new("node");
    command.arg(file.path()).args(arguments);
    command.env("NODE_PATH", modules).env("NODE_EXTRA_CA_CERTS", ca()).env("CA", ca());
    run(&mut command).await
}

/// A file with the certificate of [`Authority::shared`].
pub fn ca() -> &'static Path {
    static FILE: OnceLock<NamedTempFile> = OnceLock::new();
    FILE.get_or_init(|| {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(Authority::shared().pem().as_bytes()).unwrap();
        file
    })
    .path()
}

/// Where `scripts/install test` has put this.
fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/clients").join(path);
    assert!(path.exists(), "{} is missing: run `scripts/install test`", path.display());
    path
}
