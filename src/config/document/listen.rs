//! The shape of `listen` and `trusted_proxies`: where clients connect to, and which proxies stand in front.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize as DeserializeTrait, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::config::listeners::Address;
use crate::request::origin::ForwardingHeader;
use crate::yaml::Located;

/// One address that clients connect to. Exactly one of `tls`, `redirect` and `plaintext` says what is spoken there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenEntry {
    /// Address and port, such as `0.0.0.0:8443` or `[::]:8443`.
    #[schemars(with = "String")]
    pub address: Located<Address>,
    /// HTTPS: HTTP/1.1 and HTTP/2 by ALPN.
    #[serde(default)]
    pub tls: Option<bool>,
    /// Plain HTTP that only sends clients to HTTPS.
    #[serde(default)]
    pub redirect: Option<Redirect>,
    /// Plain HTTP. Credentials are never read there, so only public routes can be used.
    #[serde(default)]
    pub plaintext: Option<bool>,
}

/// Where a redirecting listener sends clients.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Redirect {
    /// To the same URL with `https`.
    Https,
}

/// The proxies in front: networks, which name clients in `X-Forwarded-For`, or networks and a header.
#[derive(Clone, Debug)]
pub enum TrustedProxiesEntry {
    /// `trusted_proxies: [10.0.0.0/8]`.
    Networks(Vec<Located<String>>),
    /// In full.
    Full(TrustedProxiesSettings),
}

/// The proxies in front, and the header in which they say whom a request comes from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedProxiesSettings {
    /// Networks (CIDR) or addresses of the proxies.
    #[schemars(with = "Vec<String>")]
    pub networks: Located<Vec<Located<String>>>,
    /// The header that the proxies append to or overwrite in every request. No other forwarding header is read.
    pub header: ForwardingHeader,
}

impl Default for TrustedProxiesEntry {
    fn default() -> Self {
        Self::Networks(Vec::new())
    }
}

impl<'de> DeserializeTrait<'de> for TrustedProxiesEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TrustedProxiesVisitor)
    }
}

struct TrustedProxiesVisitor;

impl<'de> Visitor<'de> for TrustedProxiesVisitor {
    type Value = TrustedProxiesEntry;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of networks, or a mapping with `networks` and `header`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TrustedProxiesEntry, A::Error> {
        let mut networks: Vec<Located<String>> = Vec::new();
        while let Some(network) = items.next_element()? {
            networks.push(network);
        }
        Ok(TrustedProxiesEntry::Networks(networks))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<TrustedProxiesEntry, A::Error> {
        TrustedProxiesSettings::deserialize(MapAccessDeserializer::new(entries))
            .map(TrustedProxiesEntry::Full)
    }
}

impl JsonSchema for TrustedProxiesEntry {
    fn schema_name() -> Cow<'static, str> {
        "TrustedProxies".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<TrustedProxiesSettings>();
        json_schema!({
            "description": "Networks (CIDR) whose `X-Forwarded-For` is read, or networks and a header.",
            "anyOf": [{ "type": "array", "items": { "type": "string" } }, full]
        })
    }
}
