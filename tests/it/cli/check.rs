//! `check` and `routes`.

use super::{folder, portcullis};

const KEYS: &str = "\
keys:
  - id: k_1
    owner: acme
    sha256: 6f1e3c9a1b2c4d5e8f90a1b2c3d4e5f66f1e3c9a1b2c4d5e8f90a1b2c3d4e5f6
    expires: never
";

const GOOD: &str = "\
version: 1
listen: [{ address: \"127.0.0.1:8443\", tls: true }]
tls: { self_signed: [localhost] }
auth:
  partners: { api_key: { keys: keys.yaml } }
upstreams:
  api: http://127.0.0.1:8080
  many: { targets: [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"] }
  demo: builtin:echo
routes:
  - name: orders
    match: { host: api.example.com, path: /v1/orders/** }
    auth: partners
    allow: { \"GET, HEAD\": { scopes: [orders:read] }, DELETE: { scopes: [a, b], roles: [editor, admin] } }
    upstream: api
  - { name: watched, match: { path: /watched }, auth: partners, mode: report, upstream: many }
  - { name: docs, match: { path: /docs/*, methods: [GET] }, auth: public, upstream: demo }
";

#[test]
fn a_good_file_is_good() {
    let folder = folder(&[("gateway.yaml", GOOD), ("keys.yaml", KEYS)]);
    let done = portcullis(folder.path(), &["check"], "");
    assert_eq!(done.success(), "gateway.yaml is good: 3 routes\n");
    // The file is found wherever the command is run, and paths in it are relative to it.
    let path = folder.path().join("gateway.yaml");
    let elsewhere = tempfile::tempdir().unwrap();
    let done = portcullis(elsewhere.path(), &["check", "--config", path.to_str().unwrap()], "");
    assert_eq!(done.success(), format!("{} is good: 3 routes\n", path.display()));
}

/// Warnings are told and refuse nothing.
#[test]
fn a_warning_is_no_error() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder(&[("gateway.yaml", GOOD), ("keys.yaml", KEYS)]);
    std::fs::set_permissions(folder.path().join("keys.yaml"), std::fs::Permissions::from_mode(0o666))
        .unwrap();
    let done = portcullis(folder.path(), &["check"], "");
    assert_eq!(done.success(), "gateway.yaml is good: 3 routes\n");
    assert!(
        done.stderr.contains("warning: this key file can be written by others (mode 666)"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("--> gateway.yaml:5:32"), "{}", done.stderr);
}

/// All problems of all files at once, each with file, line, column, caret and cure.
#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let wrong = GOOD
        .replace("auth: partners\n", "auth: partnes\n")
        .replace("mode: report", "mod: report")
        .replace("http://127.0.0.1:8080", "127.0.0.1:8080")
        .replace("methods: [GET]", "methods: [get]");
    let keys = KEYS.replace("owner: acme", "ownr: acme").replace("never", "soon");
    let folder = folder(&[("gateway.yaml", &wrong), ("keys.yaml", &keys)]);
    let done = portcullis(folder.path(), &["check"], "");
    assert_eq!(
        done.failure(),
        "\
warning: a self-signed certificate is made at start: for development only
 --> gateway.yaml:3:21
  |
3 | tls: { self_signed: [localhost] }
  |                     ^
  |
  = help: clients cannot tell it from an attacker's; use `certificates` in production

error: this is not the URL of a server
 --> gateway.yaml:7:8
  |
7 |   api: 127.0.0.1:8080
  |        ^^^^^^^^^^^^^^
  |
  = help: write `http://host:port`, `https://host:port`, or `h2c://host:port` for HTTP/2 in the clear

error: there is no `partnes` in `auth`
  --> gateway.yaml:13:11
   |
13 |     auth: partnes
   |           ^^^^^^^
   |
   = help: did you mean `partners`?

error: unknown key `mod`
  --> gateway.yaml:16:65
   |
16 |   - { name: watched, match: { path: /watched }, auth: partners, mod: ******, upstream: many }
   |                                                                 ^^^
   |
   = help: did you mean `mode`?

error: methods are case-sensitive: `get` would match nothing
  --> gateway.yaml:17:53
   |
17 |   - { name: docs, match: { path: /docs/*, methods: [get] }, auth: public, upstream: demo }
   |                                                     ^^^
   |
   = help: write `GET`

error: unknown key `ownr`
 --> keys.yaml:3:5
  |
3 |     ownr: ****
  |     ^^^^
  |
  = help: did you mean `owner`?

error: a time is expected here, such as `2027-02-19T09:00:00Z`, or `never`
 --> keys.yaml:5:14
  |
5 |     expires: soon
  |              ^^^^

6 errors
"
    );
    // What `check` refuses, `run` and `routes` refuse in the same words.
    for command in ["run", "routes"] {
        assert_eq!(portcullis(folder.path(), &[command], "").failure(), done.stderr, "{command}");
    }
}

#[test]
fn what_is_no_yaml_is_pointed_at() {
    for (from, to, says) in [
        ("tls: true }]", "tls: true }", "gateway.yaml:"),
        ("name: orders", "name: \"orders", "gateway.yaml:12:5"),
        ("routes:\n", "routes:\n\t", "gateway.yaml:11:"),
        ("version: 1\n", "version: 1\nversion: 1\n", "gateway.yaml:2:1"),
        ("version: 1\n", "version: &v 1\nlimits: { connections: *v }\n", "used again by an alias"),
        ("version: 1\n", "version: !mine 1\n", "unsupported tag"),
    ] {
        let folder = folder(&[("gateway.yaml", &GOOD.replacen(from, to, 1)), ("keys.yaml", KEYS)]);
        let done = portcullis(folder.path(), &["check"], "");
        assert!(done.failure().contains(says), "{to}: {}", done.stderr);
        assert!(done.stderr.contains('^') && done.stderr.ends_with("1 error\n"), "{to}: {}", done.stderr);
    }
    for text in ["", "# nothing\n", "[]", "x", "\u{0}", "--- \na: 1\n--- \nb: 1\n"] {
        let folder = folder(&[("gateway.yaml", text)]);
        let done = portcullis(folder.path(), &["check"], "");
        assert!(done.failure().contains("error: "), "{text:?}: {}", done.stderr);
    }
}

/// What people get wrong first is said with its line, its cause and a cure, and with nothing else that is wrong only because
/// of it.
#[test]
fn first_mistakes_are_told_with_a_cure() {
    for (from, to, at, cause, cure) in [
        ("    match: {", "    mach: {", "12:5", "unknown key `mach`", "did you mean `match`?"),
        ("upstreams:", "upstream:", "6:1", "unknown key `upstream`", "did you mean `upstreams`?"),
        (
            "upstream: api",
            "upstream: apis",
            "15:15",
            "there is no `apis` in `upstreams`",
            "did you mean `api`?",
        ),
        ("    match: { host", "   match: { host", "12:4", "not valid YAML", "begin in the same column"),
        ("    auth: partners", "      auth: partners", "13:7", "not valid YAML", "begin in the same column"),
        ("    upstream: api", "    upstream api", "15:5", "not valid YAML", "a colon is followed by a space"),
        ("    auth: partners", "\tauth: partners", "13:2", "not valid YAML: tabs", "indented with spaces"),
        ("keys.yaml", "keyz.yaml", "5:32", "cannot read this file", "it is looked for at `keyz.yaml`"),
        ("version: 1\n", "", "1:1", "`version` is missing here", "add `version: …`"),
        ("tls: true", "tls: yes", "2:44", "true or false is expected", "write `true` or `false`"),
        ("\"127.0.0.1:8443\"", "8443", "2:21", "text is expected here", "put it in quotes"),
        (
            "127.0.0.1:8443",
            "localhost:8443",
            "2:21",
            "an IP address and a port are expected here",
            "`0.0.0.0:8443`",
        ),
        (
            "[{ address: \"127.0.0.1:8443\", tls: true }]",
            "8443",
            "2:9",
            "a list is expected here",
            "`- first`",
        ),
        ("path: /v1/orders/**", "path: [/v1]", "12:43", "text is expected here", "leave out `[` and `]`"),
        (
            "{ api_key: { keys: keys.yaml } }",
            "{ jwt: { issuer: id.example.com, audience: x } }",
            "5:30",
            "this issuer is not an absolute URL",
            "say where the keys are",
        ),
        (
            "{ api_key: { keys: keys.yaml } }",
            "{ jwt: { issuer: \"https://id.example.com\" } }",
            "5:20",
            "`audience` is missing here",
            "add `audience: …`",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let folder = folder(&[("gateway.yaml", &GOOD.replacen(from, to, 1)), ("keys.yaml", KEYS)]);
        let done = portcullis(folder.path(), &["check"], "");
        let told = done.failure();
        let problem = told.split("\n\n").find(|problem| problem.contains(cause));
        let problem = problem.unwrap_or_else(|| panic!("{to}: {told}"));
        assert!(problem.contains(&format!("--> gateway.yaml:{at}\n")), "{to}: {told}");
        assert!(problem.contains(cure), "{to}: {told}");
        assert_eq!(
            told.matches("missing here").count(),
            usize::from(cause.contains("missing")),
            "{to}: {told}"
        );
    }
}

/// Whoever names the wrong file, or has misspelt a key in each of thousands of entries, is told so, and not for ever.
#[test]
fn thousands_of_mistakes_are_counted_and_some_are_shown() {
    let entry = |at: usize| {
        format!(
            "  - {{ id: k_{at}, owner: acme, sha256: \"{at:064x}\", expires: never, skopes: [hunter2] }}\n"
        )
    };
    let misspelt: String = (0..5_000).map(entry).collect();
    let unknown = (0..5_000).map(|at| format!("unknown_{at}: hunter2\n")).collect::<Vec<_>>().concat();
    // What is only found when a file has been read.
    let sha256 = "6f".repeat(32);
    let twice = format!("  - {{ id: k_1, owner: acme, sha256: {sha256}, expires: never }}\n").repeat(5_000);
    for (yaml, keys, errors) in [
        (GOOD.to_owned(), format!("keys:\n{misspelt}"), 5_000),
        (format!("{GOOD}{unknown}"), KEYS.to_owned(), 5_000),
        (format!("{GOOD}{unknown}"), format!("keys:\n{misspelt}"), 10_000),
        (GOOD.to_owned(), format!("keys:\n{twice}"), 9_998),
    ] {
        let folder = folder(&[("gateway.yaml", &yaml), ("keys.yaml", &keys)]);
        let done = portcullis(folder.path(), &["check"], "");
        let told = done.failure();
        // The warning about the certificate counts, too.
        let left = errors + 1 - 100;
        let end = format!("\n\nand {left} more problems, which are not shown\n\n{errors} errors");
        assert!(told.trim_end().ends_with(&end), "{}", &told[told.len() - 300..]);
        assert_eq!(told.matches("error: ").count(), 100);
        assert!(told.len() < 64 << 10 && !told.contains("hunter2"), "{} bytes", told.len());
    }
}

/// Which key of the file names an address that is taken.
#[test]
fn an_address_that_is_taken_is_told_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let other = GOOD.replace("127.0.0.1:8443", "127.0.0.1:0");
    for (key, yaml) in [
        ("listen", GOOD.replace("127.0.0.1:8443", &address) + "admin: { address: \"127.0.0.1:0\" }\n"),
        ("admin", format!("{other}admin: {{ address: \"{address}\" }}\n")),
    ] {
        let folder = folder(&[("gateway.yaml", &yaml), ("keys.yaml", KEYS)]);
        let done = portcullis(folder.path(), &["run"], "");
        let told = format!("error: cannot listen on {address}, which `{key}` names: Address already in use");
        assert!(done.failure().contains(&told), "{}", done.stderr);
    }
}

#[test]
fn routes_are_shown_with_who_may() {
    let folder = folder(&[("gateway.yaml", GOOD), ("keys.yaml", KEYS)]);
    let done = portcullis(folder.path(), &["routes"], "");
    assert_eq!(
        done.success(),
        "\
ROUTE                   HOST             PATH           METHODS                                 WHO MAY                                   UPSTREAM
orders                  api.example.com  /v1/orders/**  GET HEAD                                partners with orders:read                 api
                                                        DELETE                                  partners with a and b as editor or admin
watched (reports only)  *                /watched       GET HEAD POST PUT PATCH DELETE OPTIONS  partners                                  many (2 targets)
docs                    *                /docs/*        GET                                     ANYONE (public)                           demo (builtin:echo)
"
    );
}
