//! A gateway with one route that accepts every kind of credential, and a good one of each kind.

use serde_json::{Value, json};

use crate::harness::client::{Call, Response};
use crate::harness::credentials::{ApiKey, basic, bearer, htpasswd_argon2id, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::issuer::{Issuer, SigningKey, Token};
use crate::harness::upstream::Upstream;

/// The parties of these tests.
pub(super) struct Door {
    pub(super) gateway: Gateway,
    pub(super) upstream: Upstream,
    pub(super) issuer: Issuer,
    pub(super) writer: ApiKey,
    pub(super) reader: ApiKey,
    pub(super) expired: ApiKey,
}

/// What is sent, and who it is.
pub(super) struct Good {
    pub(super) what: String,
    pub(super) field: (&'static str, String),
    /// The name in `auth`, the kind, the subject, scopes, roles and key id that the upstream must hear of.
    pub(super) expect: [Option<String>; 6],
}

/// HTTP/1.1 and HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Version {
    pub(super) const ALL: [Self; 2] = [Self::One, Self::Two];

    /// As the access log has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::One => "HTTP/1.1",
            Self::Two => "HTTP/2",
        }
    }

    pub(super) fn over(self, call: Call<'_>) -> Call<'_> {
        match self {
            Self::One => call,
            Self::Two => call.over_http2(),
        }
    }
}

pub(super) const PASSWORD: &str = "correct horse battery staple";
pub(super) const SECRET: &str = "a-secret-of-enough-bytes-for-hs256-and-more";
pub(super) const LEGACY: &str = "https://legacy.example.com";

