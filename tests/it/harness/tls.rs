//! A certificate authority to throw away, and TLS configurations that trust it. Nothing here is shared with the
//! gateway: it gets files, as it would from an operator.

mod authority;
mod client;
mod stream;

pub use authority::{Authority, Certificate, Leaf};
pub use client::{ClientTls, Negotiated, TlsVersion};
pub use stream::Stream;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

/// What an upstream needs to speak TLS with this certificate. With `clients`, it demands a certificate of theirs.
pub fn server_config(
    certificate: &Certificate,
    clients: Option<&Authority>,
    protocols: &[&str],
) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(client::provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots(), client::provider());
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(certificate.chain(), certificate.key()).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}
