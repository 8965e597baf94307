//! Stub.
use crate::authn::{Reason, revocable::Revocable};
/// Stub.
#[derive(Debug)]
pub struct Revocations;
impl Revocations {
    /// Stub.
    pub fn confirm(&self, _: &Revocable) -> Result<(), Reason> {
        Ok(())
    }
}
/// Stub.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema, PartialEq)]
pub struct Config {}
/// Stub.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema, PartialEq)]
pub struct RedisConfig {}
