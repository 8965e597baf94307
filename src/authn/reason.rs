//! Why a decision came out as it did. Reasons are for us: they stand in logs and as a metric label, and come from this
//! closed set. What a client is told is a [`crate::gateway`] refusal, which says less.

/// The reason of a decision about a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The token's signature does not verify.
    BadSignature,
    /// The name or the password is wrong; which one is not said, not even to us in metrics.
    BadPassword,
    /// A credential stands in the query, where it ends up in logs and histories.
    CredentialInQuery,
    /// A credential came over a plaintext connection.
    CredentialOnPlaintext,
    /// The credential has expired.
    Expired,
    /// The token was issued in the future.
    IssuedInFuture,
    /// The token names a key that is not known yet, and the fetch that would show whether the issuer has it is due or has
    /// failed.
    KeyFetchPending,
    /// The issuer's keys have never been read, so nothing can be verified.
    KeysUnavailable,
    /// The token lives longer than the policy accepts.
    LifetimeTooLong,
    /// The credential is not well formed.
    Malformed,
    /// A claim that must be there is not, or has the wrong type.
    MissingClaim,
    /// The caller has none of the roles that are needed.
    MissingRole,
    /// The caller lacks a scope that is needed.
    MissingScope,
    /// There is more than one credential.
    MultipleCredentials,
    /// There is no credential.
    NoCredential,
    /// The credential is not valid yet.
    NotYetValid,
    /// All is well.
    Ok,
    /// Too much password hashing is going on already.
    Overloaded,
    /// The credential has been revoked.
    Revoked,
    /// The revocation list is too old to be relied on.
    RevocationUnavailable,
    /// There were too many failures before, so this attempt was not made.
    TooManyAttempts,
    /// The request has a credential, but of a scheme that the route does not accept.
    UnacceptedCredential,
    /// No key with this identifier is known.
    UnknownKey,
    /// The token names an algorithm that the method or the key does not accept.
    WrongAlgorithm,
    /// The token is for someone else.
    WrongAudience,
    /// The token comes from another issuer.
    WrongIssuer,
    /// The token is of a kind that is no access token, such as an ID token.
    WrongType,
}

impl Reason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 27] = [
        Self::BadSignature,
        Self::BadPassword,
        Self::CredentialInQuery,
        Self::CredentialOnPlaintext,
        Self::Expired,
        Self::IssuedInFuture,
        Self::KeyFetchPending,
        Self::KeysUnavailable,
        Self::LifetimeTooLong,
        Self::Malformed,
        Self::MissingClaim,
        Self::MissingRole,
        Self::MissingScope,
        Self::MultipleCredentials,
        Self::NoCredential,
        Self::NotYetValid,
        Self::Ok,
        Self::Overloaded,
        Self::Revoked,
        Self::RevocationUnavailable,
        Self::TooManyAttempts,
        Self::UnacceptedCredential,
        Self::UnknownKey,
        Self::WrongAlgorithm,
        Self::WrongAudience,
        Self::WrongIssuer,
        Self::WrongType,
    ];

    /// The place in [`Reason::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The metric label and log field.
    pub fn label(self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::BadPassword => "bad_password",
            Self::CredentialInQuery => "credential_in_query",
            Self::CredentialOnPlaintext => "credential_on_plaintext",
            Self::Expired => "expired",
            Self::IssuedInFuture => "issued_in_future",
            Self::KeyFetchPending => "key_fetch_pending",
            Self::KeysUnavailable => "keys_unavailable",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::Malformed => "malformed",
            Self::MissingClaim => "missing_claim",
            Self::MissingRole => "missing_role",
            Self::MissingScope => "missing_scope",
            Self::MultipleCredentials => "multiple_credentials",
            Self::NoCredential => "no_credential",
            Self::NotYetValid => "not_yet_valid",
            Self::Ok => "ok",
            Self::Overloaded => "overloaded",
            Self::Revoked => "revoked",
            Self::RevocationUnavailable => "revocation_unavailable",
            Self::TooManyAttempts => "too_many_attempts",
            Self::UnacceptedCredential => "unaccepted_credential",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongAudience => "wrong_audience",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongType => "wrong_type",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place_and_a_label_of_its_own() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), at, "{reason:?}");
            assert!(
                Reason::ALL.iter().filter(|other| other.label() == reason.label()).count() == 1,
                "{reason:?}"
            );
        }
    }
}
