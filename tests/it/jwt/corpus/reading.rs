//! Base64url (RFC 4648 section 5) and JSON (RFC 8259) as the standards have them, in code that nothing else uses.

use std::collections::HashSet;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Boolean,
    List(Vec<Json>),
    Null,
    Number(f64),
    Object(Vec<(String, Json)>),
    Text(String),
}

/// Why a text is no JSON that a token may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A name occurs twice in an object (RFC 7515 section 4, RFC 7519 section 4, RFC 7493 section 2.3).
    Duplicate,
    /// Deeper than any token of a sane issuer.
    Deep,
    /// Not of the grammar, not UTF-8, or half a surrogate pair (RFC 7493 section 2.1).
    Grammar,
}

const DEEPEST: usize = 64;

impl Json {
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(own, _)| own == name).map(|(_, value)| value),
            Self::Boolean | Self::List(_) | Self::Null | Self::Number(_) | Self::Text(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Boolean | Self::List(_) | Self::Null | Self::Number(_) | Self::Object(_) => None,
        }
    }
}

/// The bytes behind a text without padding, if this is the one way to write them (RFC 7515 section 2, RFC 4648 section 3.5).
pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held) = (0_u32, 0);
    let mut bytes = Vec::new();
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap());
        }
    }
    let rest = bits & ((1 << held) - 1);
    (held < 6 && rest == 0).then_some(bytes)
}

/// Reads one value and nothing else.
pub(super) fn json(bytes: &[u8]) -> Result<Json, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::Grammar)?;
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.space();
    if reader.rest.is_empty() { Ok(value) } else { Err(Fault::Grammar) }
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, text: &str) -> Result<(), Fault> {
        if self.eat(text) { Ok(()) } else { Err(Fault::Grammar) }
    }

    fn next(&mut self) -> Result<char, Fault> {
        let mut letters = self.rest.chars();
        let letter = letters.next().ok_or(Fault::Grammar)?;
        self.rest = letters.as_str();
        Ok(letter)
    }

    fn value(&mut self, depth: usize) -> Result<Json, Fault> {
        if depth > DEEPEST {
            return Err(Fault::Deep);
        }
        self.space();
        match self.rest.chars().next().ok_or(Fault::Grammar)? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' => Ok(Json::Text(self.text()?)),
            't' => self.expect("true").map(|()| Json::Boolean),
            'f' => self.expect("false").map(|()| Json::Boolean),
            'n' => self.expect("null").map(|()| Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, Fault> {
        self.expect("{")?;
        let (mut members, mut names) = (Vec::new(), HashSet::new());
        let mut duplicate = false;
        self.space();
        if !self.eat("}") {
            loop {
                self.space();
                let name = self.text()?;
                duplicate |= !names.insert(name.clone());
                self.space();
                self.expect(":")?;
                members.push((name, self.value(depth + 1)?));
                self.space();
                if self.eat("}") {
                    break;
                }
                self.expect(",")?;
            }
        }
        if duplicate { Err(Fault::Duplicate) } else { Ok(Json::Object(members)) }
    }

    fn list(&mut self, depth: usize) -> Result<Json, Fault> {
        self.expect("[")?;
        let mut items = Vec::new();
        self.space();
        if !self.eat("]") {
            loop {
                items.push(self.value(depth + 1)?);
                self.space();
                if self.eat("]") {
                    break;
                }
                self.expect(",")?;
            }
        }
        Ok(Json::List(items))
    }

    fn text(&mut self) -> Result<String, Fault> {
        self.expect("\"")?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                letter if letter < ' ' => return Err(Fault::Grammar),
                letter => text.push(letter),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        Ok(match self.next()? {
            letter @ ('"' | '\\' | '/') => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let mut unit = self.unit()?;
                if (0xd800..0xdc00).contains(&unit) {
                    self.expect("\\u")?;
                    let low = self.unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400);
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + low.ok_or(Fault::Grammar)?;
                }
                char::from_u32(unit).ok_or(Fault::Grammar)?
            }
            _ => return Err(Fault::Grammar),
        })
    }

    fn unit(&mut self) -> Result<u32, Fault> {
        (0..4).try_fold(0, |unit, _| {
            let digit = self.next()?.to_digit(16).ok_or(Fault::Grammar)?;
            Ok(unit << 4 | digit)
        })
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let rest = self.rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let none = rest.len() == self.rest.len();
        self.rest = rest;
        if none { Err(Fault::Grammar) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Json, Fault> {
        let whole = self.rest;
        self.eat("-");
        if !self.eat("0") {
            self.digits()?;
        }
        if self.eat(".") {
            self.digits()?;
        }
        if self.eat("e") || self.eat("E") {
            let _ = self.eat("+") || self.eat("-");
            self.digits()?;
        }
        let text = &whole[..whole.len() - self.rest.len()];
        // A number that no double can hold has no value that two readers would agree on (RFC 7493 section 2.2).
        let number: f64 = text.parse().map_err(|_| Fault::Grammar)?;
        if number.is_finite() { Ok(Json::Number(number)) } else { Err(Fault::Grammar) }
    }
}

/// The reader is itself held to the examples of the standards.
#[test]
fn the_reader_reads() {
    assert_eq!(base64url("AwTgAA"), Some(vec![3, 4, 0xe0, 0]));
    for text in ["A", "AB", "AwTgAB", "AwTgAA==", "Aw+g", "Aw g"] {
        assert_eq!(base64url(text), None, "{text}");
    }
    for (text, expect) in [
        (r#" {"a":[1,-0.5e+2,"\u00e9\ud83d\ude00\/"],"b":{},"c":[]} "#, None),
        (r#"{"a":1,"\u0061":1}"#, Some(Fault::Duplicate)),
        (r#"{"a":{"b":1,"b":2}}"#, Some(Fault::Duplicate)),
        (r#"{"a":"\ud83d"}"#, Some(Fault::Grammar)),
        (r#"{"a":"\ude00\ud83d"}"#, Some(Fault::Grammar)),
        (r#"{"a":01}"#, Some(Fault::Grammar)),
        (r#"{"a":1e400}"#, Some(Fault::Grammar)),
        (r#"{"a":1,}"#, Some(Fault::Grammar)),
        ("\u{feff}{}", Some(Fault::Grammar)),
        ("{}{}", Some(Fault::Grammar)),
        (&"[".repeat(10_000), Some(Fault::Deep)),
    ] {
        assert_eq!(json(text.as_bytes()).err(), expect, "{text:.40}");
    }
}
