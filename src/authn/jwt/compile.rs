//! Turns what the file says about a method into a [`Method`], or into problems, each at its place.
//!
//! What did not change since the policy before is taken from there: an unchanged method with everything it remembers, and
//! the keys of an unchanged source whatever else changed. A reload never makes the gateway forget keys that are good.

use std::path::PathBuf;
use std::sync::Arc;

use super::algorithm::{Algorithm, Algorithms};
use super::cache::{self, Remembered};
use super::claim_path::ClaimPath;
use super::claims::Rules;
use super::config::{AlgorithmName, Audience, Claims, Config};
use super::endpoint::{Discovery, Endpoint, NotAnEndpoint};
use super::key_document::{LeftOut, NoKeys, Reading, read_jwks, read_pem};
use super::key_set::{Key, KeySet};
use super::key_source::{KeySource, Origin};
use super::material::Material;
use super::{Keys, Method, Policy};
use crate::loading::{Loading, SecretReference};
use crate::problem::{Place, nearest};
use crate::telemetry::metrics::Metrics;
use crate::units::TimeSpan;
use crate::yaml::Located;

const DEFAULT_MAX_LIFETIME: TimeSpan = TimeSpan::seconds(24 * 60 * 60);
const DEFAULT_LEEWAY: TimeSpan = TimeSpan::seconds(30);
const LONGEST_LEEWAY: TimeSpan = TimeSpan::seconds(5 * 60);

impl Method {
    /// Compiles the method `name`. `wanted` are the claims that the policy passes on, and become
    /// [`crate::authn::Identity::claims`] in the same order; `previous` is what the name meant so far. Everything that is
    /// wrong goes to `loading`.
    pub fn compile(
        name: Arc<str>,
        config: &Located<Config>,
        wanted: &Arc<[ClaimPath]>,
        previous: Option<&Arc<Self>>,
        metrics: &Metrics,
        loading: &mut Loading<'_>,
    ) -> Option<Arc<Self>> {
        let errors_before = loading.problems.error_count();
        let Config {
            issuer,
            audience,
            algorithms,
            jwks_url,
            jwks_file,
            public_key,
            secret,
            max_lifetime,
            leeway,
            claims: Claims { subject, scopes, roles },
            forward_credential,
        } = &**config;
        let path =
            |path: &Option<ClaimPath>, default: &str| path.clone().or_else(|| ClaimPath::parse(default));
        let rules = Rules {
            issuer: compile_issuer(issuer, loading),
            audience: compile_audience(audience, loading),
            max_lifetime: compile_max_lifetime(max_lifetime.as_ref(), loading),
            leeway: compile_leeway(leeway.as_ref(), loading),
            subject: path(subject, "sub")?,
            scopes: path(scopes, "scope")?,
            roles: roles.clone(),
            wanted: wanted.clone(),
        };
        let previous = previous.filter(|previous| previous.name == name);
        let source = choose_source(
            jwks_url.as_ref(),
            jwks_file.as_ref(),
            public_key.as_ref(),
            secret.as_ref(),
            loading,
        );
        let algorithms = compile_algorithms(algorithms.as_ref(), source.as_ref(), loading);
        let keys = compile_keys(&source?, issuer, algorithms, previous, &name, metrics, loading);
        if loading.problems.error_count() > errors_before {
            return None;
        }
        let (keys, policy) = (keys?, Policy { algorithms, rules, forward_credential: *forward_credential });
        if let Some(previous) = previous
            && previous.policy == policy
            && previous.keys.are_same(&keys)
        {
            return Some(previous.clone());
        }
        let series = metrics.auth(&name);
        Some(Arc::new(Self { name, policy, keys, remembered: Remembered::new(cache::CAPACITY), series }))
    }
}

impl Keys {
    fn are_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fetched(own), Self::Fetched(other)) => Arc::ptr_eq(own, other),
            (Self::Fixed(own), Self::Fixed(other)) => own.has_same_keys(other),
            (Self::Fetched(_), Self::Fixed(_)) | (Self::Fixed(_), Self::Fetched(_)) => false,
        }
    }
}

fn compile_issuer(issuer: &Located<String>, loading: &mut Loading<'_>) -> Box<str> {
    if issuer.is_empty() {
        loading
            .error(issuer.place(), "`issuer` must not be empty")
            .hint("it is what the tokens have in `iss`, such as `https://id.example.com`");
    }
    issuer.as_str().into()
}

fn compile_audience(audience: &Located<Audience>, loading: &mut Loading<'_>) -> Box<[Box<str>]> {
    let Audience(names) = &**audience;
    if names.is_empty() || names.iter().any(String::is_empty) {
        let what =
            if names.is_empty() { "`audience` must not be empty" } else { "an audience must not be empty" };
        loading
            .error(audience.place(), what)
            .hint("name your API as the issuer does: tokens for other services must not be good here");
    }
    names.iter().map(|name| name.as_str().into()).collect()
}

