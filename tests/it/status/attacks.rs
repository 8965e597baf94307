//! Who tries to read or change something by the status page without having signed in, or by the browser of somebody who
//! has.

use std::net::Ipv4Addr;

use serde_json::json;

use super::sessions::{Operator, sign_in};
use super::{Cast, ORIGIN, REPEATED, TOKEN, WITH_TOKEN, now, refused};

/// What is tried, the fields of the request, and the status that it is answered with.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// L10: a page of another site, of another port or without an origin makes the browser send the session's cookie. It does
/// not know what the session was told, and says where it is from
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html>).
#[tokio::test]
async fn nobody_changes_anything_by_the_browser_of_an_operator() {
    let cast = Cast::new();
    let gateway = cast.gateway(WITH_TOKEN).start().await;
    let operator = Operator::sign_in(gateway.admin()).await;
    let other = Operator::sign_in(gateway.admin()).await;
    let cookie = ("Cookie", operator.cookie.as_str());
    let repeat = (REPEATED, operator.repeat.as_str());
    let bearer = format!("Bearer {TOKEN}");
    let rows: [Row<'_>; 16] = [
        ("nothing at all", &[JSON], 403),
        ("no session", &[JSON, ORIGIN, repeat], 401),
        ("a session that nobody opened", &[JSON, ORIGIN, repeat, ("Cookie", "portcullis-status=0")], 401),
        ("the cookie alone", &[JSON, ORIGIN, cookie], 403),
        ("nothing repeated", &[JSON, ORIGIN, cookie, (REPEATED, "")], 403),
        ("what another session was told", &[JSON, ORIGIN, cookie, (REPEATED, &other.repeat)], 403),
        ("no origin", &[JSON, cookie, repeat], 403),
        ("an origin that is hidden", &[JSON, cookie, repeat, ("Origin", "null")], 403),
        ("another site", &[JSON, cookie, repeat, ("Origin", "https://attacker.example")], 403),
        ("another port", &[JSON, cookie, repeat, ("Origin", "http://localhost:3000")], 403),
        ("a site that begins like ours", &[JSON, cookie, repeat, ("Origin", "http://localhost.evil")], 403),
        (
            "a browser that says cross-site",
            &[JSON, ORIGIN, cookie, repeat, ("Sec-Fetch-Site", "cross-site")],
            403,
        ),
        (
            "a browser that says same-site",
            &[JSON, ORIGIN, cookie, repeat, ("Sec-Fetch-Site", "same-site")],
            403,
        ),
        ("a browser that says none", &[JSON, ORIGIN, cookie, repeat, ("Sec-Fetch-Site", "none")], 403),
        ("the token in place of a session", &[JSON, ORIGIN, ("Authorization", &bearer)], 401),
        ("a form", &[("Content-Type", "text/plain"), ORIGIN, cookie, repeat], 415),
    ];
    let body = json!({ "kind": "key", "id": cast.key.id }).to_string();
    for (what, headers, status) in rows {
        let posted = gateway.admin().post("/status/revocations").headers(headers).body(body.clone()).await;
        assert_eq!(posted.status, status, "{what}: {posted:?}");
        assert!(posted.header("Access-Control-Allow-Origin").is_none(), "{what}");
        if status != 415 {
            let target = format!("/status/revocations?kind=key&id={}", cast.key.id);
            assert_eq!(
                gateway.admin().call("DELETE", &target).headers(headers).await.status,
                status,
                "{what}"
            );
            let out = gateway.admin().call("DELETE", "/status/session").headers(headers).await;
            assert_eq!(out.status, status, "{what}");
        }
    }
    // The programs' API takes no cookie, whatever comes with it.
    let posted =
        gateway.admin().post("/revocations").headers(&[JSON, ORIGIN, cookie, repeat]).body(body).await;
    assert_eq!(posted.status, 401);
    cast.ask(&gateway).await.assert_status(200);
    let listed = operator.ask("GET", "/status/revocations", None).await.json();
    assert_eq!(listed["revocations"], json!([]));
}

