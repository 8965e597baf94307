//! Warns when the gateway knows nothing by the name that is revoked: a typing error has no effect. The entry is written all
//! the same, because other gateways that use the same Redis may know the name.

use std::path::Path;

use crate::authn::Authenticator;
use crate::authn::revocable::Kind;
use crate::gateway::Gateway;

/// What to say about `id`, if the key files and user files of `gateway`, which `file` describes, do not have it.
pub(in crate::cli) fn warning(kind: Kind, id: &str, gateway: &Gateway, file: &Path) -> Option<String> {
    let known = Known { gateway };
    let file = file.display();
    match kind {
        Kind::Key if known.has_key(id) => None,
        Kind::Key if known.has_owner(id) => Some(format!(
            "warning: no key file of `{file}` lists a key `{id}`, but `{id}` owns keys: `--sub` revokes everything of an \
             owner, and `portcullis keys list` shows the identifiers. The entry was written all the same"
        )),
        Kind::Key => Some(format!(
            "warning: no key file of `{file}` lists a key `{id}`: `portcullis keys list` shows the identifiers. The entry \
             was written all the same"
        )),
        Kind::User if known.has_user(id) => None,
        Kind::User => Some(format!(
            "warning: no user file of `{file}` lists a user `{id}`. The entry was written all the same"
        )),
        Kind::Sub if known.has_owner(id) || known.has_user(id) => None,
        Kind::Sub if !known.has_tokens() => Some(format!(
            "warning: `{id}` owns no key and is no Basic user in `{file}`, and no scheme there takes tokens. The entry was \
             written all the same"
        )),
        Kind::Sub if looks_like_user_name(id) => Some(format!(
            "note: `{id}` looks like a user name, and some issuers, such as Keycloak, use a UUID as `sub`. The entry revokes \
             only tokens whose subject is exactly `{id}`: compare it with `subject` in the access log"
        )),
        Kind::Client | Kind::Jti | Kind::Sid | Kind::Sub => None,
    }
}

struct Known<'a> {
    gateway: &'a Gateway,
}

impl Known<'_> {
    fn any(&self, has: impl Fn(&Authenticator) -> bool) -> bool {
        self.gateway.methods.iter().any(has)
    }

    fn has_key(&self, id: &str) -> bool {
        self.any(|scheme| match scheme {
            Authenticator::ApiKey(scheme) => scheme.listed().any(|(key, _)| key == id),
            Authenticator::Basic(_) | Authenticator::Jwt(_) => false,
        })
    }

    fn has_owner(&self, subject: &str) -> bool {
        self.any(|scheme| match scheme {
            Authenticator::ApiKey(scheme) => scheme.listed().any(|(_, owner)| owner == subject),
            Authenticator::Basic(_) | Authenticator::Jwt(_) => false,
        })
    }

    fn has_user(&self, name: &str) -> bool {
        self.any(|scheme| match scheme {
            Authenticator::Basic(scheme) => scheme.knows(name),
            Authenticator::ApiKey(_) | Authenticator::Jwt(_) => false,
        })
    }

    fn has_tokens(&self) -> bool {
        self.any(|scheme| matches!(scheme, Authenticator::Jwt(_)))
    }
}

/// Whether people would use this as a name: it has letters, is no UUID, and has no prefix such as Auth0's `auth0|…`.
fn looks_like_user_name(id: &str) -> bool {
    let is_uuid = id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    !is_uuid && id.chars().any(char::is_alphabetic) && !id.contains(['|', ':', '/'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_user_names_from_identifiers() {
        for (id, expected) in [
            ("alice", true),
            ("alice@example.com", true),
            ("zoë", true),
            ("5f0c2a9e-7d0b-4e0c-9d5e-0d7e4a1b2c3d", false),
            ("5f0c2a9e-7d0b-4e0c-9d5e-0d7e4a1b2c3", true),
            ("auth0|5f0c2a9e", false),
            ("spiffe://example/alice", false),
            ("108204268033311374519", false),
        ] {
            assert_eq!(looks_like_user_name(id), expected, "{id}");
        }
    }
}
