//! Reading the text format of Prometheus (exposition format 0.0.4), strictly.

use std::collections::BTreeMap;

/// The series of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Vec<Series>);

#[derive(Clone, Debug, PartialEq)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads what `/metrics` answers; a line in another format fails the test.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(|line| series(line).unwrap_or_else(|| panic!("no series: {line}"))).collect())
    }

    /// The sum of all series with this name that have these labels and perhaps others, or `None` when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut values = self
            .0
            .iter()
            .filter(|series| series.name == name)
            .filter(|series| {
                labels.iter().all(|(label, value)| series.labels.get(*label).is_some_and(|had| had == value))
            })
            .map(|series| series.value)
            .peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// The same for counters: a whole number, and 0 when there is no such series yet.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(name, labels).unwrap_or_default();
        assert!(sum.fract() == 0.0 && sum >= 0.0, "{name}{labels:?} counts to {sum}");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number, as asserted"
        )]
        let count = sum as u64;
        count
    }

    /// How many series there are, which traffic must not change.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Every series as `name{label="value",…}`, labels in alphabetical order, with its value.
    pub fn map(&self) -> BTreeMap<String, f64> {
        let shown = |series: &Series| {
            let labels: Vec<String> =
                series.labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
            if labels.is_empty() {
                series.name.clone()
            } else {
                format!("{}{{{}}}", series.name, labels.join(","))
            }
        };
        self.0.iter().map(|series| (shown(series), series.value)).collect()
    }
}

fn series(line: &str) -> Option<Series> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquoted(quoted)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = after.strip_prefix(',').unwrap_or(after);
        }
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    Some(Series { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, with its escapes undone, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            _ => value.push(letter),
        }
    }
    None
}
