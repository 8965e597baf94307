//! `portcullis schema`: the JSON Schema of gateway.yaml, so that editors complete it, and the reference made of it.

mod reference;

use super::Output;
use crate::config::schema;

/// Print the JSON Schema of the configuration file.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SchemaArguments {
    /// As a page for people, in Markdown.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn execute(arguments: &SchemaArguments) -> Output {
    if arguments.markdown {
        return Output::success(reference::page(schema().as_value()));
    }
    match serde_json::to_string_pretty(&schema()) {
        Ok(text) => Output::success(text),
        Err(error) => Output::failure(format!("error: {error}")),
    }
}
