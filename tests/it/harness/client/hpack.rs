//! As much of HPACK (RFC 7541) as malformed requests need: fields written as literals without indexing and without
//! Huffman codes, so that any byte can stand anywhere, and the status read out of an answer.

/// One field as a literal without indexing (RFC 7541 section 6.2.2). Nothing about name or value is checked.
pub fn literal(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name.as_ref(), value.as_ref()] {
        length(text.len(), &mut bytes);
        bytes.extend_from_slice(text);
    }
    bytes
}

/// A header block of literals.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// The value of `:status`, which stands first in every answer (RFC 9113 section 8.3).
pub(super) fn status_of(mut block: &[u8]) -> Option<u16> {
    // Changes of the table's size come before everything else.
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        block = if first & 0x1f == 0x1f { after_integer(rest) } else { rest };
    }
    match block {
        // An entry of the static table.
        [indexed @ 0x88..=0x8e, ..] => Some([200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]),
        // A literal whose name is that of entry 8 to 14 of the static table.
        [0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e, length, value @ ..] => {
            let (huffman, length) = (length & 0x80 != 0, usize::from(length & 0x7f));
            let value = value.get(..length)?;
            let digits = if huffman { huffman_digits(value)? } else { value.to_vec() };
            std::str::from_utf8(&digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(value: usize, bytes: &mut Vec<u8>) {
    let Some(mut rest) = value.checked_sub(127) else {
        bytes.push(value.to_le_bytes()[0]);
        return;
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push((rest % 128).to_le_bytes()[0] | 0x80);
        rest /= 128;
    }
    bytes.push(rest.to_le_bytes()[0]);
}

fn after_integer(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().take_while(|byte| **byte & 0x80 != 0).count();
    bytes.get(length + 1..).unwrap_or_default()
}

/// Three digits in the Huffman code of RFC 7541 appendix B: `0`, `1` and `2` have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> Option<Vec<u8>> {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0_u8, |number, bit| number << 1 | bit);
    let mut at = 0;
    let mut digits = Vec::new();
    while digits.len() < 3 {
        let short = number(bits.get(at..at + 5)?);
        if short <= 2 {
            digits.push(b'0' + short);
            at += 5;
        } else {
            let long = number(bits.get(at..at + 6)?);
            digits.push(b'3' + long.checked_sub(0x19)?);
            at += 6;
        }
    }
    Some(digits)
}

#[test]
fn the_status_is_read_in_every_form() {
    for (name, bytes, expect) in [
        ("indexed", &[0x88][..], Some(200)),
        ("indexed, last", &[0x8e], Some(500)),
        ("after a change of the table's size", &[0x20, 0x8c], Some(400)),
        ("after a large change of the table's size", &[0x3f, 0xe1, 0x1f, 0x8c], Some(400)),
        ("literal", b"\x08\x03401", Some(401)),
        ("literal to be indexed", b"\x48\x03503", Some(503)),
        // RFC 7541 appendix C.6.1: 302 in Huffman code.
        ("Huffman", &[0x48, 0x82, 0x64, 0x02], Some(302)),
        // Appendix C.6.2: 307.
        ("Huffman again", &[0x48, 0x83, 0x64, 0x0e, 0xff], Some(307)),
        ("not a status", b"\x00\x01a\x01b", None),
        ("empty", &[], None),
    ] {
        assert_eq!(status_of(bytes), expect, "{name}");
    }
}

#[test]
fn lengths_are_written_as_integers_with_a_prefix() {
    assert_eq!(literal("a", "bc"), b"\x00\x01a\x02bc");
    assert_eq!(literal("", "x".repeat(127))[..4], [0, 0, 127, 0]);
    assert_eq!(literal("", "x".repeat(1337 + 127))[..5], [0, 0, 127, 0xb9, 0x0a]);
}
