//! Whether a request came out as a test expects, and what differs.

use std::fmt;

use crate::cli::explain::{Field, Report};
use crate::config::document::{Expectation, TestEntry};
use crate::yaml::Located;

/// How a test came out.
pub(super) struct Verdict<'t> {
    test: &'t Located<TestEntry>,
    differences: Vec<Difference>,
    /// What the request came to, for whoever looks at a failure.
    context: Vec<String>,
}

struct Difference {
    what: String,
    expected: String,
    got: String,
}

impl<'t> Verdict<'t> {
    pub(super) fn of(test: &'t Located<TestEntry>, report: &Report) -> Self {
        let Expectation { status, route, subject, reason, upstream, absent } = &*test.expect;
        let mut differences = Vec::new();
        let mut compare = |what: &str, expected: String, got: String| {
            if expected != got {
                differences.push(Difference { what: what.to_owned(), expected, got });
            }
        };
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        if let Some(status) = status {
            // What goes upstream is answered there.
            compare("status", status.to_string(), report.status.unwrap_or(200).to_string());
        }
        if let Some(route) = route {
            compare("route", route.to_string(), or_none(&report.route));
        }
        if let Some(subject) = subject {
            compare("subject", subject.to_string(), or_none(&report.subject));
        }
        if let Some(reason) = reason {
            compare("reason", reason.to_string(), report.reason.to_owned());
        }
        for (name, value) in upstream.iter() {
            compare(name, value.to_string(), received(report, name).unwrap_or_else(|| "absent".to_owned()));
        }
        for name in absent {
            compare(name, "absent".to_owned(), received(report, name).unwrap_or_else(|| "absent".to_owned()));
        }
        let context = if differences.is_empty() { Vec::new() } else { context(report) };
        Self { test, differences, context }
    }

    pub(super) fn is_good(&self) -> bool {
        self.differences.is_empty()
    }
}

/// The value of a field that the upstream gets.
fn received(report: &Report, name: &str) -> Option<String> {
    let fields = report.upstream.iter().flat_map(|upstream| &upstream.headers);
    let values: Vec<String> = fields
        .filter(|field| field.name.eq_ignore_ascii_case(name))
        .map(|Field { value, hidden, .. }| {
            value.clone().unwrap_or_else(|| format!("({})", hidden.unwrap_or_default()))
        })
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn context(report: &Report) -> Vec<String> {
    let mut lines = vec![format!(
        "outcome {}, reason {}, route {}",
        report.outcome,
        report.reason,
        report.route.as_deref().unwrap_or("none")
    )];
    let failed = report.checks.iter().filter(|check| check.result == "failed");
    lines.extend(failed.map(|check| format!("{}: {}", check.check, check.detail)));
    lines.extend(report.near.iter().map(|near| format!("not {}: {}", near.route, near.detail)));
    lines
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { test, differences, context } = self;
        let name = test.name.replace(char::is_control, "?");
        if differences.is_empty() {
            return write!(formatter, "ok    {name}");
        }
        let place = test.name.place();
        write!(formatter, "FAIL  {name}  ({}:{})", place.path().display(), place.line())?;
        for Difference { what, expected, got } in differences {
            write!(
                formatter,
                "\n        {what}: expected {expected}, got {}",
                got.replace(char::is_control, "?")
            )?;
        }
        for line in context {
            write!(formatter, "\n          {}", line.replace(char::is_control, "?"))?;
        }
        Ok(())
    }
}
