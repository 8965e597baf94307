//! Fetches small public documents: an issuer's keys and the metadata that points to them.
//!
//! Whoever answers is not trusted to be quick, brief or well: there is one deadline for everything, a limit on the body
//! that is enforced while it arrives, and no redirect is followed. What may be fetched at all is what an [`Endpoint`] is.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, retry};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use url::Url;

use crate::authn::jwt::Endpoint;

/// Something that documents can be got from.
pub(super) trait Documents: Send + Sync {
    /// Gets the document at `endpoint`.
    ///
    /// # Errors
    /// Why there is none.
    fn get(&self, endpoint: &Endpoint) -> impl Future<Output = Result<Document, FetchError>> + Send;
}

/// A document, and how long it may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// Its bytes.
    pub(super) body: Vec<u8>,
    /// What `Cache-Control` says (RFC 9111 §5.2.2.1).
    pub(super) max_age: Option<Duration>,
}

/// What somebody has answered to a document that was sent to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Posted {
    /// Its status, which is no redirection.
    pub(super) status: StatusCode,
    /// How long nothing should be sent, where it is said in seconds (RFC 9110 §10.2.3).
    pub(super) retry_after: Option<Duration>,
    /// The beginning of its body.
    pub(super) body: Vec<u8>,
}

/// Why there is no document. No text here contains an address, which may have a secret in its query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchError {
    /// No connection, or a broken one, or a certificate that is not trusted.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// An answer that points elsewhere.
    #[error("the answer was {0}, and redirects are not followed")]
    Redirected(StatusCode),
    /// An answer with another status than 200.
    #[error("the answer was {0}")]
    Status(StatusCode),
    /// The deadline passed before all of the answer was there.
    #[error("no complete answer within {} seconds", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The body is longer than the limit, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

/// Why nothing can be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The client cannot be built.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up for fetching keys")]
    Tls(#[source] rustls::Error),
}

/// From the first attempt to connect to the last byte of the body.
const DEADLINE: Duration = Duration::from_secs(5);

/// Key sets have a few KiB.
const LARGEST: usize = 1 << 20;

/// What is read of an answer to a document that was sent.
const LONGEST_ANSWER: usize = 16 << 10;

/// Fetches over HTTPS, or HTTP from this machine.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    client: Client,
    deadline: Duration,
}

impl Fetch {
    /// Trusts the certificates that the operating system trusts, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    ///
    /// # Errors
    /// Why nothing can be fetched.
    pub(super) fn new() -> Result<Self, SetupError> {
        let native = rustls_native_certs::load_native_certs();
        for error in native.errors {
            log::warn!("some trusted certificates cannot be read: {error}");
        }
        let mut roots = RootCertStore::empty();
        let (added, _ignored) = roots.add_parsable_certificates(native.certs);
        if added == 0 {
            log::warn!(
                "no trusted certificates were found, so nothing can be fetched over https: name a file with SSL_CERT_FILE"
            );
        }
        Self::trusting(roots, DEADLINE)
    }

    fn trusting(roots: RootCertStore, deadline: Duration) -> Result<Self, SetupError> {
        // Named explicitly, so that it does not matter whether and when the process-wide default is installed.
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(SetupError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .timeout(deadline)
            // Between two fetches lie minutes.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(SetupError::Client)?;
        Ok(Self { client, deadline })
    }

    /// Sends a document in JSON.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn post(&self, url: &Url, body: Vec<u8>) -> Result<Posted, FetchError> {
        let request = self.client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let mut response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(FetchError::Redirected(status));
        }
        let seconds =
            response.headers().get(RETRY_AFTER).and_then(|field| field.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        // The status has said it all: a body that is long, or breaks off, is read as far as it is needed.
        while body.len() < LONGEST_ANSWER
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        Ok(Posted { status, retry_after: seconds.map(Duration::from_secs), body })
    }

    fn failed(&self, error: &reqwest::Error) -> FetchError {
        if error.is_timeout() {
            return FetchError::TimedOut(self.deadline);
        }
        // The outer texts say "error sending request for url (…)"; the innermost one says why.
        let mut innermost: &dyn Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        match innermost.downcast_ref::<reqwest::Error>() {
            Some(_) => FetchError::NoAnswer("the connection failed".to_owned()),
            None => FetchError::NoAnswer(innermost.to_string()),
        }
    }
}

impl Documents for Fetch {
    async fn get(&self, endpoint: &Endpoint) -> Result<Document, FetchError> {
        let request = self.client.get(endpoint.url().clone()).header(ACCEPT, "application/json, */*;q=0.1");
        let mut response = request.send().await.map_err(|error| self.failed(&error))?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(FetchError::Redirected(status)),
            status => return Err(FetchError::Status(status)),
        }
        let max_age = max_age(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(FetchError::TooLarge(LARGEST));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Document { body, max_age })
    }
}

/// The first `max-age` that is a number of seconds.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(CACHE_CONTROL).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let seconds = name.trim().eq_ignore_ascii_case("max-age").then(|| value.trim().trim_matches('"'))?;
        seconds.parse().ok().map(Duration::from_secs)
    })
}

#[cfg(test)]
pub(super) mod tests;
