//! The signature algorithms of RFC 7518 §3.1 and RFC 8037 that can be accepted, and sets of them.
//!
//! There is no value for `none` and none for an algorithm that cannot be verified here, so neither can be accepted by
//! mistake.

use std::fmt;

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Algorithm {
    /// `EdDSA` with Ed25519 (RFC 8037), also called `Ed25519` (RFC 9864 §2.2).
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
}

impl Algorithm {
    /// All of them, in the order in which they are named to people.
    pub(super) const ALL: [Self; 12] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
    ];

    /// The `alg` value.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// The algorithm that an `alg` value names; the comparison is case-sensitive (RFC 7515 §4.1.1).
    pub(super) fn named(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether the key that verifies can also sign.
    pub(super) fn is_symmetric(self) -> bool {
        Algorithms::SYMMETRIC.contains(self)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A set of algorithms.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Algorithms(u16);

impl Algorithms {
    /// Those whose keys can be published.
    pub(super) const ASYMMETRIC: Self = Self(Self::EVERY.0 & !Self::SYMMETRIC.0);
    /// Those with a shared secret.
    pub(super) const SYMMETRIC: Self =
        Self(1 << Algorithm::Hs256 as u16 | 1 << Algorithm::Hs384 as u16 | 1 << Algorithm::Hs512 as u16);
    const EVERY: Self = Self((1 << Algorithm::ALL.len()) - 1);

    /// Whether `algorithm` is among them.
    pub(super) fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    /// Those that are in both sets.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there are none.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The algorithms, in the order of [`Algorithm::ALL`].
    pub(super) fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }
}

impl FromIterator<Algorithm> for Algorithms {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().fold(0, |bits, algorithm| bits | algorithm.bit()))
    }
}

impl fmt::Debug for Algorithms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// "`RS256`, `ES256`".
impl fmt::Display for Algorithms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.iter().map(|algorithm| format!("`{algorithm}`")).collect();
        formatter.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_nothing_else_is() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
        }
        assert_eq!(Algorithm::named("Ed25519"), Some(Algorithm::EdDsa));
        for name in
            ["none", "None", "NONE", "", "rs256", "RS256 ", "ES512", "ES256K", "Ed448", "A128KW", "dir"]
        {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }

    #[test]
    fn the_two_halves_make_a_whole() {
        let all: Algorithms = Algorithm::ALL.into_iter().collect();
        assert_eq!(all, Algorithms::EVERY);
        assert!(Algorithms::ASYMMETRIC.and(Algorithms::SYMMETRIC).is_empty());
        assert_eq!(Algorithms::ASYMMETRIC.iter().count(), 9);
        let symmetric: Vec<&str> = Algorithms::SYMMETRIC.iter().map(Algorithm::name).collect();
        assert_eq!(symmetric, ["HS256", "HS384", "HS512"]);
    }
}
