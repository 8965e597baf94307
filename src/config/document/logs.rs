//! The part of the file that says where lines about requests go.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

use crate::yaml::Located;

/// Where the access log and the audit log go. Files are opened anew on SIGUSR1.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogEntry {
    /// One JSON line for each request; on standard output by default.
    #[schemars(with = "Option<DestinationEntry>")]
    pub access: Option<Located<DestinationEntry>>,
    /// One JSON line for each refusal and each change of policy, keys or revocations; off by default.
    #[schemars(with = "Option<DestinationEntry>")]
    pub audit: Option<Located<DestinationEntry>>,
}

/// `stdout`, `off`, or `file:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationEntry {
    /// The end of a file.
    File(PathBuf),
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
}

impl<'de> Deserialize<'de> for DestinationEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "`stdout`, `off` or `file:PATH` is expected here";
        let text = String::deserialize(deserializer)?;
        match (text.as_str(), text.strip_prefix("file:")) {
            ("stdout", _) => Ok(Self::Stdout),
            ("off", _) => Ok(Self::Off),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File(path.into())),
            (_, Some(_) | None) => Err(D::Error::custom(EXPECTED)),
        }
    }
}

impl JsonSchema for DestinationEntry {
    fn schema_name() -> Cow<'static, str> {
        "LogDestination".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(off|stdout|file:.+)$|\\$\\{",
            "description": "`stdout`, `off`, or `file:PATH` for the end of a file, relative to this one.",
            "examples": ["stdout", "off", "file:/var/log/portcullis/access.log"]
        })
    }
}