/// Signing in works from a page of our own only, so that nobody is signed in by another page, and says nothing about the
/// token.
#[tokio::test]
async fn signing_in_is_for_pages_of_our_own() {
    let gateway = Cast::new().gateway(WITH_TOKEN).start().await;
    let admin = gateway.admin();
    for headers in [
        &[][..],
        &[("Origin", "null")],
        &[("Origin", "https://attacker.example")],
        &[("Origin", "http://localhost:3000")],
        &[ORIGIN, ("Sec-Fetch-Site", "cross-site")],
        &[ORIGIN, ("Sec-Fetch-Site", "same-site")],
    ] {
        let answer = sign_in(&admin, TOKEN, headers).await;
        assert_eq!((answer.status, answer.header("Set-Cookie")), (403, None), "{headers:?}");
    }
    for (kind, body, status) in [
        ("application/x-www-form-urlencoded", format!("token={TOKEN}"), 415),
        ("text/plain", json!({ "token": TOKEN }).to_string(), 415),
        ("application/json", TOKEN.to_owned(), 400),
        ("application/json", json!({ "token": [TOKEN] }).to_string(), 400),
        ("application/json", json!({ "token": TOKEN, "x": 1 }).to_string(), 400),
        ("application/json", json!({ "token": "" }).to_string(), 401),
        ("application/json", json!({ "token": "x".repeat(20_000) }).to_string(), 413),
    ] {
        let fields = [ORIGIN, ("Content-Type", kind)];
        let answer = admin.post("/status/session").headers(&fields).body(body).await;
        assert_eq!((answer.status, answer.header("Set-Cookie")), (status, None), "{answer:?}");
        assert!(!answer.text().contains(TOKEN), "{answer:?}");
    }
    assert!(!gateway.everything_logged().contains(TOKEN));
}