fn compile_max_lifetime(span: Option<&Located<TimeSpan>>, loading: &mut Loading<'_>) -> f64 {
    if let Some(span) = span.filter(|span| span.duration().is_zero()) {
        loading
            .error(span.place(), "`max_lifetime` must be longer than nothing")
            .hint(format!("{DEFAULT_MAX_LIFETIME} is the default"));
    }
    span.map_or(DEFAULT_MAX_LIFETIME, |span| **span).duration().as_secs_f64()
}

fn compile_leeway(span: Option<&Located<TimeSpan>>, loading: &mut Loading<'_>) -> u64 {
    if let Some(span) = span.filter(|span| ***span > LONGEST_LEEWAY) {
        loading.error(span.place(), format!("`leeway` must not be longer than {LONGEST_LEEWAY}")).hint(
            "it is for clocks that differ a little, and every expired token is good for so much longer",
        );
    }
    span.map_or(DEFAULT_LEEWAY, |span| **span).duration().as_secs()
}

/// Where the file says that keys come from.
enum Source<'c> {
    Discovery,
    JwksFile(&'c Located<PathBuf>),
    JwksUrl(&'c Located<String>),
    PublicKey(&'c Located<PathBuf>),
    Secret(&'c Located<SecretReference>),
}

fn choose_source<'c>(
    jwks_url: Option<&'c Located<String>>,
    jwks_file: Option<&'c Located<PathBuf>>,
    public_key: Option<&'c Located<PathBuf>>,
    secret: Option<&'c Located<SecretReference>>,
    loading: &mut Loading<'_>,
) -> Option<Source<'c>> {
    let given: [Option<(&str, &Place, Source<'c>)>; 4] = [
        jwks_url.map(|url| ("jwks_url", url.place(), Source::JwksUrl(url))),
        jwks_file.map(|file| ("jwks_file", file.place(), Source::JwksFile(file))),
        public_key.map(|file| ("public_key", file.place(), Source::PublicKey(file))),
        secret.map(|secret| ("secret", secret.place(), Source::Secret(secret))),
    ];
    let mut given = given.into_iter().flatten();
    let Some((first, _, source)) = given.next() else { return Some(Source::Discovery) };
    let mut only = Some(source);
    for (name, place, _) in given {
        loading
            .error(place, format!("`{name}` and `{first}` cannot stand together"))
            .hint("keys come from one place: keep one of them");
        only = None;
    }
    only
}

/// The algorithms to accept. When several sources are given it is not known which would fit, and none is complained about
/// on that ground.
fn compile_algorithms(
    listed: Option<&Located<Vec<AlgorithmName>>>,
    source: Option<&Source<'_>>,
    loading: &mut Loading<'_>,
) -> Algorithms {
    let symmetric = source.map(|source| match source {
        Source::Discovery | Source::JwksFile(_) | Source::JwksUrl(_) | Source::PublicKey(_) => false,
        Source::Secret(_) => true,
    });
    let Some(listed) = listed else {
        return match symmetric {
            Some(true) => [Algorithm::Hs256].into_iter().collect(),
            Some(false) | None => Algorithms::ASYMMETRIC,
        };
    };
    if listed.is_empty() {
        loading
            .error(listed.place(), "`algorithms` must not be empty")
            .hint("leave it out to accept all asymmetric ones");
    }
    let mut accepted = Vec::new();
    for AlgorithmName(name) in &**listed {
        let Some(algorithm) = Algorithm::named(name) else {
            report_unknown(name, loading);
            continue;
        };
        match symmetric {
            Some(false) if algorithm.is_symmetric() => {
                loading
                    .error(name.place(), format!("`{algorithm}` needs `secret`"))
                    .hint("whoever has the key of this algorithm can sign with it: use RS256 or ES256 with public keys");
            }
            Some(true) if !algorithm.is_symmetric() => {
                loading.error(name.place(), format!("`{algorithm}` does not go with `secret`")).hint(
                    "use HS256, HS384 or HS512, or `jwks_url`, `jwks_file` or `public_key` in place of `secret`",
                );
            }
            Some(_) | None => accepted.push(algorithm),
        }
    }
    accepted.into_iter().collect()
}

fn report_unknown(name: &Located<String>, loading: &mut Loading<'_>) {
    let supported: Algorithms = Algorithm::ALL.into_iter().collect();
    if name.eq_ignore_ascii_case("none") {
        loading
            .error(name.place(), "`none` is never accepted: anyone can write a token without a signature")
            .hint("remove it");
    } else if NOT_SUPPORTED.contains(&name.as_str()) {
        loading
            .error(name.place(), format!("`{}` is not supported", **name))
            .hint(format!("supported are {supported}"));
    } else {
        let hint = match nearest(name, Algorithm::ALL.into_iter().map(Algorithm::name)) {
            Some(candidate) => format!("did you mean `{candidate}`?"),
            None => format!("supported are {supported}"),
        };
        loading.error(name.place(), format!("unknown algorithm `{}`", **name)).hint(hint);
    }
}

/// Signature algorithms that exist (RFC 7518 §3.1, RFC 8812 §3.2, RFC 9864) and cannot be verified here.
const NOT_SUPPORTED: [&str; 3] = ["ES512", "ES256K", "Ed448"];

fn compile_keys(
    source: &Source<'_>,
    issuer: &Located<String>,
    algorithms: Algorithms,
    previous: Option<&Arc<Method>>,
    name: &Arc<str>,
    metrics: &Metrics,
    loading: &mut Loading<'_>,
) -> Option<Keys> {
    let before = previous.and_then(|previous| match &previous.keys {
        Keys::Fetched(_) => None,
        Keys::Fixed(keys) => Some(keys),
    });
    let origin = match source {
        Source::Discovery => Origin::Discovery(discovery(issuer, loading)?),
        Source::JwksUrl(url) => Origin::JwksUrl(endpoint(url, loading)?),
        Source::JwksFile(path) => {
            let document = loading.file(path)?;
            return fixed(path, algorithms, read_jwks(&document, before), loading);
        }
        Source::PublicKey(path) => {
            let document = loading.file(path)?;
            return fixed(path, algorithms, read_pem(&document, before), loading);
        }
        Source::Secret(reference) => return shared(reference, algorithms, before, loading),
    };
    let known = previous.and_then(|previous| previous.key_source()).filter(|known| *known.origin() == origin);
    let source = match known {
        Some(known) => known.clone(),
        None => KeySource::new(name.clone(), origin, metrics.jwks(name)),
    };
    Some(Keys::Fetched(source))
}

fn discovery(issuer: &Located<String>, loading: &mut Loading<'_>) -> Option<Discovery> {
    match Discovery::new(issuer) {
        Ok(discovery) => Some(discovery),
        // This was reported already.
        Err(_) if issuer.is_empty() => None,
        Err(error) => {
            loading
                .error(issuer.place(), format!("keys cannot be discovered, because this issuer {error}"))
                .hint("say where the keys are with `jwks_url`, `jwks_file`, `public_key` or `secret`");
            None
        }
    }
}

fn endpoint(url: &Located<String>, loading: &mut Loading<'_>) -> Option<Endpoint> {
    match Endpoint::parse(url) {
        Ok(endpoint) => Some(endpoint),
        Err(error) => {
            let hint = match error {
                NotAnEndpoint::Credentials => {
                    "addresses end up in logs: an issuer's keys are public and need none"
                }
                NotAnEndpoint::Fragment => "remove everything from `#` on",
                NotAnEndpoint::NotHttps => {
                    "whoever can change the keys decides who gets in: use https, or http on this machine only"
                }
                NotAnEndpoint::NotUrl | NotAnEndpoint::Query => {
                    "write it in full, such as `https://id.example.com/.well-known/jwks.json`"
                }
            };
            loading.error(url.place(), format!("`jwks_url` {error}")).hint(hint);
            None
        }
    }
}

/// The keys of a file, unless none of them can verify what is accepted.
fn fixed(
    path: &Located<PathBuf>,
    algorithms: Algorithms,
    read: Result<Reading, NoKeys>,
    loading: &mut Loading<'_>,
) -> Option<Keys> {
    let warn = |left_out: &[LeftOut], loading: &mut Loading<'_>| {
        for key in left_out {
            loading.problems.warning(path.place(), key.to_string());
        }
    };
    let error = match read {
        Ok(Reading { keys, left_out }) => {
            warn(&left_out, loading);
            let fitting = keys.algorithms();
            if !algorithms.is_empty() && fitting.and(algorithms).is_empty() {
                loading
                    .error(path.place(), "no key in this file fits `algorithms`")
                    .hint(format!("its keys are for {fitting}"));
            }
            return Some(Keys::Fixed(keys));
        }
        Err(NoKeys::NoneUsable(left_out)) => {
            warn(&left_out, loading);
            NoKeys::NoneUsable(Vec::new())
        }
        Err(error @ (NoKeys::NotJwks | NoKeys::NotPem)) => error,
    };
    loading.error(path.place(), format!("this file cannot be used: {error}"));
    None
}

fn shared(
    reference: &Located<SecretReference>,
    algorithms: Algorithms,
    before: Option<&KeySet>,
    loading: &mut Loading<'_>,
) -> Option<Keys> {
    let secret = loading.secret(reference)?;
    let longest =
        algorithms.iter().map(|algorithm| (hash_length(algorithm), algorithm)).max_by_key(|pair| pair.0);
    if let Some((needed, algorithm)) = longest.filter(|(needed, _)| secret.expose().len() < *needed) {
        loading
            .error(reference.place(), format!("this secret is too short for `{algorithm}`"))
            .hint(format!("RFC 7518 asks for {needed} random bytes at least: `openssl rand -hex {needed}`"));
        return None;
    }
    let key = Key::new(None, &Material::Shared(secret), algorithms).ok()?;
    KeySet::new(vec![key], before).map(Keys::Fixed)
}

/// In bytes; a shared secret must not be shorter (RFC 7518 §3.2).
fn hash_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Es256 | Algorithm::Hs256 | Algorithm::Ps256 | Algorithm::Rs256 => 32,
        Algorithm::Es384 | Algorithm::Hs384 | Algorithm::Ps384 | Algorithm::Rs384 => 48,
        Algorithm::EdDsa | Algorithm::Hs512 | Algorithm::Ps512 | Algorithm::Rs512 => 64,
    }
}
