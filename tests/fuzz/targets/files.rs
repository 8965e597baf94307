//! The files beside `gateway.yaml`: keys, users, JWK sets, PEM, secrets. What cannot be used is refused, and a secret that
//! stands in one is not printed.

use super::policy::load;

const POLICY: &str = r#"
version: 1
listen: [{ address: "127.0.0.1:0", plaintext: true }]
upstreams: { api: builtin:echo }
"#;

/// Each kind of file and the method that reads it.
const KINDS: [(&str, &str); 5] = [
    ("a", "api_key: { keys: file }"),
    ("b", "basic: { users: file, realm: x }"),
    ("c", "jwt: { issuer: \"https://i.example\", audience: a, jwks_file: file }"),
    ("d", "jwt: { issuer: \"https://i.example\", audience: a, public_key: file }"),
    ("e", "jwt: { issuer: \"https://i.example\", audience: a, secret: \"file:file\", algorithms: [HS256] }"),
];

/// The first byte chooses the kind, the rest is the file.
pub fn run(input: &[u8]) {
    let Some((first, content)) = input.split_first() else { return };
    let Some((_, method)) = KINDS.iter().find(|(letter, _)| letter.as_bytes() == [*first]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("gateway.yaml");
    let text = format!(
        "{POLICY}auth: {{ x: {{ {method} }} }}\nroutes: [{{ name: r, match: {{ path: /a }}, auth: x, upstream: api }}]\n"
    );
    std::fs::write(&path, text).expect("a file");
    std::fs::write(folder.path().join("file"), content).expect("a file");
    if let Err(problems) = load(&path).0 {
        assert!(problems.contains(':'), "a refusal says where");
    }
}
