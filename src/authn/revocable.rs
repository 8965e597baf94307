//! The names under which a credential can be revoked, prepared when it is verified so that a request only looks them up.

use aws_lc_rs::digest;

use crate::fingerprint::Fingerprint;
use crate::hex;

/// What kind of thing an entry of the revocation list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Everything issued to a client (`azp` and `client_id`, where they differ either) up to a time.
    Client,
    /// One token, by issuer and `jti`.
    Jti,
    /// One API key, by its public identifier.
    Key,
    /// One session (`sid`).
    Sid,
    /// Everything issued to a subject up to a time.
    Sub,
    /// One Basic user.
    User,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Client, Self::Jti, Self::Key, Self::Sid, Self::Sub, Self::User];

    /// The name in the layout of the list, in metrics and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Jti => "jti",
            Self::Key => "key",
            Self::Sid => "sid",
            Self::Sub => "sub",
            Self::User => "user",
        }
    }

    /// The kind called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The fingerprint of the entry of this kind for `id`: what follows the kind in the layout, so for a `jti` it is
    /// `<issuer-hash or *>:<jti>`.
    pub fn fingerprint(self, id: &str) -> Fingerprint {
        Fingerprint::of(&[self.name().as_bytes(), id.as_bytes()])
    }
}

/// The first 16 hexadecimal digits of the SHA-256 of an issuer, which stand for it in the list.
pub fn issuer_hash(issuer: &str) -> String {
    let digest = digest::digest(&digest::SHA256, issuer.as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

/// Everything under which one credential can be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocable {
    entries: Vec<(Kind, Fingerprint)>,
    issued_at: Option<u64>,
}

impl Revocable {
    /// A credential of `subject` that was issued at `issued_at`, in seconds since the Unix epoch. A credential without
    /// a time of issue is revoked by every entry about its subject or client.
    pub fn new(subject: &str, issued_at: Option<u64>) -> Self {
        Self { entries: vec![(Kind::Sub, Kind::Sub.fingerprint(subject))], issued_at }
    }

    /// Adds the name `id` of the kind `kind`.
    #[must_use]
    pub fn with(mut self, kind: Kind, id: &str) -> Self {
        self.entries.push((kind, kind.fingerprint(id)));
        self
    }

    /// Adds a token's identifier, under its issuer and under `*`, which stands for any issuer.
    #[must_use]
    pub fn with_jti(self, issuer: &str, jti: &str) -> Self {
        self.with(Kind::Jti, &format!("{}:{jti}", issuer_hash(issuer))).with(Kind::Jti, &format!("*:{jti}"))
    }

    /// The names.
    pub fn entries(&self) -> &[(Kind, Fingerprint)] {
        &self.entries
    }

    /// When the credential was issued, in seconds since the Unix epoch.
    pub fn issued_at(&self) -> Option<u64> {
        self.issued_at
    }
}
