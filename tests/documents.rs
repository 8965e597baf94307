//! What the repository shows is true: the schema is current, the reference configuration is good, and the examples in the
//! documents are accepted by the real binary.
#![expect(clippy::unwrap_used, reason = "all of this is a test, also where it is not in a test function")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

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

/// The page has every key, because it is made of what the reader of the file knows.
#[test]
fn the_reference_is_current() {
    let output = portcullis(&root(), &["schema", "--markdown"]);
    let file = fs::read_to_string(root().join("docs/reference.md")).unwrap();
    assert_eq!(text(&output.stdout), file, "run `portcullis schema --markdown > docs/reference.md`");
    let keys = |text: &str| text.lines().filter(|line| line.starts_with("| `")).count();
    let schema = portcullis(&root(), &["schema"]);
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    let known: usize = schema["definitions"]
        .as_object()
        .unwrap()
        .values()
        .chain([&schema])
        .filter_map(|definition| definition["properties"].as_object())
        .map(serde_json::Map::len)
        .sum();
    assert!(keys(&file) >= known, "{} of {known} keys", keys(&file));
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

/// A piece of YAML in a document, and what its fence says that it is.
struct Piece {
    /// `docs/credentials.md:41`
    place: String,
    kind: String,
    text: String,
}

/// Every piece of YAML in the README and in `docs/`.
fn pieces() -> Vec<Piece> {
    let mut files = vec![root().join("README.md")];
    files.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        let document = fs::read_to_string(file).unwrap();
        let mut lines = document.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let Some(fence) = line.trim_start().strip_prefix("```") else { continue };
            let inside: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
            let text = inside.join("\n") + "\n";
            if let Some(kind) = fence.strip_prefix("yaml") {
                let name = file.strip_prefix(root()).unwrap().display();
                found.push(Piece { place: format!("{name}:{}", at + 1), kind: kind.trim().to_owned(), text });
            }
        }
    }
    found
}

/// The smallest configuration that holds the keys of `fragment`: everything that it names is there, and everything that it
/// defines is used.
fn framed(fragment: &str) -> Value {
    let mut document: Value = serde_yaml::from_str(fragment).unwrap();
    let names = |value: &Value| -> Vec<String> {
        value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
    };
    let mut fill = |key: &str, value: Value| {
        document.as_object_mut().unwrap().entry(key).or_insert(value);
    };
    fill("version", json!(1));
    fill("listen", json!([{ "address": "127.0.0.1:8443", "tls": true }]));
    fill("tls", json!({ "certificates": [{ "cert": "tls/api.crt", "key": "tls/api.key" }] }));
    fill("auth", json!({}));
    fill("upstreams", json!({}));
    if document["routes"].is_null() {
        let mut routes = Vec::new();
        for auth in names(&document["auth"]) {
            let path = format!("/auth/{auth}/**");
            routes
                .push(json!({ "name": auth, "match": { "path": path }, "auth": auth, "upstream": "frame" }));
        }
        for upstream in names(&document["upstreams"]) {
            let path = format!("/upstreams/{upstream}/**");
            let match_ = json!({ "path": path });
            routes.push(json!({ "name": upstream, "match": match_, "auth": "public", "upstream": upstream }));
        }
        if routes.is_empty() {
            routes.push(
                json!({ "name": "r", "match": { "path": "/**" }, "auth": "public", "upstream": "frame" }),
            );
        }
        document["routes"] = json!(routes);
    }
    for route in document["routes"].as_array().unwrap().clone() {
        let upstream = route["upstream"].as_str().unwrap();
        if document["upstreams"][upstream].is_null() {
            document["upstreams"][upstream] = json!("builtin:echo");
        }
        let auth = match &route["auth"] {
            Value::Array(names) => names.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
            name => vec![name.as_str().unwrap().to_owned()],
        };
        for name in auth.iter().filter(|name| *name != "public") {
            if document["auth"][name].is_null() {
                document["auth"][name] = match name.as_str() {
                    "users" => json!({ "jwt": { "issuer": "https://id.example.com", "audience": "api" } }),
                    "staff" => json!({ "basic": { "users": "staff.htpasswd", "realm": "Tools" } }),
                    _ => json!({ "api_key": { "keys": "keys.yaml" } }),
                };
            }
        }
    }
    document
}

/// Whoever copies a piece of YAML from a document gets something that the gateway takes.
#[test]
fn every_piece_of_yaml_in_the_documents_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let certificate = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
    write("tls/api.crt", &certificate.cert.pem());
    write("tls/api.key", &certificate.signing_key.serialize_pem());
    write("tls/redis-ca.crt", &certificate.cert.pem());
    write("secrets/redis", "a password");
    write("secrets/admin", "a token that is long enough to be one");
    // bcrypt of some password.
    write("staff.htpasswd", "alice:$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n");
    let keys = "keys: [{ id: k_1, owner: acme, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, expires: never }]";
    let mut kinds = Vec::new();
    let whole = blocks("README.md", "yaml").remove(0);
    for Piece { place, kind, text } in pieces() {
        write("keys.yaml", keys);
        match kind.as_str() {
            "" => write("gateway.yaml", &text),
            "fragment" => write("gateway.yaml", &framed(&text).to_string()),
            // What is expected of the example.
            "tests" => write("gateway.yaml", &format!("{whole}\n{text}")),
            "keys" => {
                write("keys.yaml", &text);
                write(
                    "gateway.yaml",
                    &framed("auth: { partners: { api_key: { keys: keys.yaml } } }").to_string(),
                );
            }
            other => panic!("{place}: what is `yaml {other}`?"),
        }
        let check = portcullis(folder.path(), &["check"]);
        assert!(check.status.success(), "{place}:\n{text}\n{}", self::text(&check.stderr));
        kinds.push(kind);
    }
    for (kind, least) in [("", 1), ("fragment", 12), ("keys", 1)] {
        assert!(kinds.iter().filter(|found| *found == kind).count() >= least, "{kind}: {kinds:?}");
    }
}

/// A link inside the repository leads to a file that is there, and to a heading of it.
#[test]
fn links_lead_somewhere() {
    let mut files: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
            .map(|name| root().join(name))
            .into();
    for folder in ["docs", "docs/adr", "examples"] {
        files.extend(fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        let document = fs::read_to_string(file).unwrap();
        for rest in document.split("](").skip(1) {
            let link = rest.split(')').next().unwrap();
            if link.starts_with("http://") || link.starts_with("https://") {
                continue;
            }
            let (name, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if name.is_empty() { file.clone() } else { file.parent().unwrap().join(name) };
            assert!(target.exists(), "{}: {link}", file.display());
            let anchors = |text: String| -> Vec<String> {
                let titles = text.lines().filter_map(|line| line.strip_prefix('#')).map(str::to_owned);
                // As forges make them: lower case, hyphens for spaces, and no other punctuation.
                let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
                let anchor = |title: String| -> String {
                    let title = title.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                    title.chars().filter(kept).collect()
                };
                titles.map(anchor).collect()
            };
            let there = heading.is_empty()
                || anchors(fs::read_to_string(&target).unwrap()).iter().any(|anchor| anchor == heading);
            assert!(there, "{}: {link} has no such heading", file.display());
        }
    }
}
