//! Certificates: read, checked against their keys, and known by their names.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs as provider;
use rustls::sign::CertifiedKey;
use rustls_pemfile::pem::PemObject;
use rustls_pemfile::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::document::{CertificateEntry, ClientAuthEntry, ClientAuthMode, TlsEntry, TlsVersion};
use crate::loading::Loading;
use crate::yaml::Located;

/// What a TLS handshake needs.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificates; the first is the default. There is at least one.
    pub certificates: Vec<Certificate>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
}

/// A certificate that is ready to use.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// What it is called in metrics: its file, or `self-signed`.
    pub label: String,
    /// The names it is for, in lower case; `*.example.com` stands for one label.
    pub names: Vec<String>,
    /// The chain and its private key.
    pub key: Arc<CertifiedKey>,
    /// When it expires, in seconds since the Unix epoch.
    pub expires: u64,
}

/// Whether clients show a certificate.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// None is asked for.
    Off,
    /// One is asked for.
    On {
        /// Who may have issued it.
        roots: Arc<RootCertStore>,
        /// Whether there is no connection without one.
        required: bool,
        /// The SHA-256 of the authorities, to tell whether they changed.
        fingerprint: [u8; 32],
    },
}

impl ClientAuth {
    /// Whether sessions that were opened under `other` may be resumed under `self`.
    pub fn accepts_sessions_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Off, Self::Off) => true,
            (Self::On { fingerprint, required, .. }, Self::On { fingerprint: before, required: was, .. }) => {
                fingerprint == before && required == was
            }
            (Self::Off, Self::On { .. }) | (Self::On { .. }, Self::Off) => false,
        }
    }
}

/// The label of a certificate that was made at start.
const SELF_SIGNED: &str = "self-signed";

/// Compiles `tls`. A self-signed certificate is kept from `previous` as long as its names stay the same.
pub(super) fn compile(
    entry: &Located<TlsEntry>,
    previous: Option<&Tls>,
    loading: &mut Loading<'_>,
) -> Option<Tls> {
    let TlsEntry { certificates, self_signed, min_version, client_auth } = &**entry;
    let mut compiled: Vec<Certificate> =
        certificates.iter().filter_map(|certificate| read_certificate(certificate, loading)).collect();
    if let Some(names) = self_signed {
        compiled.extend(self_signed_certificate(names, previous, loading));
    }
    if certificates.is_empty() && self_signed.is_none() {
        loading
            .error(entry.place(), "there is no certificate")
            .hint("add `certificates: [{ cert: …, key: … }]`, or `self_signed: [localhost]` for development");
    }
    let client_auth = match client_auth {
        None => Some(ClientAuth::Off),
        Some(entry) => compile_client_auth(entry, loading),
    };
    let tls = Tls { certificates: compiled, min_version: *min_version, client_auth: client_auth? };
    (!tls.certificates.is_empty()).then_some(tls)
}

fn read_certificate(entry: &Located<CertificateEntry>, loading: &mut Loading<'_>) -> Option<Certificate> {
    let CertificateEntry { cert, key } = &**entry;
    let chain = read_certificates(cert, loading);
    let key_pem = loading.file(key);
    let (chain, key_pem) = (chain?, key_pem?);
    let Ok(private_key) = PrivateKeyDer::from_pem_slice(&key_pem) else {
        loading
            .error(key.place(), "this file contains no private key in PEM")
            .hint("expected is a block that begins with `-----BEGIN PRIVATE KEY-----`");
        return None;
    };
    let leaf = chain.first().and_then(|leaf| facts(leaf));
    let Some(facts) = leaf else {
        loading.error(cert.place(), "the first certificate of this file cannot be understood");
        return None;
    };
    let key = match CertifiedKey::from_der(chain, private_key, &provider::default_provider()) {
        Ok(key) => key,
        Err(rustls::Error::InconsistentKeys(_)) => {
            loading
                .error(entry.place(), "the key does not fit the certificate")
                .hint("the key must be the one that the first certificate of `cert` was issued for");
            return None;
        }
        Err(_) => {
            loading
                .error(key.place(), "this kind of private key is not supported")
                .hint("ECDSA P-256 or P-384, RSA of 2048 to 8192 bits, or Ed25519");
            return None;
        }
    };
    let now = loading.clock.unix_seconds();
    if facts.expires <= now {
        loading.problems.warning(cert.place(), "this certificate has expired");
    } else if facts.begins > now {
        loading.problems.warning(cert.place(), "this certificate is not valid yet");
    }
    if facts.names.is_empty() {
        loading
            .problems
            .warning(cert.place(), "this certificate is for no name")
            .hint("clients look for names in the subject alternative name only");
    }
    let label = cert.display().to_string();
    Some(Certificate { label, names: facts.names, key: Arc::new(key), expires: facts.expires })
}

