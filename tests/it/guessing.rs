//! Failed attempts: few for each client and each user name, none at the cost of others, and refused before any work.

use std::net::Ipv4Addr;
use std::time::Duration;

use portcullis::authn::api_key::format::generate;
use tokio::task::JoinSet;

use crate::harness::client::{Client, Response};
use crate::harness::credentials::{ApiKey, basic, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::issuer::{Issuer, SigningKey};
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

const RIGHT: &str = "correct horse battery staple";

const YAML: &str = r#"
    trusted_proxies: ["127.0.0.250"]
    auth:
      staff: { basic: { users: staff.htpasswd, realm: Internal tools } }
      partners: { api_key: { keys: keys.yaml } }
      users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
    upstreams: { api: "{upstream}" }
    routes:
      - name: api
        match: { path: /v1/** }
        auth: [staff, partners, users]
        allow: { GET: { scopes: [] }, PUT: { scopes: [admin] } }
        upstream: api
"#;

/// The parties of these tests. Quotas are by the hour, so that nothing is forgotten while a test runs.
struct Stand {
    gateway: Gateway,
    upstream: Upstream,
    issuer: Issuer,
    /// A key that somebody brought along, short enough to be guessed.
    short: ApiKey,
    /// A key as `portcullis keys new` makes it.
    long: ApiKey,
    expired: ApiKey,
}

impl Stand {
    async fn start(source: &str, principal: &str) -> Self {
        Self::with(&limited(source, principal)).await
    }

    async fn with(yaml: &str) -> Self {
        let (upstream, issuer) = (Upstream::start(), Issuer::with_keys(vec![SigningKey::es256("one")]));
        let short = ApiKey::from_text("acme", "letmein").id("k_short");
        let long = own_form("globex");
        let expired =
            ApiKey::from_text("initech", "long-ago").id("k_expired").expires("2020-01-01T00:00:00Z");
        let users = ["alice", "bob"].map(|user| htpasswd_bcrypt(user, RIGHT)).concat();
        let gateway = Gateway::builder(yaml)
            .with("upstream", upstream.url())
            .with("issuer", issuer.url())
            .file("staff.htpasswd", users)
            .file("keys.yaml", keys_yaml(&[&short, &long, &expired]))
            .start()
            .await;
        Self { gateway, upstream, issuer, short, long, expired }
    }

    fn client(&self, host: u8) -> Client {
        self.gateway.https().source(Ipv4Addr::new(127, 0, 0, host))
    }

    async fn password(&self, host: u8, user: &str, password: &str) -> Response {
        self.client(host).get("/v1/x").header("Authorization", &basic(user, password)).await
    }

    async fn key(&self, host: u8, key: &str) -> Response {
        self.client(host).get("/v1/x").header("X-API-Key", key).await
    }

    async fn token(&self, host: u8, token: &str) -> Response {
        self.client(host).get("/v1/x").header("Authorization", &format!("Bearer {token}")).await
    }

    /// Makes wrong guesses at a user's password until one is refused, and says how many were not.
    async fn guess(&self, host: u8, user: &str) -> usize {
        for made in 0..1_000 {
            let answer = self.password(host, user, &format!("guess {made}")).await;
            if answer.status != 401 {
                assert_too_many(&answer);
                return made;
            }
            assert_problem(&answer, 401, "invalid_credential");
        }
        panic!("nothing is refused");
    }

    /// Sends all of these passwords for alice from one address at the same time, and says what each was answered.
    async fn at_once(&self, passwords: impl Iterator<Item = String>) -> Vec<u16> {
        let mut attempts = JoinSet::new();
        for password in passwords {
            let client = self.client(2);
            attempts.spawn(async move {
                client.get("/v1/x").header("Authorization", &basic("alice", &password)).await.status
            });
        }
        attempts.join_all().await
    }

    /// How many pairs were looked at.
    async fn verified(&self) -> u64 {
        self.gateway.metrics().await.count("portcullis_auth_cache_misses_total", &[("auth", "staff")])
    }
}

/// The policy with these quotas.
fn limited(source: &str, principal: &str) -> String {
    format!("    limits: {{ failed_attempts: {{ source: {source}, principal: {principal} }} }}{YAML}")
}

/// A key as `portcullis keys new` makes it.
fn own_form(owner: &str) -> ApiKey {
    ApiKey::from_text(owner, &generate().expect("randomness").key)
}

#[track_caller]
fn assert_too_many(answer: &Response) {
    assert_problem(answer, 429, "too_many_attempts");
    let after: u32 = answer.header("Retry-After").expect("when to come back").parse().expect("seconds");
    assert!((1..=3600).contains(&after), "{answer:?}");
    assert_eq!(
        answer.header("WWW-Authenticate"),
        None,
        "it is no use to send another credential: {answer:?}"
    );
}

/// K05: twenty wrong passwords from one address, and the next one is not even hashed.
#[tokio::test]
async fn wrong_passwords_of_one_client_are_refused_unseen() {
    let stand = Stand::start("20/h", "unlimited").await;
    assert_eq!(stand.guess(2, "alice").await, 20);
    assert_eq!(stand.verified().await, 20);
    for user in ["alice", "bob", "nobody"] {
        assert_too_many(&stand.password(2, user, "guess").await);
    }
    assert_eq!(stand.verified().await, 20, "what is refused costs nothing");
    stand.upstream.assert_nothing();
    let line = stand.gateway.wait_for_access(|line| line["status"] == 429).await;
    assert_eq!((line["reason"].as_str(), line["auth"].as_str()), (Some("too_many_attempts"), Some("staff")));
    assert_eq!(stand.password(3, "alice", RIGHT).await.status, 200, "others are not concerned");
}

/// What stands in no file is limited all the same.
#[tokio::test]
async fn by_default_there_are_limits() {
    let stand = Stand::with(YAML).await;
    let mut made = 0;
    // Every three seconds another attempt is borne, however slow this machine is.
    let refused = loop {
        let answer = stand.password(2, "alice", "guess").await;
        if answer.status != 401 {
            break answer;
        }
        made += 1;
        assert!(made < 1_000, "nothing is refused");
    };
    assert_too_many(&refused);
    assert!(made >= 20, "{made}");
    stand.upstream.assert_nothing();
}

/// K05: guesses at one user from many addresses cost each of them its attempts and the user nothing.
#[tokio::test]
async fn guesses_from_elsewhere_lock_nobody_out() {
    let stand = Stand::start("100/h", "20/h").await;
    assert_eq!(stand.password(9, "alice", RIGHT).await.status, 200);
    assert_eq!(stand.guess(2, "alice").await, 20);
    for host in 3..8 {
        assert_eq!(stand.guess(host, "alice").await, 1, "whoever comes later has one attempt");
    }
    assert_eq!(stand.password(8, "alice", RIGHT).await.status, 200, "which is enough for the right password");
    assert_eq!(stand.password(9, "alice", "mistyped").await.status, 401);
    assert_eq!(stand.password(9, "alice", RIGHT).await.status, 200, "who signed in before may err");
    assert_eq!(stand.password(2, "bob", RIGHT).await.status, 200, "and it was only about alice");
    let metrics = stand.gateway.metrics().await;
    assert_eq!(metrics.count("portcullis_failed_attempts_limited", &[("by", "principal")]), 1);
    assert_eq!(metrics.count("portcullis_failed_attempts_limited", &[("by", "source")]), 0);
    assert!(metrics.count("portcullis_failed_attempts_tracked", &[]) > 6);
}

/// Neighbours behind one address are told apart by who has signed in from there, and nothing can be guessed from a long key.
#[tokio::test]
async fn a_neighbour_who_guesses_at_others_locks_nobody_out_who_signed_in_before() {
    let stand = Stand::start("20/h", "20/h").await;
    assert_eq!(stand.password(2, "alice", RIGHT).await.status, 200);
    assert_eq!(stand.guess(2, "mallory").await, 20);
    assert_eq!(stand.password(2, "alice", RIGHT).await.status, 200);
    assert_too_many(&stand.password(2, "bob", RIGHT).await);
    for wrong in 0..20 {
        assert_problem(&stand.key(2, &format!("guess{wrong}")).await, 401, "invalid_credential");
    }
    assert_too_many(&stand.key(2, "guess").await);
    assert_eq!(stand.key(2, stand.long.header().1).await.status, 200);
    assert_eq!(
        stand.gateway.metrics().await.count("portcullis_failed_attempts_limited", &[("by", "source")]),
        2
    );
}

/// Whoever has to wait does not learn from the answer whether a guess was right, even if the gateway could tell for free.
#[tokio::test]
async fn a_right_guess_is_not_told_from_a_wrong_one() {
    let stand = Stand::start("20/h", "20/h").await;
    assert_eq!(stand.password(3, "alice", RIGHT).await.status, 200);
    assert_eq!(stand.key(3, "letmein").await.status, 200);
    stand.guess(2, "alice").await;
    for wrong in 0..20 {
        assert_eq!(stand.key(2, &format!("guess{wrong}")).await.status, 401);
    }
    stand.upstream.take();
    for (right, wrong) in [
        (stand.password(2, "alice", RIGHT).await, stand.password(2, "alice", "guess").await),
        (stand.key(2, "letmein").await, stand.key(2, "guess").await),
    ] {
        assert_too_many(&right);
        assert_too_many(&wrong);
        assert_eq!(
            (right.json()["title"].as_str(), right.body.len()),
            (wrong.json()["title"].as_str(), wrong.body.len())
        );
    }
    stand.upstream.assert_nothing();
}

/// Attempts that are made before the first of them has failed.
#[tokio::test]
async fn many_at_once_are_no_way_around() {
    let stand = Stand::start("20/h", "unlimited").await;
    let statuses = stand.at_once((0..200).map(|at| format!("guess {at}"))).await;
    let of = |status| statuses.iter().filter(|each| **each == status).count();
    assert_eq!((of(401), of(429)), (20, 180));
    assert_eq!(stand.verified().await, 20);
    stand.upstream.assert_nothing();
}

/// K06: one caller that sends many requests at once, before any of them was verified.
#[tokio::test]
async fn one_right_password_is_one_attempt_however_often_it_comes() {
    let stand = Stand::start("5/h", "5/h").await;
    assert_eq!(stand.at_once((0..100).map(|_| RIGHT.to_owned())).await, [200; 100]);
    assert_eq!(stand.guess(2, "alice").await, 5, "and it was given back");
}

/// Keys that were brought along may be as short as passwords; others are too long to be guessed.
#[tokio::test]
async fn short_keys_cannot_be_guessed() {
    let stand = Stand::start("20/h", "20/h").await;
    for wrong in 0..20 {
        assert_problem(&stand.key(2, &format!("guess{wrong}")).await, 401, "invalid_credential");
    }
    assert_too_many(&stand.key(2, "guess").await);
    assert_too_many(&stand.key(2, stand.short.header().1).await);
    stand.upstream.assert_nothing();
    assert_eq!(stand.key(2, stand.long.header().1).await.status, 200, "it cannot be locked out");
    assert_eq!(stand.key(3, stand.short.header().1).await.status, 200, "from another address");
    assert_eq!(stand.password(2, "alice", RIGHT).await.status, 200, "passwords are counted for themselves");
}

/// A long key is looked up in no time, and whoever makes up many of them is told to stop all the same.
#[tokio::test]
async fn long_keys_that_are_wrong_are_answered_and_right_ones_pass() {
    let stand = Stand::start("1/h", "1/h").await;
    let unknown = own_form("nobody");
    for _ in 0..50 {
        assert_problem(&stand.key(2, unknown.header().1).await, 401, "invalid_credential");
    }
    assert_too_many(&stand.key(2, unknown.header().1).await);
    stand.upstream.assert_nothing();
    assert_eq!(stand.key(2, stand.long.header().1).await.status, 200, "it cannot be locked out");
}

/// A signature takes long to verify, and fifty of them take less than one password.
#[tokio::test]
async fn forged_tokens_cost_their_sender_the_attempts() {
    let stand = Stand::start("1/h", "1/h").await;
    let known = stand.issuer.token().sign();
    assert_eq!(stand.token(2, &known).await.status, 200);
    stand.upstream.take();
    let forged = stand.issuer.token().corrupt().sign();
    for _ in 0..50 {
        assert_problem(&stand.token(2, &forged).await, 401, "invalid_credential");
    }
    assert_too_many(&stand.token(2, &forged).await);
    assert_too_many(&stand.token(2, &stand.issuer.token().sign()).await);
    stand.upstream.assert_nothing();
    assert_eq!(stand.token(2, &known).await.status, 200, "it was verified before");
    assert_eq!(stand.token(3, &stand.issuer.token().sign()).await.status, 200, "from another address");
}

/// Clients that are broken or too late are no guessers.
#[tokio::test]
async fn only_what_may_be_a_guess_counts() {
    let stand = Stand::start("1/h", "1/h").await;
    let late = stand.issuer.token().issued(Duration::from_secs(7200), Duration::from_secs(3600));
    let late = late.sign();
    let unknown = stand.issuer.token().header("kid", "another").sign();
    for _ in 0..5 {
        assert_problem(&stand.client(2).get("/v1/x").await, 401, "no_credential");
        assert_problem(&stand.key(2, stand.expired.header().1).await, 401, "credential_expired");
        assert_problem(&stand.key(2, "pcl_k_mistyped_key").await, 401, "malformed_credential");
        assert_problem(&stand.token(2, &late).await, 401, "credential_expired");
        assert_problem(&stand.token(2, &unknown).await, 401, "invalid_credential");
        assert_problem(&stand.token(2, "a.b.c").await, 401, "malformed_credential");
        let put = stand.client(2).call("PUT", "/v1/x").header("Authorization", &basic("alice", RIGHT)).await;
        assert_problem(&put, 403, "forbidden");
    }
    stand.upstream.assert_nothing();
    assert_eq!(stand.gateway.metrics().await.count("portcullis_failed_attempts_tracked", &[]), 0);
    assert_eq!(stand.password(2, "alice", RIGHT).await.status, 200);
}

/// The client is whom a trusted proxy names, and nobody else's word counts.
#[tokio::test]
async fn behind_a_trusted_proxy_its_clients_are_told_apart() {
    let stand = Stand::start("3/h", "unlimited").await;
    let ask = async |peer: u8, client: &str, password: &str| {
        stand
            .client(peer)
            .get("/v1/x")
            .headers(&[("X-Forwarded-For", client), ("Authorization", &basic("alice", password))])
            .await
    };
    for guess in 0..3 {
        assert_eq!(ask(250, "192.0.2.1", &format!("guess {guess}")).await.status, 401);
    }
    assert_too_many(&ask(250, "192.0.2.1", RIGHT).await);
    assert_too_many(&ask(250, "198.51.100.1, 192.0.2.1", RIGHT).await);
    stand.upstream.assert_nothing();
    assert_eq!(ask(250, "192.0.2.2", RIGHT).await.status, 200);
    for guess in 0..3 {
        assert_eq!(ask(2, &format!("192.0.2.{}", 10 + guess), &format!("again {guess}")).await.status, 401);
    }
    assert_too_many(&ask(2, "192.0.2.99", RIGHT).await);
}

/// What was counted outlives the policy; what it means is the new policy's.
#[tokio::test]
async fn a_reload_wins_nobody_a_fresh_start() {
    let stand = Stand::start("20/h", "unlimited").await;
    stand.guess(2, "alice").await;
    stand.gateway.reload_with(&limited("20/h", "19/h")).await;
    assert_too_many(&stand.password(2, "alice", RIGHT).await);
    stand.gateway.reload_with(&limited("unlimited", "unlimited")).await;
    assert_eq!(stand.password(2, "alice", RIGHT).await.status, 200);
}