const YAML: &str = r#"
    auth:
      partners: { api_key: { keys: keys.yaml } }
      staff: { basic: { users: staff.htpasswd, realm: Internal tools, scopes: [orders:read], roles: [clerk] } }
      users:
        jwt:
          issuer: "{issuer}"
          audience: [https://api.example.com]
          claims: { roles: realm_access.roles }
      legacy:
        jwt:
          issuer: https://legacy.example.com
          audience: https://api.example.com
          secret: "file:secrets/hs256"
    identity:
      headers:
        X-Auth-Via: auth
        X-Auth-Method: method
        X-Auth-Subject: subject
        X-Auth-Scopes: scopes
        X-Auth-Roles: roles
        X-Auth-Key-Id: key_id
    upstreams: { orders: "{upstream}" }
    routes:
      - name: orders
        match: { path: /v1/orders/** }
        auth: [users, legacy, partners, staff]
        allow:
          "GET, HEAD": { scopes: [orders:read] }
          POST: { scopes: [orders:read, orders:write] }
          DELETE: { roles: [admin, editor] }
        upstream: orders
"#;

/// The identity fields, in the order of [`Good::expect`].
pub(super) const FIELDS: [&str; 6] =
    ["X-Auth-Via", "X-Auth-Method", "X-Auth-Subject", "X-Auth-Scopes", "X-Auth-Roles", "X-Auth-Key-Id"];

impl Door {
    pub(super) async fn open() -> Self {
        let rsa = SigningKey::rsa("rs256-1");
        let issuer = Issuer::with_keys(vec![
            SigningKey::es256("es256-1"),
            rsa.clone(),
            rsa.with_kid("ps256-1").with_algorithm("PS256"),
            SigningKey::es384("es384-1"),
            SigningKey::eddsa("eddsa-1"),
        ]);
        let upstream = Upstream::start();
        let writer = ApiKey::of("acme").scopes(&["orders:read", "orders:write"]).roles(&["editor"]);
        let reader = ApiKey::of("globex").scopes(&["orders:read"]);
        let expired = ApiKey::of("initech").scopes(&["orders:read"]).expires("2026-01-01T00:00:00Z");
        let users = [htpasswd_argon2id("alice", PASSWORD), htpasswd_bcrypt("bob", PASSWORD)].concat();
        let gateway = Gateway::builder(YAML)
            .with("upstream", upstream.url())
            .with("issuer", issuer.url())
            .file("keys.yaml", keys_yaml(&[&writer, &reader, &expired]))
            .file("staff.htpasswd", users)
            .file("secrets/hs256", SECRET)
            .start()
            .await;
        Self { gateway, upstream, issuer, writer, reader, expired }
    }

    /// A token of the issuer that may read.
    pub(super) fn token(&self) -> Token {
        self.issuer.token().claim("scope", "openid orders:read")
    }

    /// A token of the issuer with the shared secret.
    pub(super) fn legacy(&self) -> Token {
        self.token().claim("iss", LEGACY).signed_by(&SigningKey::secret("hs256-1", SECRET))
    }

    /// One good credential of every kind and in every place.
    pub(super) fn good(&self) -> Vec<Good> {
        let mut all = Vec::new();
        let key = &self.writer.key;
        for (what, field) in [
            ("X-API-Key", ("X-API-Key", key.clone())),
            ("ApiKey", ("Authorization", format!("ApiKey {key}"))),
            ("apikey", ("Authorization", format!("apikey {key}"))),
            ("Basic apikey", ("Authorization", basic("apikey", key))),
        ] {
            let expect =
                fields(["partners", "api_key", "acme", "orders:read orders:write", "editor", "k_acme"]);
            all.push(Good { what: what.to_owned(), field, expect });
        }
        for (what, user) in [("Basic argon2id", "alice"), ("Basic bcrypt", "bob")] {
            let field = ("Authorization", basic(user, PASSWORD));
            let expect = fields(["staff", "basic", user, "orders:read", "clerk", ""]);
            all.push(Good { what: what.to_owned(), field, expect });
        }
        for (kid, algorithm) in [
            ("es256-1", "ES256"),
            ("rs256-1", "RS256"),
            ("ps256-1", "PS256"),
            ("es384-1", "ES384"),
            ("eddsa-1", "EdDSA"),
        ] {
            let token = self.token().signed_by(&self.key(kid)).claim("sub", kid);
            let token = token.claim("realm_access", json!({ "roles": ["admin", "clerk"] }));
            let expect = fields(["users", "jwt", kid, "openid orders:read", "admin,clerk", kid]);
            let field = ("Authorization", token.bearer());
            all.push(Good { what: algorithm.to_owned(), field, expect });
        }
        let expect = fields(["legacy", "jwt", "alice", "openid orders:read", "", ""]);
        all.push(Good {
            what: "HS256".to_owned(),
            field: ("Authorization", bearer(&self.legacy().sign())),
            expect,
        });
        all
    }

    /// The issuer's key with this id.
    pub(super) fn key(&self, kid: &str) -> SigningKey {
        self.issuer.key_called(kid)
    }

    /// The line of the access log for an answer.
    pub(super) async fn line(&self, answer: &Response) -> Value {
        let id = request_id(answer);
        self.gateway.wait_for_access(|line| line["request_id"] == id.as_str()).await
    }

    /// Waits for the line of a refusal, and fails the test unless it has this route, status and reason and says nothing
    /// about a caller.
    pub(super) async fn assert_refused(
        &self,
        answer: &Response,
        what: &str,
        route: &str,
        reason: &str,
    ) -> Value {
        self.upstream.assert_nothing();
        let line = self.line(answer).await;
        assert_eq!(line["route"], route, "{what}: {line}");
        assert_eq!(line["status"], answer.status, "{what}: {line}");
        assert_eq!(line["outcome"], "refused", "{what}: {line}");
        assert_eq!(line["reason"], reason, "{what}: {line}");
        line
    }
}

/// The texts, of which empty ones stand for a field that must not be there.
fn fields(texts: [&str; 6]) -> [Option<String>; 6] {
    texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
}

/// The identifier that an answer carries.
#[track_caller]
pub(super) fn request_id(answer: &Response) -> String {
    answer.header("X-Request-Id").unwrap_or_else(|| panic!("no request id: {answer:?}")).to_owned()
}
