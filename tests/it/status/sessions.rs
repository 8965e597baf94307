//! Signing in, for how long that holds, and revoking and lifting by it.

use serde_json::{Value, json};

use super::{Cast, ORIGIN, REPEATED, TOKEN, WITH_TOKEN, now};
use crate::harness::client::{Client, Response};
use crate::harness::problem::assert_problem;

/// Somebody who has signed in.
pub(super) struct Operator {
    client: Client,
    pub(super) cookie: String,
    pub(super) repeat: String,
}

impl Operator {
    /// Signs in with the token.
    pub(super) async fn sign_in(client: Client) -> Self {
        let answer = sign_in(&client, TOKEN, &[ORIGIN]).await;
        answer.assert_status(200);
        let cookie = cookie(&answer);
        let repeat = answer.json()["repeat"].as_str().unwrap().to_owned();
        Self { client, cookie, repeat }
    }

    /// Asks as a page of the session does.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        let fields = [("Cookie", self.cookie.as_str()), ORIGIN, (REPEATED, self.repeat.as_str())];
        let call = self.client.call(method, path).headers(&fields);
        match body {
            Some(body) => call.json(&body).await,
            None => call.await,
        }
    }
}

/// Tries to sign in.
pub(super) async fn sign_in(client: &Client, token: &str, headers: &[(&str, &str)]) -> Response {
    client.post("/status/session").headers(headers).json(&json!({ "token": token })).await
}

/// What a browser sends back of the cookie that an answer sets.
fn cookie(answer: &Response) -> String {
    let set = answer.header("Set-Cookie").unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    set.split(';').next().unwrap().to_owned()
}

/// Signing in, revoking a key, and lifting that, each of which holds at once.
#[tokio::test]
async fn an_operator_revokes_and_lifts() {
    let cast = Cast::new();
    let gateway = cast.gateway(WITH_TOKEN).start().await;
    let operator = Operator::sign_in(gateway.admin()).await;
    let cookie = [("Cookie", operator.cookie.as_str())];
    assert_eq!(gateway.admin().get("/status/session").headers(&cookie).await.json()["mode"], "signed_in");
    now(&gateway, &cookie).await;
    cast.ask(&gateway).await.assert_status(200);
    cast.upstream.take_one();

    let body = json!({ "kind": "key", "id": cast.key.id, "reason": "it was published" });
    operator.ask("POST", "/status/revocations", Some(body)).await.assert_status(201);
    let answer = cast.ask(&gateway).await;
    assert_problem(&answer, 401, "credential_revoked");
    cast.upstream.assert_nothing();
    let id = answer.header("X-Request-Id").unwrap().to_owned();
    let line = gateway.wait_for_access(|line| line["request_id"] == id.as_str()).await;
    assert_eq!(line["reason"], "revoked");
    assert_eq!(now(&gateway, &cookie).await["refusals"][0]["request_id"], id.as_str());
    let listed = operator.ask("GET", "/status/revocations", None).await.json();
    assert_eq!(listed["revocations"][0]["reason"], "it was published", "{listed}");

    let target = format!("/status/revocations?kind=key&id={}", cast.key.id);
    operator.ask("DELETE", &target, None).await.assert_status(200);
    cast.ask(&gateway).await.assert_status(200);
    operator.ask("DELETE", &target, None).await.assert_status(404);
    let logged = gateway.everything_logged();
    for secret in [TOKEN, &operator.repeat, operator.cookie.split_once('=').unwrap().1] {
        assert!(!logged.contains(secret), "{logged}");
    }
}

/// The cookie can be read by no script, goes to no other site, and has a name of its own each time (L09, session
/// fixation: <https://owasp.org/www-community/attacks/Session_fixation>).
#[tokio::test]
async fn the_cookie_is_for_the_page_alone() {
    let gateway = Cast::new().gateway(WITH_TOKEN).start().await;
    let admin = gateway.admin();
    let chosen = [ORIGIN, ("Cookie", "portcullis-status=0123456789abcdef")];
    let answer = sign_in(&admin, TOKEN, &chosen).await;
    let set = answer.header("Set-Cookie").unwrap().to_owned();
    let (name, rest) = set.split_once("; ").unwrap();
    assert_eq!(rest, "Path=/status; HttpOnly; SameSite=Strict; Max-Age=3600");
    assert!(name.starts_with("portcullis-status=") && name.len() == 18 + 64, "{name}");
    assert!(!answer.text().contains(name.split_once('=').unwrap().1));
    let again = sign_in(&admin, TOKEN, &[ORIGIN, ("Cookie", name)]).await;
    assert_ne!(cookie(&again), name);
    admin.get("/status/now").header("Cookie", chosen[1].1).await.assert_status(401);
    // Behind something that speaks HTTPS, it is for HTTPS and for this host alone.
    let answer =
        sign_in(&admin, TOKEN, &[("Origin", "https://localhost"), ("Sec-Fetch-Site", "same-origin")]).await;
    let set = answer.header("Set-Cookie").unwrap();
    assert!(
        set.starts_with("__Host-portcullis-status=")
            && set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=3600"),
        "{set}"
    );
}

/// A session ends when its operator signs out, and when the token changes; not when anything else does.
#[tokio::test]
async fn a_session_ends_with_signing_out_and_with_its_token() {
    let cast = Cast::new();
    let admin_line = r#"admin: { address: "127.0.0.1:0", token: "file:admin.token" }"#;
    let gateway = cast.gateway(admin_line).file("admin.token", TOKEN).start().await;
    let first = Operator::sign_in(gateway.admin()).await;
    let second = Operator::sign_in(gateway.admin()).await;
    let answer = first.ask("DELETE", "/status/session", None).await;
    answer.assert_status(200);
    for set in answer.headers.all("Set-Cookie") {
        assert!(set.ends_with("Max-Age=0"), "{set}");
    }
    first.ask("GET", "/status/now", None).await.assert_status(401);
    let body = json!({ "kind": "key", "id": cast.key.id });
    first.ask("POST", "/status/revocations", Some(body.clone())).await.assert_status(401);
    gateway.reload().await;
    second.ask("GET", "/status/now", None).await.assert_status(200);
    gateway.write("admin.token", "another-token");
    gateway.reload().await;
    second.ask("GET", "/status/now", None).await.assert_status(401);
    second.ask("POST", "/status/revocations", Some(body)).await.assert_status(401);
    assert_eq!(sign_in(&gateway.admin(), TOKEN, &[ORIGIN]).await.status, 401);
    sign_in(&gateway.admin(), "another-token", &[ORIGIN]).await.assert_status(200);
    cast.ask(&gateway).await.assert_status(200);
}

/// There are sixteen sessions at most: one more ends the oldest.
#[tokio::test]
async fn sessions_are_few() {
    let gateway = Cast::new().gateway(WITH_TOKEN).start().await;
    let first = Operator::sign_in(gateway.admin()).await;
    let second = Operator::sign_in(gateway.admin()).await;
    for _ in 2..16 {
        Operator::sign_in(gateway.admin()).await;
    }
    first.ask("GET", "/status/now", None).await.assert_status(200);
    Operator::sign_in(gateway.admin()).await;
    first.ask("GET", "/status/now", None).await.assert_status(401);
    second.ask("GET", "/status/now", None).await.assert_status(200);
}
