//! Files as rows, and what is said about them. The texts are part of the contract with users, so they are compared whole.

mod problems;
mod routing;

use std::path::PathBuf;

use super::*;

/// A folder with the files that the rows refer to.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        write(
            "keys.yaml",
            &format!("keys:\n  - {{ id: k, owner: acme, sha256: {}, expires: never }}\n", "a".repeat(64)),
        );
        write("users", "alice:$2y$04$abcdefghijklmnopqrstuu5LmuHCfJ7O0fXFhEjZ1ZCUqOhyvXaG2\n");
        let one = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["other.example.com".to_owned()]).unwrap();
        write("api.crt", &one.cert.pem());
        write("api.key", &one.signing_key.serialize_pem());
        write("other.key", &other.signing_key.serialize_pem());
        Self(folder)
    }

    fn load(&self, text: &str) -> Result<Configuration, Rejected> {
        let path: PathBuf = self.0.path().join("gateway.yaml");
        std::fs::write(&path, text).unwrap();
        let (hashing, _worker) = HashingPool::new();
        let environment = |name: &str| (name == "UPSTREAM").then(|| "http://from-env:81".to_owned());
        let services = Services {
            clock: Clock::system(),
            environment: &environment,
            metrics: Metrics::new("0", "0").unwrap(),
            hashing,
        };
        Configuration::load(&path, &services, None)
    }

    /// The problems as `line:column: text (hint)`.
    fn problems(&self, text: &str) -> Vec<String> {
        let problems = match self.load(text) {
            Ok(configuration) => configuration.warnings,
            Err(rejected) => rejected.problems,
        };
        let folder = format!("{}/gateway.yaml:", self.0.path().display());
        problems.sorted().iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    }
}

/// A file that is good but for what the row puts in place of a part of it.
const GOOD: &str = "\
version: 1
listen:
  - { address: \"127.0.0.1:0\", tls: true }
tls: { certificates: [{ cert: api.crt, key: api.key }] }
auth:
  partners: { api_key: { keys: keys.yaml } }
  staff: { basic: { users: users, realm: Tools } }
upstreams:
  api: http://api:8080
routes:
  - name: orders
    match: { path: /orders/** }
    auth: [partners, staff]
    upstream: api
";

/// Editors write it, and it is invisible: neither the file nor the places of its mistakes may depend on it.
#[test]
fn a_byte_order_mark_means_nothing() {
    let folder = Folder::new();
    assert_eq!(folder.problems(&format!("\u{feff}{GOOD}")), [""; 0]);
    let wrong = GOOD.replace("version: 1", "version: 2");
    assert_eq!(folder.problems(&format!("\u{feff}{wrong}")), folder.problems(&wrong));
    for text in ["\u{feff}", "\u{feff}\u{feff}a: b", "a: \u{feff}&u\"\n", "\u{feff}s -dx :z :{$A\"\n&u\"\n"] {
        let Err(rejected) = folder.load(text) else { panic!("{text:?} is no gateway") };
        assert!(!rejected.problems.render(false).is_empty());
    }
}

#[test]
fn a_good_file_is_taken() {
    let configuration = Folder::new().load(GOOD).unwrap();
    assert_eq!(configuration.warnings.len(), 0, "{:?}", configuration.warnings);
    assert_eq!(configuration.gateway.routes.iter().count(), 1);
    assert_eq!(configuration.files.len(), 5, "{:?}", configuration.files);
}

#[test]
fn routes_that_could_both_win_are_refused() {
    let folder = Folder::new();
    let route = |name: &str, matches: &str| {
        format!("  - {{ name: {name}, match: {matches}, auth: public, upstream: api }}\n")
    };
    for (first, second, conflict) in [
        ("{ path: /a }", "{ path: /a }", true),
        ("{ path: /a/* }", "{ path: /a/* }", true),
        ("{ path: /%61 }", "{ path: /a }", true),
        ("{ path: /a, host: A.com }", "{ path: /a, host: a.com. }", true),
        ("{ path: /a, methods: [GET, PUT] }", "{ path: /a, methods: [PUT] }", true),
        ("{ path: /a, methods: [GET] }", "{ path: /a, methods: [PUT] }", false),
        ("{ path: /a, methods: [GET] }", "{ path: /a }", false),
        ("{ path: /a/** }", "{ path: /a }", false),
        ("{ path: /a/* }", "{ path: /a/b }", false),
        ("{ path: /a/*/c }", "{ path: /a/b/* }", false),
        ("{ path: /a, host: a.com }", "{ path: /a }", false),
    ] {
        let text = format!("{GOOD}{}{}", route("one", first), route("two", second));
        let problems = folder.problems(&text);
        let found = problems
            .iter()
            .any(|problem| problem.contains("this matches the same requests as the route `one`"));
        assert_eq!(found, conflict, "{first} {second} {problems:?}");
    }
}

#[test]
fn variables_are_replaced_and_cannot_add_keys() {
    let folder = Folder::new();
    let text = GOOD.replace("http://api:8080", "\"${UPSTREAM}\"");
    let configuration = folder.load(&text).unwrap();
    let crate::gateway::upstream::Destination::Targets(targets) =
        &configuration.gateway.upstreams[0].destination
    else {
        panic!("an upstream with targets")
    };
    assert_eq!(
        targets.iter().next().map(|target| (target.host.as_str(), target.port)),
        Some(("from-env", 81))
    );
}

#[test]
fn a_public_route_for_everything_beside_a_guarded_one_is_warned_about() {
    let folder = Folder::new();
    let text = format!("{GOOD}  - {{ name: rest, match: {{ path: /** }}, auth: public, upstream: api }}\n");
    let configuration = folder.load(&text).unwrap();
    let warnings: Vec<_> =
        configuration.warnings.sorted().iter().map(|problem| problem.what().to_owned()).collect();
    assert_eq!(warnings, ["this public route takes every path that no other route takes"]);
}
