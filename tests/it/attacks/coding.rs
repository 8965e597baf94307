//! Content that is compressed, which is none of the gateway's business.

use super::*;
use crate::harness::upstream::Answer;

/// What a megabyte of zeros is under gzip (RFC 1952): one literal, and then that it is repeated, in the fixed codes of
/// RFC 1951 section 3.2.6.
fn bomb() -> Vec<u8> {
    /// How far one repetition goes.
    const LONGEST: usize = 258;
    const REPETITIONS: usize = (1 << 20) / LONGEST;
    // The last block, with fixed codes; the literal 0; length 258 (code 285) at distance 1 (code 0); the end (code 256).
    let mut bits = "1".to_owned() + "10" + "00110000";
    bits += &"1100010100000".repeat(REPETITIONS);
    bits += "0000000";
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bytes.extend(bits.as_bytes().chunks(8).map(|octet| {
        octet.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit == b'1') << at)
    }));
    let size = 1 + REPETITIONS * LONGEST;
    let crc = !(0..size * 8).fold(u32::MAX, |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 });
    bytes.extend(crc.to_le_bytes());
    bytes.extend(u32::try_from(size).unwrap().to_le_bytes());
    bytes
}

/// A bomb passes as it is, in both directions, whatever it is said to be and however large it would become: nothing is
/// unpacked, and nothing is packed that was not.
/// Row D05: CVE-2022-29225.
#[tokio::test]
async fn what_is_compressed_stays_as_it_is() {
    let bomb = bomb();
    assert!(bomb.len() < 8 << 10);
    let yaml = ROUTES.replace("request_body_bytes: 1MiB", "request_body_bytes: 16KiB");
    let stand = Stand::with(&yaml).await;
    for coding in ["gzip", "br", "deflate", "zstd", "gzip, gzip", "identity", "x-unknown"] {
        for accepted in ["gzip, br, zstd", "identity", "*;q=0"] {
            let answer = Answer::ok(bomb.clone()).header("Content-Encoding", coding);
            stand.upstream.answer("/public/x", answer);
            let fields = [("Content-Encoding", coding), ("Accept-Encoding", accepted)];
            let client = stand.gateway.https();
            let call = || client.post("/public/x").headers(&fields).body(bomb.clone());
            let (one, two) = (call().await, call().over_http2().await);
            let received = stand.upstream.take();
            assert_eq!(received.len(), 2);
            for (answer, received) in [one, two].iter().zip(&received) {
                answer.assert_status(200);
                assert_eq!(answer.header("Content-Encoding"), Some(coding));
                assert!(answer.body == bomb, "{coding} became something else on the way back");
                assert_eq!(received.header("Content-Encoding"), Some(coding));
                assert_eq!(received.header("Accept-Encoding"), Some(accepted));
                assert!(received.body == bomb, "{coding} became something else on the way");
            }
        }
    }
    // What is not compressed is not packed for somebody who would take it.
    stand.upstream.answer("/public/x", Answer::ok("a".repeat(10_000)));
    let answer = stand.gateway.https().get("/public/x").header("Accept-Encoding", "gzip, br").await;
    assert_eq!((answer.header("Content-Encoding"), answer.text().len()), (None, 10_000));
}
