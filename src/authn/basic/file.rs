//! The file of users: one `name:hash` a line, as `htpasswd` writes them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::authn::credential::API_KEY_USER;
use crate::authn::identity::Subject;
use crate::authn::password::StoredHash;
use crate::loading::{Loading, resolve};
use crate::problem::{Place, Source};
use crate::yaml::Located;

/// Reads the lines of the file that `name` points to; everything wrong with it is reported.
pub(super) fn read(
    name: &Located<PathBuf>,
    loading: &mut Loading<'_>,
) -> Option<Vec<(Place, Box<str>, StoredHash)>> {
    let text = loading.text(name)?;
    let errors_before = loading.problems.error_count();
    let lines = lines(&text);
    let hashes: Vec<_> =
        lines.iter().map(|line| line.start + line.name.len()..line.start + line.text.len()).collect();
    let source = Arc::new(Source::new(resolve(name), &text, &hashes));
    let place = |start: usize, length: usize| {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Place::new(source.clone(), narrow(start), narrow(start + length))
    };
    let mut seen: HashMap<&str, Place> = HashMap::new();
    let mut users = Vec::with_capacity(lines.len());
    for line in &lines {
        let user_place = place(line.start, line.name.len());
        let Some(hash) = line.hash else {
            loading
                .error(&user_place, "a line is `name:hash`")
                .hint("`portcullis hash-password NAME` writes one");
            continue;
        };
        if Subject::new(line.name).is_none() {
            loading
                .error(&user_place, "this name cannot be passed on in a header")
                .hint("use 1 to 512 characters without control characters or white space at either end");
            continue;
        }
        if line.name == API_KEY_USER {
            loading
                .error(&user_place, format!("the name `{API_KEY_USER}` stands for an API key in HTTP Basic"))
                .hint("choose another name");
            continue;
        }
        if let Some(first) = seen.insert(line.name, user_place.clone()) {
            loading.error(&user_place, format!("the user `{}` is listed twice", line.name)).hint_at_line(
                "the first one is in line ",
                &first,
                "",
            );
            continue;
        }
        match StoredHash::parse(hash) {
            Ok(hash) => users.push((user_place, line.name.into(), hash)),
            Err(what) => {
                loading
                    .error(&place(line.start, line.name.len()), format!("{what}: user `{}`", line.name))
                    .hint("argon2id and bcrypt are: `portcullis hash-password NAME` writes such a line");
            }
        }
    }
    (loading.problems.error_count() == errors_before).then_some(users)
}

struct Line<'a> {
    start: usize,
    text: &'a str,
    name: &'a str,
    hash: Option<&'a str>,
}

/// The lines that are neither empty nor comments, with the place they start at.
fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for raw in text.split_inclusive('\n') {
        let line = raw.trim_end_matches(['\n', '\r']);
        if !line.is_empty() && !line.starts_with('#') {
            let (name, hash) = match line.split_once(':') {
                Some((name, hash)) => (name, Some(hash)),
                None => ("", None),
            };
            lines.push(Line { start, text: line, name, hash });
        }
        start += raw.len();
    }
    lines
}
