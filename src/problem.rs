//! What is wrong with a file, where, and what would be right.
//!
//! Nothing that reads configuration stops at the first mistake: it adds a [`Problem`] to [`Problems`] and goes on, so
//! that the user sees everything at once. No text here ever contains a secret's value; the parts of a file that hold
//! one are masked in the quoted line.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A configuration file as it was read, kept to quote its lines in problems.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    masked: RwLock<String>,
}

impl Source {
    /// A file at `path` with the text `text`, of which the byte ranges `secrets` are never shown.
    pub fn new(path: PathBuf, text: &str, secrets: &[Range<usize>]) -> Self {
        Self { path, masked: RwLock::new(masked(text, secrets)) }
    }

    /// From now on the byte ranges `secrets` are not shown either, whatever is wrong near them.
    pub fn hide(&self, secrets: &[Range<usize>]) {
        if secrets.is_empty() {
            return;
        }
        let mut text = self.masked.write().unwrap_or_else(PoisonError::into_inner);
        *text = masked(&text, secrets);
    }

    /// The text, of which nothing but the lines and what may be shown are left.
    pub fn masked(&self) -> RwLockReadGuard<'_, String> {
        self.masked.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// `text` with a star for each byte in `ranges` but the ends of lines.
fn masked(text: &str, ranges: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in ranges {
        for byte in bytes.iter_mut().take(range.end).skip(range.start) {
            if *byte != b'\n' {
                *byte = b'*';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A stretch of a file.
#[derive(Clone)]
pub struct Place {
    source: Arc<Source>,
    start: u32,
    end: u32,
}

impl Place {
    /// The bytes `start..end` of `source`.
    pub fn new(source: Arc<Source>, start: u32, end: u32) -> Self {
        Self { source, start, end: end.max(start) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.before(&self.source.masked()).iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> usize {
        let text = self.source.masked();
        let line = self.before(&text).rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(line).chars().count() + 1
    }

    fn before<'a>(&self, text: &'a str) -> &'a [u8] {
        &text.as_bytes()[..(self.start as usize).min(text.len())]
    }

    /// The part of the stretch on its first line: carets under a whole block help nobody.
    fn first_line(&self, text: &str) -> Range<usize> {
        let start = (self.start as usize).min(text.len());
        let end = (self.end as usize).min(text.len());
        let line_end = text.as_bytes()[start..end].iter().position(|byte| *byte == b'\n');
        // Whoever counted the bytes may have counted others: half of a character cannot be pointed at.
        let whole = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at));
        let start_of = whole(start).unwrap_or_default();
        start_of..whole(line_end.map_or(end, |at| start + at)).unwrap_or_default().max(start_of)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.path().display(), self.line(), self.column())
    }
}

/// Two places are never what makes two configurations different.
impl PartialEq for Place {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, and whoever asks for advice is told.
    Advice,
    /// The file is taken, and the user is told.
    Warning,
}

/// One thing that is wrong, and what would be right.
#[derive(Clone, Debug)]
pub struct Problem {
    severity: Severity,
    place: Option<Place>,
    what: String,
    hint: Option<Hint>,
}

/// What would be right.
#[derive(Clone, Debug)]
enum Hint {
    /// A text in which the line of another place stands. Lines are found by counting, so it is done for what is shown only.
    Line {
        before: &'static str,
        place: Place,
        after: &'static str,
    },
    Text(String),
}

impl fmt::Display for Hint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { before, place, after } => write!(formatter, "{before}{}{after}", place.line()),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

impl Problem {
    /// What is wrong, in one lower-case sentence without a full stop.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Whether the file is refused because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The place, where there is one.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Says what would be right.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(Hint::Text(hint.into()));
        self
    }

    /// Says in which line something else stands: its number comes between the two texts.
    pub fn hint_at_line(&mut self, before: &'static str, place: &Place, after: &'static str) -> &mut Self {
        self.hint = Some(Hint::Line { before, place: place.clone(), after });
        self
    }

    /// The problem with the line it stands in, a caret and the hint; in colour when `styled`.
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Advice => Level::NOTE,
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.what.as_str());
        let line = self.place.as_ref().map_or(1, Place::line);
        let hint = self.hint.as_ref().map(ToString::to_string);
        let text = self.place.as_ref().map(|place| place.source.masked());
        let mut group = match self.place.as_ref().zip(text.as_deref()) {
            Some((place, text)) => {
                let path = place.path().to_string_lossy();
                // Only this line: a file may have a million.
                let span = place.first_line(text);
                let begin = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
                let end = text[span.end..].find('\n').map_or(text.len(), |at| span.end + at);
                title.element(
                    Snippet::source(&text[begin..end])
                        .line_start(line)
                        .path(path)
                        .annotation(AnnotationKind::Primary.span(span.start - begin..span.end - begin)),
                )
            }
            None => annotate_snippets::Group::with_title(title),
        };
        if let Some(hint) = hint {
            group = group.element(Level::HELP.message(hint));
        }
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// The problem in one line: `gateway.yaml:12:7: unknown key `audiance` (did you mean `audience`?)`.
impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "{place}: ")?;
        }
        formatter.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(formatter, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that was found, in the order it was found in.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
    /// Errors that were found and only counted.
    counted: usize,
}

