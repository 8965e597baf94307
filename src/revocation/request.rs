//! What the command line and the admin API are asked to revoke or to lift, in words, and the entry it comes to.

use std::time::Duration;

use serde::Deserialize;

use super::entry::{Entry, Invalid, Issuer, Lifetime, Name};
use crate::authn::revocable::Kind;
use crate::clock::Clock;

/// The body of `POST /revocations`: what is revoked, for how long and why.
///
/// ```json
/// { "kind": "jti", "id": "f3a1", "issuer": "https://id.example.com", "for": "24h", "reason": "stolen laptop" }
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// `client`, `jti`, `key`, `sid`, `sub` or `user`.
    pub kind: String,
    /// The client, the token's `jti`, the API key's public identifier, the session, the subject or the Basic user.
    pub id: String,
    /// For a `jti`: the token's `iss`. Without it, a `jti` of any issuer is revoked.
    #[serde(default)]
    pub issuer: Option<String>,
    /// For a `jti`, in place of `issuer`: its hash, as a listing shows it.
    #[serde(default)]
    pub issuer_hash: Option<String>,
    /// How long it stands, such as `24h`, or `never` for one that ends only when it is lifted. See [`lifetime`] for what
    /// goes without saying.
    #[serde(default, rename = "for")]
    pub lifetime: Option<String>,
    /// Why, for whoever reads the list.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The body or query of `DELETE /revocations`: what is lifted.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// As in [`Revocation::kind`].
    pub kind: String,
    /// As in [`Revocation::id`].
    pub id: String,
    /// As in [`Revocation::issuer`].
    #[serde(default)]
    pub issuer: Option<String>,
    /// As in [`Revocation::issuer_hash`].
    #[serde(default)]
    pub issuer_hash: Option<String>,
}

impl Revocation {
    /// The entry that is asked for. `longest_token` is how long a token that the gateway accepts can live at most,
    /// leeway included, where that is known.
    ///
    /// # Errors
    /// What is wrong with the request, as a sentence for whoever made it.
    pub fn entry(&self, longest_token: Option<Duration>, clock: &Clock) -> Result<Entry, Invalid> {
        let Self { kind, id, issuer, issuer_hash, lifetime: given, reason } = self;
        let name = name(kind, id, issuer.as_deref(), issuer_hash.as_deref())?;
        let given = given.as_deref().map(str::parse).transpose()?;
        let lifetime = lifetime(name.kind(), given, longest_token)?;
        Entry::new(name, lifetime, reason.as_deref().unwrap_or_default(), clock.unix_seconds())
    }
}

impl Target {
    /// The name that is asked for.
    ///
    /// # Errors
    /// What is wrong with the request, as a sentence for whoever made it.
    pub fn name(&self) -> Result<Name, Invalid> {
        let Self { kind, id, issuer, issuer_hash } = self;
        name(kind, id, issuer.as_deref(), issuer_hash.as_deref())
    }
}

/// How long an entry of this kind stands.
///
/// An entry must outlive what it revokes, or it brings it back. A token lives no longer than `longest_token`, so that is
/// how long a `jti`, `sid` or `client` is revoked unless something else is given; where it is not known, something has
/// to be. API keys and Basic users have no such end, and a subject may have any of them: those entries stand until they
/// are lifted.
///
/// # Errors
/// [`Invalid::UnknownLifetime`].
pub fn lifetime(
    kind: Kind,
    given: Option<Lifetime>,
    longest_token: Option<Duration>,
) -> Result<Lifetime, Invalid> {
    match (given, kind) {
        (Some(given), _) => Ok(given),
        (None, Kind::Key | Kind::Sub | Kind::User) => Ok(Lifetime::Endless),
        (None, Kind::Client | Kind::Jti | Kind::Sid) => {
            longest_token.map_or(Err(Invalid::UnknownLifetime), Lifetime::new)
        }
    }
}

