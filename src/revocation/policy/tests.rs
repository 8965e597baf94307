//! The sections `revocation` and `redis` together.

use super::*;
use crate::clock::Clock;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    revocation: Option<Located<Config>>,
    #[serde(default)]
    redis: Option<Located<redis::Config>>,
}

fn load(text: &str) -> Result<String, String> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, text).unwrap();
    let mut loading = Loading::new(Clock::system(), &|_| None, &["cors"]);
    let document: Option<Located<Document>> = loading.root_document(&path);
    let compiled = document
        .and_then(|document| compile(document.revocation.as_ref(), document.redis.as_ref(), &mut loading));
    match compiled {
        Some(Compiled { backing, policy }) if !loading.problems.has_errors() => {
            let Policy { max_stale, on_outage } = policy;
            let place = match backing {
                Backing::Memory => "memory".to_owned(),
                Backing::Redis(server) => server.to_string(),
            };
            Ok(format!("{place} {max_stale:?} {on_outage:?}"))
        }
        Some(_) | None => Err(loading.problems.render(false)),
    }
}

#[test]
fn sections() {
    for (text, expect) in [
        ("{}", "memory 1s Deny"),
        ("revocation: {}", "memory 1s Deny"),
        ("redis: { url: \"redis://host\" }", "redis://host:6379/0 1s Deny"),
        ("redis: { url: \"redis://host\" }\nrevocation: { store: memory }", "memory 1s Deny"),
        (
            "redis: { url: \"redis://host\" }\nrevocation: { store: redis, max_stale: 30s, on_outage: allow }",
            "redis://host:6379/0 30s Allow",
        ),
        (
            "redis: { cluster: [\"redis://a:7000\", \"redis://b\"] }",
            "the cluster of redis://a:7000, redis://b:6379 1s Deny",
        ),
        ("revocation: { max_stale: 500ms, on_outage: deny }", "memory 500ms Deny"),
    ] {
        assert_eq!(load(text), Ok(expect.to_owned()), "{text}");
    }
}

#[test]
fn mistakes() {
    for (text, expect) in [
        ("revocation: { store: redis }", "`store: redis` needs to know where Redis is"),
        ("revocation: { store: etcd }", "this must be one of `memory` and `redis`"),
        ("revocation: { max_stale: 100ms }", "`max_stale` is too short"),
        ("revocation: { max_stale: 0s }", "`max_stale` is too short"),
        ("revocation: { max_stale: soon }", "a duration is expected here"),
        ("revocation: { on_outage: open }", "this must be one of `allow` and `deny`"),
        ("revocation: { on_outtage: allow }", "unknown key `on_outtage`"),
        (
            "redis: { url: \"redis://:x@host\" }\nrevocation: { store: memory }",
            "a password stands in the url",
        ),
        ("redis: { url: \"redis://host\", cors: [] }", "`cors` is not supported yet"),
    ] {
        let problems = load(text).expect_err(text);
        assert!(problems.contains(expect), "{text}: {problems}");
    }
}
