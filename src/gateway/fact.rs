//! What upstreams are told about a caller, and under which names.
//!
//! Names are data here: the proxy's `forward` is the one place that writes and removes these fields.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::authn::Identity;
use crate::authn::identity::{Edition, carries};
use crate::authn::jwt::ClaimPath;
use crate::request::{ClientCertificate, normal_header_name};

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
    fields: Vec<(HeaderName, Fact)>,
    /// The names as they compare with other spellings.
    normal_names: Vec<String>,
    claims: Arc<[ClaimPath]>,
    edition: Edition,
}

impl IdentityHeaders {
    /// Each field and what stands in it; `claims` are those that [`Fact::Claim`] counts.
    pub fn new(fields: Vec<(HeaderName, Fact)>, claims: Arc<[ClaimPath]>) -> Self {
        let normal_names =
            fields.iter().map(|(name, _)| normal_header_name(name.as_str()).into_owned()).collect();
        Self { fields, normal_names, claims, edition: Edition::next() }
    }

    /// The claims that are passed on.
    pub fn claims(&self) -> &Arc<[ClaimPath]> {
        &self.claims
    }

    /// Whether `name`, in its normal form, is one of the fields.
    pub fn is_named(&self, name: &str) -> bool {
        self.normal_names.iter().any(|own| own == name)
    }

    /// What upstreams are told about `identity`. It is put into words once, and kept with the identity for as long as
    /// that is remembered.
    pub fn of_caller<'a>(&self, identity: &'a Identity) -> Cow<'a, [(HeaderName, HeaderValue)]> {
        let write = || self.fields.iter().filter_map(|(name, fact)| Some((name.clone(), fact.of(identity)?)));
        match identity.told.get_or_write(self.edition, || write().collect()) {
            Some(fields) => Cow::Borrowed(fields),
            None => Cow::Owned(write().collect()),
        }
    }

    /// What upstreams are told about a client's certificate.
    pub fn of_certificate(
        &self,
        certificate: &ClientCertificate,
    ) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.fields.iter().filter_map(|(name, fact)| Some((name.clone(), fact.of_certificate(certificate)?)))
    }
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
    /// The value for a caller; `None` leaves the field out.
    fn of(self, identity: &Identity) -> Option<HeaderValue> {
        match self {
            Self::Auth => value(&identity.auth),
            Self::CertificateNames | Self::CertificateSubject => None,
            Self::Claim(at) => value(identity.claims.get(at)?.as_deref()?),
            Self::KeyId => value(identity.key_id.as_deref()?),
            Self::Method => Some(HeaderValue::from_static(identity.method.name())),
            Self::Roles => value(&identity.roles.join(",")),
            Self::Scopes => value(&identity.scopes.join(" ")),
            Self::Subject => value(identity.subject.as_str()),
        }
    }

    /// The value for a client's certificate; `None` leaves the field out.
    fn of_certificate(self, certificate: &ClientCertificate) -> Option<HeaderValue> {
        let ClientCertificate { subject, alternative_names } = certificate;
        match self {
            Self::CertificateNames => {
                let splits = alternative_names.iter().any(|name| name.contains(','));
                if splits { None } else { value(&alternative_names.join(",")) }
            }
            Self::CertificateSubject => value(subject),
            Self::Auth
            | Self::Claim(_)
            | Self::KeyId
            | Self::Method
            | Self::Roles
            | Self::Scopes
            | Self::Subject => None,
        }
    }
}

/// `text` as the value of a field. One that would not arrive unchanged is left out: no claim can end a line or be taken
/// for two.
fn value(text: &str) -> Option<HeaderValue> {
    if text.len() > LONGEST_VALUE || !carries(text) {
        return None;
    }
    HeaderValue::from_bytes(text.as_bytes()).ok()
}
