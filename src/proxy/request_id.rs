//! The identifier of a request, by which a client, an upstream and the log can be brought together.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, HeaderValue};

use crate::hex;

/// The header field.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST: usize = 128;

/// The identifier of one request; sane by construction.
#[derive(Clone, Debug)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// A new identifier: unique, and not guessable from another process's. It is no secret.
    pub(super) fn fresh() -> Self {
        static PROCESS: OnceLock<[u8; 16]> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let process = PROCESS.get_or_init(|| {
            let mut bytes = [0; 8];
            // Without randomness identifiers are still unique within the process, which is all that they must be.
            let _ = aws_lc_rs::rand::fill(&mut bytes);
            digits(bytes)
        });
        let next = digits(NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let mut text = [0; 32];
        text[..16].copy_from_slice(process);
        text[16..].copy_from_slice(&next);
        // Digits can always stand in a header field.
        Self(HeaderValue::from_bytes(&text).unwrap_or_else(|_| Self::default().0))
    }

    /// The identifier that a trusted proxy sent, if it is a sane one.
    pub(super) fn accept(value: &HeaderValue) -> Option<Self> {
        let sane = |byte: &u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=' | b'@')
        };
        let bytes = value.as_bytes();
        (!bytes.is_empty() && bytes.len() <= LONGEST && bytes.iter().all(sane)).then(|| Self(value.clone()))
    }

    /// The identifier as the value of the field.
    pub(super) fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// The identifier as text.
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

fn digits(bytes: [u8; 8]) -> [u8; 16] {
    let mut text = [0; 16];
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits.copy_from_slice(&hex::digits(byte));
    }
    text
}

/// None yet: an empty identifier.
impl Default for RequestId {
    fn default() -> Self {
        Self(HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ones_differ_and_are_sane() {
        let (one, other) = (RequestId::fresh(), RequestId::fresh());
        assert_ne!(one.as_str(), other.as_str());
        assert_eq!(one.as_str().len(), 32);
        assert_eq!(RequestId::accept(one.value()).unwrap().as_str(), one.as_str());
    }

    #[test]
    fn only_sane_ones_are_accepted() {
        for (text, sane) in
            [("a-1_2.3:4/5+6=@", true), ("", false), ("a b", false), ("a\"b", false), ("a,b", false)]
        {
            assert_eq!(RequestId::accept(&HeaderValue::from_static(text)).is_some(), sane, "{text}");
        }
        let long = HeaderValue::try_from("a".repeat(129)).unwrap();
        assert!(RequestId::accept(&long).is_none());
    }
}
