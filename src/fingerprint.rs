//! Short stand-ins for long or sensitive strings in hash tables.
//!
//! A fingerprint is keyed with a random key of this process, so nobody outside can search for collisions, and it is
//! wide enough (96 bits) that an accidental one is not a practical concern: among ten million entries a look-up meets
//! a foreign one with a probability of about 10⁻²².

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use aws_lc_rs::hmac;

/// A keyed 96-bit digest of a sequence of strings, meaningful only within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u32; 3]);

impl Fingerprint {
    /// The fingerprint of `parts`. Each part is prefixed with its length, so `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut context = hmac::Context::with_key(process_key());
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let tag = context.sign();
        let word = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&tag.as_ref()[at..at + 4]);
            u32::from_le_bytes(bytes)
        };
        Self([word(0), word(4), word(8)])
    }

    /// A fingerprint made up for a test of a table, without the cost of hashing.
    #[cfg(test)]
    pub(crate) fn from_words(words: [u32; 3]) -> Self {
        Self(words)
    }

    /// The three words of it, for tables that store them in their own layout.
    pub fn words(self) -> [u32; 3] {
        self.0
    }
}

/// Hashes a [`Fingerprint`] by taking 64 of its bits: they are already uniformly distributed and keyed.
#[derive(Clone, Copy, Debug, Default)]
pub struct FingerprintHash;

/// The state behind [`FingerprintHash`].
#[derive(Clone, Copy, Debug, Default)]
pub struct FingerprintHasher(u64);

impl BuildHasher for FingerprintHash {
    type Hasher = FingerprintHasher;

    fn build_hasher(&self) -> FingerprintHasher {
        FingerprintHasher(0)
    }
}

impl Hasher for FingerprintHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.rotate_left(32) ^ u64::from_le_bytes(word);
        }
    }
}

fn process_key() -> &'static hmac::Key {
    static KEY: OnceLock<hmac::Key> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut bytes = [0_u8; 32];
        // Without a source of randomness nothing in this process would be safe, TLS included.
        #[expect(
            clippy::expect_used,
            reason = "the operating system's random source failing is not survivable"
        )]
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system provides randomness");
        hmac::Key::new(hmac::HMAC_SHA256, &bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart() {
        assert_eq!(Fingerprint::of(&[b"ab", b"c"]), Fingerprint::of(&[b"ab", b"c"]));
        assert_ne!(Fingerprint::of(&[b"ab", b"c"]), Fingerprint::of(&[b"a", b"bc"]));
        assert_ne!(Fingerprint::of(&[b"ab"]), Fingerprint::of(&[b"ab", b""]));
    }
}
