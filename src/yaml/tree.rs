//! A YAML text as a tree of nodes that know their place. Nothing is interpreted here beyond YAML's own scalars.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use super::hidden;
use super::reading::is_shown;
use crate::problem::{Place, Problems, Source};
use crate::secret::looks_like_a_credential;

/// A node and the bytes of the text it stands in.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) node: Node,
    pub(super) start: u32,
    pub(super) end: u32,
}

#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    Sequence(Vec<Tree>),
    Mapping(Vec<(Tree, Tree)>),
}

impl Tree {
    /// Parses `text`; a syntax error or a duplicate key becomes a problem.
    pub(super) fn parse(path: PathBuf, text: &str, problems: &mut Problems) -> Option<(Tree, Arc<Source>)> {
        let options = serde_yaml::options! {
            // With this policy a mapping hands over every entry, so all duplicates are found here and not only the first.
            duplicate_keys: DuplicateKeyPolicy::LastWins,
            merge_keys: MergeKeyPolicy::Error,
            strict_booleans: true,
            reject_unsupported_tags: true,
            alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: 0 },
            budget: serde_yaml::budget! {
                max_events: 60_000_000,
                max_nodes: 30_000_000,
                max_total_scalar_bytes: 1 << 31,
                max_depth: 32,
            },
        };
        match serde_yaml::from_str_with_options::<serde_yaml::Spanned<Node>>(text, options) {
            Ok(spanned) => {
                let tree = Tree::from(spanned);
                let secrets = hidden::secrets(&tree, text);
                let source = Arc::new(Source::new(path, text, &secrets));
                tree.report_duplicates(&source, problems);
                Some((tree, source))
            }
            Err(error) => {
                // The text could not be understood, so which parts are secret is not known either.
                let source = Arc::new(Source::new(path, text, &contents(text)));
                let start = error.location().map_or(0, |at| byte_at(text, at.line(), at.column()));
                let what = error.without_snippet().to_string();
                let what = what.lines().next().unwrap_or_default();
                // The place is said by the problem itself.
                let what = what.split_once(" at line ").map_or(what, |(what, _)| what);
                let what = if what.starts_with("alias ") { ALIAS.to_owned() } else { without_names(what) };
                let problem =
                    problems.error(&Place::new(source, start, start + 1), format!("not valid YAML: {what}"));
                if what != ALIAS {
                    problem.hint(SYNTAX);
                }
                None
            }
        }
    }

    /// The entries of a mapping; none of anything else.
    pub(super) fn entries(&self) -> &[(Tree, Tree)] {
        match &self.node {
            Node::Mapping(entries) => entries,
            Node::Null
            | Node::Boolean(_)
            | Node::Integer(_)
            | Node::Number(_)
            | Node::Text(_)
            | Node::Sequence(_) => &[],
        }
    }

    fn report_duplicates(&self, source: &Arc<Source>, problems: &mut Problems) {
        match &self.node {
            Node::Null | Node::Boolean(_) | Node::Integer(_) | Node::Number(_) | Node::Text(_) => {}
            Node::Sequence(items) => items.iter().for_each(|item| item.report_duplicates(source, problems)),
            Node::Mapping(entries) => {
                let mut seen: HashMap<&str, Place> = HashMap::new();
                for (key, value) in entries {
                    if let Node::Text(name) = &key.node {
                        let place = Place::new(source.clone(), key.start, key.end);
                        if let Some(first) = seen.get(name.as_str()) {
                            let name =
                                if is_shown(name) { format!("`{name}`") } else { "this key".to_owned() };
                            problems.error(&place, format!("{name} is given twice")).hint_at_line(
                                "the first one is in line ",
                                first,
                                ": keep one of them",
                            );
                        } else {
                            seen.insert(name, place);
                        }
                    }
                    value.report_duplicates(source, problems);
                }
            }
        }
    }

    /// Where the node ends, with everything in it: the parser gives a list or mapping the span of its first byte.
    fn last_byte(&self) -> u32 {
        let inside = match &self.node {
            Node::Null | Node::Boolean(_) | Node::Integer(_) | Node::Number(_) | Node::Text(_) => None,
            Node::Sequence(items) => items.last().map(Tree::last_byte),
            Node::Mapping(entries) => entries.last().map(|(_, value)| value.last_byte()),
        };
        inside.map_or(self.end, |inside| inside.max(self.end))
    }

    /// The stretch behind this key in which `value` stands: from the colon on, because an anchor or a tag may stand before
    /// the value, and a password may begin with `&` or `!`. Without a value they are all there is, up to the line's end.
    pub(super) fn up_to_the_end_of(&self, value: &Tree, text: &str) -> Range<usize> {
        let end = match &value.node {
            Node::Null => line_end(text, self.end as usize),
            Node::Boolean(_)
            | Node::Integer(_)
            | Node::Number(_)
            | Node::Text(_)
            | Node::Sequence(_)
            | Node::Mapping(_) => value.last_byte() as usize,
        };
        let start = self.end as usize + 1;
        let space = text.get(start..end).map_or(0, |text| text.len() - text.trim_start_matches(' ').len());
        start + space..end
    }
}

