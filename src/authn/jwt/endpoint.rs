//! The addresses that keys may be fetched from, and where an issuer publishes its metadata.
//!
//! An [`Endpoint`] is the only thing that is ever fetched, so the rules hold by construction: HTTPS, or plain HTTP to
//! this machine; no credentials in the address. Fetching itself happens on a floor above.

use std::fmt;

use serde::Deserialize;
use url::{Host, Url};

/// An address that keys, or the metadata that points to them, may be fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text is no [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEndpoint {
    /// `user:password@` in the address.
    #[error("contains a user or a password")]
    Credentials,
    /// `#…`, which is never sent.
    #[error("contains a fragment")]
    Fragment,
    /// Something else than `https`.
    #[error("is not an https address")]
    NotHttps,
    /// Not an absolute URL.
    #[error("is not an absolute URL")]
    NotUrl,
    /// `?…` where the name of an issuer stands (RFC 8414 §2).
    #[error("contains a query")]
    Query,
}

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// Which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, NotAnEndpoint> {
        // The URL standard repairs spaces, control characters and backslashes; an address that needs it is a mistake.
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(NotAnEndpoint::NotUrl);
        }
        let url = Url::parse(text).map_err(|_unreadable| NotAnEndpoint::NotUrl)?;
        let https = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        if !https {
            return Err(NotAnEndpoint::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotAnEndpoint::Credentials);
        }
        if url.fragment().is_some() {
            return Err(NotAnEndpoint::Fragment);
        }
        Ok(Self(url))
    }

    /// The address itself.
    pub fn url(&self) -> &Url {
        &self.0
    }

    fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

/// Without the query, which may hold a secret.
impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        shown.set_query(None);
        write!(formatter, "{shown}")
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An issuer that publishes where its keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    issuer: Box<str>,
    endpoint: Endpoint,
}

/// What is wrong with an issuer's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMetadata {
    /// The metadata of someone else (RFC 8414 §3.3).
    #[error("the metadata names another `issuer`")]
    Issuer,
    /// An address that keys are not fetched from.
    #[error("its `jwks_uri` {0}")]
    JwksUri(NotAnEndpoint),
    /// Not a JSON object with the members that are needed.
    #[error("the metadata is not a JSON object with `issuer` and `jwks_uri`")]
    Unreadable,
}

impl Discovery {
    /// Starts from the name of an issuer.
    ///
    /// # Errors
    /// Why there cannot be metadata under that name.
    pub fn new(issuer: &str) -> Result<Self, NotAnEndpoint> {
        let endpoint = Endpoint::parse(issuer)?;
        match endpoint.0.query() {
            Some(_) => Err(NotAnEndpoint::Query),
            None => Ok(Self { issuer: issuer.into(), endpoint }),
        }
    }

    /// Where the metadata may be, in the order to try: after the issuer's path (OIDC Discovery §4.1), and
    /// between its host and path (RFC 8414 §3.1).
    pub fn locations(&self) -> [Endpoint; 2] {
        let path = self.endpoint.0.path().trim_end_matches('/');
        let at = |path: String| {
            let mut url = self.endpoint.0.clone();
            url.set_path(&path);
            Endpoint(url)
        };
        [
            at(format!("{path}/.well-known/openid-configuration")),
            at(format!("/.well-known/oauth-authorization-server{path}")),
        ]
    }

    /// Where the keys are, according to the metadata `body`.
    ///
    /// # Errors
    /// What is wrong with the metadata.
    pub fn jwks_uri(&self, body: &[u8]) -> Result<Endpoint, BadMetadata> {
        let metadata: Metadata =
            serde_json::from_slice(body).map_err(|_unreadable| BadMetadata::Unreadable)?;
        let Metadata { issuer, jwks_uri } = metadata;
        if *issuer != *self.issuer {
            return Err(BadMetadata::Issuer);
        }
        let endpoint = Endpoint::parse(&jwks_uri).map_err(BadMetadata::JwksUri)?;
        // Metadata from elsewhere must not send the gateway to services on its own machine.
        if self.endpoint.is_https() && !endpoint.is_https() {
            return Err(BadMetadata::JwksUri(NotAnEndpoint::NotHttps));
        }
        Ok(endpoint)
    }
}

