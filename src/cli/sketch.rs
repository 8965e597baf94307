//! A request as people write it down, a method and a URL, and as it would arrive at the gateway.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::config::Configuration;
use crate::config::listeners::ListenerKind;

/// A request as somebody would make it.
#[derive(Default)]
pub(super) struct Sketch {
    pub(super) method: String,
    pub(super) url: String,
    /// Lines `Name: value`.
    pub(super) fields: Vec<Zeroizing<String>>,
}

/// A request as it would arrive.
pub(super) struct Drawn {
    pub(super) listener: ListenerKind,
    pub(super) server_name: Option<String>,
    pub(super) head: Zeroizing<Vec<u8>>,
}

impl Sketch {
    /// Sends an API key.
    pub(super) fn key(&mut self, key: &str) {
        self.fields.push(Zeroizing::new(format!("X-API-Key: {key}")));
    }

    /// Sends a token.
    pub(super) fn token(&mut self, token: &str) {
        self.fields.push(Zeroizing::new(format!("Authorization: Bearer {token}")));
    }

    /// Sends a name and a password, with a colon between.
    pub(super) fn user(&mut self, pair: &str) {
        let pair = Zeroizing::new(STANDARD.encode(pair));
        self.fields.push(Zeroizing::new(format!("Authorization: Basic {}", *pair)));
    }

    /// The request as it would arrive at a listener of `configuration`.
    pub(super) fn draw(&self, configuration: &Configuration) -> Result<Drawn, String> {
        let Self { method, url, fields } = self;
        let (scheme, rest) =
            url.split_once("://").ok_or("the URL must begin with `https://` or `http://`")?;
        let encrypted = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(format!("`{scheme}://` is neither `https://` nor `http://`")),
        };
        // What follows a `#` is never sent.
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if authority.is_empty() || authority.contains('@') {
            return Err("the URL must have a host, without a name and a password".to_owned());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        if format!("{method}{target}{authority}").contains(['\r', '\n', ' ']) {
            return Err("method and URL have no white space".to_owned());
        }
        let listener = find_listener(configuration, encrypted, port(authority))?;
        let mut head = Zeroizing::new(format!("{method} {slash}{target} HTTP/1.1\r\n").into_bytes());
        let names_host = |line: &Zeroizing<String>| {
            line.split_once(':').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("host"))
        };
        if !fields.iter().any(names_host) {
            head.extend_from_slice(format!("Host: {authority}\r\n").as_bytes());
        }
        for line in fields {
            if !line.contains(':') || line.contains(['\r', '\n']) {
                return Err("a header field is written `Name: value`, in one line".to_owned());
            }
            head.extend_from_slice(line.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let host = host(authority);
        // No client sends an address as the name in a handshake (RFC 6066 §3).
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let server_name = (encrypted && !is_address).then(|| host.trim_end_matches('.').to_owned());
        Ok(Drawn { listener, server_name, head })
    }
}

/// The listener that a URL means: the one with its port or, because the gateway may stand behind another address, the
/// first one that speaks its scheme.
fn find_listener(
    configuration: &Configuration,
    encrypted: bool,
    port: Option<u16>,
) -> Result<ListenerKind, String> {
    let fits = |kind: ListenerKind| (kind == ListenerKind::Tls) == encrypted;
    let mut fitting = configuration.listeners.iter().filter(|listener| fits(listener.kind)).peekable();
    let first = fitting.peek().map(|listener| listener.kind);
    let named = fitting.find(|listener| Some(listener.address.port()) == port).map(|listener| listener.kind);
    named.or(first).ok_or_else(|| {
        let scheme = if encrypted { "https" } else { "http" };
        format!("no listener of the gateway speaks {scheme}")
    })
}

fn host(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(at) if !authority.ends_with(']') => &authority[..at],
        Some(_) | None => authority,
    }
}

fn port(authority: &str) -> Option<u16> {
    let host = host(authority);
    authority[host.len()..].strip_prefix(':')?.parse().ok()
}
