//! What was asked, borrowed from the bytes that were received and parsed once.
//!
//! A [`Request`] is the only thing that decisions are made on. Whatever could be read in two ways, by us and by an
//! upstream, is [`Malformed`] and is never routed. The same bytes that were parsed here go upstream.

pub mod authority;
pub mod chunks;
pub mod forwarded;
pub mod head;
mod malformed;
pub mod origin;
pub mod target;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use authority::Authority;
pub use malformed::Malformed;
use origin::Origin;
use target::Target;

/// A request whose method, host and path have one meaning.
#[derive(Debug)]
pub struct Request<'a> {
    method: &'a str,
    authority: Authority<'a>,
    target: Target<'a>,
    headers: &'a HeaderMap,
    connection: &'a Connection,
    client: IpAddr,
    body_length: Option<u64>,
}

/// The parts of a request as the HTTP library hands them over.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// Path and query, as sent.
    pub target: &'a [u8],
    /// The authority of the target itself: an HTTP/2 `:authority`.
    pub authority: Option<&'a str>,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// What is known of the connection that it came on.
    pub connection: &'a Connection,
}

/// What is known of the connection that a request came on.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address at the other end: never what a header says.
    pub peer: IpAddr,
    /// Whether the connection is encrypted.
    pub transport: Transport,
    /// The client's certificate, which has been verified.
    pub certificate: Option<ClientCertificate>,
}

/// How the bytes travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In the clear: a credential on it is never read.
    Plaintext,
    /// Over TLS.
    Tls,
}

/// Facts of a verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's distinguished name in the form of RFC 4514, such as `CN=orders,O=Acme`.
    pub subject: String,
    /// The DNS names, e-mail addresses, URIs and IP addresses of the subject alternative name, in their order.
    pub alternative_names: Vec<String>,
}

/// Header fields that decide where a message ends or who it is for. A `Connection` header that names one of them asks
/// us to remove it on the way, which would change the meaning of the request.
const NOT_HOP_BY_HOP: [HeaderName; 4] =
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::AUTHORIZATION];

impl<'a> Request<'a> {
    /// Parses `parts`.
    ///
    /// # Errors
    /// Whatever could be read in two ways.
    pub fn parse(parts: Parts<'a>) -> Result<Self, Malformed> {
        let Parts { method, target, authority, headers, connection } = parts;
        if method.is_empty() || method.len() > LONGEST_METHOD {
            return Err(Malformed::Method);
        }
        let target = Target::parse(target)?;
        let authority = one_authority(authority, headers)?;
        check_connection_options(headers)?;
        let client = connection.peer.to_canonical();
        Ok(Self { method, authority, target, headers, connection, client, body_length: None })
    }

    /// The same request, with what is known of its `origin`.
    #[must_use]
    pub fn with_origin(self, origin: &Origin) -> Self {
        Self { client: origin.client(), ..self }
    }

    /// The same request, which announces a body of this length (RFC 9110 §8.6).
    #[must_use]
    pub fn with_body_length(self, body_length: Option<u64>) -> Self {
        Self { body_length, ..self }
    }

    /// The length that the request announces for its body; none without `Content-Length`.
    pub fn body_length(&self) -> Option<u64> {
        self.body_length
    }

    /// The address of the client: the peer's, or what a trusted proxy has named.
    pub fn client(&self) -> IpAddr {
        self.client
    }

    /// The method, as sent: methods are case-sensitive (RFC 9110 §9.1).
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The host that was asked for, in lower case and without port and trailing dot.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// Host and port.
    pub fn authority(&self) -> &Authority<'a> {
        &self.authority
    }

    /// Path and query.
    pub fn target(&self) -> &Target<'a> {
        &self.target
    }

    /// All header fields.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What is known of the connection that it came on.
    pub fn connection(&self) -> &'a Connection {
        self.connection
    }
}

/// Longer than any registered method; a longer one is an attack on whoever logs it.
const LONGEST_METHOD: usize = 32;

/// The one authority of the request (RFC 9112 §3.2, RFC 9113 §8.3.1): a `Host` field and a target that name two
/// different ones are refused.
fn one_authority<'a>(of_target: Option<&'a str>, headers: &'a HeaderMap) -> Result<Authority<'a>, Malformed> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Malformed::Host);
    }
    let host = host.map(|value| Authority::parse(value.as_bytes())).transpose()?;
    let of_target = of_target.map(|text| Authority::parse(text.as_bytes())).transpose()?;
    match (of_target, host) {
        (Some(target), Some(host)) if target != host => Err(Malformed::Host),
        (Some(authority), _) | (None, Some(authority)) => Ok(authority),
        (None, None) => Err(Malformed::Host),
    }
}

/// Refuses `Connection` options that name a field which is not for one hop only (RFC 9110 §7.6.1).
fn check_connection_options(headers: &HeaderMap) -> Result<(), Malformed> {
    for value in headers.get_all(header::CONNECTION) {
        for option in list(value) {
            if NOT_HOP_BY_HOP.iter().any(|name| option.eq_ignore_ascii_case(name.as_str().as_bytes())) {
                return Err(Malformed::ConnectionOption);
            }
        }
    }
    Ok(())
}

/// What stands for a client where clients are counted: its IPv4 address, also where it was translated (RFC 6052), or its
/// /64 of IPv6, all of which is one subscriber's (RFC 6177).
pub fn network_of(client: IpAddr) -> IpAddr {
    /// `64:ff9b::/96`, whose last 32 bits are an IPv4 address.
    const TRANSLATED: u128 = 0x0064_ff9b << 96;
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) if address.to_bits() & !u128::from(u32::MAX) == TRANSLATED => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d].into()
        }
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// The elements of a comma-separated field value, without white space around them.
pub fn list(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// `name` as it compares with other spellings that an upstream might take for the same field: lower case, with `-` for
/// everything but letters and digits. CGI and its relatives (RFC 3875 §4.1.18) do not tell them apart.
pub fn normal_header_name(name: &str) -> Cow<'_, str> {
    // Most names are normal already. There is no branch for each byte, so that several are looked at in one instruction.
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if name.bytes().fold(true, |all, byte| all & plain(byte)) {
        return name.into();
    }
    let normal =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    name.chars().map(normal).collect::<String>().into()
}

#[cfg(test)]
mod tests;
