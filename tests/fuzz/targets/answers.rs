//! What Redis answers (RESP): the gateway measures it before the client library collects it, so both have to agree on where
//! answers end. Bytes that the one still keeps and the other has forgotten could fill the memory.

use portcullis::revocation::redis::meter::Meter;

/// Longer inputs show nothing more, and take the square of the time.
const LONGEST: usize = 400;

pub fn run(input: &[u8]) {
    let input = &input[..input.len().min(LONGEST)];
    let mut meter = Meter::default();
    let mut begin = 0;
    let mut stopped = None;
    for at in 0..input.len() {
        if meter.count(&input[at..=at]).is_err() {
            stopped = Some(at);
            break;
        }
        if let Some(size) = meter.unfinished() {
            assert!(size > (at - begin) as u64, "fewer bytes were counted than have come");
        } else {
            agrees(&input[begin..=at], true);
            begin = at + 1;
        }
    }
    agrees(&input[begin..stopped.unwrap_or(input.len())], false);
    // However the bytes arrive, the outcome is the same.
    for step in [2, 3, 7, LONGEST] {
        let mut again = Meter::default();
        let outcome = input.chunks(step).try_for_each(|piece| again.count(piece));
        assert_eq!(outcome.is_err(), stopped.is_some(), "in pieces of {step}");
        if outcome.is_ok() {
            assert_eq!(again.unfinished(), meter.unfinished(), "in pieces of {step}");
        }
    }
}

/// Whether the library takes `bytes` for one answer, or, unless it is `whole`, for the beginning of one. It may find
/// something wrong with it: that ends the connection.
fn agrees(bytes: &[u8], whole: bool) {
    for end in 1..=bytes.len() {
        match redis::parse_redis_value(&bytes[..end]) {
            Ok(_) => return assert!(whole && end == bytes.len(), "the library ends earlier: {bytes:?}"),
            Err(error) if error.kind() == redis::ErrorKind::Io => {}
            Err(_) => return,
        }
    }
    assert!(!whole, "the library waits for more: {bytes:?}");
}
