//! Who a request says it is, and who it is: fields that only the gateway may write.

use std::net::Ipv4Addr;

use super::*;
use crate::harness::credentials::{basic, htpasswd_argon2id};
use crate::harness::issuer::{AUDIENCE, Issuer};
use crate::harness::upstream::Recorded;

/// A route of each kind, with an identity field of the operator's own name.
const KINDS: &str = r#"
    auth:
      partners: { api_key: { keys: keys.yaml } }
      staff: { basic: { users: staff.htpasswd, realm: Tools } }
      users: { jwt: { issuer: "{issuer}", audience: ["{audience}"] } }
    identity:
      headers:
        X-Auth-Subject: subject
        X-Auth-Method: method
        X-Auth-Scopes: scopes
        X-Auth-Key-Id: key_id
        X-Auth-Email: claims.email
        Tenant-Name: claims.tenant
    upstreams: { app: "{upstream}" }
    routes:
      - { name: open, match: { path: /public/** }, auth: public, upstream: app }
      - { name: v1, match: { path: /v1/** }, auth: [partners, staff, users], upstream: app }
      - name: watched
        match: { path: /watched/** }
        auth: [partners, staff, users]
        allow: { "*": { scopes: [nobody] } }
        upstream: app
        mode: report
"#;

/// A [`Stand`] of which the ordinary route takes every kind of credential.
struct Kinds {
    stand: Stand,
    issuer: Issuer,
}

impl Kinds {
    async fn start() -> Self {
        let issuer = Issuer::start();
        let upstream = Upstream::start();
        let (admin, user) = (ApiKey::of("root").scopes(&["admin"]), ApiKey::of("acme"));
        let gateway = Gateway::builder(KINDS)
            .with("upstream", upstream.url())
            .with("issuer", issuer.url())
            .with("audience", AUDIENCE)
            .file("keys.yaml", keys_yaml(&[&admin, &user]))
            .file("staff.htpasswd", htpasswd_argon2id("bob", "correct horse"))
            .start()
            .await;
        Self { stand: Stand { gateway, upstream, admin, user }, issuer }
    }

    async fn forwarded(&self, path: &str, fields: &[(&str, &str)]) -> Recorded {
        self.stand.gateway.https().get(path).headers(fields).await.assert_status(200);
        self.stand.upstream.take_one()
    }
}

/// The fields of a request that some upstream could read as `name`: CGI and its relatives make the same variable of all of
/// them (RFC 3875 section 4.1.18), upper or lower case, with everything but letters and digits as `_`.
pub(super) fn aliases<'a>(request: &'a Recorded, name: &str) -> Vec<&'a str> {
    let variable = |name: &str| {
        let letter =
            |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_uppercase() as char } else { '_' };
        name.bytes().map(letter).collect::<String>()
    };
    let wanted = variable(name);
    let same = |(known, value): (&str, &'a [u8])| {
        (variable(known) == wanted).then(|| std::str::from_utf8(value).expect("a value in UTF-8"))
    };
    request.headers.iter().filter_map(same).collect()
}

/// Spellings of one field that one server or another takes for it.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), name.to_ascii_uppercase(), name.to_ascii_lowercase()];
    all.extend("_.!#$%&'*+^`|~".chars().map(|mark| name.replace('-', &mark.to_string())));
    all.push(name.replacen('-', "_", 1));
    all
}

/// No spelling of an identity field passes, on any route, with any credential or none (APISIX CVE-2026-44087 and
/// CVE-2026-39998, oauth2-proxy CVE-2025-64484, Traefik CVE-2026-39858).
/// Rows H01 and H02.
#[tokio::test]
async fn no_spelling_of_an_identity_field_passes() {
    let kinds = Kinds::start().await;
    let token = kinds.issuer.token().claim("email", "alice@example.com").bearer();
    let password = basic("bob", "correct horse");
    let key = kinds.stand.user.key.as_str();
    let credentials = [
        ("/public/x", None, None),
        ("/v1/x", Some(("X-API-Key", key)), Some("acme")),
        ("/v1/x", Some(("Authorization", password.as_str())), Some("bob")),
        ("/v1/x", Some(("Authorization", token.as_str())), Some("alice")),
        ("/watched/x", Some(("X-API-Key", key)), Some("acme")),
        ("/watched/x", None, None),
    ];
    let names = ["X-Auth-Subject", "X-Auth-Roles", "X-Auth-Email", "X-Auth-Anything", "Tenant-Name"];
    for (path, credential, subject) in credentials {
        for name in names {
            let spelled = spellings(name);
            let mut fields: Vec<(&str, &str)> =
                spelled.iter().map(|name| (name.as_str(), "mallory")).collect();
            fields.extend(credential);
            let received = kinds.forwarded(path, &fields).await;
            let expect = if name == "X-Auth-Subject" { subject } else { None };
            let expect = match (name, credential) {
                ("X-Auth-Email", Some((_, value))) if value == token => Some("alice@example.com"),
                _ => expect,
            };
            assert_eq!(aliases(&received, name), Vec::from_iter(expect), "{name} on {path}: {received:?}");
        }
        // By HTTP/2 as well, where there are no upper-case names.
        let mut fields =
            vec![("x-auth-subject", "mallory"), ("x_auth_subject", "mallory"), ("x.auth.subject", "m")];
        fields.extend(credential);
        let client = kinds.stand.gateway.https().http2().await;
        client.get(path).headers(&fields).await.assert_status(200);
        assert_eq!(
            aliases(&kinds.stand.upstream.take_one(), "X-Auth-Subject"),
            Vec::from_iter(subject),
            "{path}"
        );
    }
}

/// Fields that some upstreams take for the end of a message or for a credential have one spelling only (the same advisories
/// for `Content_Length` and `X_API_Key`).
/// Row H02.
#[tokio::test]
async fn no_other_spelling_of_a_field_that_was_checked_passes() {
    let kinds = Kinds::start().await;
    let key = kinds.stand.user.header();
    for (name, value) in [("Content-Length", "9"), ("Transfer-Encoding", "chunked"), ("X-API-Key", "another")]
    {
        for spelled in spellings(name) {
            if spelled.eq_ignore_ascii_case(name) {
                continue;
            }
            let received = kinds.forwarded("/v1/x", &[key, (&spelled, value)]).await;
            assert_eq!(aliases(&received, name), Vec::<&str>::new(), "{spelled}: {received:?}");
        }
    }
}

/// `Connection` takes nothing away that the gateway writes (Traefik CVE-2024-45410, Fabio CVE-2025-48865).
/// Row H03.
#[tokio::test]
async fn connection_options_take_nothing_of_ours_away() {
    let kinds = Kinds::start().await;
    let ours = [
        "X-Auth-Subject",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "Forwarded",
        "X-Request-Id",
    ];
    for options in [
        format!("close, {}", ours.join(", ")),
        ours.join(",").to_ascii_lowercase(),
        "x-auth-subject\t,, X-AUTH-SUBJECT, x_auth_subject".to_owned(),
    ] {
        let fields = [kinds.stand.user.header(), ("Connection", &*options), ("X-Auth-Subject", "mallory")];
        let received = kinds.forwarded("/v1/x", &fields).await;
        assert_eq!(received.header("X-Auth-Subject"), Some("acme"), "{options}");
        for name in ours {
            assert!(received.headers.contains(name), "{options}: {name} is missing: {received:?}");
        }
        assert!(!received.headers.lists("Connection", "x-auth-subject"), "{received:?}");
    }
    // The same options many times over are no reason to fail.
    for option in ["keep-alive", "close", "X-Auth-Subject", ",", "\"x\"", "@"] {
        let many = vec![option; 300].join(", ");
        let received = kinds.forwarded("/v1/x", &[kinds.stand.user.header(), ("Connection", &many)]).await;
        assert_eq!(received.header("X-Auth-Subject"), Some("acme"), "{option}");
    }
    // The client's own fields do go, as it asked.
    let fields =
        [kinds.stand.user.header(), ("Connection", "X-Own, close"), ("X-Own", "1"), ("X-Other", "2")];
    let received = kinds.forwarded("/v1/x", &fields).await;
    assert_eq!((received.header("X-Own"), received.header("X-Other")), (None, Some("2")));
}

/// `Connection` that names what decides about the message itself (Akamai CVE-2026-26365).
/// Row H04.
#[tokio::test]
async fn connection_options_that_change_the_message_are_refused() {
    let stand = Stand::start().await;
    for option in
        ["Host", "Transfer-Encoding", "Content-Length", "Authorization", "close, host", "HOST", "x ,\tHost"]
    {
        let line = format!("Connection: {option}");
        stand.refuses(get("/public/x", &[&line]), 400, "malformed_connection_option").await;
    }
    stand.assert_only_this_arrives().await;
}

/// What an untrusted client says about how it came and what it wanted is neither used nor passed on (oauth2-proxy
/// CVE-2026-40575, Traefik CVE-2026-35051, Oathkeeper GHSA-vhr5-ggp3-qq85).
/// Rows H05 and M05.
#[tokio::test]
async fn forwarding_fields_of_a_stranger_are_replaced() {
    let kinds = Kinds::start().await;
    let removed = [
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Forwarded-Prefix",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-User",
        "X-Original-URL",
        "X-Original-Host",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Real-IP",
        "True-Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Host",
        "X-Forwarded",
        "X-SSL-Client-Cert",
        "X-SSL-Client-Verify",
        "Forwarded-For",
        "Client-IP",
        "Client-Cert",
        "Client-Cert-Chain",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "Front-End-Https",
        "Proxy-Client-IP",
        "WL-Proxy-Client-IP",
        "X-Azure-ClientIP",
        "X-Envoy-External-Address",
        "X-Scheme",
        "X-URL-Scheme",
        "Proxy",
    ];
    let spelled: Vec<String> = removed.iter().flat_map(|name| spellings(name)).collect();
    for names in spelled.chunks(80) {
        let mut fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "/admin")).collect();
        fields.push(kinds.stand.user.header());
        let received = kinds.forwarded("/v1/x?q", &fields).await;
        assert_eq!((received.method.as_str(), received.target.as_str()), ("GET", "/v1/x?q"));
        for name in removed {
            assert_eq!(aliases(&received, name), Vec::<&str>::new(), "{received:?}");
        }
    }
    let fields = [
        kinds.stand.user.header(),
        ("X-Forwarded-For", "1.2.3.4"),
        ("x_forwarded_for", "1.2.3.4"),
        ("Forwarded", "for=1.2.3.4;host=evil;proto=http"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil.example"),
    ];
    let received = kinds.forwarded("/v1/x", &fields).await;
    assert_eq!(aliases(&received, "X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(aliases(&received, "X-Forwarded-Proto"), ["https"]);
    assert_eq!(aliases(&received, "X-Forwarded-Host"), ["localhost"]);
    assert_eq!(received.header("Forwarded"), Some("for=127.0.0.1;host=\"localhost\";proto=https"));
    // Nor do they lead to another route.
    let fields =
        [("X-Original-URL", "/public/x"), ("X-Forwarded-Uri", "/public/x"), ("X-Rewrite-URL", "/public/x")];
    let answer = kinds.stand.gateway.https().get("/v1/x").headers(&fields).await;
    kinds.stand.assert_refused(&answer, 401, "no_credential").await;
}

/// Trusting everyone is a mistake in the file (oauth2-proxy#3506).
/// Row H06.
#[tokio::test]
async fn nobody_can_trust_the_whole_internet() {
    for networks in ["0.0.0.0/0", "::/0", "10.0.0.0/8, 0.0.0.0/0", "0.0.0.0/1, 128.0.0.0/1"] {
        let yaml = format!("trusted_proxies: [\"{}\"]\n{}", networks.replace(", ", "\", \""), minimal());
        let finished = Gateway::builder(&yaml).run(&["check", "--config", "{directory}/gateway.yaml"]).await;
        assert!(!finished.status.success(), "{networks}: {finished:?}");
        assert!(
            finished.stderr.contains("trusted_proxies") || finished.stderr.contains("internet"),
            "{finished:?}"
        );
    }
}

fn minimal() -> &'static str {
    "upstreams: { app: builtin:echo }\nroutes: [{ name: all, match: { path: /** }, auth: public, upstream: app }]\n"
}

/// The address that is logged and passed on is that of the connection, unless a trusted proxy says another (Kong#8677).
/// Row H07.
#[tokio::test]
async fn the_client_address_is_that_of_the_connection() {
    let yaml = format!("trusted_proxies: [127.0.0.2/32, 127.0.0.3/32]\n{ROUTES}").replace("\n    ", "\n");
    let stand = Stand::with(&yaml).await;
    for (source, sent, client, passed) in [
        ([127, 0, 0, 9], "1.2.3.4", "127.0.0.9", "127.0.0.9"),
        ([127, 0, 0, 2], "1.2.3.4", "1.2.3.4", "1.2.3.4, 127.0.0.2"),
        // The client wrote the first; the proxy saw the second.
        ([127, 0, 0, 2], "9.9.9.9, 1.2.3.4", "1.2.3.4", "1.2.3.4, 127.0.0.2"),
        ([127, 0, 0, 2], "1.2.3.4, 127.0.0.3", "1.2.3.4", "1.2.3.4, 127.0.0.3, 127.0.0.2"),
        ([127, 0, 0, 2], "localhost", "127.0.0.2", "127.0.0.2"),
    ] {
        let client_from = stand.gateway.https().source(Ipv4Addr::from(source));
        let answer = client_from.get("/public/x").header("X-Forwarded-For", sent).await;
        let id = answer.assert_status(200).header("X-Request-Id").unwrap().to_owned();
        assert_eq!(stand.upstream.take_one().header("X-Forwarded-For"), Some(passed));
        let line = stand.gateway.wait_for_access(|line| line["request_id"] == *id).await;
        assert_eq!(line["client"], client, "{sent}");
    }
}

/// A claim is no way to write a header line (APISIX CVE-2026-31908): what would not arrive unchanged is left out.
/// Rows H08 and H09.
#[tokio::test]
async fn claims_split_no_header() {
    let kinds = Kinds::start().await;
    let long = "x".repeat(8 << 10);
    for (claim, expect) in [
        ("alice@example.com", Some("alice@example.com")),
        ("a\r\nX-Auth-Subject: root", None),
        ("a\nb", None),
        ("a\rb", None),
        ("a\0b", None),
        ("a\u{7f}b", None),
        ("a\u{85}b", None),
        ("\u{1b}[31m", None),
        (" padded ", None),
        ("", None),
        ("José", Some("José")),
        ("\u{1f600}", Some("\u{1f600}")),
        (&long, None),
    ] {
        let token = kinds.issuer.token().claim("email", claim).bearer();
        let received = kinds.forwarded("/v1/x", &[("Authorization", &token)]).await;
        assert_eq!(aliases(&received, "X-Auth-Email"), Vec::from_iter(expect), "{claim:?}");
        assert_eq!(received.header("X-Auth-Subject"), Some("alice"));
    }
    // A claim that is no text, or is not there, leaves no field: neither an empty one nor the one of the request before,
    // which came on the same connection.
    for value in [Value::Null, Value::from(vec!["a", "b"]), serde_json::json!({ "a": 1 })] {
        let token = kinds.issuer.token().claim("tenant", value).bearer();
        let received = kinds.forwarded("/v1/x", &[("Authorization", &token)]).await;
        let tenant = aliases(&received, "Tenant-Name");
        assert!(tenant.is_empty() || tenant == ["a,b"], "{tenant:?}");
    }
    let token = kinds.issuer.token().bearer();
    let received = kinds.forwarded("/v1/x", &[("Authorization", &token)]).await;
    assert_eq!((received.header("X-Auth-Email"), received.header("Tenant-Name")), (None, None));
    // A subject that would not arrive unchanged is nobody.
    for subject in ["root\r\nX: y", "a\0", "", " alice", &long] {
        let token = kinds.issuer.token().claim("sub", subject).bearer();
        let answer = kinds.stand.gateway.https().get("/v1/x").header("Authorization", &token).await;
        assert_problem(&answer, 401, "malformed_credential");
        kinds.stand.upstream.assert_nothing();
    }
}
