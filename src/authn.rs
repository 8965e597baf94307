//! Who is this? Reads the credential of a request and verifies it. Whether the caller may do what it asks for, and
//! whether the credential was revoked, is decided on the floors above.
//!
//! Each kind of credential is one file (and a folder, where it is large) that owns its part of the configuration, its
//! compiled form and its verification. A new kind is a new file, an arm in [`Authenticator`] and one in
//! [`credential::Found`].

pub mod api_key;
pub mod basic;
pub mod credential;
pub mod guessing;
pub mod identity;
pub mod jwt;
pub mod password;
pub mod reason;
pub mod revocable;
pub mod stand_in;
pub mod witness;

use std::sync::Arc;

use crate::telemetry::metrics::AuthSeries;

pub use identity::Identity;
pub use reason::Reason;
pub use witness::Witness;

/// A compiled authentication method.
#[derive(Clone, Debug)]
pub enum Authenticator {
    /// API keys.
    ApiKey(Arc<api_key::Method>),
    /// Names and passwords.
    Basic(Arc<basic::Method>),
    /// Signed tokens.
    Jwt(Arc<jwt::Method>),
}

impl Authenticator {
    /// The name in `auth`.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::ApiKey(method) => method.name(),
            Self::Basic(method) => method.name(),
            Self::Jwt(method) => method.name(),
        }
    }

    /// Its series.
    pub fn series(&self) -> &AuthSeries {
        match self {
            Self::ApiKey(method) => method.series(),
            Self::Basic(method) => method.series(),
            Self::Jwt(method) => method.series(),
        }
    }

    /// Whether the credential stays in the request.
    pub fn forwards_credential(&self) -> bool {
        match self {
            Self::ApiKey(method) => method.forwards_credential(),
            Self::Basic(method) => method.forwards_credential(),
            Self::Jwt(method) => method.forwards_credential(),
        }
    }

    /// The kind of credential.
    pub fn kind(&self) -> identity::Method {
        match self {
            Self::ApiKey(_) => identity::Method::ApiKey,
            Self::Basic(_) => identity::Method::Basic,
            Self::Jwt(_) => identity::Method::Jwt,
        }
    }
}

/// What came of looking at a credential.
#[derive(Clone, Debug)]
pub enum Attempt {
    /// It is not for this method: an unknown key or user, another issuer. The next method of its kind may know it.
    Absent,
    /// It is for this method and cannot be accepted.
    Failed(Reason),
    /// It is good: this is who sent it.
    Verified(Arc<Identity>),
}
