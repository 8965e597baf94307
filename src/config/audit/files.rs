//! Advice about files that hold secrets, and that others on the machine can read.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::config::document::{AuthEntry, Document};
use crate::loading::{SecretReference, resolve};
use crate::problem::Problems;
use crate::yaml::Located;

pub(super) fn advise(document: &Document, advice: &mut Problems) {
    for certificate in document.tls.iter().flat_map(|tls| &tls.certificates) {
        readable(&certificate.key, "private key", advice);
    }
    if let Some(token) = document.admin.as_ref().and_then(|admin| admin.token.as_ref()) {
        secret(token, advice);
    }
    if let Some(redis) = &document.redis {
        let sentinels = redis.sentinel.iter().filter_map(|sentinel| sentinel.password.as_ref());
        for password in redis.password.iter().chain(sentinels) {
            secret(password, advice);
        }
    }
    for (_, entry) in document.auth.iter() {
        match entry {
            // Who may read key files is a warning already.
            AuthEntry::ApiKey(_) => {}
            AuthEntry::Basic(config) => readable(&config.users, "file of password hashes", advice),
            AuthEntry::Jwt(config) => {
                if let Some(reference) = &config.secret {
                    secret(reference, advice);
                }
            }
        }
    }
}

fn secret(reference: &Located<SecretReference>, advice: &mut Problems) {
    if let SecretReference::File(path) = &**reference {
        readable(&Located::new(path.clone(), reference.place().clone()), "secret", advice);
    }
}

fn readable(path: &Located<PathBuf>, what: &str, advice: &mut Problems) {
    let Ok(metadata) = std::fs::metadata(resolve(path)) else { return };
    let mode = metadata.permissions().mode();
    if mode & 0o004 != 0 {
        advice
            .advice(
                path.place(),
                format!("the mode of this {what}, {:o}, lets everyone on the machine read it", mode & 0o777),
            )
            .hint("`chmod o-rwx` it, and let only the gateway's user or group read it");
    }
}
