//! Holds what must never be shown: passwords, shared secrets, private keys.
//!
//! A [`Secret`] is wiped when it is dropped, prints as `[redacted]`, and can be neither compared, serialized nor
//! displayed. Whoever needs the bytes says so with [`Secret::expose`], which is what a reviewer searches for. What may be
//! a secret although nobody said so is told by its form: [`looks_like_a_credential`].

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that appear in no log, error, metric or `Debug` output.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of `bytes`; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves. Every call is a place where a secret could leak.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text, or `None` when it is not UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// Whether `text` has something in it that may be a credential: one of our own keys, a token, or something random that is
/// as long as a key. Such text is not shown where it may have got by mistake, in a path or in a line of a file.
pub fn looks_like_a_credential(text: &str) -> bool {
    const SEPARATORS: [char; 13] = ['=', ':', ';', ',', '&', '@', '/', ' ', '"', '\'', '(', ')', '$'];
    // Most of what is asked about is a short word.
    let has = |form: &str| text.as_bytes().windows(form.len()).any(|window| window == form.as_bytes());
    if text.len() < KEY_LENGTH && !has(TOKEN) {
        return has(OWN_KEY);
    }
    has(OWN_KEY) || text.split(SEPARATORS).any(|word| is_token(word) || is_random(word))
}

/// How our own API keys begin.
const OWN_KEY: &str = "pcl_";

/// How an object in JSON begins in base64, and so every token (RFC 7519 §3).
const TOKEN: &str = "eyJ";

/// As long as a key is at least.
const KEY_LENGTH: usize = 32;

fn is_token(word: &str) -> bool {
    word.find(TOKEN).is_some_and(|at| word[at..].contains('.'))
}

fn is_random(word: &str) -> bool {
    if word.len() < KEY_LENGTH {
        return false;
    }
    let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let capitals = word.bytes().filter(u8::is_ascii_uppercase).count();
    let mixed = capitals > 0 && letters > capitals;
    // One key of ten has hardly a digit. A name has a capital for each word, and its words are longer than three letters.
    let no_name = digits > 2 || 3 * capitals > letters;
    // Of 64 letters of base64 two are neither; in the numbers of an RSA key they add up.
    let others = word.len() - letters - digits;
    mixed && no_name && others <= (word.len() / 16).max(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_credential() {
        for (text, expect) in [
            ("pcl_k_4fQ9xT_abc", true),
            ("old-pcl_k_4fQ9xT_abc", true),
            ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", true),
            ("jwt=eyJhbGciOiJSUzI1NiJ9.e30.c2ln", true),
            ("x-eyJhbGciOiJSUzI1NiJ9.e30", true),
            ("9aF3kLm2Qx7Zp0Rt5Vb8Yc1Nd4Gh6Jk3", true),
            ("key=9aF3kLm2Qx7Zp0Rt5Vb8Yc1Nd4Gh6Jk3;x=y", true),
            (&"9aF3kLm2Qx7Zp0Rt5Vb8Yc1-d4Gh6_k3".repeat(10), true),
            ("bob:9aF3kLm2Qx7Zp0Rt5Vb8Yc1Nd4Gh6Jk3@host", true),
            ("sjEHNQzqxhw9doVfqaiaKOKTjntmFYPoVKW0RJAeaFp", true),
            ("kXcPqaTnWfRbUyHsMdJvLgEzKoAiCxQw", true),
            ("", false),
            ("orders", false),
            ("eyJ", false),
            ("6f1e3c9a-1b2c-4d5e-8f90-a1b2c3d4e5f6", false),
            ("6f1e3c9a1b2c4d5e8f90a1b2c3d4e5f66f1e3c9a1b2c4d5e8f90a1b2c3d4e5f6", false),
            ("google.cloud.bigquery.v2.BigQueryReadService", false),
            ("getCustomerOrderHistoryByRegionV2", false),
            ("AVeryLongNameOfSomethingThatIsNoKeyAtAll", false),
        ] {
            assert_eq!(looks_like_a_credential(text), expect, "{text}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.expose_text(), Some("hunter2"));
    }
}
