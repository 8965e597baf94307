//! Callers that are known and may not, routes that do not exist, and methods that are not listed.

use serde_json::json;

use crate::harness::credentials::basic;
use crate::harness::problem::{assert_challenge, assert_problem, challenges};

use super::door::{Door, PASSWORD, Version};

#[tokio::test]
async fn known_callers_without_scope_or_role_are_answered_403() {
    let door = Door::open().await;
    let reader = ("X-API-Key", door.reader.key.clone());
    let user = ("Authorization", basic("bob", PASSWORD));
    let token = ("Authorization", door.token().bearer());
    let nothing = ("Authorization", door.token().without("scope").bearer());
    // Scopes are compared whole and in their case, and a scope is no role.
    let alike =
        ("Authorization", door.token().claim("scope", "Orders:Read orders:reader orders: read").bearer());
    let clerk = door.token().claim("realm_access", json!({ "roles": ["clerk", "Admin"] }));
    let clerk = ("Authorization", clerk.claim("scope", "admin orders:read orders:write").bearer());
    let write = Some("orders:read orders:write");
    for version in Version::ALL {
        for (method, (name, value), subject, reason, bearer, scope) in [
            ("POST", &reader, "globex", "missing_scope", false, None),
            ("DELETE", &reader, "globex", "missing_role", false, None),
            ("POST", &user, "bob", "missing_scope", false, None),
            ("DELETE", &user, "bob", "missing_role", false, None),
            ("POST", &token, "alice", "missing_scope", true, write),
            ("GET", &nothing, "alice", "missing_scope", true, Some("orders:read")),
            ("GET", &alike, "alice", "missing_scope", true, Some("orders:read")),
            ("DELETE", &clerk, "alice", "missing_role", true, None),
        ] {
            let client = door.gateway.https();
            let answer = version.over(client.call(method, "/v1/orders/7").header(name, value)).await;
            assert_problem(&answer, 403, "forbidden");
            if bearer {
                let mut parameters = vec![("realm", "portcullis"), ("error", "insufficient_scope")];
                parameters.extend(scope.map(|scope| ("scope", scope)));
                assert_challenge(&answer, "Bearer", &parameters);
                assert_eq!(challenges(&answer).len(), 1, "{answer:?}");
            } else {
                assert!(challenges(&answer).is_empty(), "{answer:?}");
            }
            let line = door.assert_refused(&answer, method, "orders", reason).await;
            assert_eq!(line["subject"], subject, "{line}");
            assert_eq!(line["method"], method, "{line}");
        }
    }
    // The same callers may do what they may.
    let client = door.gateway.https();
    client.post("/v1/orders").headers(&[door.writer.header()]).await.assert_status(200);
    client.call("DELETE", "/v1/orders/7").headers(&[door.writer.header()]).await.assert_status(200);
}

#[tokio::test]
async fn no_route_is_404_and_a_method_that_is_not_listed_is_405_whoever_asks() {
    let door = Door::open().await;
    for version in Version::ALL {
        for credential in [None, Some(door.writer.header()), Some(("X-API-Key", "wrong"))] {
            let fields: Vec<(&str, &str)> = credential.into_iter().collect();
            let client = door.gateway.https();
            let answer = version.over(client.get("/v2/orders").headers(&fields)).await;
            assert_problem(&answer, 404, "no_route");
            assert!(challenges(&answer).is_empty(), "{answer:?}");
            door.assert_refused(&answer, "404", "none", "no_route").await;

            for method in ["PUT", "OPTIONS", "BREW", "get"] {
                let answer = version.over(client.call(method, "/v1/orders/7").headers(&fields)).await;
                assert_problem(&answer, 405, "method_not_allowed");
                assert_eq!(answer.header("Allow"), Some("GET, HEAD, POST, DELETE"), "{answer:?}");
                door.assert_refused(&answer, method, "orders", "method_not_allowed").await;
            }
        }
    }
}
