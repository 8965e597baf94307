//! The page in a real browser: what it shows, what it asks for, and revoking by its forms.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::sessions::Operator;
use super::{Cast, TOKEN, WITH_TOKEN, refused};
use crate::harness::browser::Browser;
use crate::harness::credentials::{ApiKey, basic, htpasswd_argon2id, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::issuer::Issuer;
use crate::harness::problem::assert_problem;
use crate::harness::redis::Redis;
use crate::harness::upstream::{Answer, Upstream};

/// What would run if it were taken for markup.
const MARKUP: &str = "<img src=x onerror=window.fired=1>";

fn page(gateway: &Gateway) -> String {
    format!("http://127.0.0.1:{}/status", gateway.admin_port())
}

/// Fails the test if the page has asked for anything that is not the gateway's, or complained.
async fn assert_clean(browser: &Browser, gateway: &Gateway) {
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    let own = format!("http://127.0.0.1:{}/status", gateway.admin_port());
    let asked = browser.requested().await;
    assert!(asked.iter().any(|url| url.ends_with("/status/now")), "{asked:#?}");
    // What the browser shows before it is told to show something is a part of it.
    let inside = |url: &str| ["data:", "chrome:", "about:"].iter().any(|scheme| url.starts_with(scheme));
    let others: Vec<_> = asked.iter().filter(|url| !url.starts_with(&own) && !inside(url)).collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// Routes and refusals are shown, and what came with requests is text: markup in a path, a name, an identifier or a reason
/// does nothing (<https://owasp.org/www-community/attacks/xss/>).
#[tokio::test]
async fn a_browser_shows_refusals_as_text() {
    let mut cast = Cast::new();
    cast.key = ApiKey::from_text(MARKUP, "a-foreign-key-that-is-long-enough-to-be-one").id("k_odd");
    let gateway = cast.gateway("").start().await;
    let by_owner = refused(&gateway, "POST", "/v1/orders", &[cast.key.header()]).await;
    assert_eq!(by_owner["subject"], MARKUP, "{by_owner}");
    let by_path =
        refused(&gateway, "GET", "/v1/<img/src=x/onerror=window.fired=1>/%3Cimg%20src=x%3E", &[]).await;
    for (kind, id) in [("sub", MARKUP), ("key", "k_<b>odd</b>")] {
        let body = json!({ "kind": kind, "id": id, "reason": MARKUP });
        gateway.admin().post("/revocations").json(&body).await.assert_status(201);
    }
    let browser = Browser::start().await;
    browser.open(&page(&gateway)).await;
    for line in [&by_owner, &by_path] {
        browser.wait_for_text("#refusals", line["request_id"].as_str().unwrap()).await;
        browser.wait_for_text("#refusals", line["reason"].as_str().unwrap()).await;
    }
    browser.wait_for_text("#refusals", MARKUP).await;
    browser.wait_for_text("#revocations", MARKUP).await;
    browser.wait_for_text("#revocations", "k_<b>odd</b>").await;
    if let Some(path) = by_path["path"].as_str() {
        browser.wait_for_text("#refusals", path).await;
    }
    browser.wait_for_text("#routes", "/v1/**").await;
    browser.wait_for_text("#routes", "orders:write").await;
    browser.wait_for_text("#ready", "ready").await;
    browser.wait_for_text("#health", "server.crt").await;
    let made = "[window.fired ?? null, document.querySelectorAll('img, script:not([src]), td b').length]";
    assert_eq!(browser.run(&format!("return {made};")).await, json!([null, 0]));
    // Without a token it is for reading.
    for part in ["#sign-in", "#revoking", "#sign-out", "#revocations button"] {
        assert!(!browser.shows(part).await, "{part}");
    }
    browser.wait_for_text("#who", "read-only").await;
    // It looks again by itself.
    let another = refused(&gateway, "GET", "/nothing/there", &[]).await;
    browser.wait_for_text("#refusals", another["request_id"].as_str().unwrap()).await;
    assert_clean(&browser, &gateway).await;
    browser.quit().await;
}

/// Signing in, revoking a key by the form, lifting it by the button beside it, and signing out.
#[tokio::test]
async fn an_operator_revokes_in_a_browser() {
    let cast = Cast::new();
    let gateway = cast.gateway(WITH_TOKEN).start().await;
    let browser = Browser::start().await;
    browser.open(&page(&gateway)).await;
    browser.wait_for_text("#sign-in", "Sign in").await;
    assert!(!browser.shows("#content").await && !browser.shows("#revoking").await);
    browser.write("#token", TOKEN).await;
    browser.click("#sign-in-form button").await;
    browser.wait_for_text("#revoking", "Revoke").await;
    assert_eq!(browser.run("return document.cookie;").await, json!(""), "no script can read it");
    cast.ask(&gateway).await.assert_status(200);
    cast.upstream.take_one();

    browser.write("#revoke-id", &cast.key.id).await;
    browser.write("#revoke-reason", "it was published").await;
    browser.click("#revoke-form button").await;
    browser.wait_for_text("#revoke-outcome", "is revoked").await;
    browser.wait_for_text("#revocations", "it was published").await;
    let answer = cast.ask(&gateway).await;
    assert_problem(&answer, 401, "credential_revoked");
    cast.upstream.assert_nothing();
    browser.wait_for_text("#refusals", answer.header("X-Request-Id").unwrap()).await;

    browser.click("#revocations button").await;
    browser.wait_for_text("#revoke-outcome", "is lifted").await;
    browser.wait_for("document.getElementById('revocations').parentElement.hidden").await;
    cast.ask(&gateway).await.assert_status(200);
    cast.upstream.take_one();
    // What makes no sense is said.
    browser.write("#revoke-for", "soon").await;
    browser.write("#revoke-id", "x").await;
    assert_clean(&browser, &gateway).await;
    browser.click("#revoke-form button").await;
    browser.wait_for_text("#revoke-outcome.error", "24h").await;

    browser.click("#sign-out").await;
    browser.wait_for_text("#sign-in", "Sign in").await;
    assert!(!browser.shows("#content").await);
    browser.write("#token", "wrong").await;
    browser.click("#sign-in-form button").await;
    browser.wait_for_text("#sign-in-error", "the admin token is needed").await;
    browser.quit().await;
}

/// A page of another origin that knows everything but what the session was told makes the operator's browser send what it
/// can: nothing is revoked by it, and nothing is read. The other origin is another port of the same host, which is the
/// same site: `SameSite` alone would not stop it.
#[tokio::test]
async fn a_page_of_another_port_changes_nothing() {
    let cast = Cast::new();
    let gateway = cast.gateway(WITH_TOKEN).start().await;
    let body = json!({ "kind": "key", "id": cast.key.id }).to_string();
    let own = format!("http://127.0.0.1:{}", gateway.admin_port());
    let evil = Upstream::start();
    let form = format!(
        "<form id=f method=post enctype=text/plain target=frame action={own}/status/revocations>\
         <input name='{{\"kind\":\"key\",\"id\":\"k_acme\",\"reason\":\"' value='\"}}'></form><iframe name=frame></iframe>"
    );
    evil.answer("/", Answer::ok(form).header("Content-Type", "text/html"));
    let browser = Browser::start().await;
    browser.open(&page(&gateway)).await;
    browser.write("#token", TOKEN).await;
    browser.click("#sign-in-form button").await;
    browser.wait_for_text("#revoking", "Revoke").await;
    browser.open(&evil.url().replace("localhost", "127.0.0.1")).await;
    let script = format!(
        "window.done = 0; document.querySelector('iframe').addEventListener('load', () => window.done += 1); \
         document.getElementById('f').submit(); \
         const tries = [['POST', 'application/json'], ['POST', 'text/plain']]; \
         for (const [method, kind] of tries) \
           fetch('{own}/status/revocations', {{ method, credentials: 'include', body: {body}, mode: kind === 'text/plain' ? 'no-cors' : 'cors', \
             headers: {{ 'Content-Type': kind }} }}).catch(() => null).finally(() => window.done += 1); \
         fetch('{own}/status/now', {{ credentials: 'include' }}).then(() => window.read = true).catch(() => null).finally(() => window.done += 1);",
        body = json!(body),
    );
    browser.run(&script).await;
    browser.wait_for("window.done >= 4").await;
    assert_eq!(browser.run("return window.read ?? null;").await, json!(null));
    browser.quit().await;
    cast.ask(&gateway).await.assert_status(200);
    let operator = Operator::sign_in(gateway.admin()).await;
    let listed = operator.ask("GET", "/status/revocations", None).await.json();
    assert_eq!(listed["revocations"], json!([]));
}

/// A gateway with a bit of everything, some of which is out of order.
struct Busy {
    gateway: Gateway,
    keys: [ApiKey; 2],
    issuer: Issuer,
    _redis: Redis,
    _upstreams: [Upstream; 3],
}

impl Busy {
    async fn start() -> Self {
        let (issuer, redis) = (Issuer::start(), Redis::start().await);
        let upstreams = [Upstream::start(), Upstream::start(), Upstream::start()];
        upstreams[2].stop().await;
        let keys =
            [ApiKey::of("acme").scopes(&["orders:read"]), ApiKey::of("globex").scopes(&["orders:read"])];
        let gateway = Gateway::builder(
            r#"
            admin: { address: "127.0.0.1:0", token: "${ADMIN_TOKEN}" }
            redis: { url: "{redis}" }
            limits: { failed_attempts: { source: unlimited, principal: unlimited } }
            auth:
              partners: { api_key: { keys: keys.yaml } }
              staff: { basic: { users: staff.htpasswd, realm: Internal tools } }
              users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
            upstreams: { orders: "{orders}", docs: "{docs}", inventory: "{inventory}" }
            routes:
              - name: orders
                match: { host: api.example.com, path: /v1/orders/** }
                auth: [users, partners]
                allow: { "GET, HEAD": { scopes: [orders:read] }, "POST, PUT, DELETE": { scopes: [orders:write], roles: [editor] } }
                upstream: orders
              - name: inventory
                match: { host: api.example.com, path: /v1/inventory/** }
                auth: [users, partners]
                mode: report
                upstream: inventory
              - { name: internal-tools, match: { host: tools.example.com, path: /** }, auth: staff, upstream: docs }
              - { name: docs, match: { path: /docs/**, methods: [GET, HEAD] }, auth: public, upstream: docs }
            "#,
        )
        .with("issuer", issuer.url())
        .with("redis", redis.url())
        .with("orders", upstreams[0].url())
        .with("docs", upstreams[1].url())
        .with("inventory", upstreams[2].url())
        .env("ADMIN_TOKEN", TOKEN)
        .file("keys.yaml", keys_yaml(&[&keys[0], &keys[1]]))
        .file("staff.htpasswd", htpasswd_argon2id("bob", "correct horse"))
        .start()
        .await;
        let body = json!({ "kind": "key", "id": keys[1].id, "reason": "was in a public repository" });
        let operator = Operator::sign_in(gateway.admin()).await;
        operator.ask("POST", "/status/revocations", Some(body)).await.assert_status(201);
        Self { gateway, keys, issuer, _redis: redis, _upstreams: upstreams }
    }

    /// Some requests, of which more come now and then.
    async fn traffic(&self, round: u32) {
        let token = self.issuer.token();
        let (good, forged) = (token.bearer(), self.issuer.token().corrupt().bearer());
        let (acme, globex) = (self.keys[0].header(), self.keys[1].header());
        let bob = basic("bob", "guess");
        let api = self.gateway.https().host("api.example.com");
        let tools = self.gateway.https().host("tools.example.com");
        let mut connection = api.connect().await;
        for number in 0..20 + round % 17 * 2 {
            connection.get(&format!("/v1/orders/{number}")).headers(&[acme]).await.assert_status(200);
        }
        if round.is_multiple_of(5) {
            api.get("/v1/inventory/7").headers(&[acme]).await.assert_status(502);
        }
        if round.is_multiple_of(3) {
            api.get("/v1/orders/8").header("Authorization", &good).await.assert_status(403);
            api.post("/v1/orders").headers(&[acme]).await.assert_status(403);
            api.get("/v1/orders/1").header("Authorization", &forged).await.assert_status(401);
        }
        for path in ["/v1/orders/42", "/v1/orders/43"] {
            api.get(path).headers(&[globex]).await.assert_status(401);
        }
        tools.get("/wiki").header("Authorization", &bob).await.assert_status(401);
        api.get("/.env").await.assert_status(404);
        api.get("/v1/orders/9").await.assert_status(401);
        api.get("/docs/start").await.assert_status(200);
    }
}

/// The page fits on a desk and on a phone, light and dark, with all that a policy can have. With `PORTCULLIS_PICTURE=FILE.png`
/// it is watched during a minute of traffic, and its pictures are kept.
#[tokio::test]
async fn a_busy_page_fits_where_it_is_shown() {
    let busy = Busy::start().await;
    let picture = std::env::var_os("PORTCULLIS_PICTURE").map(PathBuf::from);
    let browser = Browser::start().await;
    browser.open(&page(&busy.gateway)).await;
    browser.write("#token", TOKEN).await;
    browser.click("#sign-in-form button").await;
    browser.wait_for_text("#revoking", "Revoke").await;
    let rounds = if picture.is_some() { 45 } else { 1 };
    for round in 0..rounds {
        busy.traffic(round).await;
        if picture.is_some() {
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
    }
    browser.wait_for_text("#refusals", "missing_scope").await;
    browser.wait_for_text("#health", "inventory").await;
    for (width, height, name) in [(500, 900, "phone.png"), (1280, 1060, "png")] {
        browser.resize(width, height).await;
        for scheme in ["dark", "light"] {
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.devtools("Emulation.setEmulatedMedia", &json!(features)).await;
            let color = if scheme == "light" { "rgb(246, 247, 248)" } else { "rgb(20, 23, 27)" };
            browser.wait_for(&format!("getComputedStyle(document.body).backgroundColor === '{color}'")).await;
            browser.wait_for("document.documentElement.scrollWidth <= window.innerWidth").await;
            if let Some(picture) = &picture {
                let name = if scheme == "light" { name.to_owned() } else { format!("dark.{name}") };
                std::fs::write(picture.with_extension(name), browser.picture().await).unwrap();
            }
        }
    }
    browser.quit().await;
}
