//! The form of the keys that Portcullis makes:
//!
//! ```text
//! pcl_k_4fQ9xT_0r3…43 characters…Zk0aB1cD
//! └┬─┘└───┬──┘ └────────┬────────┘└──┬─┘
//! prefix  id     32 random bytes   checksum
//! ```
//!
//! The prefix lets secret scanners find a leaked key, the checksum tells a typing error from a wrong key. Keys from
//! elsewhere need none of this: they are known by their SHA-256 alone.

use aws_lc_rs::{digest, rand};
use zeroize::Zeroizing;

/// What a key looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It does not claim to be ours.
    Foreign,
    /// It claims to be ours, but its checksum is wrong.
    Mistyped,
    /// It is ours and its checksum is right, which says nothing about whether it is known.
    Ours,
}

/// A new key.
pub struct NewKey {
    /// Its public name.
    pub id: String,
    /// The key itself, to be shown once.
    pub key: Zeroizing<String>,
    /// What the file keeps of it.
    pub sha256: [u8; 32],
}

/// The operating system has no randomness to give.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system provides no randomness")]
pub struct NoRandomness;

const PREFIX: &str = "pcl_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 is just above 2^256.
const SECRET_LENGTH: usize = 43;
/// 62^6 is just above 2^32.
const CHECKSUM_LENGTH: usize = 6;

/// Makes a key from 32 random bytes.
///
/// # Errors
/// [`NoRandomness`].
pub fn generate() -> Result<NewKey, NoRandomness> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut bytes[..]).map_err(|_| NoRandomness)?;
    let mut name = [0; 8];
    rand::fill(&mut name).map_err(|_| NoRandomness)?;
    let id = format!("k_{}", base62(&name, 6));
    let body = Zeroizing::new(format!("{PREFIX}{id}_{}", base62(&bytes[..], SECRET_LENGTH)));
    let key = Zeroizing::new(format!("{}{}", *body, checksum(&body)));
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
    Ok(NewKey { id, key, sha256 })
}

/// How many characters a key has at least that is taken for one that nobody can guess: 128 bits as hexadecimal digits.
const LONG: usize = 32;

/// Whether `key` is so short that it may be one that people think of. Those that Portcullis makes are not.
pub fn is_short(key: &str) -> bool {
    key.len() < LONG
}

/// Tells what `key` looks like; whether it is known is another question.
pub fn check(key: &str) -> Shape {
    if !key.starts_with(PREFIX) {
        return Shape::Foreign;
    }
    match key.len().checked_sub(CHECKSUM_LENGTH).and_then(|at| key.split_at_checked(at)) {
        Some((body, sum)) if sum == checksum(body) => Shape::Ours,
        Some(_) | None => Shape::Mistyped,
    }
}

fn checksum(body: &str) -> String {
    base62(&digest::digest(&digest::SHA256, body.as_bytes()).as_ref()[..4], CHECKSUM_LENGTH)
}

/// The last `length` digits of `bytes`, read as one big number.
fn base62(bytes: &[u8], length: usize) -> String {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut digits = vec![0; length];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in number.iter_mut() {
            let dividend = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(dividend / 62).unwrap_or(u8::MAX);
            remainder = dividend % 62;
        }
        *digit = DIGITS[remainder as usize];
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_the_documented_form() {
        let new = generate().unwrap();
        assert_eq!(new.key.len(), 4 + 8 + 1 + 43 + 6, "{}", *new.key);
        assert!(new.key.starts_with(&format!("pcl_{}_", new.id)));
        assert_eq!(check(&new.key), Shape::Ours);
        assert_ne!(*new.key, *generate().unwrap().key);
    }

    #[test]
    fn a_typing_error_is_told_from_a_wrong_key() {
        let key = generate().unwrap().key.to_string();
        for at in 4..key.len() {
            let mut wrong = key.clone().into_bytes();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(check(std::str::from_utf8(&wrong).unwrap()), Shape::Mistyped, "{at}");
        }
        for (key, shape) in [
            ("sk_live_123", Shape::Foreign),
            ("pcl_", Shape::Mistyped),
            ("pcl_é", Shape::Mistyped),
            ("", Shape::Foreign),
        ] {
            assert_eq!(check(key), shape, "{key}");
        }
    }

    #[test]
    fn base62_is_a_positional_system() {
        for (bytes, length, expect) in
            [(&[0_u8][..], 2, "00"), (&[61], 2, "0z"), (&[62], 2, "10"), (&[1, 0], 3, "048")]
        {
            assert_eq!(base62(bytes, length), expect);
        }
    }
}