/// So many problems are shown at once. Whoever has more has made one mistake many times, or has named the wrong file.
const MOST_SHOWN: usize = 100;

impl Problems {
    /// Adds an error at `place`.
    pub fn error(&mut self, place: &Place, what: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, Some(place.clone()), what.into())
    }

    /// Adds an error that has no place in a file.
    pub fn error_without_place(&mut self, what: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, None, what.into())
    }

    /// Adds a warning at `place`.
    pub fn warning(&mut self, place: &Place, what: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, Some(place.clone()), what.into())
    }

    /// Adds advice at `place`.
    pub fn advice(&mut self, place: &Place, what: impl Into<String>) -> &mut Problem {
        self.add(Severity::Advice, Some(place.clone()), what.into())
    }

    fn add(&mut self, severity: Severity, place: Option<Place>, what: String) -> &mut Problem {
        let at = self.found.len();
        self.found.push(Problem { severity, place, what, hint: None });
        &mut self.found[at]
    }

    /// Counts one more error, of which nothing else is kept.
    pub fn count_error(&mut self) {
        self.counted += 1;
    }

    /// Takes over everything that `other` found.
    pub fn append(&mut self, other: Problems) {
        let Problems { found, counted } = other;
        self.found.extend(found);
        self.counted += counted;
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    /// How many errors there are.
    pub fn error_count(&self) -> usize {
        self.found.iter().filter(|problem| problem.is_error()).count() + self.counted
    }

    /// How many problems there are, warnings included.
    pub fn len(&self) -> usize {
        self.found.len() + self.counted
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The problems, ordered by file and line so that they read like the file.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut problems: Vec<&Problem> = self.found.iter().collect();
        problems.sort_by_key(|&problem| {
            problem.place.as_ref().map(|place| (place.path(), place.start, problem.what.as_str()))
        });
        problems
    }

    /// What is shown, in the order of [`Problems::sorted`]: errors rather than anything else, and not too many. Beside it,
    /// how many are not shown.
    fn shown(&self) -> (Vec<&Problem>, usize) {
        let mut shown = self.sorted();
        let errors = self.found.iter().filter(|problem| problem.is_error()).count();
        let mut room = (errors.min(MOST_SHOWN), MOST_SHOWN.saturating_sub(errors));
        shown.retain(|problem| {
            let room = if problem.is_error() { &mut room.0 } else { &mut room.1 };
            let fits = *room > 0;
            *room = room.saturating_sub(1);
            fits
        });
        let left = self.len() - shown.len();
        (shown, left)
    }

    /// A line for each error that is shown, and one that says how many are not: what is a reason to refuse a file.
    pub fn error_lines(&self) -> Vec<String> {
        let errors: Vec<&Problem> =
            self.sorted().into_iter().filter(|problem| problem.is_error()).take(MOST_SHOWN).collect();
        let left = self.error_count() - errors.len();
        errors.into_iter().map(ToString::to_string).chain(and_more(left)).collect()
    }

    /// A line for each that is shown, and one that says how many are not.
    pub fn lines(&self) -> Vec<String> {
        let (shown, left) = self.shown();
        shown.into_iter().map(ToString::to_string).chain(and_more(left)).collect()
    }

    /// What is shown, rendered one after the other with a blank line between, and how much is not.
    pub fn render(&self, styled: bool) -> String {
        let (shown, left) = self.shown();
        let texts = shown.into_iter().map(|problem| problem.render(styled));
        texts.chain(and_more(left)).collect::<Vec<_>>().join("\n\n")
    }
}

fn and_more(left: usize) -> Option<String> {
    let noun = if left == 1 { "problem" } else { "problems" };
    (left > 0).then(|| format!("and {left} more {noun}, which are not shown"))
}

/// The candidate that `wrong` was most likely meant to be, if one is close enough to suggest.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |candidate: &str| strsim::jaro_winkler(&wrong.to_lowercase(), &candidate.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.84)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests;
