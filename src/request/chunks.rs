//! The chunked coding of a request's body (RFC 9112 §7.1), followed as it passes.
//!
//! The HTTP library reads it as well, and forgives: a size with a sign or a space, a bare line feed. This reader forgives
//! nothing, and it sees the bytes first, so the library only ever gets what both of them read in the same way, and never
//! a byte of what comes after.

use super::Malformed;
use super::head::is_token;

/// How far a chunked body has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkReader {
    state: State,
    /// Bytes of the line that is being read, or of all trailer fields.
    length: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A hexadecimal digit of the size, or what ends it.
    Size(u64),
    /// The rest of the size's line, which means nothing to anyone here.
    Extension(u64),
    /// The line feed after a size.
    SizeEnd(u64),
    /// So many bytes of content.
    Content(u64),
    /// The carriage return after the content.
    ContentEnd,
    /// The line feed after the content.
    ContentEnded,
    /// A trailer field, or the empty line that ends the body.
    Line,
    /// The name of a trailer field.
    Name,
    /// The value of a trailer field.
    Value,
    /// The line feed after a trailer field.
    LineEnd,
    /// The last line feed.
    End,
    /// Nothing: what follows belongs to the next request.
    Ended,
}

/// Sizes have no more digits than this, which no real one needs: enough for 2^60 bytes.
const MOST_DIGITS: usize = 15;

/// The longest line of a size with its extensions, which nobody sends.
const LONGEST_SIZE_LINE: usize = 256;

/// The most that trailer fields may have together. They are not passed on to upstreams that speak HTTP/1.
const MOST_TRAILERS: usize = 4 << 10;

impl Default for State {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl ChunkReader {
    /// Follows the body through `bytes`, the next that have arrived. Says how many of them belong to it if it ends
    /// there; otherwise all of them do.
    ///
    /// # Errors
    /// [`Malformed::ChunkedBody`]: where the body ends is not known.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut rest = bytes;
        while let [first, tail @ ..] = rest {
            if let State::Content(left) = self.state {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest = &rest[count..];
                let left = left - count as u64;
                self.state = if left == 0 { State::ContentEnd } else { State::Content(left) };
                continue;
            }
            self.state = self.after(*first)?;
            rest = tail;
            if self.state == State::Ended {
                return Ok(Some(bytes.len() - rest.len()));
            }
        }
        Ok(None)
    }

    /// The state after `byte`, which is none of the content.
    fn after(&mut self, byte: u8) -> Result<State, Malformed> {
        self.length += 1;
        let next = match (self.state, byte) {
            (State::Size(size), b'\r') if self.length > 1 => State::SizeEnd(size),
            (State::Size(size), b';') if self.length > 1 => State::Extension(size),
            (State::Size(size), digit) if self.length <= MOST_DIGITS => {
                let digit = char::from(digit).to_digit(16).ok_or(Malformed::ChunkedBody)?;
                State::Size(size << 4 | u64::from(digit))
            }
            (State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Extension(size), letter) if is_text(letter) && self.length <= LONGEST_SIZE_LINE => {
                State::Extension(size)
            }
            (State::ContentEnd, b'\r') => State::ContentEnded,
            (State::ContentEnded, b'\n') => State::Size(0),
            (State::Line, b'\r') => State::End,
            (State::Line | State::Name, letter) if is_token(letter) && self.length <= MOST_TRAILERS => {
                State::Name
            }
            (State::Name, b':') => State::Value,
            (State::Value, b'\r') => State::LineEnd,
            (State::Value, letter) if is_text(letter) && self.length <= MOST_TRAILERS => State::Value,
            (State::SizeEnd(0) | State::LineEnd, b'\n') => State::Line,
            (State::SizeEnd(size), b'\n') => State::Content(size),
            (State::End, b'\n') => State::Ended,
            (
                State::Size(_)
                | State::Extension(_)
                | State::SizeEnd(_)
                | State::Content(_)
                | State::ContentEnd
                | State::ContentEnded
                | State::Line
                | State::Name
                | State::Value
                | State::LineEnd
                | State::End
                | State::Ended,
                _,
            ) => return Err(Malformed::ChunkedBody),
        };
        if matches!(self.state, State::ContentEnded | State::SizeEnd(_)) {
            self.length = 0;
        }
        Ok(next)
    }
}

/// What may stand in an extension or in the value of a field (RFC 9110 §5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_bodies_end_where_they_say() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n00000A\r\n0123456789\r\n0\r\n\r\n",
            "9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
            "5;name=value;other=\"\t quoted\"\r\nhello\r\n0;last\r\n\r\n",
            "0\r\nX: y\r\nChecksum:\r\n\r\n",
        ] {
            let whole = format!("{body}GET /next");
            assert_eq!(ChunkReader::default().read(whole.as_bytes()), Ok(Some(body.len())), "{body:?}");
            // In pieces of every length it is the same.
            for size in 1..body.len() {
                let mut reader = ChunkReader::default();
                let mut read = 0;
                for piece in body.as_bytes().chunks(size) {
                    match reader.read(piece).unwrap() {
                        None => read += piece.len(),
                        Some(end) => read += end,
                    }
                }
                assert_eq!((read, reader.state), (body.len(), State::Ended), "{body:?} by {size}");
            }
            for cut in 0..body.len() {
                assert_eq!(
                    ChunkReader::default().read(&body.as_bytes()[..cut]),
                    Ok(None),
                    "{body:?} to {cut}"
                );
            }
        }
    }

    #[test]
    fn everything_with_two_readings_is_refused() {
        for body in [
            "\r\n",
            ";x\r\n",
            "0x5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 ;x\r\nhello\r\n",
            "\t5\r\n",
            "-1\r\n",
            "+5\r\nhello\r\n",
            "5_0\r\n",
            "g\r\n",
            "\u{ff15}\r\nhello",
            "1000000000000000\r\n",
            "ffffffffffffffff\r\n",
            "10000000000000005\r\nhello\r\n",
            "5\nhello\r\n",
            "5\rhello\r\n",
            "5\r\rhello",
            "5\r\nhello\n",
            "5\r\nhello0\r\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello\rX",
            "5;x\nhello\r\n",
            "5;x\ry\r\nhello",
            "5;\0\r\n",
            "0\r\n\n",
            "0\r\n\rX",
            "0\n\n",
            "0\r\nX y\r\n\r\n",
            "0\r\n: y\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\nX\r\n\r\n",
            "0\r\n X: y\r\n\r\n",
            "0\r\nX: y\r\n folded\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\nX: \0\r\n\r\n",
            "0\r\nX: y\rZ: w\r\n\r\n",
        ] {
            assert_eq!(ChunkReader::default().read(body.as_bytes()), Err(Malformed::ChunkedBody), "{body:?}");
        }
    }

    #[test]
    fn lines_are_bounded() {
        for (start, most) in [("5;", LONGEST_SIZE_LINE), ("0\r\nX:", MOST_TRAILERS), ("0\r\n", MOST_TRAILERS)]
        {
            let body = format!("{start}{}", "x".repeat(most + 1));
            assert_eq!(
                ChunkReader::default().read(body.as_bytes()),
                Err(Malformed::ChunkedBody),
                "{start:?}"
            );
        }
        let many = format!("0\r\n{}", "X: y\r\n".repeat(MOST_TRAILERS / 6 + 2));
        assert_eq!(ChunkReader::default().read(many.as_bytes()), Err(Malformed::ChunkedBody));
    }
}
