//! Keys, certificates and files of one run.

use std::path::{Path, PathBuf};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

/// A folder with a certificate (`server.crt`, `server.key`), an issuer's public key (`issuer.pem`, `issuer.json`) and other
/// files.
pub(crate) struct Material {
    folder: tempfile::TempDir,
    certificate: rustls_pemfile::CertificateDer<'static>,
    signing: EncodingKey,
}

impl Material {
    /// Writes these files beside the others; one of them is `gateway.yaml`.
    pub(crate) fn new(files: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        let server = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        write("server.crt", &server.cert.pem());
        write("server.key", &server.signing_key.serialize_pem());
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key pair");
        write("issuer.pem", &pair.public_key_pem());
        let signing = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a signing key");
        let keys = JwkSet { keys: vec![Jwk::from_encoding_key(&signing, Algorithm::RS256).expect("a key")] };
        write("issuer.json", &serde_json::to_string(&keys).expect("a document"));
        for (name, text) in files {
            write(name, text);
        }
        Self { folder, certificate: server.cert.der().clone(), signing }
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The policy.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    /// A token of the issuer that says this, and is good from now on for an hour.
    pub(crate) fn token(&self, mut claims: Value) -> String {
        let now = portcullis::clock::Clock::system().unix_seconds();
        for (name, value) in [("iat", now), ("exp", now + 3600)] {
            claims[name] = value.into();
        }
        encode(&Header::new(Algorithm::RS256), &claims, &self.signing).expect("a token")
    }

    /// How clients connect that speak `protocol`.
    pub(crate) fn client(&self, protocol: &[u8]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }
}

/// An entry of `keys.yaml`.
pub(crate) fn key_entry(id: &str, owner: &str, key: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    let sha256 = portcullis::hex::encode(digest.as_ref());
    format!("{{ id: {id}, owner: {owner}, sha256: \"{sha256}\", expires: never }}")
}
