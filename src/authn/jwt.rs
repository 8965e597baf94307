//! Stub.
use super::{Attempt, Identity, credential::Token};
use crate::{loading::Loading, telemetry::metrics::Metrics, yaml::Located};
use std::sync::Arc;
/// Stub.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimPath(String);
impl ClaimPath {
    /// Stub.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(text.into()))
    }
}
/// Stub.
#[derive(Debug)]
pub struct Method {
    name: Arc<str>,
}
/// Stub.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema, PartialEq)]
pub struct Config {}
impl Method {
    /// Stub.
    pub fn compile(
        _: Arc<str>,
        _: &Located<Config>,
        _: &Arc<[ClaimPath]>,
        _: Option<&Arc<Method>>,
        _: &Metrics,
        _: &mut Loading<'_>,
    ) -> Option<Arc<Self>> {
        None
    }
    /// Stub.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
    /// Stub.
    pub fn forwards_credential(&self) -> bool {
        false
    }
    /// Stub.
    pub fn longest_lifetime(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
    /// Stub.
    pub fn remembered(&self, _: Token<'_>) -> Option<Arc<Identity>> {
        None
    }
    /// Stub.
    pub async fn attempt(&self, _: Token<'_>, _: u64) -> Attempt {
        Attempt::Absent
    }
}
