//! A chunked body: where it ends is where RFC 9112 §7.1 says, however its bytes arrive.

use portcullis::request::chunks::ChunkReader;

pub fn run(input: &[u8]) {
    let whole = ChunkReader::default().read(input);
    // In pieces of every small size the outcome is the same.
    for size in 1..=3 {
        let mut reader = ChunkReader::default();
        let mut read = 0;
        let mut outcome = Ok(None);
        for piece in input.chunks(size) {
            match reader.read(piece) {
                Ok(None) => read += piece.len(),
                Ok(Some(count)) => {
                    outcome = Ok(Some(read + count));
                    break;
                }
                Err(malformed) => {
                    outcome = Err(malformed);
                    break;
                }
            }
        }
        assert_eq!(outcome, whole, "in pieces of {size}");
    }
    if let Ok(Some(end)) = whole {
        assert_eq!(body_end(&input[..end]), Some(end), "an independent reader ends elsewhere");
    }
}

/// Where a chunked body ends, by the grammar; `None` if it is not one.
fn body_end(bytes: &[u8]) -> Option<usize> {
    let line = |from: usize| -> Option<(usize, usize)> {
        let at = bytes[from..].windows(2).position(|pair| pair == b"\r\n")? + from;
        (!bytes[from..at].contains(&b'\r') && !bytes[from..at].contains(&b'\n')).then_some((at, at + 2))
    };
    let mut at = 0;
    loop {
        let (end, next) = line(at)?;
        let text = std::str::from_utf8(&bytes[at..end])
            .map_or_else(|_| String::from_utf8_lossy(&bytes[at..end]).into_owned(), str::to_owned);
        let size = text.split(';').next()?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            let mut from = next;
            loop {
                let (end, next) = line(from)?;
                if end == from {
                    return Some(next);
                }
                let colon = bytes[from..end].iter().position(|byte| *byte == b':')?;
                if colon == 0 || bytes[from..from + colon].iter().any(u8::is_ascii_whitespace) {
                    return None;
                }
                from = next;
            }
        }
        at = next.checked_add(size)?;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
}