/// Wrong tokens are few, in the form and from programs alike; after that not even the right one is heard if it is short, so
/// that nobody learns which it is. Elsewhere it is.
#[tokio::test]
async fn tokens_cannot_be_guessed() {
    let cast = Cast::new();
    let gateway = cast.gateway(WITH_TOKEN).start().await;
    let admin = gateway.admin();
    let mut heard = 0;
    for number in 0..40 {
        let guess = format!("guess-{number}");
        let answer = if number % 2 == 0 {
            sign_in(&admin, &guess, &[ORIGIN]).await
        } else {
            admin.get("/revocations").header("Authorization", &format!("Bearer {guess}")).await
        };
        assert!([401, 429].contains(&answer.status) && answer.header("Set-Cookie").is_none(), "{answer:?}");
        heard += u32::from(answer.status == 401);
    }
    // One more is borne every three seconds.
    assert!((20..=24).contains(&heard), "{heard}");
    let answer = sign_in(&admin, TOKEN, &[ORIGIN]).await;
    assert_eq!((answer.status, answer.header("Set-Cookie")), (429, None), "{answer:?}");
    assert!(answer.header("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|s| s > 0)));
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/revocations", "/status/now"] {
        admin.get(path).header("Authorization", &bearer).await.assert_status(429);
    }
    admin.get("/metrics").await.assert_status(200);
    admin.get("/readyz").await.assert_status(200);
    let elsewhere = gateway.admin().source(Ipv4Addr::new(127, 0, 0, 2));
    sign_in(&elsewhere, TOKEN, &[ORIGIN]).await.assert_status(200);
    elsewhere.get("/revocations").header("Authorization", &bearer).await.assert_status(200);
    assert!(!gateway.everything_logged().contains("guess-"));
}

/// A token that is too long to be guessed opens, whatever others behind the same address have sent: otherwise anybody there
/// could keep operators from revoking (account lockout as denial of service,
/// <https://owasp.org/www-community/controls/Blocking_Brute_Force_Attacks>).
#[tokio::test]
async fn nobody_is_kept_from_using_a_long_token() {
    let cast = Cast::new();
    let long = "0c9d5f3e7a1b4826d0c9d5f3e7a1b4826";
    let gateway = cast.gateway(WITH_TOKEN).env("ADMIN_TOKEN", long).start().await;
    let admin = gateway.admin();
    let bearer = |token: &str| format!("Bearer {token}");
    let mut statuses = [0; 2];
    for number in 0..60 {
        let guess = format!("0c9d5f3e7a1b4826d0c9d5f3e7a1b49{number:02}");
        let answer = admin.get("/revocations").header("Authorization", &bearer(&guess)).await;
        assert!([401, 429].contains(&answer.status), "{answer:?}");
        statuses[usize::from(answer.status == 429)] += 1;
        let answer = admin.get("/revocations").header("Authorization", &bearer(long)).await;
        answer.assert_status(200);
    }
    assert!((20..=30).contains(&statuses[0]) && statuses[1] >= 30, "{statuses:?}");
    sign_in(&admin, "guess", &[ORIGIN]).await.assert_status(429);
    sign_in(&admin, long, &[ORIGIN]).await.assert_status(200);
    let body = json!({ "kind": "key", "id": cast.key.id });
    admin.post("/revocations").header("Authorization", &bearer(long)).json(&body).await.assert_status(201);
    cast.ask(&gateway).await.assert_status(401);
    cast.upstream.assert_nothing();
    // Part of it is not all of it, and nothing stands in any log.
    for wrong in [&long[1..], &long[..32], &long[..31], ""] {
        let answer = admin.get("/revocations").header("Authorization", &bearer(wrong)).await;
        assert!([401, 429].contains(&answer.status), "{wrong}: {answer:?}");
    }
    assert!(!gateway.everything_logged().contains(&long[..20]));
}

/// Without a token there is nobody to sign in as: the page is read, and changes nothing.
#[tokio::test]
async fn without_a_token_the_page_changes_nothing() {
    let cast = Cast::new();
    let gateway = cast.gateway("").start().await;
    let admin = gateway.admin();
    assert_eq!(admin.get("/status/session").await.json(), json!({ "mode": "read_only" }));
    for token in ["", "x", TOKEN] {
        let answer = sign_in(&admin, token, &[ORIGIN]).await;
        assert_eq!((answer.status, answer.header("Set-Cookie")), (403, None), "{answer:?}");
    }
    let fields =
        [ORIGIN, JSON, ("Sec-Fetch-Site", "same-origin"), (REPEATED, ""), ("Cookie", "portcullis-status=")];
    let body = json!({ "kind": "key", "id": cast.key.id }).to_string();
    admin.post("/status/revocations").headers(&fields).body(body).await.assert_status(403);
    let target = format!("/status/revocations?kind=key&id={}", cast.key.id);
    admin.call("DELETE", &target).headers(&fields).await.assert_status(403);
    admin.call("DELETE", "/status/session").headers(&fields).await.assert_status(403);
    cast.ask(&gateway).await.assert_status(200);
}

/// A web page in an operator's browser reads nothing: not from its own origin, and not by a name that it has made to point
/// here (DNS rebinding).
#[tokio::test]
async fn other_web_pages_read_nothing() {
    let cast = Cast::new();
    let gateway = cast.gateway("").start().await;
    for field in [
        ("Host", "attacker.example"),
        ("Host", "127.0.0.1.attacker.example"),
        ("Origin", "https://attacker.example"),
        ("Origin", "http://localhost:3000"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        for path in ["/status/now", "/status/policy", "/status/revocations", "/status/session"] {
            let answer = gateway.admin().get(path).headers(&[field]).await;
            assert_eq!(answer.status, 403, "{path} {field:?}");
            assert!(!answer.text().contains("orders"), "{answer:?}");
        }
    }
}

/// Markup in a path or a name is passed on as what it is, in a document that no browser takes for a page. That the page
/// shows it as text is tested in a browser.
#[tokio::test]
async fn markup_in_requests_stays_text() {
    let cast = Cast::new();
    let gateway = cast.gateway("").start().await;
    let line = refused(&gateway, "GET", "/v1/<img/src=x/onerror=alert(1)>", &[]).await;
    let path = line["path"].as_str().unwrap_or_default();
    let shown = now(&gateway, &[]).await["refusals"][0].clone();
    assert_eq!(shown["path"].as_str().unwrap(), path);
    let answer = gateway.admin().get("/status/now").await;
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
}

/// L04: clients find nothing of it on their listeners.
#[tokio::test]
async fn clients_find_no_status_page() {
    let cast = Cast::new();
    let gateway = cast.gateway(WITH_TOKEN).start().await;
    let operator = Operator::sign_in(gateway.admin()).await;
    let bearer = format!("Bearer {TOKEN}");
    for path in
        ["/status", "/status/", "/status/now", "/status/page.js", "/status/session", "/status/revocations"]
    {
        for method in ["GET", "POST", "DELETE"] {
            let fields = [("Cookie", operator.cookie.as_str()), ("Authorization", bearer.as_str())];
            let answer = gateway.https().call(method, path).headers(&fields).await;
            crate::harness::problem::assert_problem(&answer, 404, "no_route");
        }
    }
    cast.upstream.assert_nothing();
}
