//! A whole HTTP/1 head: what is accepted means one thing, and where its body ends follows from RFC 9112 §6 alone.

use portcullis::request::head::{Body, HeadError, HeadLimits, HeadReader};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };

pub fn run(input: &[u8]) {
    let whole = HeadReader::default().read(input, LIMITS);
    // However the bytes arrive, the outcome is the same, or the same refusal comes earlier.
    for cut in [1, input.len() / 3, input.len() / 2, input.len().saturating_sub(1)] {
        let mut reader = HeadReader::default();
        match reader.read(&input[..cut.min(input.len())], LIMITS) {
            Ok(None) => assert_eq!(reader.read(input, LIMITS), whole, "in two pieces, cut at {cut}"),
            Ok(Some(head)) => assert_eq!(Ok(Some(head)), whole),
            // A head that is too large as a whole may have had another mistake before.
            Err(_) => assert!(whole.is_err(), "refused at {cut} and accepted as a whole"),
        }
    }
    let Ok(Some(head)) = whole else {
        assert!(
            !matches!(whole, Ok(None)) || input.len() <= LIMITS.bytes,
            "more is read than the limit allows"
        );
        assert!(
            !matches!(whole, Err(HeadError::TooLarge)) || input.len() > 64,
            "a few bytes are not too large"
        );
        return;
    };
    let bytes = &input[head.skip..head.length];
    let text: Vec<&[u8]> = lines(bytes);
    let (request_line, fields) = text.split_first().expect("a request line");
    assert_eq!(request_line.iter().filter(|byte| **byte == b' ').count(), 2);
    assert!(!bytes.contains(&0), "no NUL is accepted anywhere");
    let fields: Vec<(String, Vec<u8>)> = fields
        .iter()
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
            let name = std::str::from_utf8(&line[..colon]).expect("a name in ASCII").to_ascii_lowercase();
            assert!(
                !name.is_empty()
                    && !name.contains(|letter: char| letter.is_whitespace() || letter.is_control())
            );
            (name, line[colon + 1..].trim_ascii().to_vec())
        })
        .collect();
    let values = |name: &str| -> Vec<&[u8]> {
        fields.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_slice()).collect()
    };
    assert_eq!(values("host").len(), 1, "exactly one Host");
    let (codings, lengths) = (values("transfer-encoding"), values("content-length"));
    match (codings.as_slice(), lengths.as_slice(), head.body) {
        ([coding], [], Body::Chunked) => assert!(coding.eq_ignore_ascii_case(b"chunked")),
        ([], [length], Body::Length(read)) => {
            assert!(length.iter().all(u8::is_ascii_digit) && !length.is_empty());
            assert_eq!(std::str::from_utf8(length).ok().and_then(|text| text.parse().ok()), Some(read));
        }
        ([], [], Body::Length(0)) => {}
        ([], [] | [b"0"], Body::Upgrade) => assert_eq!(values("upgrade").len(), 1),
        ([], [zeros], Body::Upgrade) => assert!(zeros.iter().all(|byte| *byte == b'0')),
        (codings, lengths, body) => {
            panic!("{} codings and {} lengths are {body:?}", codings.len(), lengths.len())
        }
    }
    // A common library, which forgives more, reads the same head.
    let mut place = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut place);
    assert_eq!(parsed.parse(bytes), Ok(httparse::Status::Complete(bytes.len())));
    assert_eq!(parsed.headers.len(), fields.len());
    for (field, (name, value)) in parsed.headers.iter().zip(&fields) {
        assert!(field.name.eq_ignore_ascii_case(name));
        assert_eq!(field.value.trim_ascii(), value);
    }
}

/// The lines without their CR LF and without the empty one at the end; a lone CR or LF has no place.
fn lines(head: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        assert!(!rest[..at].contains(&b'\n') && !rest[..at].contains(&b'\r'), "a lone CR or LF");
        if at == 0 {
            assert_eq!(rest.len(), 2, "nothing after the empty line");
            return lines;
        }
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    panic!("no empty line at the end");
}
