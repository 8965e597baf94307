//! HTTP Basic in a real browser: a password dialog for a navigation, and none for a script, which would wait for it.

use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::client::Response;
use crate::harness::credentials::{ApiKey, basic, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::problem::{assert_problem, challenges};
use crate::harness::upstream::{Answer, Upstream};

const YAML: &str = r#"
    limits: { failed_attempts: { source: unlimited, principal: unlimited } }
    auth:
      partners: { api_key: { keys: keys.yaml } }
      staff: { basic: { users: staff.htpasswd, realm: Tools } }
    upstreams: { app: "{upstream}" }
    routes:
      - { name: page, match: { path: /page }, auth: public, upstream: app }
      - { name: tools, match: { path: /tools/** }, auth: staff, upstream: app }
      - { name: both, match: { path: /both/** }, auth: [partners, staff], upstream: app }
"#;

async fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::builder(YAML)
        .with("upstream", upstream.url())
        .file("keys.yaml", keys_yaml(&[&ApiKey::of("acme")]))
        .file("staff.htpasswd", htpasswd_bcrypt("bob", "correct-horse"))
        .start()
        .await
}

/// The schemes of the challenges, in their order.
fn schemes(response: &Response) -> Vec<String> {
    challenges(response).into_iter().map(|challenge| challenge.scheme).collect()
}

/// Each 401 has a challenge (RFC 9110 section 15.5.2).
#[tokio::test]
async fn leaves_out_basic_challenge_when_request_comes_from_script() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream).await;
    let wrong = basic("bob", "wrong");
    for (name, value, is_script) in [
        ("Sec-Fetch-Mode", "cors", true),
        ("Sec-Fetch-Mode", "no-cors", true),
        ("Sec-Fetch-Mode", "same-origin", true),
        ("Sec-Fetch-Mode", "websocket", true),
        ("X-Requested-With", "XMLHttpRequest", true),
        ("Sec-Fetch-Mode", "navigate", false),
        ("Accept", "*/*", false),
    ] {
        for http2 in [false, true] {
            let client = gateway.https();
            let get = |path: &str, fields: &[(&str, &str)]| {
                let call = client.get(path).header(name, value).headers(fields);
                if http2 { call.over_http2() } else { call }
            };
            for (path, expected) in [
                ("/tools/x", if is_script { &["xBasic"][..] } else { &["Basic"] }),
                ("/both/x", if is_script { &["ApiKey"] } else { &["ApiKey", "Basic"] }),
            ] {
                let missing = get(path, &[]).await;
                assert_problem(&missing, 401, "no_credential");
                assert_eq!(schemes(&missing), expected, "{name}: {value}");
                let rejected = get(path, &[("Authorization", &wrong)]).await;
                assert_problem(&rejected, 401, "invalid_credential");
                assert_eq!(schemes(&rejected), expected, "{name}: {value}");
            }
        }
    }
    upstream.assert_nothing();
}

#[tokio::test]
async fn fetch_in_browser_gets_401_without_password_dialog() {
    let upstream = Upstream::start();
    let html = |text: &str| {
        Answer::ok(format!("<!doctype html><title>{text}</title>")).header("Content-Type", "text/html")
    };
    upstream.answer("/page", html("page")).answer("/tools/x", html("tools"));
    let gateway = gateway(&upstream).await;
    let authority = format!("localhost:{}", gateway.https_port(0));
    let browser = Browser::start().await;
    browser.open(&format!("https://{authority}/page")).await;
    let fetch = |path: &str, options: &str| {
        format!(
            "window.seen = null; fetch('https://{authority}{path}', {options}).then(async response => {{ window.seen = \
             [response.status, response.headers.get('www-authenticate'), (await response.text()).slice(0, 9)]; }}) \
             .catch(error => {{ window.seen = [String(error)]; }});"
        )
    };
    for options in ["{}", "{ mode: 'same-origin' }", "{ method: 'POST', body: 'x' }"] {
        browser.run(&fetch("/tools/x", options)).await;
        let seen = browser.wait_for("window.seen").await;
        let challenge = r#"xBasic realm="Tools", charset="UTF-8""#;
        assert_eq!(seen, json!([401, challenge, r#"{"type":""#]), "{options}");
    }
    let request = "window.seen = null; const request = new XMLHttpRequest(); request.open('GET', '/both/x'); \
                   request.onloadend = () => { window.seen = [request.status]; }; request.send();";
    browser.run(request).await;
    assert_eq!(browser.wait_for("window.seen").await, json!([401]));
    let received = upstream.take();
    assert!(received.iter().all(|request| !request.target.starts_with("/tools")), "{received:?}");

    // A navigation still gets the challenge: a browser sends what it has for it only in response to one.
    browser.open(&format!("https://bob:correct-horse@{authority}/tools/x")).await;
    assert_eq!(browser.run("return document.title;").await, json!("tools"));
    // Scripts of that page use the same password.
    browser.run(&fetch("/tools/x", "{}")).await;
    assert_eq!(browser.wait_for("window.seen").await[0], Value::from(200));
    browser.quit().await;
}
