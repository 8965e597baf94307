//! Reads a document, and recovers: an entry that cannot be read is reported, taken out and the document is read again
//! without it, until nothing new is found.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::Options;
use super::deserializer::Reader;
use super::fault::{Fault, NodeId, key_hint};
use super::located::{self, Located};
use super::tree::{Node, Tree};
use crate::problem::{Place, Problems, Source, nearest};
use crate::secret::looks_like_a_credential;

/// One reading of one document.
pub(super) struct Reading<'t> {
    root: &'t Tree,
    source: Arc<Source>,
    pub(super) options: &'t Options<'t>,
    /// Nodes that are wrong, have been reported and are now passed over.
    skipped: RefCell<HashSet<NodeId>>,
    problems: RefCell<Problems>,
    /// What is not quoted, beside what was known before the file was read.
    hidden: RefCell<Vec<Range<usize>>>,
}

/// After this many problems a file is not worth reading further.
const MOST_PROBLEMS: usize = 200;

impl<'t> Reading<'t> {
    pub(super) fn new(root: &'t Tree, source: Arc<Source>, options: &'t Options<'t>) -> Self {
        Self {
            root,
            source,
            options,
            skipped: RefCell::default(),
            problems: RefCell::default(),
            hidden: RefCell::default(),
        }
    }

    /// Reads the whole document, adding what is wrong with it to `problems`.
    pub(super) fn document<T: DeserializeOwned>(self, problems: &mut Problems) -> Option<Located<T>> {
        let value = located::within(&self.source, || self.read_until_nothing_new());
        self.source.hide(&self.hidden.into_inner());
        problems.append(self.problems.into_inner());
        let place = Place::new(self.source.clone(), self.root.start, self.root.start);
        value.map(|value| Located::new(value, place))
    }

    fn read_until_nothing_new<T: DeserializeOwned>(&self) -> Option<T> {
        loop {
            let fault = match T::deserialize(self.node(self.root)) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            };
            let entry = self.report(&fault)?;
            if !self.skipped.borrow_mut().insert(entry) {
                return None;
            }
            let mut problems = self.problems.borrow_mut();
            if problems.len() >= MOST_PROBLEMS {
                let path = self.source.path().display();
                problems.error_without_place(format!("the rest of `{path}` was not read: mend these first"));
                return None;
            }
        }
    }

    /// Reports `fault` unless it only follows from an earlier one, and names the entry to take out.
    fn report(&self, fault: &Fault) -> Option<NodeId> {
        // A key that is there with a mistake, in its value or its name, is not missing besides.
        let follows = fault.missing_field().is_some_and(|(container, name)| {
            container.entries().iter().any(|(key, value)| self.is_skipped(value) && is_like(key, name))
        });
        if !follows {
            let tree = fault.tree().unwrap_or(self.root);
            let mut problems = self.problems.borrow_mut();
            let problem = problems.error(&self.place(tree), fault.what());
            if let Some(hint) = fault.hint() {
                problem.hint(hint);
            }
        }
        fault.entry()
    }

    /// Reports a key that is not known here and passes over its value.
    pub(super) fn report_unknown_key(
        &self,
        key: &Tree,
        name: &str,
        value: &Tree,
        known: &'static [&'static str],
    ) {
        self.skipped.borrow_mut().insert(NodeId::of(value));
        self.hide(key, value);
        // With a space too few a value becomes a part of the key, or a key of its own.
        let shown = is_shown(name) && !matches!(value.node, Node::Null);
        if !shown {
            self.hidden.borrow_mut().push(key.start as usize..key.end as usize);
        }
        let mut problems = self.problems.borrow_mut();
        if problems.len() >= MOST_PROBLEMS {
            problems.count_error();
            return;
        }
        if self.options.reserved.contains(&name) {
            problems
                .error(&self.place(key), format!("`{name}` is not supported yet"))
                .hint("this key is reserved for a later version: remove it");
            return;
        }
        if shown {
            problems.error(&self.place(key), format!("unknown key `{name}`")).hint(key_hint(name, known));
        } else {
            let hint = format!("a key is followed by a colon, a space and a value; {}", key_hint("", known));
            problems.error(&self.place(key), "unknown key, which is not shown").hint(hint);
        }
    }

    /// What stands under a key that means nothing may be anything: it is not quoted, whatever is wrong in its line.
    pub(super) fn hide(&self, key: &Tree, value: &Tree) {
        let range = key.up_to_the_end_of(value, &self.source.masked());
        self.hidden.borrow_mut().push(range);
    }

    /// Tells a name that a later version will know from one that nobody will.
    pub(super) fn or_reserved<'f>(&self, fault: Fault<'f>) -> Fault<'f> {
        let reserved = fault.unknown_name().is_some_and(|name| self.options.reserved.contains(&name));
        if reserved { fault.not_supported_yet() } else { fault }
    }

    /// Whether the node has been taken out.
    pub(super) fn is_skipped(&self, tree: &Tree) -> bool {
        self.skipped.borrow().contains(&NodeId::of(tree))
    }

    fn place(&self, tree: &Tree) -> Place {
        Place::new(self.source.clone(), tree.start, tree.end)
    }

    /// A reader for the value `tree`.
    pub(super) fn node(&self, tree: &'t Tree) -> Reader<'t, '_> {
        Reader { tree, reading: self, expand: true }
    }
}

/// Whether the name of an unknown key may be shown: it looks like a name, and not like something that is none.
pub(super) fn is_shown(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.len() <= 40 && name.bytes().all(plain) && !looks_like_a_credential(name)
}

fn is_like(tree: &Tree, expected: &str) -> bool {
    matches!(&tree.node, Node::Text(text) if nearest(text, [expected]).is_some())
}
