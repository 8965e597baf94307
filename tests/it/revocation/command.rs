//! `portcullis revoke` as operators use it: warnings about unknown names, and users of Redis with few rights.

use super::{Caller, Cast};
use crate::harness::process::{Finished, portcullis_command, run};
use crate::harness::redis::Redis;

/// Runs `portcullis revoke` on the file of a gateway.
async fn revoke(gateway: &crate::harness::gateway::Gateway, arguments: &[&str]) -> Finished {
    let file = gateway.path("gateway.yaml");
    run(portcullis_command().arg("revoke").arg("--config").arg(file).args(arguments)).await
}

/// A name that no file knows is revoked with a warning: other gateways may know it, but most often it is a typing error.
#[tokio::test]
async fn warns_when_no_file_knows_the_revoked_name() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    for (arguments, expected) in [
        (&["--key", "k_acme"][..], ""),
        (&["--key", "k_other"], "lists a key `k_other`"),
        (&["--key", "acme"], "`acme` owns keys: `--sub` revokes everything"),
        (&["--user", "bob"], ""),
        (&["--user", "bobby"], "lists a user `bobby`"),
        (&["--sub", "bob"], ""),
        (&["--sub", "acme"], ""),
        (&["--sub", "alice"], "such as Keycloak, use a UUID as `sub`"),
        (&["--sub", "5f0c2a9e-7d0b-4e0c-9d5e-0d7e4a1b2c3d"], ""),
        (&["--jti", "t-1"], ""),
        (&["--key", "k_other", "--lift"], ""),
        (&["--list"], ""),
    ] {
        let done = revoke(&gateway, arguments).await;
        done.assert_success();
        assert!(done.stderr.contains(expected), "{arguments:?}: {}", done.stderr);
        assert_eq!(done.stderr.is_empty(), expected.is_empty(), "{arguments:?}: {}", done.stderr);
    }
    // The warning does not keep the entry from being written.
    assert_ne!(redis.cli(&["EXISTS", "portcullis:revoked:user:bobby"]).await, "0");
}

/// The ACL of the documentation follows, revokes, lists and lifts; without the rights to lift, the error names the first one
/// that is missing, and the entry that Redis has is lifted all the same.
#[tokio::test]
async fn names_missing_redis_right_when_lifting() {
    let cast = Cast::new();
    let follow = "+hello +select +client|tracking +ping +info +scan +pttl +getrange +get +set";
    for (rights, error) in [("+del +multi +exec", None), ("+del", Some("MULTI")), ("", Some("DEL"))] {
        let acl = format!("user portcullis on >secret resetkeys ~portcullis:* nocommands {follow} {rights}");
        let redis = Redis::builder().acl(&acl).start().await;
        let yaml = r#"
            redis: { url: "{redis}", username: portcullis, password: "${REDIS_PASSWORD}" }
        "#;
        let gateway =
            cast.gateway_with(yaml).with("redis", redis.url()).env("REDIS_PASSWORD", "secret").start().await;
        let revoke = async |arguments: &[&str]| {
            let file = gateway.path("gateway.yaml");
            let mut command = portcullis_command();
            command.env("REDIS_PASSWORD", "secret").arg("revoke").arg("--config").arg(file).args(arguments);
            run(&mut command).await
        };
        let mut acme = Caller::new(&gateway, &cast.acme()).await;
        revoke(&["--key", "k_acme", "--reason", "a test"]).await.assert_success();
        acme.answered(401).await;
        assert!(revoke(&["--list"]).await.assert_success().stdout.contains("k_acme"));
        let lifted = revoke(&["--key", "k_acme", "--lift"]).await;
        if error == Some("DEL") {
            assert_eq!(lifted.code(), 1, "{lifted:?}");
            assert!(lifted.stderr.contains("no right to run `DEL`: grant it with `ACL SETUSER USER +del`"));
            continue;
        }
        lifted.assert_success();
        acme.answered(200).await;
        // Redis loses the entry, and the gateway goes on enforcing it.
        revoke(&["--key", "k_acme"]).await.assert_success();
        acme.answered(401).await;
        redis.cli(&["FLUSHALL"]).await;
        gateway.wait_for_log(|line| line.message.contains("was emptied or replaced")).await;
        let lifted = revoke(&["--key", "k_acme", "--lift"]).await;
        if let Some(command) = error {
            assert_eq!(lifted.code(), 1, "{lifted:?}");
            assert!(lifted.stderr.contains(&format!("no right to run `{command}`")), "{lifted:?}");
        } else {
            assert!(lifted.assert_success().stdout.contains("is not in Redis"), "{lifted:?}");
            acme.answered(200).await;
        }
    }
}