fn name(kind: &str, id: &str, issuer: Option<&str>, issuer_hash: Option<&str>) -> Result<Name, Invalid> {
    let issuer = match (issuer, issuer_hash) {
        (None, None | Some("*")) => Issuer::Any,
        (Some(issuer), None) => Issuer::Named(issuer),
        (None, Some(hash)) => Issuer::Hash(hash),
        (Some(_), Some(_)) => return Err(Invalid::IssuerTwice),
    };
    Name::new(Kind::named(kind).ok_or(Invalid::UnknownKind)?, id, issuer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Option<Duration> = Some(Duration::from_secs(86_400));

    #[test]
    fn requests_and_their_entries() {
        let clock = Clock::manual(1_000);
        for (body, longest, expect) in [
            (r#"{"kind":"sub","id":"alice"}"#, None, Ok("sub:alice until it is lifted: 1000")),
            (
                r#"{"kind":"sub","id":"alice","for":"1h","reason":"left"}"#,
                DAY,
                Ok("sub:alice for 1h: 1000 left"),
            ),
            (r#"{"kind":"key","id":"k_1"}"#, DAY, Ok("key:k_1 until it is lifted: ")),
            (r#"{"kind":"user","id":"bob"}"#, DAY, Ok("user:bob until it is lifted: ")),
            (r#"{"kind":"jti","id":"t"}"#, DAY, Ok("jti:*:t for 24h: ")),
            (r#"{"kind":"jti","id":"t"}"#, None, Err(Invalid::UnknownLifetime)),
            (r#"{"kind":"jti","id":"t","for":"never"}"#, None, Ok("jti:*:t until it is lifted: ")),
            (r#"{"kind":"sid","id":"s"}"#, None, Err(Invalid::UnknownLifetime)),
            (r#"{"kind":"client","id":"c","for":"90m"}"#, None, Ok("client:c for 1h 30m: 1000")),
            (
                r#"{"kind":"jti","id":"t","issuer_hash":"0123456789abcdef"}"#,
                DAY,
                Ok("jti:0123456789abcdef:t for 24h: "),
            ),
            (r#"{"kind":"jti","id":"t","issuer_hash":"*"}"#, DAY, Ok("jti:*:t for 24h: ")),
            (r#"{"kind":"jti","id":"t","issuer":"a","issuer_hash":"*"}"#, DAY, Err(Invalid::IssuerTwice)),
            (r#"{"kind":"sub","id":"t","issuer":"a"}"#, DAY, Err(Invalid::NeedlessIssuer("sub"))),
            (r#"{"kind":"subject","id":"t"}"#, DAY, Err(Invalid::UnknownKind)),
            (r#"{"kind":"sub","id":""}"#, DAY, Err(Invalid::EmptyId)),
            (r#"{"kind":"jti","id":"t","for":"0s"}"#, DAY, Err(Invalid::NoLifetime)),
            (r#"{"kind":"jti","id":"t","for":"soon"}"#, DAY, Err(Invalid::LifetimeSyntax)),
        ] {
            let request: Revocation = serde_json::from_str(body).unwrap();
            let entry = request.entry(longest, &clock);
            let shown =
                entry.map(|entry| format!("{} {}: {}", entry.name(), entry.lifetime(), entry.value()));
            assert_eq!(shown, expect.map(str::to_owned), "{body}");
        }
    }

    #[test]
    fn misspelt_bodies_are_refused() {
        for body in [
            "",
            "[]",
            r#"{"kind":"sub"}"#,
            r#"{"id":"alice"}"#,
            r#"{"kind":"sub","id":"alice","ttl":"1h"}"#,
            r#"{"kind":"sub","id":7}"#,
            r#"{"kind":"sub","id":"a","id":"b"}"#,
        ] {
            assert!(serde_json::from_str::<Revocation>(body).is_err(), "{body}");
            assert!(serde_json::from_str::<Target>(body).is_err(), "{body}");
        }
        let target: Target = serde_json::from_str(r#"{"kind":"jti","id":"t","issuer":"a"}"#).unwrap();
        assert_eq!(target.name(), Name::new(Kind::Jti, "t", Issuer::Named("a")));
    }
}
