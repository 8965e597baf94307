//! What upstreams are told about a caller, and under which names.
//!
//! Names are data here: the proxy's `forward` is the one place that writes and removes these fields.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::authn::Identity;
use crate::authn::identity::carries;
use crate::authn::jwt::ClaimPath;
use crate::request::ClientCertificate;

/// Something about the caller that can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The name of the method in `auth`.
    Auth,
    /// The DNS names and other alternative names of the client's certificate, separated by commas.
    CertificateNames,
    /// The subject of the client's certificate.
    CertificateSubject,
    /// A claim of the token, by its place among [`IdentityHeaders::claims`].
    Claim(usize),
    /// The identifier of the API key, or of the key that signed the token.
    KeyId,
    /// `api_key`, `basic` or `jwt`.
    Method,
    /// The roles, separated by commas.
    Roles,
    /// The scopes, separated by spaces.
    Scopes,
    /// Who it is.
    Subject,
}

/// The fields that upstreams receive.
#[derive(Clone, Debug)]
pub struct IdentityHeaders {
    /// Each field and what stands in it.
    pub fields: Vec<(HeaderName, Fact)>,
    /// The claims that are passed on.
    pub claims: Arc<[ClaimPath]>,
}

/// The fields that upstreams receive when the file does not say otherwise.
pub const DEFAULT_FIELDS: [(&str, Fact); 5] = [
    ("x-auth-subject", Fact::Subject),
    ("x-auth-method", Fact::Method),
    ("x-auth-scopes", Fact::Scopes),
    ("x-auth-roles", Fact::Roles),
    ("x-auth-key-id", Fact::KeyId),
];

/// A longer value than this is left out.
const LONGEST_VALUE: usize = 4096;

impl Fact {
    /// The value for a caller; `None` leaves the field out. A value that would not arrive unchanged is left out too: no
    /// claim can end a line or be taken for two.
    pub fn value(
        self,
        identity: Option<&Identity>,
        certificate: Option<&ClientCertificate>,
    ) -> Option<HeaderValue> {
        let text = match self {
            Self::Auth => identity?.auth.to_string(),
            Self::CertificateNames => {
                let names = &certificate?.alternative_names;
                if names.iter().any(|name| name.contains(',')) {
                    return None;
                }
                names.join(",")
            }
            Self::CertificateSubject => certificate?.subject.clone(),
            Self::Claim(at) => identity?.claims.get(at)?.as_deref()?.to_owned(),
            Self::KeyId => identity?.key_id.as_deref()?.to_owned(),
            Self::Method => return Some(HeaderValue::from_static(identity?.method.name())),
            Self::Roles => identity?.roles.join(","),
            Self::Scopes => identity?.scopes.join(" "),
            Self::Subject => identity?.subject.as_str().to_owned(),
        };
        if text.len() > LONGEST_VALUE || !carries(&text) {
            return None;
        }
        HeaderValue::from_bytes(text.as_bytes()).ok()
    }
}
