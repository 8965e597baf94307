//! A matrix for a terminal of 100 columns: a table where it fits, and a block for each route where it does not.

use crate::cli::table::wrap;
use crate::gateway::matrix::{Cell, Matrix, Remark, Row};

/// How wide the text is.
const WIDTH: usize = 100;

/// The matrix as text.
pub(super) fn render(matrix: &Matrix) -> String {
    let Matrix { auth, rows, flags } = matrix;
    let lines = table(auth, rows);
    let fits = lines.iter().all(|line| line.chars().count() <= WIDTH);
    let mut lines = if fits { lines } else { blocks(auth, rows) };
    if !flags.is_empty() {
        lines.push(String::new());
    }
    for Remark { route, flag, detail } in flags {
        hang(&mut lines, &format!("! {}: ", flag.replace('_', " ")), &format!("{route}: {detail}"));
    }
    lines.join("\n").replace(|letter: char| letter != '\n' && letter.is_control(), "?")
}

fn table(auth: &[String], rows: &[Row]) -> Vec<String> {
    let mut titles = vec!["ROUTE".to_owned(), "HOST AND PATH".to_owned(), "METHODS".to_owned()];
    titles.extend(auth.iter().cloned());
    titles.push("NEEDS".to_owned());
    let mut cells = vec![titles];
    let mut last = None;
    for row in rows {
        let first = last != Some(&row.route);
        last = Some(&row.route);
        let (name, place) =
            if first { (row.route.clone(), place(row)) } else { (String::new(), String::new()) };
        let mut line = vec![name, place, row.methods.join(" ")];
        if row.public {
            line.extend(auth.iter().map(|_| "-".to_owned()));
            line.push("ANYONE (public)".to_owned());
        } else {
            line.extend(row.may.iter().map(short));
            line.push(row.needs());
        }
        cells.push(line);
    }
    let columns = auth.len() + 4;
    let width =
        |column: usize| cells.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |line: &Vec<String>| {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

fn blocks(auth: &[String], rows: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last = None;
    for row in rows {
        if last != Some(&row.route) {
            if last.is_some() {
                lines.push(String::new());
            }
            hang(&mut lines, &format!("{}  ", row.route), &place(row));
        }
        last = Some(&row.route);
        let needs = row.needs();
        let who = if row.public {
            "ANYONE (public)".to_owned()
        } else {
            let who = auth.iter().zip(&row.may).filter(|(_, cell)| **cell != Cell::NotAccepted);
            let who: Vec<String> = who.map(|(auth, cell)| format!("{auth} {}", short(cell))).collect();
            let needs = if needs.is_empty() { String::new() } else { format!(", needs {needs}") };
            format!("{}{needs}", who.join(", "))
        };
        hang(&mut lines, &format!("  {}  ", row.methods.join(" ")), &who);
    }
    lines
}

fn place(row: &Row) -> String {
    let host = if row.host == "*" { "" } else { &row.host };
    let reports = if row.reports_only { " (reports only)" } else { "" };
    format!("{host}{}{reports}", row.path)
}

fn short(cell: &Cell) -> String {
    match cell {
        Cell::NotAccepted => "-".to_owned(),
        Cell::Listed { may: 0, .. } => "none".to_owned(),
        Cell::Listed { may, of } if may == of => "all".to_owned(),
        Cell::Listed { may, of } => format!("{may} of {of}"),
        Cell::Claims => "by claims".to_owned(),
    }
}

/// Adds `text` behind `lead`, in as many lines as it takes.
fn hang(lines: &mut Vec<String>, lead: &str, text: &str) {
    let indent = " ".repeat(lead.chars().count().min(WIDTH / 2));
    for (at, line) in wrap(text, WIDTH.saturating_sub(indent.len())).into_iter().enumerate() {
        lines.push(format!("{}{line}", if at == 0 { lead } else { &indent }));
    }
}
