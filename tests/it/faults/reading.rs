//! A policy that takes long to read, because it is large or the disk is slow, holds up nothing but itself.

use std::fs;
use std::process::Command;

use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::deadline::{eventually, within};
use crate::harness::gateway::{Gateway, RELOADED};
use crate::harness::problem::assert_problem;
use crate::harness::process::Signal;
use crate::harness::redis::Redis;
use crate::harness::upstream::Upstream;

const POLICY: &str = r#"
    redis: { url: "{redis}" }
    revocation: { max_stale: 1s }
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams: { app: "{upstream}" }
    routes: [{ name: app, match: { path: /** }, auth: partners, upstream: app }]
"#;

/// Attack: whoever has a key that is about to be revoked wins time while the policy is read. The file is held by force, so
/// that it does not depend on how fast a machine reads.
#[tokio::test]
async fn a_revocation_takes_effect_while_a_file_is_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let [source, library] = ["held_file.c", "held_file.so"].map(|name| folder.path().join(name));
    fs::write(&source, include_str!("held_file.c")).unwrap();
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let arguments = ["-shared", "-fPIC", "-O1", "-o"];
    let built = Command::new(compiler).args(arguments).args([&library, &source]).status().unwrap();
    assert!(built.success());
    let (redis, upstream) = (Redis::start().await, Upstream::start());
    let [kept, lost] = ["k_kept", "k_lost"].map(|id| ApiKey::of(id).id(id));
    let gateway = Gateway::builder(POLICY)
        .with("redis", redis.url())
        .with("upstream", upstream.url())
        .file("keys.yaml", keys_yaml(&[&kept, &lost]))
        .env("LD_PRELOAD", library.to_str().unwrap())
        .env("HELD_FILE", "keys.yaml")
        .start()
        .await;
    let client = gateway.https();
    for key in [&kept, &lost] {
        client.get("/").headers(&[key.header()]).await.assert_status(200);
    }
    assert_eq!(upstream.take().len(), 2);

    gateway.write("keys.yaml.hold", "");
    let position = gateway.log_position();
    gateway.signal(Signal::Hangup);
    let held = || gateway.path("keys.yaml.held").exists().then_some(());
    eventually("the reading of the keys to be held", held).await;
    redis.cli(&["SET", "portcullis:revoked:key:k_lost", ""]).await;
    let refused = async || {
        loop {
            let answer = client.get("/").headers(&[lost.header()]).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let answer = within("the revocation to take effect", refused()).await;
    assert_problem(&answer, 401, "credential_revoked");
    upstream.take();
    // The view of the list is kept up as well: it would be too old by now for the key that is good.
    redis.cli(&["SET", "portcullis:revoked:key:k_other", ""]).await;
    gateway.wait_for_metric("portcullis_revocation_entries", &[("kind", "key")], |count| count > 1.5).await;
    client.get("/").headers(&[kept.header()]).await.assert_status(200);
    client.get("/").headers(&[lost.header()]).await.assert_status(401);
    assert_eq!(upstream.take().len(), 1);
    let reloaded = || gateway.log().into_iter().skip(position).any(|line| line.message.starts_with(RELOADED));
    assert!(!reloaded(), "the policy was read meanwhile");

    fs::remove_file(gateway.path("keys.yaml.hold")).unwrap();
    gateway.wait_for_log_after(position, |line| line.message.starts_with(RELOADED)).await;
    client.get("/").headers(&[lost.header()]).await.assert_status(401);
}
