//! `portcullis dev-token`: signs a token with a local key, for trying things out. In production, issuers sign tokens.

use std::path::PathBuf;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value};

use super::Output;
use crate::clock::Clock;
use crate::units::TimeSpan;

/// Sign a token with a local key, for trying things out.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DevTokenArguments {
    /// The private key in PEM (RSA, EC or Ed25519), or a file with the shared secret for HS algorithms.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The algorithm [default: the usual one for the kind of key].
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// The identifier of the key, for the token's header.
    #[arg(long)]
    kid: Option<String>,
    /// `iss`: who issues the token.
    #[arg(long)]
    issuer: String,
    /// `aud`: whom the token is for.
    #[arg(long)]
    audience: String,
    /// `sub`: whom the token is about.
    #[arg(long)]
    subject: String,
    /// `scope`: what it may be used for, separated by spaces.
    #[arg(long, default_value = "")]
    scope: String,
    /// How long it is good.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    lifetime: TimeSpan,
    /// More claims, as `name=value`; the value is JSON, or text when it is not.
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
}

pub(super) fn execute(arguments: &DevTokenArguments) -> Output {
    match sign(arguments, &Clock::system()) {
        Ok(token) => Output::success(token),
        Err(complaint) => Output::failure(format!("error: {complaint}")),
    }
}

fn sign(arguments: &DevTokenArguments, clock: &Clock) -> Result<String, String> {
    let DevTokenArguments { key, algorithm, kid, issuer, audience, subject, scope, lifetime, claims } =
        arguments;
    let bytes = std::fs::read(key).map_err(|error| format!("cannot read `{}`: {error}", key.display()))?;
    let (key, usual) = read_key(&bytes, *algorithm)?;
    let now = clock.unix_seconds();
    let mut payload = Map::new();
    payload.insert("iss".to_owned(), issuer.as_str().into());
    payload.insert("aud".to_owned(), audience.as_str().into());
    payload.insert("sub".to_owned(), subject.as_str().into());
    payload.insert("iat".to_owned(), now.into());
    payload.insert("exp".to_owned(), now.saturating_add(lifetime.duration().as_secs()).into());
    payload.insert("jti".to_owned(), identifier()?.into());
    if !scope.is_empty() {
        payload.insert("scope".to_owned(), scope.as_str().into());
    }
    for claim in claims {
        let (name, value) = claim.split_once('=').ok_or_else(|| format!("`{claim}` is not `name=value`"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        payload.insert(name.to_owned(), value);
    }
    let header = Header { kid: kid.clone(), ..Header::new(algorithm.unwrap_or(usual)) };
    encode(&header, &payload, &key).map_err(|error| format!("the token cannot be signed: {error}"))
}

/// The key and the algorithm that usually goes with it.
fn read_key(bytes: &[u8], algorithm: Option<Algorithm>) -> Result<(EncodingKey, Algorithm), String> {
    if matches!(algorithm, Some(Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)) {
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err("this is a key in PEM, and HS algorithms sign with a shared secret".to_owned());
        }
        // As the gateway reads it.
        let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let secret =
            if secret.len() < bytes.len() { secret.strip_suffix(b"\r").unwrap_or(secret) } else { secret };
        return Ok((EncodingKey::from_secret(secret), Algorithm::HS256));
    }
    let kinds = [
        (EncodingKey::from_ec_pem as fn(&[u8]) -> _, Algorithm::ES256),
        (EncodingKey::from_rsa_pem, Algorithm::RS256),
        (EncodingKey::from_ed_pem, Algorithm::EdDSA),
    ];
    kinds.into_iter().find_map(|(read, usual)| read(bytes).ok().map(|key| (key, usual))).ok_or_else(|| {
        "this is no private key in PEM that can sign tokens (for a shared secret, name an HS algorithm)"
            .to_owned()
    })
}

fn identifier() -> Result<String, String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "there is no randomness".to_owned())?;
    Ok(crate::hex::encode(&bytes))
}
