//! The address of the admin listener, for `portcullis health`. Only that key of the file is read: no other file is opened,
//! no secret is resolved, and mistakes in other parts of the file do not matter.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::listeners::Address;
pub use super::listeners::DEFAULT_ADMIN as DEFAULT;
use crate::clock::Clock;
use crate::loading::Loading;
use crate::problem::Problems;
use crate::yaml::{Environment, Located};

/// Where the admin listener of the file at `path` can be reached from this machine.
///
/// # Errors
/// What is wrong with the file, or with the address.
pub fn read(path: &Path, environment: Environment<'_>) -> Result<SocketAddr, Problems> {
    let mut loading = Loading::new(Clock::system(), environment, &[]);
    let Some(file) = loading.root_document::<File>(path) else { return Err(loading.problems) };
    let Some(address) = &file.admin else {
        // An entry that could not be read was taken out, and must not become the default.
        return if loading.problems.has_errors() { Err(loading.problems) } else { Ok(DEFAULT) };
    };
    if address.0.port() == 0 {
        loading
            .error(address.place(), "the system chooses this port when the gateway starts")
            .hint("pass the address that the gateway logs: `portcullis health --admin 127.0.0.1:PORT`");
        return Err(loading.problems);
    }
    Ok(reachable(address.0))
}

/// An address to connect to: a listener on all addresses is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The part of the file that is read.
struct File {
    admin: Option<Located<Address>>,
}

/// The part of `admin` that is read.
struct Admin {
    address: Option<Located<Address>>,
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let admin = deserializer.deserialize_map(Key::<Admin>::new("admin"))?;
        Ok(Self { admin: admin.and_then(|admin| admin.address) })
    }
}

impl<'de> Deserialize<'de> for Admin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { address: deserializer.deserialize_map(Key::new("address"))? })
    }
}

/// Reads one key of a mapping and passes over the others.
struct Key<T> {
    name: &'static str,
    value: std::marker::PhantomData<T>,
}

impl<T> Key<T> {
    fn new(name: &'static str) -> Self {
        Self { name, value: std::marker::PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Key<T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a mapping with `{}`", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        while let Some(name) = access.next_key::<String>()? {
            if name == self.name {
                found = Some(access.next_value()?);
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.yaml");
        std::fs::write(&path, text).unwrap();
        let environment = |name: &str| (name == "ADMIN").then(|| "10.0.0.1:9999".to_owned());
        read(&path, &environment)
            .map(|address| address.to_string())
            .map_err(|problems| problems.lines().join("\n"))
    }

    #[test]
    fn reads_the_admin_address_and_nothing_else() {
        for (text, expected) in [
            ("version: 1\n", "127.0.0.1:9180"),
            ("admin: { address: \"127.0.0.1:9000\" }\n", "127.0.0.1:9000"),
            ("admin: { address: \"0.0.0.0:9180\", token: \"file:not/there\" }\n", "127.0.0.1:9180"),
            ("admin: { address: \"[::]:9180\" }\n", "[::1]:9180"),
            ("admin: { address: \"${ADMIN}\" }\n", "10.0.0.1:9999"),
            // Mistakes elsewhere are for `portcullis check`.
            (
                "nonsense: [1, 2]\nredis: { password: \"${UNSET}\" }\nadmin: { address: \"127.0.0.1:1\", typo: 1 }\n",
                "127.0.0.1:1",
            ),
        ] {
            assert_eq!(address(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn rejects_an_address_that_cannot_be_asked() {
        for (text, expected) in [
            ("admin: { address: \"127.0.0.1:0\" }\n", "the system chooses this port"),
            ("admin: { address: localhost }\n", "an IP address and a port are expected"),
            ("admin: { address: \"${UNSET}\" }\n", "`UNSET` is not set"),
            ("admin: [1]\n", "a mapping"),
            ("admin: { address: \n", "not valid YAML"),
        ] {
            let problems = address(text).unwrap_err();
            assert!(problems.contains(expected), "{text}: {problems}");
        }
    }
}
