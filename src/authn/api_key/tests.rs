//! Key files as rows, and what a request with a key meets.

use std::path::Path;

use super::*;
use crate::clock::Clock;

const NOW: u64 = 1_795_251_600; // 2026-11-21T09:00:00Z

fn compile(yaml: &str) -> Result<Method, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys.yaml"), yaml).unwrap();
    std::fs::write(folder.path().join("auth.yaml"), "keys: keys.yaml\n").unwrap();
    private(&folder.path().join("keys.yaml"));
    let mut loading = Loading::new(Clock::manual(NOW), &|_| None, &[]);
    let config = loading.root_document(&folder.path().join("auth.yaml")).unwrap();
    let metrics = Metrics::new("0", "0").unwrap();
    let method = Method::compile(&"partners".into(), &config, &metrics, &mut loading);
    let shown = |problem: &&crate::problem::Problem| {
        let place =
            problem.place().map(|place| format!("{}:{}: ", place.line(), place.column())).unwrap_or_default();
        format!("{place}{}", problem.what())
    };
    method.ok_or_else(|| loading.problems.sorted().iter().map(shown).collect())
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn entry(id: &str, key: &str, rest: &str) -> String {
    let sha256 = hex(key);
    format!("  - {{ id: {id}, owner: acme, sha256: {sha256}, {rest} }}\n")
}

fn hex(key: &str) -> String {
    crate::hex::encode(digest::digest(&digest::SHA256, key.as_bytes()).as_ref())
}

fn shown(attempt: &Attempt) -> String {
    match attempt {
        Attempt::Absent => "absent".to_owned(),
        Attempt::Failed(reason) => reason.label().to_owned(),
        Attempt::Verified(identity) => format!(
            "{} {} {} [{}] [{}]",
            identity.auth,
            identity.subject.as_str(),
            identity.key_id.as_deref().unwrap_or_default(),
            identity.scopes.join(" "),
            identity.roles.join(" ")
        ),
    }
}

#[test]
fn the_next_expiry_moves_on_with_time() {
    let later = "expires: 2026-11-21T09:00:05Z";
    let method = compile(&format!(
        "keys:\n{}{}{}{}",
        entry("k_1", "a", later),
        entry("k_2", "b", "expires: 2026-11-21T09:00:01Z"),
        entry("k_3", "c", "expires: never"),
        entry("k_4", "d", later),
    ));
    let method = method.unwrap();
    for (now, next) in [(0, Some(1)), (1, Some(5)), (4, Some(5)), (5, None)] {
        assert_eq!(method.next_expiry(NOW + now), next.map(|next| NOW + next), "{now}");
    }
    assert_eq!(method.next_expiry(0), Some(NOW + 1));
}

#[test]
fn keys_are_known_by_their_digest() {
    let yaml = format!(
        "keys:\n{}{}{}",
        entry("k_1", "sk_live_1", "scopes: [orders:read], roles: [admin], expires: never"),
        entry("k_2", "sk_live_2", "expires: 2026-11-21T09:00:01Z"),
        entry("k_3", "sk_live_3", "expires: 2026-11-21T09:00:00Z, created: 2026-11-20T09:00:00Z"),
    );
    let method = compile(&yaml).unwrap();
    for (key, expect) in [
        ("sk_live_1", "partners acme k_1 [orders:read] [admin]"),
        ("sk_live_2", "partners acme k_2 [] []"),
        ("sk_live_3", "expired"),
        ("sk_live_4", "absent"),
        ("sk_live_", "absent"),
        ("pcl_k_1_wrong", "malformed"),
        ("", "absent"),
    ] {
        assert_eq!(shown(&method.attempt(&Key::Borrowed(key), NOW)), expect, "{key}");
    }
}

#[test]
fn what_is_wrong_with_a_key_file_is_said() {
    let good = entry("k_1", "a", "expires: never");
    for (yaml, expect) in [
        (
            format!("keys:\n{good}{}", entry("k_1", "b", "expires: never")),
            "3:11: the key id `k_1` is used twice",
        ),
        (
            format!("keys:\n{good}{}", entry("k_2", "a", "expires: never")),
            "3:11: the key `k_2` has the same `sha256` as another one",
        ),
        (
            "keys:\n  - { id: k, owner: a, sha256: abc, expires: never }\n".to_owned(),
            "2:32: a SHA-256 is expected here: 64 hexadecimal digits",
        ),
        (format!("keys:\n{}", entry("k_1", "a", "label: x")), "2:5: `expires` is missing here"),
        (
            format!("keys:\n{}", entry("k_1", "a", "expires: soon")),
            "2:112: a time is expected here, such as `2027-02-19T09:00:00Z`, or `never`",
        ),
        (
            format!("keys:\n{}", entry("'k 1'", "a", "expires: never")),
            "2:11: a key id is 1 to 64 letters, digits, `-`, `_` or `.`",
        ),
        (
            format!("keys:\n{}", good.replace("acme", "' acme'")),
            "2:23: this owner cannot be passed on in a header",
        ),
        (format!("keys:\n{}", good.replace("owner", "ownr")), "2:16: unknown key `ownr`"),
    ] {
        let problems = compile(&yaml).unwrap_err();
        assert!(problems.contains(&expect.to_owned()), "{yaml}{problems:?}");
    }
}
