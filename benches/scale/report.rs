//! The table of a dimension.

use std::fmt::Write as _;
use std::time::Duration;

use super::dimension::Dimension;

/// What was measured at a point.
pub(crate) struct Row {
    pub(crate) size: u64,
    /// Of processor time, for a request.
    pub(crate) micros: f64,
    /// Beside the first point, measured in turn.
    pub(crate) ratio: f64,
    /// From the start of the process to the first good answer.
    pub(crate) ready_after: Duration,
    /// Bytes of memory.
    pub(crate) resident: u64,
    /// Those of the gateway at the first point.
    pub(crate) base_resident: u64,
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
pub(crate) fn table(dimension: &Dimension, rows: &[Row]) -> String {
    let mut table = format!(
        "| {} | CPU µs per request | beside {} | ready after | memory |",
        dimension.unit,
        grouped(dimension.base())
    );
    if let Some(each) = dimension.each {
        let _ = write!(table, " for each {each} |");
    }
    table.push_str("\n|--:|--:|--:|--:|--:|");
    if dimension.each.is_some() {
        table.push_str("--:|");
    }
    for row in rows {
        let _ = write!(
            table,
            "\n| {} | {:.1} | {:.2} × | {:.2} s | {:.0} MiB |",
            grouped(row.size),
            row.micros,
            row.ratio,
            row.ready_after.as_secs_f64(),
            row.resident as f64 / f64::from(1 << 20),
        );
        if dimension.each.is_some() {
            // Where there are few, what else the process needs would count as theirs.
            let more = row.size.saturating_sub(dimension.base());
            if more < 1_000 {
                table.push_str(" |");
            } else {
                let bytes = row.resident.saturating_sub(row.base_resident) as f64 / more as f64;
                let _ = write!(table, " {bytes:.0} bytes |");
            }
        }
    }
    table.push_str("\n\n");
    table
}

/// With commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
