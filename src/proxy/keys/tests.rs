//! The loop around the keys, with an issuer that is made up: when it is asked, for what, and what comes of it.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::json;
use tokio::time::sleep;

use super::super::fetch::tests::{Answer, Server, fetch};
use super::*;
use crate::authn::Attempt;
use crate::authn::credential::Token;
use crate::authn::jwt::Method;
use crate::authn::jwt::tests::signer::{Signer, jwks};
use crate::authn::jwt::tests::{AUDIENCE, Bench, ISSUER, NOW, claims, outcome, yaml};

const CONFIGURATION: &str = "https://id.example.com/.well-known/openid-configuration";
const OAUTH: &str = "https://id.example.com/.well-known/oauth-authorization-server";
const KEYS: &str = "https://id.example.com/keys";

/// Documents by address, the seconds at which they were asked for, and how long each answer takes.
struct Issuer {
    documents: Mutex<HashMap<String, Result<Document, FetchError>>>,
    asked: Mutex<Vec<(u64, String)>>,
    start: Instant,
    delay: Duration,
}

impl Issuer {
    fn new(delay: Duration) -> Arc<Self> {
        Arc::new(Self { documents: Mutex::default(), asked: Mutex::default(), start: Instant::now(), delay })
    }

    fn publish(&self, address: &str, body: &str, max_age: Option<u64>) {
        let document = Document { body: body.as_bytes().to_vec(), max_age: max_age.map(Duration::from_secs) };
        self.documents.lock().unwrap().insert(address.to_owned(), Ok(document));
    }

    fn fail(&self, address: &str, error: FetchError) {
        self.documents.lock().unwrap().insert(address.to_owned(), Err(error));
    }

    /// What was asked since the last call: the second, and the last part of the address.
    fn asked(&self) -> Vec<(u64, String)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn seconds(&self) -> Vec<u64> {
        self.asked().into_iter().map(|(second, _)| second).collect()
    }
}

impl Documents for Arc<Issuer> {
    async fn get(&self, endpoint: &Endpoint) -> Result<Document, FetchError> {
        let address = endpoint.url().as_str();
        let name = address.rsplit('/').next().unwrap().to_owned();
        self.asked.lock().unwrap().push((self.start.elapsed().as_secs(), name));
        sleep(self.delay).await;
        let documents = self.documents.lock().unwrap();
        documents.get(address).cloned().unwrap_or(Err(FetchError::Status(StatusCode::NOT_FOUND)))
    }
}

struct Scene {
    bench: Bench,
    method: Arc<Method>,
    issuer: Arc<Issuer>,
    task: tokio::task::JoinHandle<()>,
}

impl Scene {
    fn new(more: &str, set_up: impl FnOnce(&Issuer)) -> Self {
        let bench = Bench::new();
        let method = bench.compile(&yaml(more));
        let issuer = Issuer::new(Duration::from_millis(100));
        set_up(&issuer);
        let source = method.key_source().unwrap().clone();
        let task = tokio::spawn(keep_fresh(source, issuer.clone(), Clock::manual(NOW), Audit::silent()));
        Self { bench, method, issuer, task }
    }

    async fn present(&self, token: &str) -> &'static str {
        outcome(&self.method.attempt(Token::from(token), NOW).await)
    }
}

fn metadata(jwks_uri: &str) -> String {
    json!({ "issuer": ISSUER, "jwks_uri": jwks_uri, "response_types_supported": ["code"] }).to_string()
}

const URL: &str = "jwks_url: https://id.example.com/keys\n";

fn down() -> FetchError {
    FetchError::NoAnswer("down".to_owned())
}

