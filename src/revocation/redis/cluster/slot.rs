//! Hash slots: a Redis Cluster spreads keys over 16384 of them, and each belongs to one primary.
//! See <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

/// How many there are.
pub(super) const SLOTS: u16 = 16384;

/// A key that begins with `prefix` and lies in `slot`.
pub(in crate::revocation::redis) fn key_in(slot: u16, prefix: &str) -> String {
    // One in 16384 of the numbers is in the slot, so this ends after some ten thousand as a rule.
    let tag =
        (0..1_000_000).map(|number: u32| number.to_string()).find(|tag| slot_of(tag.as_bytes()) == slot);
    format!("{prefix}:{{{}}}", tag.unwrap_or_default())
}

/// The slot of a key: of what stands in its first braces, if anything does, and of all of it otherwise.
pub(in crate::revocation::redis) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    checksum(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16 as in XMODEM: polynomial 0x1021, beginning with zero.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| sum << 8 ^ TABLE[usize::from(sum.to_be_bytes()[0] ^ byte)])
}

/// The checksum of each byte.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let (mut byte, mut first) = (0, 0_u16);
    while byte < table.len() {
        let (mut sum, mut bit) = (first << 8, 0);
        while bit < 8 {
            sum = if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x1021 };
            bit += 1;
        }
        table[byte] = sum;
        (byte, first) = (byte + 1, first + 1);
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// As `CLUSTER KEYSLOT` answers.
    #[test]
    fn slots_of_keys() {
        assert_eq!(checksum(b"123456789"), 0x31c3);
        for (key, slot) in [
            ("foo", 12182),
            ("", 0),
            ("{foo}bar", 12182),
            ("bar{foo}", 12182),
            ("{}foo", slot_of(b"{}foo")),
            ("a{foo}{bar}", 12182),
            ("a{foo", checksum(b"a{foo") % SLOTS),
            ("a{{foo}}", checksum(b"{foo") % SLOTS),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(slot_of(b"{}foo"), checksum(b"{}foo") % SLOTS);
    }

    #[test]
    fn there_is_a_key_in_every_slot() {
        for slot in (0..SLOTS).step_by(1000).chain([SLOTS - 1]) {
            let key = key_in(slot, "portcullis:revocation-epoch");
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
            assert!(key.starts_with("portcullis:revocation-epoch:{"), "{key}");
        }
    }
}