/// What to look for where a file is no YAML: parsers notice later than people go wrong.
const SYNTAX: &str = "look here and in the line above: keys that belong together begin in the same column, indented with \
                      spaces; a colon is followed by a space; quotes and brackets are closed";

/// The parser would say that the limit of what aliases bring in, which is nothing, was exceeded.
const ALIAS: &str = "what stands here is used again by an alias: write it in both places";

/// The parser's message without the names of tags and anchors that it quotes: a password may begin with `!`, `&` or `*`.
fn without_names(what: &str) -> String {
    what.split('`').step_by(2).map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Where the line that byte `at` stands in ends.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| at + end)
}

/// The byte at which a character stands; lines and columns are counted from 1. Beyond the end it is the last one.
fn byte_at(text: &str, line: u64, column: u64) -> u32 {
    let nth = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let before: usize = text.split_inclusive('\n').take(nth(line)).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    let within = rest.char_indices().nth(nth(column)).map_or(rest.len(), |(at, _)| at);
    u32::try_from((before + within).min(text.trim_end().len())).unwrap_or_default()
}

/// All but the structure, for texts that are not valid YAML: what stands before the first colon of a line, and after it
/// white space, brackets, quotes, commas and colons.
fn contents(text: &str) -> Vec<Range<usize>> {
    const STRUCTURE: &[char] = &[' ', '\t', '{', '}', '[', ']', ',', ':', '"', '\'', '\r', '\n'];
    let mut ranges = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let key =
            line.find(':').filter(|colon| !looks_like_a_credential(&line[..*colon])).unwrap_or_default();
        let inside = line[key..].char_indices().filter(|(_, letter)| !STRUCTURE.contains(letter));
        ranges.extend(inside.map(|(at, letter)| start + key + at..start + key + at + letter.len_utf8()));
        start += line.len();
    }
    ranges
}

impl From<serde_yaml::Spanned<Node>> for Tree {
    fn from(spanned: serde_yaml::Spanned<Node>) -> Self {
        let span = spanned.referenced.span();
        let narrow =
            |offset: Option<u64>| offset.and_then(|offset| u32::try_from(offset).ok()).unwrap_or_default();
        let start = narrow(span.byte_offset());
        let end = start.saturating_add(narrow(span.byte_len()));
        Tree { node: spanned.value, start, end }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML node")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "integers beyond 2^63 mean nothing in any of our files"
        )]
        Ok(i64::try_from(value).map_or(Node::Number(value as f64), Node::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut trees = Vec::new();
        while let Some(item) = items.next_element::<serde_yaml::Spanned<Node>>()? {
            trees.push(Tree::from(item));
        }
        Ok(Node::Sequence(trees))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut trees = Vec::new();
        while let Some((key, value)) =
            entries.next_entry::<serde_yaml::Spanned<Node>, serde_yaml::Spanned<Node>>()?
        {
            trees.push((Tree::from(key), Tree::from(value)));
        }
        Ok(Node::Mapping(trees))
    }
}
