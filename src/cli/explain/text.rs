//! A report as people read it: the route, the checks, the answer.

use super::report::{Checked, Field, NearRoute, Report, Request};
use crate::cli::table::wrap;

/// How wide the text is.
const WIDTH: usize = 100;

pub(super) fn render(report: &Report) -> String {
    let mut lines = Vec::new();
    if let Some(client) = report.client {
        lines.push(format!("client    {client}, named by a trusted proxy"));
    }
    let route = report.route.as_deref().unwrap_or("none");
    lines.push(format!("route     {route}"));
    for NearRoute { route, detail, .. } in &report.near {
        push(&mut lines, "  not     ", &format!("{route}: {detail}"));
    }
    if !report.checks.is_empty() {
        lines.push(String::new());
        lines.push("checks".to_owned());
    }
    for Checked { check, auth, result, reason, detail } in &report.checks {
        let mark = match *result {
            "passed" => "ok  ",
            "passed_over" => "-   ",
            _ => "FAIL",
        };
        let auth = auth.as_ref().map(|auth| format!("{auth}: ")).unwrap_or_default();
        let reason = reason.map(|reason| format!(" → {reason}")).unwrap_or_default();
        push(&mut lines, &format!("  {mark}  {check:<10}  "), &format!("{auth}{detail}{reason}"));
    }
    lines.push(String::new());
    answer(&mut lines, report);
    if !report.unknown.is_empty() {
        lines.push(String::new());
        lines.push("not known here".to_owned());
        for note in &report.unknown {
            push(&mut lines, "  - ", note);
        }
    }
    let visible = |letter: char| letter == '\n' || !letter.is_control();
    lines.join("\n").replace(|letter| !visible(letter), "?")
}

fn answer(lines: &mut Vec<String>, report: &Report) {
    let Report { outcome, reason, status, code, title, subject, .. } = report;
    match status {
        Some(status) => {
            let code = code.map(|code| format!(" {code}")).unwrap_or_default();
            let title = title.map(|title| format!(": {title}")).unwrap_or_default();
            lines.push(format!("answer    {status}{code}{title}"));
        }
        None => lines.push("answer    from the upstream".to_owned()),
    }
    let who = subject.as_ref().map(|subject| format!(", subject {subject}")).unwrap_or_default();
    lines.push(format!("in log    outcome {outcome}, reason {reason}{who}"));
    for field in &report.answer {
        if !matches!(field.name.as_str(), "content-type" | "cache-control") {
            self::field(lines, field);
        }
    }
    let Some(Request { name, targets, target, limits, headers, credential_removed, removed }) =
        &report.upstream
    else {
        return;
    };
    lines.push(String::new());
    lines.push(format!("limits    {}", limits.text));
    lines.push(format!("upstream  {name} ({}), {target}, with", targets.join(", ")));
    for field in headers {
        self::field(lines, field);
    }
    if let Some(name) = credential_removed {
        lines.push(format!("  without {name}, which held the credential"));
    }
    if !removed.is_empty() {
        push(lines, "  without ", &format!("{}, which clients may not set", removed.join(", ")));
    }
}

fn field(lines: &mut Vec<String>, field: &Field) {
    let Field { name, value, hidden, kept: _ } = field;
    let value = match (value, hidden) {
        (Some(value), _) => value.clone(),
        (None, hidden) => format!("({})", hidden.unwrap_or_default()),
    };
    lines.push(format!("  {name}: {value}"));
}

/// Adds `text` behind `lead`, in as many lines as it takes.
fn push(lines: &mut Vec<String>, lead: &str, text: &str) {
    let indent = " ".repeat(lead.chars().count());
    for (at, line) in wrap(text, WIDTH - indent.len()).into_iter().enumerate() {
        lines.push(format!("{}{line}", if at == 0 { lead } else { &indent }));
    }
}
