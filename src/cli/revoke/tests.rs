//! The command line, from its words to what is in Redis.

use clap::Parser;

use super::*;
use crate::revocation::redis::fixture::{Following, Redis};
use crate::revocation::{Policy, Standing};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, String> {
    let words = std::iter::once("revoke").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
}

const DAY: Option<Duration> = Some(Duration::from_secs(86_400));

#[test]
fn what_makes_no_sense_is_refused() {
    for (line, expect) in [
        ("", "required arguments were not provided"),
        ("--jti a --sub b", "cannot be used with"),
        ("--sub a --list", "cannot be used with"),
        ("--list --lift", "cannot be used with"),
        ("--list --for 1h", "cannot be used with"),
        ("--sub a --lift --for 1h", "cannot be used with"),
        ("--sub a --lift --reason x", "cannot be used with"),
        ("--sub a --issuer https://id", "cannot be used with"),
        ("--sub a --for soon", "say how long it stands"),
        ("--sub a --for 0s", "it would end at once"),
        ("--sub a --limit 5", "cannot be used with"),
        ("--key", "a value is required"),
        ("alice", "unexpected argument"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(expect), "{line}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_lifting_and_listing() {
    let redis = Redis::start();
    let backing = Backing::Redis(redis.server());
    let clock = Clock::manual(1_795_251_600);
    let hash = crate::authn::revocable::issuer_hash("https://id");
    for (line, longest, expect) in [
        ("--list", DAY, Ok("nothing is revoked")),
        ("--key k_1 --reason leaked", DAY, Ok("revoked key:k_1 until it is lifted")),
        ("--user bob", None, Ok("revoked user:bob until it is lifted")),
        (
            "--sub alice",
            DAY,
            Ok("revoked what was issued to sub:alice until 2026-11-21T09:00:00Z, until it is lifted"),
        ),
        ("--jti t1", DAY, Ok("revoked jti:*:t1 for 24h")),
        (
            "--jti t1 --issuer https://id --for never",
            DAY,
            Ok(&*format!("revoked jti:{hash}:t1 until it is lifted")),
        ),
        (
            "--sid s1",
            None,
            Err(
                "say how long it stands: at least as long as the credential could still live, such as `24h`, or `never`",
            ),
        ),
        (
            "--sid s1 --for 1h",
            DAY,
            Ok(
                "revoked sid:s1 for 1h\nnote: the gateway accepts tokens that live for 24h: one that outlives this entry is accepted again. Without `--for`, the entry lasts long enough",
            ),
        ),
        (
            "--client c --for 2d",
            DAY,
            Ok("revoked what was issued to client:c until 2026-11-21T09:00:00Z, for 2d"),
        ),
        ("--key k_1 --lift", DAY, Ok("lifted key:k_1")),
        (
            "--key k_1 --lift",
            DAY,
            Ok(
                "key:k_1 is not in Redis; gateways that still enforce it, because Redis has lost it, lift it now",
            ),
        ),
        (
            "--key k_1 --for 1h",
            DAY,
            Ok(
                "revoked key:k_1 for 1h\nnote: the key is accepted again after that. Without `--for`, the entry lasts until you lift it",
            ),
        ),
        ("--key k_1 --lift", DAY, Ok("lifted key:k_1")),
        ("--sid s1 --lift", DAY, Ok("lifted sid:s1")),
        ("--client c --lift", DAY, Ok("lifted client:c")),
        ("--jti t1 --lift", DAY, Ok("lifted jti:*:t1")),
        (
            "--jti t1 --lift",
            DAY,
            Ok(
                "jti:*:t1 is not in Redis; gateways that still enforce it, because Redis has lost it, lift it now\nnote: a jti that was revoked with --issuer is lifted with --issuer",
            ),
        ),
    ] {
        let told = run(&parse(line).unwrap(), &backing, longest, &clock).await;
        assert_eq!(
            told.map_err(|error| error.to_string()),
            expect.map(str::to_owned).map_err(str::to_owned),
            "{line}"
        );
    }
    redis.run(&["SET", "portcullis:revoked:user:eve\u{1b}[31m", "red\r\nalert"]);
    let listed = run(&parse("--list").unwrap(), &backing, DAY, &clock).await.unwrap();
    let expect = format!(
        "KIND  ID             ISSUER            ISSUED UNTIL          EXPIRES  REASON\n\
         jti   t1             {hash}                        never\n\
         sub   alice                            2026-11-21T09:00:00Z  never\n\
         user  bob                                                    never\n\
         user  eve\\u{{1b}}[31m                                          never    red\\r\\nalert"
    );
    assert_eq!(listed, expect);
    let listed = run(&parse("--list --limit 2").unwrap(), &backing, DAY, &clock).await.unwrap();
    assert!(listed.lines().count() == 4 && listed.ends_with("there are more: use --limit"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_obeys() {
    let redis = Redis::start();
    let following = Following::ready(&redis).await;
    let backing = Backing::Redis(redis.server());
    let alice = crate::authn::revocable::Revocable::new("alice", Some(5));
    for (line, expect) in [("--sub alice", Standing::Revoked), ("--sub alice --lift", Standing::Good)] {
        run(&parse(line).unwrap(), &backing, DAY, &Clock::system()).await.unwrap();
        following.stands(&alice, expect).await;
        assert_eq!(following.list.under(Policy::default()).standing(&alice), expect);
    }
}

#[tokio::test]
async fn a_list_in_memory_is_out_of_reach() {
    let told = run(&parse("--list").unwrap(), &Backing::Memory, DAY, &Clock::system()).await;
    assert!(told.unwrap_err().to_string().contains("use its admin API"));
}
