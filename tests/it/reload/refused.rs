//! A policy that is refused and does not change: it is tried again, and what is wrong with it is said once.

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::{Gateway, RELOAD_REFUSED, RELOADED, Reload};
use crate::harness::process::Signal;

const RELOADS: &str = "portcullis_config_reloads_total";

/// A good policy, which has something to warn of where everyone can read the keys.
fn yaml(log: &str) -> String {
    format!(
        "log: {log}\nauth: {{ partners: {{ api_key: {{ keys: keys.yaml }} }} }}\n\
         upstreams: {{ echo: builtin:echo }}\n\
         routes: [{{ name: all, match: {{ path: /** }}, auth: partners, upstream: echo }}]"
    )
}

/// Starts the gateway on keys that everyone can read, which is warned about. The policy is the last argument.
const WITH_READABLE_KEYS: &str =
    r#"for policy; do :; done; chmod 644 "${policy%/*}/keys.yaml"; exec "$0" "$@""#;

/// The log is there to be written as far as can be known without making it, and then it cannot be made. Nobody has to change
/// a file once it can.
#[tokio::test]
async fn a_log_that_cannot_be_opened_is_said_once_and_mends_by_itself() {
    let key = ApiKey::of("acme");
    let builder = Gateway::builder(&yaml("{ access: stdout }")).file("keys.yaml", keys_yaml(&[&key]));
    let gateway = builder.shell(WITH_READABLE_KEYS).start().await;
    let accepted = gateway.metrics().await.count(RELOADS, &[("result", "accepted")]);
    // The link leads into a folder that is not there.
    symlink("later/access.log", gateway.path("access.log")).unwrap();
    let position = gateway.log_position();
    gateway.write_yaml(&yaml("{ access: file:access.log }"));
    let Reload::Refused(said) = gateway.reload().await else { panic!("it was accepted") };
    assert!(said.contains("the access log cannot be written to "), "{said}");
    // Again, by itself and without a word.
    gateway.wait_for_metric(RELOADS, &[("result", "refused")], |count| count > 1.5).await;
    let since = || gateway.log().into_iter().skip(position).collect::<Vec<_>>();
    let said = since();
    assert!(said.iter().all(|line| line.level != "warn"), "a policy that is not in force warns: {said:#?}");
    assert_eq!(said.iter().filter(|line| line.message.starts_with(RELOAD_REFUSED)).count(), 1, "{said:#?}");
    assert_eq!(gateway.metrics().await.count("portcullis_config_last_reload_successful", &[]), 0);

    fs::create_dir(gateway.path("later")).unwrap();
    gateway.wait_for_log_after(position, |line| line.message.starts_with(RELOADED)).await;
    let said = since();
    let warnings = said.iter().filter(|line| line.message.contains("can be read by everyone")).count();
    assert_eq!(warnings, 1, "{said:#?}");
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.count("portcullis_config_last_reload_successful", &[]), 1);
    assert_eq!(metrics.count(RELOADS, &[("result", "accepted")]), accepted + 1);
    gateway.https().get("/x").headers(&[key.header()]).await.assert_status(200);
    gateway.wait_for_line("later/access.log", |line| line["path"] == "/x").await;
}

/// What is wrong in thousands of places is said in some of them, and how many more there are: a log is not flooded by a file
/// that was named by mistake.
#[tokio::test]
async fn thousands_of_mistakes_do_not_flood_the_log() {
    let key = ApiKey::of("acme");
    let good = yaml("{ access: stdout }");
    let gateway = Gateway::builder(&good).file("keys.yaml", keys_yaml(&[&key])).start().await;
    let unknown = (0..5_000).map(|at| format!("\nunknown_{at}: hunter2")).collect::<Vec<_>>().concat();
    let position = gateway.log_position();
    gateway.write_yaml(&format!("{good}{unknown}"));
    let last = "reload refused, the old configuration stays: and 4900 more problems, which are not shown";
    gateway.signal(Signal::Hangup);
    gateway.wait_for_log_after(position, |line| line.message == last).await;
    let refused: Vec<_> =
        gateway.log().into_iter().filter(|line| line.message.starts_with(RELOAD_REFUSED)).collect();
    assert_eq!(refused.len(), 101, "{refused:#?}");
    assert!(refused.iter().all(|line| !line.message.contains("hunter2")), "{refused:#?}");
    gateway.https().get("/").headers(&[key.header()]).await.assert_status(200);
    assert_eq!(gateway.metrics().await.count("portcullis_config_last_reload_successful", &[]), 0);
}
