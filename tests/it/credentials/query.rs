//! Credentials in the query, where they end up in logs, histories and referrers: never read, and never repeated.

use crate::harness::client::Response;
use crate::harness::credentials::ApiKey;
use crate::harness::problem::{assert_problem, challenges};

use super::door::{Door, Version};

#[track_caller]
fn assert_hint(answer: &Response) {
    assert_problem(answer, 401, "credential_in_query");
    let title = "A credential in the query is never read: send it in a header field";
    assert_eq!(answer.json()["title"], title);
    let schemes: Vec<String> = challenges(answer).into_iter().map(|challenge| challenge.scheme).collect();
    assert_eq!(schemes, ["Bearer", "ApiKey", "Basic"]);
}

/// K01, RFC 6750 section 2.3: a good credential in the query is answered 401 with a hint, alone or beside a good one.
#[tokio::test]
async fn a_credential_in_the_query_is_never_read() {
    let door = Door::open().await;
    let (key, token) = (door.writer.key.clone(), door.token().sign());
    let client = door.gateway.https();
    for (name, value) in [
        ("api_key", &key),
        ("apikey", &key),
        ("access_token", &token),
        ("token", &token),
        ("jwt", &token),
        ("API_KEY", &key),
        ("ApiKey", &key),
        ("Access_Token", &token),
        ("api%5fkey", &key),
        ("%74oken", &token),
        ("page=2&api_key", &key),
        ("a=b;token", &token),
        ("&&jwt", &token),
    ] {
        for version in Version::ALL {
            let path = format!("/v1/orders/7?{name}={value}");
            let answer = version.over(client.get(&path)).await;
            assert_hint(&answer);
            let line = door.assert_refused(&answer, name, "orders", "credential_in_query").await;
            assert_eq!(line["path"], "/v1/orders/7", "{line}");
            let beside = client.get(&path).headers(&[door.writer.header()]);
            let answer = version.over(beside).await;
            assert_hint(&answer);
            door.assert_refused(&answer, name, "orders", "credential_in_query").await;
        }
    }
    for path in ["/v1/orders/7?token", "/v1/orders/7?token=", "/v1/orders/7?x=1&jwt&y=2"] {
        assert_hint(&client.get(path).headers(&[door.writer.header()]).await);
    }
    door.upstream.assert_nothing();
    let logged = door.gateway.everything_logged();
    assert!(!logged.contains(&key) && !logged.contains(&token), "a credential is in the logs");
    let metrics = client.get("/v1/orders?apikey=x").await;
    assert_hint(&metrics);
}

#[tokio::test]
async fn other_parameters_are_none_of_the_gateways_business() {
    let door = Door::open().await;
    for query in [
        "tokens=1",
        "token_type=bearer",
        "my_token=1",
        "xjwt=1",
        "q=api_key",
        "q=token=1",
        "api_key_id=k_1",
        "api-key=1",
        "",
        "?token=1",
        "%2574oken=1",
    ] {
        let path = format!("/v1/orders/7?{query}");
        let answer = door.gateway.https().get(&path).headers(&[door.writer.header()]).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        assert_eq!(door.upstream.take_one().target, path);
    }
}

/// Where nobody asks for a credential none is refused, and none is logged either.
#[tokio::test]
async fn a_public_route_passes_its_query_on_and_logs_none_of_it() {
    let upstream = crate::harness::upstream::Upstream::start();
    let gateway = crate::harness::gateway::Gateway::builder(
        r#"
        upstreams: { docs: "{upstream}" }
        routes:
          - { name: docs, match: { path: /docs/** }, auth: public, upstream: docs }
        "#,
    )
    .with("upstream", upstream.url())
    .start()
    .await;
    let key = ApiKey::of("acme").key;
    let path = format!("/docs/x?api_key={key}&q=secret-question");
    gateway.https().get(&path).await.assert_status(200);
    assert_eq!(upstream.take_one().target, path);
    let line = gateway.wait_for_access(|line| line["status"] == 200).await;
    assert_eq!((line["path"].as_str(), line["outcome"].as_str()), (Some("/docs/x"), Some("public")));
    let logged = gateway.everything_logged();
    assert!(!logged.contains(&key) && !logged.contains("secret-question"));
}
