//! The credential that a test names, made by a stand-in.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::authn::Authenticator;
use crate::authn::revocable::Kind;
use crate::authn::stand_in::StandIn;
use crate::authn::{api_key, basic, jwt};
use crate::cli::sketch::Sketch;
use crate::clock::Clock;
use crate::config::Configuration;
use crate::config::document::{ClaimsEntry, KeyChoice, TestEntry};
use crate::loading::Loading;
use crate::problem::nearest;
use crate::revocation::entry::{Issuer, Name};
use crate::units::TimeSpan;
use crate::yaml::Located;

/// A credential, and under which name it can be revoked.
pub(super) enum Credential {
    Key { key: Zeroizing<String>, id: String },
    Pair { user: String, password: String },
    Token { token: Zeroizing<String>, jti: String },
}

/// How long a token lives unless a test says otherwise, in seconds.
const LIFETIME: u64 = 300;

/// The `jti` of a token unless a test says otherwise.
const JTI: &str = "test";

impl Credential {
    /// The credentials of a test; nothing when one of them does not exist, which has been reported.
    pub(super) fn all_of(
        test: &TestEntry,
        configuration: &Configuration,
        stand_in: &StandIn,
        loading: &mut Loading<'_>,
    ) -> Option<Vec<Self>> {
        let methods = methods(test.auth.as_ref(), configuration, loading)?;
        let mut all = Vec::new();
        if let Some(choice) = &test.key {
            all.push(key(choice, &methods, stand_in, loading)?);
        }
        if let Some(user) = &test.user {
            all.push(pair(user, &methods, stand_in, loading)?);
        }
        if let Some(claims) = &test.claims {
            all.push(token(claims, &methods, stand_in, loading)?);
        }
        Some(all)
    }

    /// Sends it with `sketch`, and says under which name it would be revoked.
    pub(super) fn send(&self, sketch: &mut Sketch) -> Option<Name> {
        match self {
            Self::Key { key, id } => {
                sketch.key(key);
                Name::new(Kind::Key, id, Issuer::Any).ok()
            }
            Self::Pair { user, password } => {
                sketch.user(&Zeroizing::new(format!("{user}:{password}")));
                Name::new(Kind::User, user, Issuer::Any).ok()
            }
            Self::Token { token, jti } => {
                sketch.token(token);
                Name::new(Kind::Jti, jti, Issuer::Any).ok()
            }
        }
    }
}

/// The methods that a test can mean.
fn methods<'c>(
    auth: Option<&Located<String>>,
    configuration: &'c Configuration,
    loading: &mut Loading<'_>,
) -> Option<Vec<&'c Authenticator>> {
    let all = &configuration.gateway.methods;
    let Some(auth) = auth else { return Some(all.iter().collect()) };
    let named: Vec<&Authenticator> = all.iter().filter(|method| **method.name() == ***auth).collect();
    if named.is_empty() {
        let problem = loading.error(auth.place(), format!("there is no `{}` in `auth`", **auth));
        if let Some(name) = nearest(auth, all.iter().map(|method| &**method.name())) {
            problem.hint(format!("did you mean `{name}`?"));
        }
        return None;
    }
    Some(named)
}

fn key(
    choice: &Located<KeyChoice>,
    methods: &[&Authenticator],
    stand_in: &StandIn,
    loading: &mut Loading<'_>,
) -> Option<Credential> {
    let KeyChoice { owner, id } = &**choice;
    let of_kind = methods.iter().filter_map(|method| match method {
        Authenticator::ApiKey(method) => Some(&**method),
        Authenticator::Basic(_) | Authenticator::Jwt(_) => None,
    });
    let keys: Vec<(&str, &str)> = of_kind.flat_map(api_key::Method::listed).collect();
    let fits = |(key, subject): &&(&str, &str)| {
        id.as_ref().is_none_or(|id| **id == *key) && owner.as_ref().is_none_or(|owner| **owner == *subject)
    };
    let mut ids: Vec<&str> = keys.iter().filter(fits).map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let (what, place) = match (owner, id) {
        (Some(owner), _) => (format!("a key of `{}`", **owner), owner.place()),
        (None, Some(id)) => (format!("a key `{}`", **id), id.place()),
        (None, None) => return None,
    };
    match ids.as_slice() {
        [id] => Some(Credential::Key { key: stand_in.key(id), id: (*id).to_owned() }),
        [] => {
            let mut owners: Vec<&str> = keys.iter().map(|(_, owner)| *owner).collect();
            owners.sort_unstable();
            owners.dedup();
            loading.error(place, format!("no key file lists {what}")).hint(format!(
                "keys belong to {}",
                if owners.is_empty() { "nobody".into() } else { owners.join(", ") }
            ));
            None
        }
        several => {
            loading
                .error(place, format!("{what} could be any of {}", several.join(", ")))
                .hint("say which: `key: { id: … }`");
            None
        }
    }
}

