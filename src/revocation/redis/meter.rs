//! Measures what Redis sends before the client library collects it. The library keeps an answer until it is whole,
//! whatever its size; a server that is broken, or not Redis at all, must not be able to fill the memory with one.
//!
//! This reads only as much of RESP as it takes to find where answers end: types, counts and lengths.

use std::io;

/// The largest answer, announcements included, counted as in [`Meter::count`]. The list is read in pages of a thousand
/// keys; an announcement of more than some hundred thousand at once is better read anew.
const LARGEST: u64 = 16 << 20;

/// What a value takes besides its text, about.
const OVERHEAD: u64 = 32;

/// The longest count or length: nineteen digits and a sign.
const LONGEST_NUMBER: usize = 20;

/// How far the current answer has come. Where it takes one for ended, the client library must do so as well: what comes
/// after it is counted anew.
#[derive(Debug, Default)]
pub struct Meter {
    /// Of the current answer.
    size: u64,
    /// How many values are still missing in it.
    missing: u64,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// The next byte is the type of a value.
    #[default]
    Type,
    /// The line of a value that is nothing but a line. Within it a line feed is nothing special, unless the byte before it
    /// was a carriage return.
    Line { returned: bool },
    /// The line with the count or the length of a value of this type.
    Number { of: u8, digits: Vec<u8>, returned: bool },
    /// This much of a text is still to come, with the end of its line.
    Text(u64),
}

impl Meter {
    /// Counts bytes that have arrived.
    ///
    /// # Errors
    /// An answer is too large or not in the protocol.
    pub fn count(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Type => {
                    self.begin(*first)?;
                    self.grow(OVERHEAD)?;
                    bytes = rest;
                }
                State::Line { returned } => {
                    let end = line_end(bytes, *returned);
                    let (line, behind) = bytes.split_at(end.unwrap_or(bytes.len()));
                    *returned = line.ends_with(b"\r");
                    self.grow(line.len() as u64)?;
                    bytes = behind;
                    if end.is_some() {
                        self.complete();
                    }
                }
                State::Number { of, digits, returned } => {
                    bytes = rest;
                    match (*first, *returned) {
                        (b'\r', false) => *returned = true,
                        (b'\n', true) => {
                            let of = *of;
                            let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                            self.announced(of, number.ok_or_else(nonsense)?)?;
                        }
                        (byte, false) if digits.len() < LONGEST_NUMBER => digits.push(byte),
                        _ => return Err(nonsense()),
                    }
                }
                State::Text(missing) => {
                    let length = usize::try_from(*missing).unwrap_or(usize::MAX).min(bytes.len());
                    *missing -= length as u64;
                    bytes = &bytes[length..];
                    if *missing == 0 {
                        self.complete();
                    }
                }
            }
        }
        Ok(())
    }

    /// What has been counted of the answer that has begun; nothing between answers.
    pub fn unfinished(&self) -> Option<u64> {
        (self.missing > 0).then_some(self.size)
    }

    fn begin(&mut self, of: u8) -> io::Result<()> {
        if self.missing == 0 {
            self.missing = 1;
        }
        self.state = match of {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => State::Line { returned: false },
            b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'%' | b'|' => {
                State::Number { of, digits: Vec::new(), returned: false }
            }
            _ => return Err(nonsense()),
        };
        Ok(())
    }

    /// A value of the type `of` says how long it is, or how many others it is made of. For some types −1 means that there is
    /// none; for others the client library would wait without end.
    fn announced(&mut self, of: u8, number: i64) -> io::Result<()> {
        let number = match u64::try_from(number) {
            Ok(number) => number,
            Err(_) if number == -1 && matches!(of, b'$' | b'*' | b'~' | b'>') => {
                self.complete();
                return Ok(());
            }
            Err(_) => return Err(nonsense()),
        };
        match of {
            b'$' | b'=' | b'!' => {
                self.grow(number)?;
                self.state = State::Text(number.saturating_add(2));
            }
            b'*' | b'~' | b'>' => self.made_of(number)?,
            b'%' => self.made_of(number.saturating_mul(2))?,
            // Attributes stand before the value that they are about, so one more is to come.
            _ => self.made_of(number.saturating_mul(2).saturating_add(1))?,
        }
        Ok(())
    }

    fn made_of(&mut self, values: u64) -> io::Result<()> {
        // It cannot become smaller than this, so there is no need to wait for it.
        if values.saturating_mul(OVERHEAD) > LARGEST {
            return Err(too_large());
        }
        self.missing = self.missing.saturating_add(values);
        self.complete();
        Ok(())
    }

    fn complete(&mut self) {
        self.state = State::Type;
        self.missing = self.missing.saturating_sub(1);
        if self.missing == 0 {
            self.size = 0;
        }
    }

    fn grow(&mut self, by: u64) -> io::Result<()> {
        self.size = self.size.saturating_add(by);
        if self.size > LARGEST { Err(too_large()) } else { Ok(()) }
    }
}

