//! `portcullis schema`: the JSON Schema of gateway.yaml, so that editors complete it.

use super::Output;
use crate::config::schema;

/// Print the JSON Schema of the configuration file.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SchemaArguments {}

pub(super) fn execute(_arguments: &SchemaArguments) -> Output {
    match serde_json::to_string_pretty(&schema()) {
        Ok(text) => Output::success(text),
        Err(error) => Output::failure(format!("error: {error}")),
    }
}
