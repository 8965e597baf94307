//! The identifier of a request, by which a client, an upstream and the log can be brought together.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// The header field.
pub(super) const REQUEST_ID: &str = "X-Request-Id";

const LONGEST: usize = 128;

/// A new identifier: unique, and not guessable from another process's. It is no secret.
pub(super) fn fresh() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(|| {
        let mut bytes = [0; 8];
        // Without randomness identifiers are still unique within the process, which is all that they must be.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{process:016x}{next:016x}")
}

/// The identifier that a trusted proxy sent, if it is a sane one.
pub(super) fn accept(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let sane = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=' | b'@')
    };
    (!text.is_empty() && text.len() <= LONGEST && text.bytes().all(sane)).then(|| text.to_owned())
}