fn pair(
    user: &Located<String>,
    methods: &[&Authenticator],
    stand_in: &StandIn,
    loading: &mut Loading<'_>,
) -> Option<Credential> {
    let mut of_kind = methods.iter().filter_map(|method| match method {
        Authenticator::Basic(method) => Some(&**method),
        Authenticator::ApiKey(_) | Authenticator::Jwt(_) => None,
    });
    if !of_kind.any(|method: &basic::Method| method.knows(user)) {
        loading
            .error(user.place(), format!("no user file lists `{}`", **user))
            .hint("to test a wrong password, send it in `headers: { Authorization: … }`");
        return None;
    }
    Some(Credential::Pair { user: user.to_string(), password: stand_in.password().to_owned() })
}

fn token(
    claims: &Located<ClaimsEntry>,
    methods: &[&Authenticator],
    stand_in: &StandIn,
    loading: &mut Loading<'_>,
) -> Option<Credential> {
    let ClaimsEntry(given) = &**claims;
    let of_kind: Vec<&jwt::Method> = methods
        .iter()
        .filter_map(|method| match method {
            Authenticator::Jwt(method) => Some(&**method),
            Authenticator::ApiKey(_) | Authenticator::Basic(_) => None,
        })
        .collect();
    let named = given.get("iss").and_then(Value::as_str);
    let method = match (of_kind.as_slice(), named) {
        ([], _) => {
            loading.error(claims.place(), "no method in `auth` takes tokens");
            return None;
        }
        ([only], _) => only,
        (several, Some(issuer)) => {
            // A token of an issuer that nobody knows has to be signed by somebody.
            several.iter().find(|method| method.issuer() == issuer).unwrap_or(&several[0])
        }
        (several, None) => {
            let methods: Vec<&str> = several.iter().map(|method| &**method.name()).collect();
            loading
                .error(claims.place(), format!("these claims could be for any of {}", methods.join(", ")))
                .hint("say which: `auth: …`");
            return None;
        }
    };
    let now = Clock::system().unix_seconds();
    let mut claims_of_token = Map::new();
    claims_of_token.insert("iss".to_owned(), method.issuer().into());
    claims_of_token.insert("aud".to_owned(), method.audience().into());
    claims_of_token.insert("iat".to_owned(), now.into());
    let longest = method.longest_lifetime().as_secs();
    claims_of_token.insert("exp".to_owned(), now.saturating_add(LIFETIME.min(longest)).into());
    claims_of_token.insert("jti".to_owned(), JTI.into());
    for (name, value) in given {
        let value = match (name.as_str(), value) {
            ("exp" | "iat" | "nbf", Value::String(text)) => {
                time(text, now).map_or_else(|| value.clone(), Value::from)
            }
            _ => value.clone(),
        };
        if value.is_null() {
            claims_of_token.remove(name);
        } else {
            claims_of_token.insert(name.clone(), value);
        }
    }
    let jti = claims_of_token.get("jti").and_then(Value::as_str).unwrap_or(JTI).to_owned();
    match stand_in.token(method.name(), &claims_of_token) {
        Ok(token) => Some(Credential::Token { token, jti }),
        Err(error) => {
            loading.error(claims.place(), error.to_string());
            None
        }
    }
}

/// `now`, `now+5m` or `now-1h`, in seconds since the Unix epoch.
fn time(text: &str, now: u64) -> Option<u64> {
    let rest = text.strip_prefix("now")?;
    let span = |text: &str| text.parse::<TimeSpan>().ok().map(|span| span.duration().as_secs());
    match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
        (Some(later), _) => Some(now.saturating_add(span(later)?)),
        (None, Some(earlier)) => Some(now.saturating_sub(span(earlier)?)),
        (None, None) => rest.is_empty().then_some(now),
    }
}
