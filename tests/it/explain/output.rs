//! What `explain` prints: everything that an operator asks for, and no secret.

use super::{Stand, explain};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::process::{portcullis_command, run};

const ORDERS: &str = "https://api.example.com/v1/orders/7";

#[tokio::test]
async fn an_answer_names_route_checks_and_what_goes_upstream() {
    let stand = Stand::start().await;
    let key = stand.reader.key.as_str();
    let allowed = stand.explain(&["GET", ORDERS, "--key", key]).await;
    let said = allowed.assert_success().stdout.clone();
    for expected in [
        "route     orders\n",
        "  ok    transport   the connection is encrypted\n",
        "  ok    credential  an API key in `X-API-Key`\n",
        "  ok    key         partners: it is `k_reader` of `reader`\n",
        "  ok    revocation  partners: it is not on the list\n",
        "  ok    scopes      needed: all of `orders:read`; the caller has `orders:read`\n",
        "answer    from the upstream\n",
        "in log    outcome allowed, reason ok, subject reader\n",
        ", /orders/7, with\n",
        "  x-auth-subject: reader\n",
        "  x-request-id: (another one for each request)\n",
        "  without x-api-key, which held the credential\n",
        "how many attempts have failed lately",
    ] {
        assert!(said.contains(expected), "{expected}\nis missing in\n{said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");

    let refused = stand.explain(&["POST", ORDERS, "--key", key]).await;
    let said = refused.assert_success().stdout.clone();
    for expected in [
        "  FAIL  scopes      needed: all of `orders:write`; the caller has `orders:read` → missing_scope\n",
        "answer    403 forbidden: The caller may not do this\n",
        "in log    outcome refused, reason missing_scope, subject reader\n",
    ] {
        assert!(said.contains(expected), "{expected}\nis missing in\n{said}");
    }
    let nowhere = stand.explain(&["POST", "https://api.example.com/docs/upload"]).await;
    let said = nowhere.assert_success().stdout.clone();
    for expected in [
        "route     none\n",
        "  not     docs: its methods are GET, HEAD\n",
        "  not     upload: its methods are PUT\n",
        "answer    405 method_not_allowed",
        "  allow: PUT, GET, HEAD\n",
    ] {
        assert!(said.contains(expected), "{expected}\nis missing in\n{said}");
    }
    let tools = ["GET", "https://tools.example.com/tools/a", "--key", key];
    let said = stand.explain(&tools).await.assert_success().stdout.clone();
    for expected in [
        "  FAIL  credential  the route accepts `staff` (basic); the request has `X-API-Key`, which is none of",
        "→ unaccepted_credential\n",
        "answer    401 no_credential: A credential is needed\n",
        "in log    outcome refused, reason unaccepted_credential\n",
    ] {
        assert!(said.contains(expected), "{expected}\nis missing in\n{said}");
    }
    let script =
        stand.explain(&["GET", "https://tools.example.com/tools/a", "-H", "Sec-Fetch-Mode: cors"]).await;
    assert!(script.stdout.contains("  www-authenticate: xBasic realm="), "{}", script.stdout);
    let reserved = stand.explain(&["GET", "https://api.example.com/docs/upload"]).await;
    let said = reserved.assert_success().stdout.clone();
    for expected in [
        "route     none\n",
        "  not     docs: it fits and is public, but a more specific route with a guard does not take",
        "  not     upload: its methods are PUT\n",
        "answer    405 method_not_allowed",
    ] {
        assert!(said.contains(expected), "{expected}\nis missing in\n{said}");
    }
    let elsewhere = stand.explain(&["GET", "https://api.example.com/tools/a"]).await;
    assert!(
        elsewhere.stdout.contains("  not     tools: its host is `tools.example.com`\n"),
        "{}",
        elsewhere.stdout
    );
    let nearly = stand.explain(&["GET", "https://api.example.com/doc/a"]).await;
    assert!(nearly.stdout.contains("  not     docs: its path is `/docs/**`\n"), "{}", nearly.stdout);
    let shadowed = stand.explain(&["GET", "https://api.example.com/v1/orders/archive;x"]).await;
    assert!(shadowed.stdout.contains("some upstreams would take the path"), "{}", shadowed.stdout);
}

#[tokio::test]
async fn credentials_come_from_anywhere_and_are_never_shown() {
    let stand = Stand::start().await;
    let key = stand.reader.key.clone();
    let path = stand.gateway.path("key.txt");
    std::fs::write(&path, format!("{key}\n")).unwrap();
    let fields = stand.gateway.path("fields.txt");
    std::fs::write(&fields, format!("X-API-Key: {key}\nX-More: 1\n")).unwrap();
    let from_file = format!("@{}", path.display());
    let fields = format!("@{}", fields.display());
    let token = stand.issuer.token().claim("scope", "orders:read").sign();
    let kept = "https://api.example.com/kept/a";
    for arguments in [
        &["GET", ORDERS, "--key", &key][..],
        &["GET", ORDERS, "--key", &from_file],
        &["GET", ORDERS, "--key", "env:KEY"],
        &["GET", ORDERS, "-H", &fields],
        &["GET", ORDERS, "--token", &token],
        &["GET", ORDERS, "--user", "alice:open sesame"],
        &["GET", kept, "--key", &stand.kept.key],
        // On a public route nobody takes it away, and nobody shows it either.
        &["GET", "https://api.example.com/docs/a", "--key", &key],
        &["GET", "https://api.example.com/docs/a", "--token", &token, "-H", "Cookie: id=a-secret-cookie"],
        &["GET", "https://api.example.com/docs/pcl_k_4fQ9xT_abc?x=pcl_k_4fQ9xT_abc"],
    ] {
        for format in ["text", "json"] {
            let file = stand.gateway.path("gateway.yaml");
            let mut command = portcullis_command();
            command.arg("explain").args(arguments).args(["--format", format, "--config"]).arg(file);
            let finished = run(command.env("KEY", &key)).await;
            finished.assert_success();
            let admitted = if format == "text" { "from the upstream" } else { "\"status\": null" };
            assert!(finished.stdout.contains(admitted), "{arguments:?}: {}", finished.stdout);
            let said = finished.stdout + &finished.stderr;
            for secret in
                [&*key, &stand.kept.key, &token, "open sesame", "a-secret-cookie", "pcl_k_4fQ9xT_abc"]
            {
                assert!(!said.contains(secret), "{arguments:?}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_explained_is_said() {
    let gateway = Gateway::builder(
        r"
        auth: { partners: { api_key: { keys: keys.yaml } } }
        upstreams: { api: builtin:echo }
        routes: [{ name: api, match: { path: /** }, auth: partners, upstream: api }]
        ",
    )
    .file("keys.yaml", keys_yaml(&[&ApiKey::of("acme")]))
    .start()
    .await;
    for (arguments, complaint) in [
        (&["GET", "api.example.com"][..], "error: the URL must begin with `https://` or `http://`"),
        (&["GET", "ftp://api.example.com"], "error: `ftp://` is neither `https://` nor `http://`"),
        (&["GET", "https://"], "error: the URL must have a host, without a name and a password"),
        (&["GET", "https://a:b@c/"], "error: the URL must have a host, without a name and a password"),
        (&["GET", "http://localhost/"], "error: no listener of the gateway speaks http"),
        (
            &["GET", "https://localhost/", "-H", "x"],
            "error: a header field is written `Name: value`, in one line",
        ),
        (&["GET", "https://localhost/", "--key", "@none"], "error: cannot read `none`: "),
        (
            &["GET", "https://localhost/", "--key", "env:NONE"],
            "error: the environment variable `NONE` is not set",
        ),
        (
            &["GET", "https://localhost/", "--user", "alice"],
            "error: a name and a password are written with a colon",
        ),
        (&["GET", "https://localhost/", "--key", "-"], "error: the credential is empty"),
    ] {
        let finished = explain(&gateway, arguments).await;
        assert_eq!((finished.code(), finished.stdout.as_str()), (1, ""), "{arguments:?}");
        assert!(finished.stderr.starts_with(complaint), "{arguments:?}: {}", finished.stderr);
    }
    gateway.write_yaml("routes: []");
    let finished = explain(&gateway, &["GET", "https://localhost/"]).await;
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.starts_with("error: `upstreams` is missing here"), "{}", finished.stderr);
}
