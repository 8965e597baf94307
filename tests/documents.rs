//! What the repository shows is true: the schema is current, the reference configuration is good, and the examples in the
//! documents are accepted by the real binary.
#![expect(clippy::unwrap_used, reason = "all of this is a test, also where it is not in a test function")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn portcullis(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).current_dir(directory).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_schema_is_current() {
    let output = portcullis(&root(), &["schema"]);
    let file = fs::read_to_string(root().join("gateway.schema.json")).unwrap();
    assert_eq!(text(&output.stdout), file, "run `portcullis schema > gateway.schema.json`");
}

#[test]
fn the_reference_configuration_is_good_once_its_demonstration_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let demo = portcullis(folder.path(), &["demo"]);
    assert!(demo.status.success(), "{}", text(&demo.stderr));
    let shown = text(&demo.stdout);
    assert_eq!(shown.matches("curl ").count(), 4, "{shown}");
    // Made once, shown the same again.
    assert_eq!(text(&portcullis(folder.path(), &["demo"]).stdout), shown);
    let check = portcullis(folder.path(), &["check"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    assert_eq!(
        fs::read_to_string(folder.path().join("gateway.yaml")).unwrap(),
        fs::read_to_string(root().join("gateway.yaml")).unwrap()
    );
    let routes = text(&portcullis(folder.path(), &["routes"]).stdout);
    assert!(
        routes.contains("ANYONE (public)") && routes.contains("users or partners or staff with orders:read"),
        "{routes}"
    );
}

/// The fenced blocks of a language in a Markdown file.
fn blocks(file: &str, language: &str) -> Vec<String> {
    let document = fs::read_to_string(root().join(file)).unwrap();
    let opening = format!("```{language}\n");
    document.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_example_of_the_readme_is_good_and_its_mistake_is_reported_as_shown() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    };
    let certificate = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
    write("tls/api.crt", &certificate.cert.pem());
    write("tls/api.key", &certificate.signing_key.serialize_pem());
    let example = blocks("README.md", "yaml").remove(0);
    assert!(example.starts_with("version: 1"), "{example}");
    assert!(example.lines().count() <= 12, "the example stays short");
    write("gateway.yaml", &example);
    let made = portcullis(
        folder.path(),
        &["keys", "new", "--owner", "acme", "--scopes", "orders:read", "--expires", "90d"],
    );
    assert!(made.status.success(), "{}", text(&made.stderr));
    let check = portcullis(folder.path(), &["check"]);
    assert!(check.status.success(), "{}", text(&check.stderr));

    write("gateway.yaml", &example.replace("auth: partners\n", "auth: partnes\n"));
    let check = portcullis(folder.path(), &["check"]);
    assert_eq!(check.status.code(), Some(1));
    let shown = blocks("README.md", "text").remove(0);
    let reported = text(&check.stderr);
    assert!(reported.contains(shown.trim_end()), "the README shows\n{shown}\nand check says\n{reported}");
}

#[test]
fn every_series_that_the_readme_names_exists() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let source = ["src/telemetry/metrics.rs", "src/telemetry/metrics/route.rs"]
        .map(|file| fs::read_to_string(root().join(file)).unwrap())
        .join("\n");
    let mut named = 0;
    for word in readme.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
        if let Some(name) = word.strip_prefix("portcullis_") {
            named += 1;
            assert!(source.contains(&format!("\"{name}\"")), "{word}");
        }
    }
    assert!(named > 5);
}

/// A promise in SECURITY.md is only as good as the tests that it names.
#[test]
fn every_promise_names_tests_that_exist() {
    fn names(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let tests = text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1));
                found.extend(
                    tests.filter_map(|after| Some(after.split("fn ").nth(1)?.split('(').next()?.to_owned())),
                );
            }
        }
    }
    let mut tests = Vec::new();
    names(Path::new("tests"), &mut tests);
    let security = fs::read_to_string("SECURITY.md").unwrap();
    let rows: Vec<&str> = security.lines().filter(|line| line.starts_with("| **")).collect();
    assert!(rows.len() > 10, "the table of promises");
    for row in rows {
        let named: Vec<&str> = row.rsplit(" | ").next().unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "a promise without a test: {row}");
        for name in named {
            assert!(tests.iter().any(|test| test == name), "there is no test called {name}");
        }
    }
}
