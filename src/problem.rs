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
    hint: Option<String>,
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
        self.hint = Some(hint.into());
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
        let text = self.place.as_ref().map(|place| place.source.masked());
        let mut group = match self.place.as_ref().zip(text.as_deref()) {
            Some((place, text)) => {
                let path = place.path().to_string_lossy();
                title.element(
                    Snippet::source(text.as_str())
                        .path(path)
                        .annotation(AnnotationKind::Primary.span(place.first_line(text))),
                )
            }
            None => annotate_snippets::Group::with_title(title),
        };
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
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
pub struct Problems(Vec<Problem>);

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
        let at = self.0.len();
        self.0.push(Problem { severity, place, what, hint: None });
        &mut self.0[at]
    }

    /// Takes over everything that `other` found.
    pub fn append(&mut self, other: Problems) {
        self.0.extend(other.0);
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Problem::is_error)
    }

    /// How many errors there are.
    pub fn error_count(&self) -> usize {
        self.0.iter().filter(|problem| problem.is_error()).count()
    }

    /// How many problems there are, warnings included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems, ordered by file and line so that they read like the file.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut problems: Vec<&Problem> = self.0.iter().collect();
        problems.sort_by_key(|problem| {
            problem
                .place
                .as_ref()
                .map(|place| (place.path().to_path_buf(), place.start, problem.what.clone()))
        });
        problems
    }

    /// All of them, rendered one after the other with a blank line between.
    pub fn render(&self, styled: bool) -> String {
        let texts: Vec<String> = self.sorted().into_iter().map(|problem| problem.render(styled)).collect();
        texts.join("\n\n")
    }
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
mod tests {
    use super::*;

    fn place(text: &str, at: &str) -> Place {
        let start = text.find(at).unwrap();
        let source = Source::new(PathBuf::from("gateway.yaml"), text, &[]);
        Place::new(Arc::new(source), start.try_into().unwrap(), (start + at.len()).try_into().unwrap())
    }

    #[test]
    fn line_and_column_are_counted_in_characters_from_one() {
        let place = place("a: 1\n  né: x\n", "x");
        assert_eq!((place.line(), place.column()), (2, 7));
    }

    #[test]
    fn a_rendered_problem_names_place_line_caret_and_hint() {
        let text = "auth:\n  users:\n    audiance: x\n";
        let mut problems = Problems::default();
        problems.error(&place(text, "audiance"), "unknown key `audiance`").hint("did you mean `audience`?");
        let expect = "error: unknown key `audiance`\n --> gateway.yaml:3:5\n  |\n3 |     audiance: x\n  |     ^^^^^^^^\n  |\n  = help: did you mean `audience`?";
        assert_eq!(problems.render(false), expect);
        assert_eq!(
            problems.sorted()[0].to_string(),
            "gateway.yaml:3:5: unknown key `audiance` (did you mean `audience`?)"
        );
    }

    #[test]
    fn secrets_are_masked_in_the_quoted_line() {
        let text = "secret: hunter2\n";
        let source = Arc::new(Source::new(PathBuf::from("g.yaml"), text, std::slice::from_ref(&(8..15))));
        let mut problems = Problems::default();
        problems.error(&Place::new(source, 0, 6), "wrong");
        let rendered = problems.render(false);
        assert!(rendered.contains("secret: *******") && !rendered.contains("hunter2"), "{rendered}");
    }

    #[test]
    fn nearest_suggests_only_what_is_close() {
        let keys = ["audience", "issuer", "algorithms"];
        assert_eq!(nearest("audiance", keys), Some("audience"));
        assert_eq!(nearest("Issuer", keys), Some("issuer"));
        assert_eq!(nearest("colour", keys), None);
    }
}
