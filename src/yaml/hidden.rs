//! What is not shown when a line of a file is quoted: values that may be a secret, for the place that they stand in.
//!
//! The place decides, and not what the value looks like: a secret that people made up looks like any word. What is told by
//! its form besides, such as a token in the wrong place, is a second net.

use std::ops::Range;

use super::environment::is_name;
use super::reading::is_shown;
use super::tree::{Node, Tree, line_end};
use crate::problem::nearest;
use crate::secret::looks_like_a_credential;

/// Keys whose values are masked when a line is quoted, whatever else is wrong with them.
const SECRET_KEYS: [&str; 6] = ["secret", "password", "token", "passphrase", "passwd", "credential"];

/// Keys of digests and hashes: from those of a short secret, the secret is found by trying.
const DIGEST_KEYS: [&str; 2] = ["sha256", "hash"];

/// Keys whose values are URLs, in which users, passwords and queries may stand, or that have URLs below them.
const URL_KEYS: [&str; 9] =
    ["cluster", "issuer", "jwks_url", "nodes", "otlp", "request", "targets", "upstreams", "url"];

/// The key of policy tests, and those keys in them that have header fields below them: a field of a request may be a
/// credential, and so may one that the upstream is to get.
const TESTS: &str = "tests";
const HEADER_KEYS: [&str; 2] = ["headers", "upstream"];

/// What a node stands under, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    /// Anything else.
    Other,
    /// `tests`.
    Tests,
    /// One of [`URL_KEYS`].
    Urls,
}

/// The stretches of `text` that may hold a secret.
pub(super) fn secrets(tree: &Tree, text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if matches!(tree.node, Node::Mapping(_)) {
        collect(tree, Under::Other, text, &mut found);
    } else {
        // This is no document of ours; it may be a file that holds nothing but a secret.
        found.push(0..text.len());
    }
    found
}

/// Whether `raw` says where a secret is instead of being one; a default would be one, and so may be what is no name.
pub(super) fn is_reference(raw: &str) -> bool {
    let variable = raw.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    raw.starts_with("file:") || variable.is_some_and(is_name)
}

fn collect(tree: &Tree, under: Under, text: &str, found: &mut Vec<Range<usize>>) {
    match &tree.node {
        Node::Null | Node::Boolean(_) | Node::Integer(_) | Node::Number(_) => {}
        Node::Text(value) => {
            let (start, end) = (tree.start as usize, tree.end as usize);
            let raw = text.get(start..end).unwrap_or_default();
            if looks_like_a_credential(value) {
                found.push(start..end);
            } else {
                let within = parts_of_a_url(raw, value, under).into_iter().flatten();
                found.extend(within.map(|part| start + part.start..start + part.end));
            }
        }
        Node::Sequence(items) => items.iter().for_each(|item| collect(item, under, text, found)),
        Node::Mapping(entries) => {
            for (key, value) in entries {
                collect_entry(key, value, under, text, found);
            }
        }
    }
}

fn collect_entry(key: &Tree, value: &Tree, under: Under, text: &str, found: &mut Vec<Range<usize>>) {
    let name = if let Node::Text(name) = &key.node { name.as_str() } else { "" };
    // With a space too few after a colon, the value is a part of the key.
    if name.contains([':', '@']) || looks_like_a_credential(name) {
        found.push(key.start as usize..key.end as usize);
    }
    if !matches!(key.node, Node::Text(_)) {
        found.push(key.start as usize..line_end(text, key.start as usize));
    }
    if is_hidden(name, value) {
        found.push(key.up_to_the_end_of(value, text));
    } else if under == Under::Tests && HEADER_KEYS.contains(&name) {
        collect_headers(key, value, text, found);
    } else {
        let under = match under {
            Under::Other if name == TESTS => Under::Tests,
            Under::Other | Under::Tests if URL_KEYS.contains(&name) => Under::Urls,
            Under::Other | Under::Tests | Under::Urls => under,
        };
        collect(value, under, text, found);
    }
}

/// Whether all of what stands under the key `name` is hidden. A misspelt key is no reason to show it.
fn is_hidden(name: &str, value: &Tree) -> bool {
    let lower = name.to_ascii_lowercase();
    if DIGEST_KEYS.contains(&&*lower) {
        return true;
    }
    let secret = SECRET_KEYS.iter().any(|key| lower.contains(key)) || nearest(&lower, SECRET_KEYS).is_some();
    secret && !matches!(&value.node, Node::Text(raw) if is_reference(raw))
}

/// Hides the values of header fields, and whatever may be one.
fn collect_headers(key: &Tree, value: &Tree, text: &str, found: &mut Vec<Range<usize>>) {
    if value.entries().is_empty() {
        found.push(key.up_to_the_end_of(value, text));
        return;
    }
    for (name, value) in value.entries() {
        let shown = matches!(&name.node, Node::Text(name) if is_shown(name));
        // With a space too few the field's value is a part of its name.
        if !shown || matches!(value.node, Node::Null) {
            found.push(name.start as usize..name.end as usize);
        }
        found.push(name.up_to_the_end_of(value, text));
    }
}

/// What may be secret of a text that is a URL, or holds one: the user and the password, and from the query on everything.
fn parts_of_a_url(raw: &str, value: &str, under: Under) -> [Option<Range<usize>>; 2] {
    let is_url = under == Under::Urls || raw.contains("://");
    // Where an escape stands for one of these, nobody can see it.
    if is_url && raw.contains('\\') && value.contains(['@', '?', '#']) {
        return [Some(0..raw.len()), None];
    }
    let user = raw.rfind('@').filter(|at| is_url || raw[..*at].contains(':'));
    let user = user.map(|to| raw.find("://").map_or(0, |at| at + 3).min(to)..to);
    let query = raw.find(['?', '#']).filter(|_| is_url);
    [user, query.map(|from| from..raw.len())]
}