#[tokio::test(start_paused = true)]
async fn keys_are_read_as_often_as_the_issuer_allows() {
    let keys = jwks(&[&Signer::ed25519("a")]);
    for (max_age, expect) in [
        (None, vec![0, 300, 600, 900, 1200]),
        (Some(120), vec![0, 120, 240, 360, 480]),
        (Some(0), vec![0, 60, 120, 180, 240]),
        (Some(59), vec![0, 60, 120, 180, 240]),
        (Some(1800), vec![0, 1800, 3600, 5400, 7200]),
        (Some(86_400), vec![0, 3600, 7200, 10_800, 14_400]),
        (Some(u64::MAX), vec![0, 3600, 7200, 10_800, 14_400]),
    ] {
        let scene = Scene::new(URL, |issuer| issuer.publish(KEYS, &keys, max_age));
        sleep(Duration::from_secs(expect[4] + 1)).await;
        assert_eq!(scene.issuer.seconds(), expect, "{max_age:?}");
        assert!(scene.method.key_source().unwrap().is_ready());
        scene.task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_is_asked_ever_more_slowly() {
    let signer = Signer::ed25519("a");
    let scene = Scene::new(URL, |issuer| issuer.fail(KEYS, down()));
    sleep(Duration::from_secs(250)).await;
    // 1, 2, 4, … seconds, and the tenth of one that each answer takes.
    assert_eq!(scene.issuer.seconds(), [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    timeout(Duration::ZERO, scene.method.key_source().unwrap().settled()).await.unwrap();
    assert_eq!(scene.present(&signer.token(&claims(&json!({})))).await, "keys_unavailable");
    scene.issuer.publish(KEYS, &jwks(&[&signer]), None);
    // The token that was turned away has asked for another attempt.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.issuer.seconds(), [250]);
    assert_eq!(scene.present(&signer.token(&claims(&json!({})))).await, "verified");
    // After one good answer, patience starts again from the beginning.
    for bad in ["", "{}", "<html>", "{\"keys\":[]}"] {
        scene.issuer.publish(KEYS, bad, Some(3600));
        sleep(Duration::from_secs(400)).await;
        assert_eq!(scene.present(&signer.token(&claims(&json!({ "jti": bad })))).await, "verified", "{bad}");
    }
    let asked = scene.issuer.seconds();
    assert_eq!(asked[..5], [550, 551, 553, 557, 565]);
    let series = scene.method.key_source().unwrap().series();
    assert_eq!((series.keys(), series.succeeded.get()), (1, 1));
    assert_eq!(series.failed.get(), 10 + asked.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn metadata_says_where_the_keys_are() {
    let signer = Signer::ed25519("a");
    let token = signer.token(&claims(&json!({})));
    let elsewhere = "https://id.example.com/elsewhere";
    let scene = Scene::new("", |issuer| {
        issuer.publish(CONFIGURATION, &metadata(KEYS), None);
        issuer.publish(KEYS, &jwks(&[&signer]), Some(1800));
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.present(&token).await, "verified");
    let name = |(second, name): (u64, &str)| (second, name.to_owned());
    let first = [(0, "openid-configuration"), (0, "keys")].map(name);
    assert_eq!(scene.issuer.asked(), first);
    // It is read again after an hour, and not with every refresh.
    sleep(Duration::from_secs(3601)).await;
    assert_eq!(
        scene.issuer.asked(),
        [(1800, "keys"), (3600, "openid-configuration"), (3600, "keys")].map(name)
    );
    // The keys move: the metadata is read again because the old place fails.
    scene.issuer.fail(KEYS, FetchError::Status(StatusCode::NOT_FOUND));
    scene.issuer.publish(CONFIGURATION, &metadata(elsewhere), None);
    scene.issuer.publish(elsewhere, &jwks(&[&signer]), Some(60));
    sleep(Duration::from_secs(1800)).await;
    assert_eq!(
        scene.issuer.asked(),
        [(5400, "keys"), (5401, "openid-configuration"), (5401, "elsewhere")].map(name)
    );
    // The metadata is gone, but the keys are still where they were.
    scene.issuer.fail(CONFIGURATION, down());
    sleep(Duration::from_secs(3700)).await;
    scene.issuer.asked();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        scene.issuer.asked().into_iter().map(|(_, name)| name).collect::<Vec<_>>(),
        ["openid-configuration", "elsewhere"]
    );
    assert_eq!(scene.present(&signer.token(&claims(&json!({ "jti": "2" })))).await, "verified");
}

#[tokio::test(start_paused = true)]
async fn metadata_that_cannot_be_believed() {
    let signer = Signer::ed25519("a");
    let token = signer.token(&claims(&json!({})));
    let mismatch = json!({ "issuer": "https://id.example.com/", "jwks_uri": KEYS }).to_string();
    for (name, configuration, oauth, expect) in [
        ("the second place", None, Some(metadata(KEYS)), "verified"),
        ("nowhere", None, None, "keys_unavailable"),
        ("of another issuer", Some(mismatch.clone()), Some(metadata(KEYS)), "keys_unavailable"),
        ("of another issuer, in the second place", None, Some(mismatch), "keys_unavailable"),
        ("keys over http", Some(metadata("http://id.example.com/keys")), None, "keys_unavailable"),
        ("keys on this machine", Some(metadata("http://127.0.0.1/keys")), None, "keys_unavailable"),
        ("keys with a password", Some(metadata("https://u:p@id.example.com/keys")), None, "keys_unavailable"),
        ("no JSON", Some("<html>".to_owned()), Some(metadata(KEYS)), "keys_unavailable"),
    ] {
        let scene = Scene::new("", |issuer| {
            for (address, document) in [(CONFIGURATION, &configuration), (OAUTH, &oauth)] {
                if let Some(document) = document {
                    issuer.publish(address, document, None);
                }
            }
            issuer.publish(KEYS, &jwks(&[&signer]), None);
        });
        sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.present(&token).await, expect, "{name}");
        let keys_asked = scene.issuer.asked().iter().any(|(_, name)| name == "keys");
        assert_eq!(keys_asked, expect == "verified", "{name}");
        scene.task.abort();
    }
    // Metadata that is down is not metadata that is not there.
    let scene = Scene::new("", |issuer| {
        issuer.fail(CONFIGURATION, FetchError::Status(StatusCode::BAD_GATEWAY));
        issuer.publish(OAUTH, &metadata(KEYS), None);
    });
    sleep(Duration::from_millis(900)).await;
    assert_eq!(scene.issuer.asked(), [(0, "openid-configuration".to_owned())]);
}

/// J10, J11: a new key is fetched at once, and made-up ones cause a few fetches at once and one in ten seconds after that.
#[tokio::test(start_paused = true)]
async fn bounds_fetches_for_unknown_keys() {
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let scene = Scene::new(URL, |issuer| issuer.publish(KEYS, &jwks(&[&old]), Some(3600)));
    sleep(Duration::from_secs(100)).await;
    scene.issuer.asked();
    scene.issuer.publish(KEYS, &jwks(&[&new]), Some(3600));
    assert_eq!(scene.present(&new.token(&claims(&json!({})))).await, "verified");
    assert_eq!(scene.present(&old.token(&claims(&json!({})))).await, "unknown_key");
    assert_eq!(scene.issuer.seconds(), [100]);
    let payload = claims(&json!({})).to_string();
    let start = Instant::now();
    let mut tasks = Vec::new();
    for at in 0..10_000 {
        let header = json!({ "alg": "EdDSA", "kid": format!("random-{at}") }).to_string();
        let (method, token) = (scene.method.clone(), new.sign("EdDSA", &header, &payload));
        tasks.push(tokio::spawn(async move { method.attempt(Token::from(&*token), NOW).await }));
        if at % 1000 == 999 {
            sleep(Duration::from_secs(3)).await;
            let before = Instant::now();
            let known = new.token(&claims(&json!({ "jti": at.to_string() })));
            assert_eq!((scene.present(&known).await, before.elapsed()), ("verified", Duration::ZERO));
        }
    }
    for task in tasks {
        let Attempt::Failed(reason) = task.await.unwrap() else { panic!("a made-up key was accepted") };
        assert!(["unknown_key", "key_fetch_pending"].contains(&reason.label()), "{}", reason.label());
    }
    let fetches = scene.issuer.seconds();
    assert!(start.elapsed() >= Duration::from_secs(30));
    // One of the burst was taken by the new key.
    assert!((3..=5).contains(&fetches.len()), "{fetches:?}");
    assert!(fetches[2..].windows(2).all(|pair| pair[1] - pair[0] >= 9), "{fetches:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_is_kept_fresh_by_one_task_for_as_long_as_it_is_used() {
    let keys = jwks(&[&Signer::ed25519("a")]);
    let Scene { bench, method, issuer, task } = Scene::new(URL, |issuer| issuer.publish(KEYS, &keys, None));
    sleep(Duration::from_secs(1)).await;
    let source = method.key_source().unwrap().clone();
    // A second one ends at once and does nothing.
    keep_fresh(source.clone(), issuer.clone(), Clock::manual(NOW), Audit::silent()).await;
    assert_eq!(issuer.seconds(), [0]);
    // A reload that keeps the source keeps its task.
    let (reloaded, _) = bench.try_compile(&yaml(&format!("{URL}leeway: 1s\n")), &[], Some(&method));
    drop((method, source));
    sleep(Duration::from_secs(300)).await;
    assert_eq!(issuer.seconds(), [300]);
    assert!(!task.is_finished());
    // One that replaces it ends it, in the middle of its pause.
    let (replaced, _) =
        bench.try_compile(&yaml("jwks_url: https://id.example.com/keys2\n"), &[], reloaded.as_ref());
    drop(reloaded);
    let ended = Instant::now();
    task.await.unwrap();
    assert_eq!(ended.elapsed(), Duration::ZERO);
    // A task that is aborted leaves the source to the next one.
    let source = replaced.unwrap().key_source().unwrap().clone();
    assert!(timeout(Duration::from_secs(60), source.settled()).await.is_err(), "nobody reads the keys");
    let first = tokio::spawn(keep_fresh(source.clone(), issuer.clone(), Clock::manual(NOW), Audit::silent()));
    sleep(Duration::from_millis(50)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    issuer.publish("https://id.example.com/keys2", &keys, None);
    let second =
        tokio::spawn(keep_fresh(source.clone(), issuer.clone(), Clock::manual(NOW), Audit::silent()));
    sleep(Duration::from_secs(1)).await;
    assert!(source.is_ready() && !second.is_finished());
}

/// The whole way, over real connections: metadata, keys, a token, another key.
#[tokio::test]
async fn from_the_name_of_an_issuer_to_a_verified_token() {
    let (old, new) = (Signer::p256("old"), Signer::rsa("new"));
    let set = Arc::new(Mutex::new(jwks(&[&old])));
    let (issuer, published) = (Arc::new(Mutex::new(String::new())), set.clone());
    let name = issuer.clone();
    let server = Server::start(move |path| match path {
        "/realms/a/.well-known/openid-configuration" => Answer::ok(
            &json!({ "issuer": *name.lock().unwrap(), "jwks_uri": format!("{}/keys", name.lock().unwrap()) })
                .to_string(),
        ),
        "/realms/a/keys" => Answer::ok(&published.lock().unwrap()),
        _ => Answer::with_head("HTTP/1.1 404 Not Found\r\n", ""),
    })
    .await;
    let own = format!("http://{}/realms/a", server.address);
    issuer.lock().unwrap().clone_from(&own);
    let bench = Bench::new();
    let method = bench.compile(&format!("issuer: {own}\naudience: {AUDIENCE}\n"));
    let source = method.key_source().unwrap().clone();
    let task = tokio::spawn(keep_fresh(
        source.clone(),
        fetch(Duration::from_secs(5)),
        Clock::manual(NOW),
        Audit::silent(),
    ));
    let token = |signer: &Signer| signer.token(&claims(&json!({ "iss": own })));
    timeout(Duration::from_secs(30), source.settled()).await.unwrap();
    assert!(source.is_ready());
    let by_old = token(&old);
    assert_eq!(outcome(&method.attempt(Token::from(&*by_old), NOW).await), "verified");
    *set.lock().unwrap() = jwks(&[&new]);
    assert_eq!(outcome(&method.attempt(Token::from(&*token(&new)), NOW).await), "verified");
    assert!(method.remembered(Token::from(&*by_old)).is_none());
    assert_eq!(outcome(&method.attempt(Token::from(&*by_old), NOW).await), "unknown_key");
    let configuration = "/realms/a/.well-known/openid-configuration";
    assert_eq!(server.paths(), [configuration, "/realms/a/keys", "/realms/a/keys"]);
    task.abort();
}
