//! Text in columns.

use std::fmt;

/// Rows of cells that are lined up when they are shown.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
    /// Columns that are not shown.
    hidden: [bool; N],
}

impl<const N: usize> Table<N> {
    /// A table with these titles.
    pub(super) fn new(titles: [&str; N]) -> Self {
        Self { rows: vec![titles.map(str::to_owned)], hidden: [false; N] }
    }

    /// Adds a row. Control characters are shown as question marks: a label must not move the cursor.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| cell.replace(char::is_control, "?")));
    }

    /// Hides the last column if no row has text in it.
    pub(super) fn hide_empty_last_column(&mut self) {
        let mut rows = self.rows.iter().skip(1);
        if let Some(hidden) = self.hidden.last_mut() {
            *hidden = rows.all(|row| row.last().is_some_and(String::is_empty));
        }
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; N] = std::array::from_fn(width);
        let lines: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let shown = row.iter().zip(widths).zip(self.hidden).filter(|(_, hidden)| !hidden);
                let cells = shown.map(|((cell, width), _)| format!("{cell:width$}"));
                cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
            })
            .collect();
        formatter.write_str(&lines.join("\n"))
    }
}

/// The lines of `text`, broken at spaces so that none is longer than `width` unless a word is.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