/// Where a line ends of which this is the rest, behind its carriage return and line feed; `returned` says that the return
/// has been seen.
fn line_end(rest: &[u8], returned: bool) -> Option<usize> {
    if returned && rest.starts_with(b"\n") {
        return Some(1);
    }
    memchr::memmem::find(rest, b"\r\n").map(|at| at + 2)
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer is too large")
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer is not in the protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `begins`, and then `goes_on` until 17 MiB have been sent, is stopped.
    fn is_stopped(begins: &str, goes_on: &str) -> bool {
        let mut meter = Meter::default();
        let more = goes_on.repeat((64 << 10) / goes_on.len());
        let bytes = std::iter::once(begins).chain(std::iter::repeat_n(&*more, 272));
        bytes.map(|bytes| meter.count(bytes.as_bytes())).any(|outcome| outcome.is_err())
    }

    #[test]
    fn answers_without_end_are_stopped_and_answers_without_number_are_not() {
        for (begins, goes_on, stopped) in [
            ("", "+PONG\r\n", false),
            ("", ":1\r\n", false),
            ("", "$-1\r\n", false),
            ("", "$0\r\n\r\n", false),
            ("", "*-1\r\n", false),
            ("", "*2\r\n$3\r\nabc\r\n:1\r\n", false),
            ("", "%1\r\n+a\r\n*0\r\n", false),
            ("", "|1\r\n+ttl\r\n:1\r\n+OK\r\n", false),
            ("", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n", false),
            ("", "=7\r\ntxt:abc\r\n_\r\n#t\r\n,1.5\r\n(12\r\n-ERR x\r\n~1\r\n:1\r\n!3\r\nERR\r\n", false),
            ("+", "x", true),
            // One line for the client library, which collects it.
            ("+", "\n+", true),
            ("+", "\r+\n", true),
            ("_", "\n_", true),
            // No end of a number, and a text of 2^64 - 1 bytes.
            ("*1\n", ":1\r\n", true),
            ("$1\r0\r\n", "x", true),
            ("=-1\r\n", ":1\r\n", true),
            ("!-1\r\n", ":1\r\n", true),
            ("%-1\r\n", ":1\r\n", true),
            ("$17000000\r\n", "x", true),
            ("$", "1", true),
            ("*400000\r\n", "$60\r\n123456789 123456789 123456789 123456789 123456789 123456789 \r\n", true),
            ("*1000000000\r\n", ":1\r\n", true),
            ("%300000\r\n", ":1\r\n", true),
            ("", "*1\r\n", true),
            ("", "|0\r\n", true),
            ("$-2\r\n", ":1\r\n", true),
            ("*9223372036854775807\r\n", ":1\r\n", true),
            ("%9223372036854775807\r\n", ":1\r\n", true),
            ("|9223372036854775807\r\n", ":1\r\n", true),
            ("$9223372036854775807\r\n", "x", true),
            ("$?\r\n", ":1\r\n", true),
            ("HTTP/1.1 400 Bad Request\r\n", "x", true),
        ] {
            assert_eq!(is_stopped(begins, goes_on), stopped, "{begins:?} {goes_on:?}");
        }
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_arrive() {
        let answer = b"*3\r\n$5\r\nab\r\nc\r\n|1\r\n+a\r\n+b\r\n%1\r\n+k\r\n:1\r\n_\r\n";
        for step in 1..answer.len() {
            let mut meter = Meter::default();
            for piece in answer.chunks(step) {
                meter.count(piece).unwrap();
                assert!(meter.size <= 1000);
            }
            assert_eq!((meter.missing, meter.size), (0, 0), "{step}");
        }
    }
}