/// The name of the issuer.
impl fmt::Display for Discovery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.issuer)
    }
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_keys_may_be_fetched_from() {
        use NotAnEndpoint::{Credentials, Fragment, NotHttps, NotUrl};
        for (text, expect) in [
            ("https://id.example.com/keys", Ok(())),
            ("https://id.example.com:8443/keys?tenant=a", Ok(())),
            ("HTTPS://ID.example.com", Ok(())),
            ("https://10.0.0.1/keys", Ok(())),
            ("http://localhost:9000/keys", Ok(())),
            ("http://127.0.0.1/keys", Ok(())),
            ("http://127.8.8.8/keys", Ok(())),
            ("http://[::1]:9000/keys", Ok(())),
            ("http://id.example.com/keys", Err(NotHttps)),
            ("http://localhost.example.com/keys", Err(NotHttps)),
            ("http://127.0.0.1.example.com/keys", Err(NotHttps)),
            ("http://localhost@id.example.com/keys", Err(NotHttps)),
            ("http://0.0.0.0/keys", Err(NotHttps)),
            ("http://[::ffff:10.0.0.1]/keys", Err(NotHttps)),
            ("http://169.254.169.254/latest", Err(NotHttps)),
            ("ftp://id.example.com/keys", Err(NotHttps)),
            ("file:///etc/passwd", Err(NotHttps)),
            ("https://user@id.example.com/keys", Err(Credentials)),
            ("https://user:password@id.example.com/keys", Err(Credentials)),
            ("https://:password@id.example.com/keys", Err(Credentials)),
            ("https://id.example.com/keys#a", Err(Fragment)),
            ("id.example.com/keys", Err(NotUrl)),
            ("/keys", Err(NotUrl)),
            ("", Err(NotUrl)),
            (" https://id.example.com/keys", Err(NotUrl)),
            ("https:\\\\id.example.com\\keys", Err(NotUrl)),
            ("https://id.example.com/ke\nys", Err(NotUrl)),
            ("https://", Err(NotUrl)),
        ] {
            assert_eq!(Endpoint::parse(text).map(drop), expect, "{text}");
        }
    }

    #[test]
    fn what_is_shown_has_no_query() {
        let endpoint = Endpoint::parse("https://id.example.com/keys?code=hunter2").unwrap();
        assert_eq!(endpoint.to_string(), "https://id.example.com/keys");
    }

    #[test]
    fn metadata_is_looked_for_where_the_standards_put_it() {
        for (issuer, first, second) in [
            (
                "https://id.example.com",
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example.com/",
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example.com/realms/a",
                "https://id.example.com/realms/a/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server/realms/a",
            ),
        ] {
            let [oidc, oauth] = Discovery::new(issuer).unwrap().locations();
            assert_eq!((oidc.url().as_str(), oauth.url().as_str()), (first, second), "{issuer}");
        }
        for issuer in ["https://id.example.com?a", "http://id.example.com", "urn:example:issuer", "joe", ""] {
            assert!(Discovery::new(issuer).is_err(), "{issuer}");
        }
    }

    #[test]
    fn metadata_must_be_that_of_the_issuer() {
        use BadMetadata::{Issuer, JwksUri, Unreadable};
        let discovery = Discovery::new("https://id.example.com/a").unwrap();
        let metadata =
            |issuer: &str, uri: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}","x":1}}"#);
        let good = "https://id.example.com/a";
        for (body, expect) in [
            (metadata(good, "https://keys.example.com/k"), Ok(())),
            (metadata("https://id.example.com/a/", "https://id.example.com/k"), Err(Issuer)),
            (metadata("https://id.example.com/A", "https://id.example.com/k"), Err(Issuer)),
            (metadata("https://evil.example.com", "https://id.example.com/k"), Err(Issuer)),
            (metadata(good, "http://id.example.com/k"), Err(JwksUri(NotAnEndpoint::NotHttps))),
            (metadata(good, "http://127.0.0.1/k"), Err(JwksUri(NotAnEndpoint::NotHttps))),
            (metadata(good, "https://u:p@id.example.com/k"), Err(JwksUri(NotAnEndpoint::Credentials))),
            (metadata(good, "/k"), Err(JwksUri(NotAnEndpoint::NotUrl))),
            (format!(r#"{{"issuer":"{good}"}}"#), Err(Unreadable)),
            (r#"{"jwks_uri":"https://id.example.com/k"}"#.to_owned(), Err(Unreadable)),
            ("<html></html>".to_owned(), Err(Unreadable)),
            (String::new(), Err(Unreadable)),
        ] {
            assert_eq!(discovery.jwks_uri(body.as_bytes()).map(drop), expect, "{body}");
        }
        let local = Discovery::new("http://localhost:9000").unwrap();
        let body = metadata("http://localhost:9000", "http://localhost:9000/k");
        assert!(local.jwks_uri(body.as_bytes()).is_ok(), "a development issuer on this machine");
    }
}
