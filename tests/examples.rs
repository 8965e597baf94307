//! Each configuration in `examples/` passes `portcullis check` and its own policy tests.
#![expect(clippy::unwrap_used, reason = "all of this is a test, also where it is not in a test function")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Copies an example and adds the certificates and secrets that an operator brings.
fn deployed(example: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(example).unwrap() {
        let file = entry.unwrap().path();
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let certificate = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
    let (chain, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
    let files = [
        ("tls/api.crt", chain.as_str()),
        ("tls/api.key", &key),
        ("tls/tls.crt", &chain),
        ("tls/tls.key", &key),
        ("tls/internal-ca.crt", &chain),
        ("secrets/redis", "a password"),
        ("secrets/admin", "a token of more than thirty-two characters"),
    ];
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn examples_pass_check_and_their_policy_tests() {
    let examples = examples();
    assert_eq!(examples.len(), 5, "{examples:?}");
    for example in examples {
        let folder = deployed(&example);
        for command in ["check", "test"] {
            let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
                .arg(command)
                .current_dir(folder.path())
                .output()
                .unwrap();
            let text =
                [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).join("\n");
            assert!(output.status.success(), "{} {command}:\n{text}", example.display());
            assert!(!text.contains("0 tests passed"), "{} has no policy tests", example.display());
        }
    }
}

#[test]
fn examples_are_listed_in_their_readme() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/README.md")).unwrap();
    for example in examples() {
        let name = example.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("({name}/gateway.yaml)")), "{name}");
    }
}
