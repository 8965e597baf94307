//! Whether a request came out as a test expects, and what differs.

use std::fmt;

use http::HeaderName;

use crate::cli::explain::{Field, Report, may_be_secret, shown};
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
        let Expectation { status, route, subject, reason, upstream_path, upstream, absent } = &*test.expect;
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
        if let Some(path) = upstream_path {
            let got = report.upstream.as_ref().map(|upstream| upstream.target.clone());
            // Both without what may be a credential.
            compare("upstream_path", shown(path), or_none(&got));
        }
        for (name, value) in upstream.iter() {
            let received = Received::of(report, name);
            let got = received.as_ref().map_or("absent", |received| &received.shown);
            if received.as_ref().is_some_and(|received| received.is(value)) {
                continue;
            }
            compare(name, expected(name, value, received.as_ref()), got.to_owned());
        }
        for name in absent {
            let got =
                Received::of(report, name).map_or_else(|| "absent".to_owned(), |received| received.shown);
            compare(name, "absent".to_owned(), got);
        }
        let context = if differences.is_empty() { Vec::new() } else { context(report) };
        Self { test, differences, context }
    }

    pub(super) fn is_good(&self) -> bool {
        self.differences.is_empty()
    }
}

/// A field that the upstream gets.
struct Received<'r> {
    fields: Vec<&'r Field>,
    /// What may be shown of it.
    shown: String,
}

impl<'r> Received<'r> {
    fn of(report: &'r Report, name: &str) -> Option<Self> {
        let fields = report.upstream.iter().flat_map(|upstream| &upstream.headers);
        let fields: Vec<&Field> = fields.filter(|field| field.name.eq_ignore_ascii_case(name)).collect();
        let shown = |field: &&Field| {
            field.value.clone().unwrap_or_else(|| format!("({})", field.hidden.unwrap_or_default()))
        };
        let values: Vec<String> = fields.iter().map(shown).collect();
        (!values.is_empty()).then(|| Self { fields, shown: values.join(", ") })
    }

    /// Whether its value is this, also where it is not shown.
    fn is(&self, expected: &str) -> bool {
        let value = |field: &&'r Field| {
            let kept = || field.kept.as_ref()?.expose_text();
            field.value.as_deref().or_else(kept)
        };
        let values: Option<Vec<&str>> = self.fields.iter().map(value).collect();
        values.is_some_and(|values| values.join(", ") == expected)
    }

    /// Whether some of it is not shown because it may be a secret.
    fn is_kept(&self) -> bool {
        self.fields.iter().any(|field| field.kept.is_some())
    }
}

/// What is shown of the value that a test expects: nothing where what was sent would not be shown either, because whoever
/// wrote the test has copied it.
fn expected(name: &str, value: &str, received: Option<&Received<'_>>) -> String {
    let may_be_secret = match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) => may_be_secret(&name, value),
        Err(_) => true,
    };
    if may_be_secret || received.is_some_and(Received::is_kept) {
        "(another value, not shown)".to_owned()
    } else {
        value.to_owned()
    }
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
