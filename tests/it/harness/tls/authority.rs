//! Certificates, made when a test asks for them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis::clock::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SignatureAlgorithm, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority of its own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

/// A certificate with its key, signed by an [`Authority`].
#[derive(Clone)]
pub struct Certificate {
    /// The certificate, as `cert:` wants it.
    pub cert_pem: String,
    /// Its private key, as `key:` wants it.
    pub key_pem: String,
    cert: CertificateDer<'static>,
    key: Vec<u8>,
}

/// What a certificate says. Starts with [`Leaf::server`] or [`Leaf::client`].
#[derive(Clone)]
pub struct Leaf {
    params: CertificateParams,
    algorithm: &'static SignatureAlgorithm,
}

impl Authority {
    /// An authority with this common name.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// The authority of this process: the certificate that a gateway has unless told otherwise comes from it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Authority> = OnceLock::new();
        SHARED.get_or_init(|| Self::new("Test Authority"))
    }

    /// The authority's own certificate, as `ca:` wants it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server with these names or addresses.
    pub fn server(&self, names: &[&str]) -> Certificate {
        self.sign(Leaf::server(names))
    }

    /// A certificate for a client with this common name.
    pub fn client(&self, common_name: &str) -> Certificate {
        self.sign(Leaf::client(common_name))
    }

    /// A certificate that says what `leaf` says.
    pub fn sign(&self, leaf: Leaf) -> Certificate {
        let Leaf { params, algorithm } = leaf;
        let key = KeyPair::generate_for(algorithm).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Certificate {
            cert_pem: signed.pem(),
            key_pem: key.serialize_pem(),
            cert: signed.der().clone(),
            key: key.serialize_der(),
        }
    }

    /// A store that trusts this authority and no other.
    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        Arc::new(roots)
    }
}

impl Certificate {
    /// The chain to present, for rustls.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.cert.clone()]
    }

    /// The private key, for rustls.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// The certificate in DER, to compare with what a server presented.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.cert
    }
}

impl Leaf {
    /// A server's certificate for these names or addresses, good until the year 4096.
    pub fn server(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let common_name = names.first().cloned().unwrap_or_default();
        let mut leaf = Self::new(CertificateParams::new(names).unwrap(), &common_name);
        leaf.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf
    }

    /// The same for somebody who is a client of its likes as well, as the nodes of a cluster are.
    pub fn peer(names: &[&str]) -> Self {
        let mut leaf = Self::server(names);
        leaf.params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        leaf
    }

    /// A client's certificate with this common name and no alternative names yet.
    pub fn client(common_name: &str) -> Self {
        let mut leaf = Self::new(CertificateParams::default(), common_name);
        leaf.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        leaf
    }

    fn new(mut params: CertificateParams, common_name: &str) -> Self {
        params.distinguished_name.push(DnType::CommonName, common_name);
        Self { params, algorithm: &PKCS_ECDSA_P256_SHA256 }
    }

    /// Adds a DNS name.
    #[must_use]
    pub fn dns(self, name: &str) -> Self {
        self.san(SanType::DnsName(name.try_into().unwrap()))
    }

    /// Adds an e-mail address.
    #[must_use]
    pub fn email(self, address: &str) -> Self {
        self.san(SanType::Rfc822Name(address.try_into().unwrap()))
    }

    /// Adds a URI, such as a SPIFFE identity.
    #[must_use]
    pub fn uri(self, uri: &str) -> Self {
        self.san(SanType::URI(uri.try_into().unwrap()))
    }

    /// Ended in the year 2001.
    #[must_use]
    pub fn expired(mut self) -> Self {
        (self.params.not_before, self.params.not_after) =
            (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        self
    }

    /// Ends so many seconds from now.
    #[must_use]
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.params.not_after =
            date_time_ymd(1970, 1, 1) + Duration::from_secs(Clock::system().unix_seconds()) + time;
        self
    }

    /// Has a key for this signature algorithm instead of ECDSA with P-256.
    #[must_use]
    pub fn algorithm(mut self, algorithm: &'static SignatureAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    fn san(mut self, name: SanType) -> Self {
        self.params.subject_alt_names.push(name);
        self
    }
}
