//! `portcullis routes`: what is matched, who may, and where it goes. Public routes are marked.

mod text;

use super::explain::Format;
use super::table::Table;
use super::{ConfigurationFile, Output, check};
use crate::gateway::guard::{Guard, Rule};
use crate::gateway::matrix::Matrix;
use crate::gateway::requirement::Methods;
use crate::gateway::route::{Access, Mode, Route, RouteLimits};
use crate::gateway::upstream::{Destination, HostPolicy};

/// Show what is matched, who may, and where it goes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RoutesArguments {
    #[command(flatten)]
    file: ConfigurationFile,
    /// Show who may do what: a row for each rule, a column for each method in `auth`. Public routes, routes that no request
    /// takes and rules that change nothing are flagged.
    #[arg(long)]
    matrix: bool,
    /// How the matrix is written.
    #[arg(long, value_enum, default_value_t = Format::Text, requires = "matrix")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  portcullis routes
  portcullis routes --matrix
  portcullis routes --matrix --format json";

pub(super) fn execute(arguments: &RoutesArguments) -> Output {
    let RoutesArguments { file, matrix, format } = arguments;
    let configuration = match check::load(file) {
        Ok(configuration) => configuration,
        Err(complaint) => return Output::failure(complaint),
    };
    if *matrix {
        let matrix = Matrix::of(&configuration.gateway);
        return match format {
            Format::Text => Output::success(text::render(&matrix)),
            Format::Json => match serde_json::to_string_pretty(&matrix) {
                Ok(text) => Output::success(text),
                Err(error) => Output::failure(format!("error: {error}")),
            },
        };
    }
    let mut table = Table::new(["ROUTE", "HOST", "PATH", "METHODS", "WHO MAY", "UPSTREAM", "LIMITS"]);
    for route in configuration.gateway.routes.iter() {
        for (at, (methods, who)) in rules(route).into_iter().enumerate() {
            let first = |text: String| if at == 0 { text } else { String::new() };
            table.row([
                first(name(route)),
                first(route.pattern.host.to_string()),
                first(route.pattern.path.to_string()),
                methods,
                who,
                first(upstream(route)),
                first(limits(route)),
            ]);
        }
    }
    table.hide_empty_last_column();
    Output::success(table.to_string())
}

fn name(route: &Route) -> String {
    match route.mode {
        Mode::Enforce => route.name.to_string(),
        Mode::Report => format!("{} (reports only)", route.name),
    }
}

fn rules(route: &Route) -> Vec<(String, String)> {
    match &route.access {
        Access::Public(methods) => vec![(join(methods), "ANYONE (public)".to_owned())],
        Access::Guarded(guard) => {
            guard.rules().iter().map(|rule| (join(&rule.methods), who(guard, rule))).collect()
        }
    }
}

fn join(methods: &Methods) -> String {
    methods.iter().collect::<Vec<_>>().join(" ")
}

fn who(guard: &Guard, rule: &Rule) -> String {
    let names: Vec<&str> = guard.authenticators().iter().map(|method| &**method.name()).collect();
    let mut text = names.join(" or ");
    let requirement = &rule.requirement;
    if !requirement.scopes.is_empty() {
        text.push_str(&format!(" with {}", requirement.scopes.join(" and ")));
    }
    if !requirement.roles.is_empty() {
        text.push_str(&format!(" as {}", requirement.roles.join(" or ")));
    }
    text
}

fn upstream(route: &Route) -> String {
    let upstream = &route.upstream;
    let mut notes = Vec::new();
    match &upstream.destination {
        Destination::Echo => notes.push("builtin:echo".to_owned()),
        Destination::Targets(targets) if targets.len() > 1 => {
            notes.push(format!("{} targets", targets.len()));
        }
        Destination::Targets(_) => {}
    }
    if let Some(strip) = &route.strip_prefix {
        notes.push(format!("without {}", strip.path));
    }
    if !upstream.base_path.is_empty() {
        notes.push(format!("under {}", upstream.base_path));
    }
    match &upstream.host {
        HostPolicy::Preserve => {}
        HostPolicy::Target => notes.push("host of the target".to_owned()),
        HostPolicy::Fixed(host) => notes.push(format!("host {}", host.to_str().unwrap_or_default())),
    }
    if notes.is_empty() {
        upstream.name.to_string()
    } else {
        format!("{} ({})", upstream.name, notes.join(", "))
    }
}

/// The limits of its own that a route has.
fn limits(route: &Route) -> String {
    let RouteLimits { request_body_bytes, request_timeout } = route.limits;
    let body = request_body_bytes.map(|bytes| format!("body {bytes}"));
    let response = request_timeout.map(|timeout| format!("response {timeout}"));
    body.into_iter().chain(response).collect::<Vec<_>>().join(", ")
}