fn read_certificates(
    name: &Located<PathBuf>,
    loading: &mut Loading<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    let pem = loading.file(name)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Some(chain),
        Ok(_) | Err(_) => {
            loading
                .error(name.place(), "this file contains no certificate in PEM")
                .hint("expected are blocks that begin with `-----BEGIN CERTIFICATE-----`");
            None
        }
    }
}

struct Facts {
    names: Vec<String>,
    begins: u64,
    expires: u64,
}

fn facts(der: &CertificateDer<'_>) -> Option<Facts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let names = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => ip_address(bytes),
        _ => None,
    });
    let second = |time: i64| u64::try_from(time).unwrap_or_default();
    Some(Facts {
        names: names.collect(),
        begins: second(certificate.validity().not_before.timestamp()),
        expires: second(certificate.validity().not_after.timestamp()),
    })
}

/// The address that the bytes of a subject alternative name spell.
pub fn ip_address(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
        _ => None,
    }
}

fn self_signed_certificate(
    names: &Located<Vec<Located<String>>>,
    previous: Option<&Tls>,
    loading: &mut Loading<'_>,
) -> Option<Certificate> {
    if names.is_empty() {
        loading
            .error(names.place(), "at least one name must stand here")
            .hint("such as `[localhost, 127.0.0.1]`");
        return None;
    }
    loading
        .problems
        .warning(names.place(), "a self-signed certificate is made at start: for development only")
        .hint("clients cannot tell it from an attacker's; use `certificates` in production");
    let wanted: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut before = previous.into_iter().flat_map(|tls| &tls.certificates);
    let now = loading.clock.unix_seconds();
    if let Some(same) =
        before.find(|other| other.label == SELF_SIGNED && other.names == wanted && other.expires > now)
    {
        return Some(same.clone());
    }
    let made = rcgen::generate_simple_self_signed(wanted.clone());
    let Ok(rcgen::CertifiedKey { cert, signing_key }) = made else {
        loading
            .error(names.place(), "a certificate cannot be made for these names")
            .hint("use host names and addresses");
        return None;
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let expires = facts(cert.der()).map_or(0, |facts| facts.expires);
    let key = CertifiedKey::from_der(vec![cert.der().clone()], key, &provider::default_provider()).ok()?;
    Some(Certificate { label: SELF_SIGNED.to_owned(), names: wanted, key: Arc::new(key), expires })
}

fn compile_client_auth(entry: &Located<ClientAuthEntry>, loading: &mut Loading<'_>) -> Option<ClientAuth> {
    let ClientAuthEntry { ca, mode } = &**entry;
    let authorities = read_certificates(ca, loading)?;
    let mut roots = RootCertStore::empty();
    let mut context = digest::Context::new(&digest::SHA256);
    for authority in authorities {
        context.update(&authority);
        if roots.add(authority).is_err() {
            loading.error(ca.place(), "a certificate of this file cannot be used as an authority");
            return None;
        }
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    Some(match mode {
        ClientAuthMode::Off => ClientAuth::Off,
        ClientAuthMode::Optional => ClientAuth::On { roots: Arc::new(roots), required: false, fingerprint },
        ClientAuthMode::Required => ClientAuth::On { roots: Arc::new(roots), required: true, fingerprint },
    })
}
