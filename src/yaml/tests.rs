//! What a document reader must find, each as a row: the text, and every problem it must report.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Entries, Located, Options, read, tree};
use crate::problem::Problems;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the values are read to see what is wrong with them")]
struct Document {
    version: u32,
    #[serde(default)]
    methods: Entries<Kind>,
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "the values are read to see what is wrong with them")]
enum Kind {
    ApiKey(ApiKey),
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the values are read to see what is wrong with them")]
struct ApiKey {
    keys: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the values are read to see what is wrong with them")]
struct Route {
    name: Located<String>,
    port: u16,
    #[serde(default)]
    secret: Option<String>,
}

fn check(text: &str, expect: &[&str]) -> Option<Located<Document>> {
    let environment = |name: &str| (name == "PORT").then(|| "80".to_owned());
    let options = Options { environment: &environment, reserved: &["cors", "oidc"] };
    let mut problems = Problems::default();
    let document = read::<Document>(PathBuf::from("t.yaml"), text, &options, &mut problems);
    let found: Vec<String> = problems.sorted().into_iter().map(ToString::to_string).collect();
    assert_eq!(found, expect, "{text}");
    document
}

#[test]
fn a_good_document_is_read_with_its_places() {
    let document = check(
        "version: 1\nmethods: { a: { api_key: { keys: k } }, b: none }\nroutes:\n  - name: \"one\"\n    port: ${PORT}\n",
        &[],
    )
    .unwrap();
    let route = &document.routes[0];
    assert_eq!((route.name.as_str(), route.port), ("one", 80));
    assert_eq!(route.name.place().to_string(), "t.yaml:4:11");
    assert_eq!(document.methods.iter().next().unwrap().0.place().to_string(), "t.yaml:2:12");
}

#[test]
fn all_problems_are_found_at_once() {
    check(
        "version: one\nroutes:\n  - name: a\n    prot: 1\n    port: x\n  - port: 99999\n    colour: red\n    cors: {}\n  - 7\n  - name: b\n    port: 2\n    port: 3\nmethods:\n  x: { api_key: { keyz: k } }\n  y: { api_kee: {} }\n  z: { oidc: {} }\n  w: { api_key: { keys: a }, none: 1 }\n  v: {}\n",
        &[
            "t.yaml:1:10: a whole number is expected here, found text",
            "t.yaml:4:5: unknown key `prot` (did you mean `port`?)",
            "t.yaml:5:11: a whole number is expected here, found text",
            "t.yaml:6:5: `name` is missing here (add `name: …`)",
            "t.yaml:6:11: u16 is expected here",
            "t.yaml:7:5: unknown key `colour` (the keys here are `name`, `port` and `secret`)",
            "t.yaml:8:5: `cors` is not supported yet (this key is reserved for a later version: remove it)",
            "t.yaml:9:5: a mapping is expected here, found a number (the keys here are `name`, `port` and `secret`)",
            "t.yaml:12:5: `port` is given twice (the first one is in line 11: keep one of them)",
            "t.yaml:14:19: unknown key `keyz` (did you mean `keys`?)",
            "t.yaml:15:8: this must be one of `api_key` and `none` (did you mean `api_key`?)",
            "t.yaml:16:8: `oidc` is not supported yet (this is reserved for a later version: remove it)",
            "t.yaml:17:30: exactly one kind can stand here, and there are several",
            "t.yaml:18:6: one of `api_key` and `none` must stand here",
        ],
    );
}

#[test]
fn yaml_riddles_are_refused() {
    for text in [
        "version: &a 1\nroutes: []\nmethods: *a\n",
        "version: 1\n---\nversion: 2\n",
        "base: &b { x: 1 }\nversion: 1\nmethods:\n  <<: *b\n",
        "version: !custom 1\n",
        "version: [1\n",
    ] {
        let options = Options { environment: &|_| None, reserved: &[] };
        let mut problems = Problems::default();
        let document = read::<Document>(PathBuf::from("t.yaml"), text, &options, &mut problems);
        assert!(document.is_none() && problems.has_errors(), "{text}: {problems:?}");
    }
}

#[test]
fn problems_never_show_a_secret() {
    for text in [
        "version: 1\nroutes:\n  - { name: a, port: x, secret: hunter2 }\n",
        "version: 1\nroutes:\n  - { name: a, port: 1, secret: [hunter2] }\n",
        "version: 1\nroutes:\n  - { name: 'redis://user:hunter2@host', port: x }\n",
        "version: 1\nroutes:\n  - { name: a, port: 1, secret: hunter2, }}\n",
        "version: 1\nroutes:\n  - { name: a, port: hunter2, secret: hunter2 }\n    password: hunter2\n",
        "version: 1\nroutes:\n  - { name: a, port: 1, secrt: hunter2 }\n",
        "version: 1\nroutes:\n  - { name: a, port: 1, Pasword: hunter2 }\n",
        "version: 1\nroutes:\n  - { name: a, port: 1, admin_token: hunter2 }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, secret: \"${X:-hunter2}\" }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, sha256: hunter2 }\n",
        "version: 1\nroutes:\n  - { name: 'redis//user:hunter2@host', port: x }\n",
        "version: 1\nroutes:\n  - { name: pcl_hunter2, port: x }\n",
        "version: 1\nroutes:\n  - { name: a, sha256: hunter2, }}\n",
        "version: 1\nroutes:\n  - { name: a, pasword: hunter2, }}\n",
        // What an unknown key means, nobody knows; nor what is meant where the file is no YAML.
        "version: 1\nroutes:\n  - { name: a, port: 1, auth: hunter2 }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, d: hunter2, port: y }\n",
        "version: 1\nroutes:\n  - name: a\n    port: 1\n    k: [hunter2]\n",
        "version: 1\nroutes:\n  - { name: a, port: 1, k: &hunter2 }\n",
        "version: 1\nmethods: { x: { basic_auth: { key: hunter2 } } }\n",
        "version: 1\nmethods: { x: { basic_auth: hunter2 } }\n",
        "version: 1\nmethods: { x: { api_key: hunter2, none: hunter2 } }\n",
        "version: 1\nroutes:\n  - { name: hunter2, }}\n",
        "version: 1\nroutes: [\n  hunter2\n  key: hunter2\n",
        "hunter2\n",
        // A space too few, and the value is a part of the key or a key of its own.
        "version: 1\nroutes:\n  - { name: a, port: 1, secret:hunter2 }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, key:hunter2 }\n",
        "version: 1\nroutes:\n  - { name: a, port: 1, secret: \"file:x\", hunter2 }\n",
        "version: 1\nroutes:\n  - { name: a, port: 1, {redis://u:hunter2@h} }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, pcl_hunter2: 1 }\n",
        "version: 1\nroutes:\n  - { name: a, port: 1, key:hunter2, key:hunter2 }\n",
    ] {
        let options = Options { environment: &|_| None, reserved: &[] };
        let mut problems = Problems::default();
        let _ = read::<Document>(PathBuf::from("t.yaml"), text, &options, &mut problems);
        let shown = problems.render(false) + &format!("{problems:?}");
        assert!(problems.has_errors(), "{text}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

/// The place hides a secret, before anything is known about keys and whatever is wrong in its line.
#[test]
fn what_stands_in_these_places_is_hidden() {
    for text in [
        // What is no variable's name is no reference.
        "version: 1\nroutes:\n  - { name: a, port: x, secret: \"${hunter2 with spaces}\" }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, secret: \"${A}hunter2${B}\" }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, secret: \"${1hunter2}\" }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, secret: \"$hunter2\" }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, secret: \"${}hunter2}\" }\n",
        // Users, passwords and queries of URLs, whatever is wrong in their lines.
        "version: 1\nroutes:\n  - { jwks_url: 'https://id.example.com/keys?code=hunter2', port: x }\n",
        "version: 1\nroutes:\n  - { jwks_url: 'https://hunter2@id.example.com/keys', port: x }\n",
        "version: 1\nroutes:\n  - { url: 'hunter2@id.example.com', port: x }\n",
        "version: 1\nroutes:\n  - { url: 'id.example.com/keys?hunter2', port: x }\n",
        "version: 1\nroutes:\n  - { url: \"redis://:hunter2\\x40host\", port: x }\n",
        "version: 1\nroutes:\n  - { otlp: 'https://collector/v1#hunter2', port: x }\n",
        "version: 1\nroutes:\n  - { targets: ['http://api', 'http://api/?hunter2'], port: x }\n",
        "version: 1\nroutes:\n  - { cluster: ['redis-1', 'hunter2@redis-2'], port: x }\n",
        "version: 1\nupstreams: { api: 'hunter2@api:80', port: x }\n",
        "version: 1\nroutes:\n  - { name: 'see https://x/?hunter2', port: x }\n",
        // Header fields in tests.
        "version: 1\ntests: [{ headers: { Authorization: Bearer hunter2 }, port: x }]\n",
        "version: 1\ntests: [{ headers: { Cookie: [hunter2], X-API-Key: hunter2 }, port: x }]\n",
        "version: 1\ntests: [{ headers: { X-API-Key hunter2 }, port: x }]\n",
        "version: 1\ntests: [{ headers: { X-API-Key:hunter2 }, port: x }]\n",
        "version: 1\ntests: [{ headers: 'X-API-Key: hunter2', port: x }]\n",
        "version: 1\ntests: [{ headers: ['X-API-Key: hunter2'], port: x }]\n",
        "version: 1\ntests: [{ expect: { upstream: { X-Token-Of: hunter2 } }, port: x }]\n",
        "version: 1\ntests: [{ request: 'GET https://api/?api_key=hunter2', port: x }]\n",
        "version: 1\ntests: [{ request: 'GET api/?api_key=hunter2', port: x }]\n",
        // From the digest of a short secret one finds the secret.
        "version: 1\nroutes:\n  - { name: a, port: x, hash: hunter2 }\n",
        "version: 1\nroutes:\n  - { name: a, port: x, Hash: $2y$04$hunter2 }\n",
    ] {
        let masked = masked(text);
        assert!(!masked.contains("hunter2"), "{masked}");
        assert_eq!(masked.len(), text.len(), "{masked}");
    }
}

fn masked(text: &str) -> String {
    let mut problems = Problems::default();
    let Some((_, source)) = tree::Tree::parse(PathBuf::from("t.yaml"), text, &mut problems) else {
        panic!("{text}: {problems:?}");
    };
    source.masked().clone()
}

/// What is no secret is shown: whoever has made a mistake has to see it.
#[test]
fn a_line_is_shown_as_far_as_it_is_no_secret() {
    for (text, shown) in [
        ("version: 1\nroutes:\n  - { secret: \"${HS256}\", port: x }\n", "\"${HS256}\", port: x"),
        ("version: 1\nroutes:\n  - { secret: 'file:a', port: x }\n", "'file:a', port: x"),
        ("version: 1\nroutes:\n  - { url: 'https://id/keys', port: x }\n", "'https://id/keys', port: x"),
        ("version: 1\nroutes:\n  - { url: 'https://id/keys?a', port: x }\n", "'https://id/keys***, port: x"),
        ("version: 1\nroutes:\n  - { url: 'redis://a@h:1', port: x }\n", "'redis://*@h:1', port: x"),
        ("version: 1\nroutes:\n  - { name: 'why?', port: x }\n", "'why?', port: x"),
        ("version: 1\nroutes:\n  - { headers: { X-A: subject }, port: x }\n", "X-A: subject }, port: x"),
        ("version: 1\ntests: [{ headers: { X-A: b }, port: x }]\n", "{ X-A: * }, port: x"),
    ] {
        let masked = masked(text);
        assert!(masked.contains(shown), "{shown} is not in\n{masked}");
    }
}
