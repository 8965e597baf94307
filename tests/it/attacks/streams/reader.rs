//! What a stream of bytes means, read strictly by RFC 9112 and by nothing that the gateway or the rest of the harness
//! uses: a second opinion on where each request ends, which must be the only one.

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub method: String,
    /// As it stands in the request line.
    pub target: String,
    /// Names in lower case, values without white space around them.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The content, without the coding.
    pub content: Vec<u8>,
    /// Whether anything stood there that is not sent on: an empty line in front, chunk extensions or trailer fields.
    pub plain: bool,
}

/// What stands behind the last whole request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// The beginning of another request.
    Beginning,
    /// What cannot become a request.
    Nonsense,
}

impl Message {
    /// The values of the fields with this name.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_slice()).collect()
    }

    /// The path and query that are asked for, whichever form the target has (section 3.2), if the request is for one
    /// host.
    pub fn path(&self) -> Option<&str> {
        if self.target.starts_with('/') {
            return Some(&self.target);
        }
        let at = self.target.find("://")?;
        let (scheme, rest) = (&self.target[..at], &self.target[at + 3..]);
        let slash = rest.find('/')?;
        let host = self.all("host").first().map(|host| host.to_ascii_lowercase())?;
        let known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        (known && rest[..slash].to_ascii_lowercase().into_bytes() == host).then(|| &rest[slash..])
    }
}

/// The requests in `bytes` from the first on, and what follows them.
pub fn read(bytes: &[u8]) -> (Vec<Message>, Rest) {
    let mut messages = Vec::new();
    let mut rest = bytes;
    loop {
        if rest.is_empty() {
            return (messages, Rest::Nothing);
        }
        match message(&mut rest) {
            Ok(message) => messages.push(message),
            Err(stop) => return (messages, stop),
        }
    }
}

/// Why there is no whole request.
type Stop = Rest;

fn message(rest: &mut &[u8]) -> Result<Message, Stop> {
    // Section 2.2: one empty line in front of a request line is passed over.
    let mut plain = true;
    if let Some(after) = rest.strip_prefix(b"\r\n") {
        (*rest, plain) = (after, false);
    }
    let start = line(rest)?;
    let start = std::str::from_utf8(start).map_err(|_| Stop::Nonsense)?;
    let parts: Vec<&str> = start.split(' ').collect();
    let [method, target, version] = parts[..] else { return Err(Stop::Nonsense) };
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if !is_token(method.as_bytes()) || !visible(target) || !["HTTP/1.0", "HTTP/1.1"].contains(&version) {
        return Err(Stop::Nonsense);
    }
    let own = fields(rest)?;
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut message = Message { method, target, fields: own, content: Vec::new(), plain };
    if message.all("host").len() != 1 {
        return Err(Stop::Nonsense);
    }
    let (lengths, codings) = (message.all("content-length"), message.all("transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => {}
        ([length], []) => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length).ok().filter(|_| digits);
            let length: usize = length.and_then(|length| length.parse().ok()).ok_or(Stop::Nonsense)?;
            message.content = take(rest, length)?.to_vec();
        }
        ([], [coding]) if version == "HTTP/1.1" && coding.eq_ignore_ascii_case(b"chunked") => {
            loop {
                let (size, extended) = chunk_size(rest)?;
                message.plain &= !extended;
                if size == 0 {
                    break;
                }
                message.content.extend_from_slice(take(rest, size)?);
                if take(rest, 2)? != b"\r\n" {
                    return Err(Stop::Nonsense);
                }
            }
            message.plain &= fields(rest)?.is_empty();
        }
        _ => return Err(Stop::Nonsense),
    }
    Ok(message)
}

/// `name:value` lines up to the empty one (section 5).
fn fields(rest: &mut &[u8]) -> Result<Vec<(String, Vec<u8>)>, Stop> {
    let mut fields = Vec::new();
    loop {
        let line = line(rest)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Stop::Nonsense)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) || !value.iter().all(|byte| is_text(*byte)) {
            return Err(Stop::Nonsense);
        }
        let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
        let begin = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
        let end = value.iter().rposition(|byte| !blank(byte)).map_or(begin, |at| at + 1);
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        fields.push((name, value[begin..end].to_vec()));
    }
}

/// The size of the next chunk, and whether it has extensions (section 7.1).
fn chunk_size(rest: &mut &[u8]) -> Result<(usize, bool), Stop> {
    let line = line(rest)?;
    let digits = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let (digits, extensions) = line.split_at(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Stop::Nonsense);
    }
    if !extensions.iter().all(|byte| is_text(*byte)) {
        return Err(Stop::Nonsense);
    }
    let digits = std::str::from_utf8(digits).unwrap();
    let size = usize::from_str_radix(digits, 16).map_err(|_| Stop::Nonsense)?;
    Ok((size, !extensions.is_empty()))
}

/// The next line, which ends with CR LF and has neither of them inside.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    let end = rest.iter().position(|byte| *byte == b'\r' || *byte == b'\n').ok_or(Stop::Beginning)?;
    match &rest[end..] {
        [b'\r'] => Err(Stop::Beginning),
        [b'\r', b'\n', after @ ..] => {
            let line = &rest[..end];
            *rest = after;
            Ok(line)
        }
        _ => Err(Stop::Nonsense),
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Stop> {
    let (taken, after) = rest.split_at_checked(count).ok_or(Stop::Beginning)?;
    *rest = after;
    Ok(taken)
}

fn is_token(bytes: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(tchar)
}

/// `field-vchar`, space and tab, obs-text included (RFC 9110 section 5.5).
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[test]
fn the_second_opinion_is_strict() {
    let good = b"\r\nPOST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nA: b\r\n\r\n\
                 GET http://A/b HTTP/1.0\r\nhOST:\ta \r\nContent-Length: 2\r\n\r\nGET";
    let (messages, rest) = read(good);
    assert_eq!((messages.len(), rest), (2, Rest::Beginning));
    assert_eq!((messages[0].content.as_slice(), messages[0].plain), (&b"hi"[..], false));
    assert_eq!((messages[1].path(), messages[1].content.as_slice()), (Some("/b"), &b"GE"[..]));
    for (bytes, expect) in [
        ("GET /a HTTP/1.1\r\nHost: a\r\n", Rest::Beginning),
        ("GET /a HTTP/1.1\nHost: a\n\n", Rest::Nonsense),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", Rest::Nonsense),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", Rest::Nonsense),
        ("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", Rest::Nonsense),
        ("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", Rest::Nonsense),
        ("GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", Rest::Nonsense),
        ("GET /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Rest::Nonsense),
        ("GET /a HTTP/1.1\r\n\r\n", Rest::Nonsense),
    ] {
        assert_eq!(read(bytes.as_bytes()), (Vec::new(), expect), "{bytes:?}");
    }
}
