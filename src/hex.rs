//! Bytes as lower-case hexadecimal digits, and back; percent-escapes, which are made of them.

/// Two digits for each byte.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| digits(*byte).map(char::from)).collect()
}

/// The two digits of `byte`.
pub fn digits(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

/// The `N` bytes that `text` spells, or `None` when it is not exactly `2 N` digits; upper case is accepted.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Undoes the percent-escapes of `text` (RFC 3986 §2.1) once; a `%` that begins none stays as it is.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match tail {
            [high, low, after @ ..] if *first == b'%' => {
                nibble(*high).zip(nibble(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            _ => None,
        };
        let (byte, after) = escape.unwrap_or((*first, tail));
        decoded.push(byte);
        rest = after;
    }
    decoded
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        assert_eq!(encode(&[0, 0x7f, 0xff]), "007fff");
        assert_eq!(decode::<3>("007FfF"), Some([0, 0x7f, 0xff]));
        for text in ["", "0", "007ff", "007fff0", "007fgg", "+07fff"] {
            assert_eq!(decode::<3>(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_are_undone_once() {
        for (text, expect) in [
            ("api%5Fkey", "api_key"),
            ("%74%6f%6B", "tok"),
            ("%2574", "%74"),
            ("a%", "a%"),
            ("a%4", "a%4"),
            ("%zz%+5% 5", "%zz%+5% 5"),
            ("", ""),
        ] {
            assert_eq!(unescape(text), expect.as_bytes(), "{text}");
        }
    }
}
