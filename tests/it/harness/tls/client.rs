//! How a client speaks TLS: whom it trusts, who it says it is, which versions it takes, and what came of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup,
    ProtocolVersion, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

use super::{Authority, Certificate};

/// A TLS version to insist on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// A recipe for TLS connections. Clones share their session tickets, so that a resumption can be tested.
#[derive(Clone)]
pub struct ClientTls {
    trust: Trust,
    identity: Option<Certificate>,
    version: Option<TlsVersion>,
    groups: Vec<NamedGroup>,
    resumption: bool,
    /// By the protocols that are offered.
    made: Arc<Mutex<HashMap<Vec<String>, Arc<ClientConfig>>>>,
}

#[derive(Clone)]
enum Trust {
    Anyone,
    Roots(Arc<RootCertStore>),
}

/// What both sides agreed on.
#[derive(Clone, Debug)]
pub struct Negotiated {
    /// The version.
    pub version: ProtocolVersion,
    /// The cipher suite.
    pub cipher_suite: CipherSuite,
    /// The protocol that was chosen by ALPN.
    pub protocol: Option<String>,
    /// The group of the key exchange; a resumption with TLS 1.2 has none.
    pub group: Option<NamedGroup>,
    /// Whether the handshake was full or resumed.
    pub handshake: HandshakeKind,
    /// What the server presented, its own certificate first.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl ClientTls {
    /// Trusts the servers of this authority.
    pub fn trusting(authority: &Authority) -> Self {
        Self::new(Trust::Roots(authority.roots()))
    }

    /// Trusts whatever certificate is presented, for gateways that sign their own. Signatures are checked all the same.
    pub fn trusting_anyone() -> Self {
        Self::new(Trust::Anyone)
    }

    fn new(trust: Trust) -> Self {
        Self {
            trust,
            identity: None,
            version: None,
            groups: Vec::new(),
            resumption: false,
            made: Arc::default(),
        }
    }

    /// Presents this certificate when the server asks for one.
    #[must_use]
    pub fn identity(mut self, certificate: &Certificate) -> Self {
        self.identity = Some(certificate.clone());
        self.changed()
    }

    /// Offers this version only.
    #[must_use]
    pub fn only(mut self, version: TlsVersion) -> Self {
        self.version = Some(version);
        self.changed()
    }

    /// Offers these groups only, in this order.
    #[must_use]
    pub fn groups(mut self, groups: &[NamedGroup]) -> Self {
        self.groups = groups.to_vec();
        self.changed()
    }

    /// Resumes sessions where the server lets it. Without this every handshake is a full one.
    #[must_use]
    pub fn resuming(mut self) -> Self {
        self.resumption = true;
        self.changed()
    }

    /// The configuration that offers these protocols by ALPN. Made once, because sessions belong to it.
    pub(in crate::harness) fn config(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let protocols: Vec<String> = protocols.iter().map(|name| (*name).to_owned()).collect();
        let mut made = self.made.lock().unwrap();
        made.entry(protocols.clone()).or_insert_with(|| Arc::new(self.make(protocols))).clone()
    }

    fn make(&self, protocols: Vec<String>) -> ClientConfig {
        let mut provider = aws_lc_rs::default_provider();
        if !self.groups.is_empty() {
            let all = aws_lc_rs::ALL_KX_GROUPS;
            let named = |name: &NamedGroup| all.iter().copied().find(|group| group.name() == *name);
            provider.kx_groups = self.groups.iter().map(|name| named(name).unwrap()).collect();
        }
        let versions: &[&SupportedProtocolVersion] = match self.version {
            None => rustls::ALL_VERSIONS,
            Some(TlsVersion::V12) => &[&rustls::version::TLS12],
            Some(TlsVersion::V13) => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = match &self.trust {
            Trust::Roots(roots) => builder.with_root_certificates(roots.clone()),
            Trust::Anyone => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(SignaturesOnly::new()))
            }
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                builder.with_client_auth_cert(certificate.chain(), certificate.key()).unwrap()
            }
        };
        if !self.resumption {
            config.resumption = Resumption::disabled();
        }
        config.alpn_protocols = protocols.into_iter().map(String::into_bytes).collect();
        config
    }

    fn changed(mut self) -> Self {
        self.made = Arc::default();
        self
    }
}

impl Negotiated {
    pub(in crate::harness) fn of(connection: &ClientConnection) -> Self {
        Self {
            version: connection.protocol_version().unwrap(),
            cipher_suite: connection.negotiated_cipher_suite().unwrap().suite(),
            protocol: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            group: connection.negotiated_key_exchange_group().map(SupportedKxGroup::name),
            handshake: connection.handshake_kind().unwrap(),
            certificates: connection.peer_certificates().unwrap_or_default().to_vec(),
        }
    }

    /// Whether an earlier session was resumed.
    pub fn resumed(&self) -> bool {
        self.handshake == HandshakeKind::Resumed
    }

    /// Whether the server presented this certificate.
    pub fn presented(&self, certificate: &Certificate) -> bool {
        self.certificates.first() == Some(certificate.der())
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Accepts any certificate whose key signed the handshake.
#[derive(Debug)]
struct SignaturesOnly(WebPkiSupportedAlgorithms);

impl SignaturesOnly {
    fn new() -> Self {
        Self(aws_lc_rs::default_provider().signature_verification_algorithms)
    }
}

impl ServerCertVerifier for SignaturesOnly {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
