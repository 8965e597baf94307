//! HTTP/2 frames (RFC 9113 §4) as bytes, for what no library would send.

use super::gateway::KEY;

/// The preface with empty settings.
pub(crate) fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

/// Types of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of `HEADERS`.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// The header block of a request with a good credential, as literals without indexing (RFC 7541 §6.2.2).
pub(crate) fn request(method: &str) -> Vec<u8> {
    let fields = [
        (":method", method),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/v1/orders"),
        ("x-api-key", KEY),
    ];
    fields.iter().flat_map(|(name, value)| literal(0, name, value)).collect()
}

/// One field; the first byte says whether it goes into the table.
pub(crate) fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![first];
    for text in [name, value] {
        // An integer with a prefix of seven bits (RFC 7541 §5.1).
        match text.len() {
            short @ ..=126 => bytes.push(short.to_le_bytes()[0]),
            long => {
                let rest = long - 127;
                bytes.extend([127, (rest % 128).to_le_bytes()[0] | 0x80, (rest / 128).to_le_bytes()[0]]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}
