//! Appends an entry to a key file. The rest of the file keeps its order and its comments.

use std::fs;

use super::locate::KeyFilePath;
use super::read;
use super::replace::Replacement;
use crate::authn::api_key::Expiry;
use crate::clock::rfc3339;
use crate::hex;

/// A new entry.
pub(super) struct Addition<'a> {
    pub(super) id: &'a str,
    pub(super) owner: &'a str,
    pub(super) label: &'a str,
    pub(super) sha256: &'a [u8; 32],
    pub(super) scopes: &'a [String],
    pub(super) roles: &'a [String],
    pub(super) created: u64,
    pub(super) expires: Expiry,
}

/// Appends `addition` to a key file, which is made if it does not exist. The new text is read as the gateway would read it
/// before it replaces the old one.
pub(super) fn append(file: &KeyFilePath, addition: &Addition<'_>) -> Result<(), String> {
    let KeyFilePath { path: name, configuration } = file;
    let replacement = Replacement::begin(name, configuration.as_deref())?;
    let path = replacement.path();
    let (before, count, indent) = if replacement.exists() {
        let file = read(path)?;
        let text = fs::read_to_string(path)
            .map_err(|error| format!("error: cannot read `{}`: {error}", path.display()))?;
        let indent = file.keys.first().map_or(2, |first| first.id.place().column().saturating_sub(7));
        (text, file.keys.len(), " ".repeat(indent))
    } else {
        (String::new(), 0, "  ".to_owned())
    };
    let mut text = if count == 0 { comments(&before) + "keys:\n" } else { before };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&addition.lines(&indent));
    let staged = replacement.stage(&text)?;
    if read(staged.path()).is_ok_and(|file| file.keys.len() == count + 1) {
        staged.commit()
    } else {
        Err(format!(
            "error: an entry cannot be appended to `{}`: write its `keys` as a list with one `-` line for each, and try again",
            name.display()
        ))
    }
}

impl Addition<'_> {
    fn lines(&self, indent: &str) -> String {
        let Self { id, owner, label, sha256, scopes, roles, created, expires } = self;
        let list = |words: &[String]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        let mut lines = format!("{indent}- id: {id}\n{indent}  owner: {}\n", quoted(owner));
        if !label.is_empty() {
            lines.push_str(&format!("{indent}  label: {}\n", quoted(label)));
        }
        let expires = match expires {
            Expiry::At(second) => rfc3339(*second),
            Expiry::Never => "never".to_owned(),
        };
        lines.push_str(&format!(
            "{indent}  sha256: \"{}\"\n{indent}  scopes: [{}]\n{indent}  roles: [{}]\n{indent}  created: {}\n{indent}  expires: {expires}\n",
            hex::encode(*sha256),
            list(scopes),
            list(roles),
            rfc3339(*created),
        ));
        lines
    }
}

/// The comments of a file without keys.
fn comments(text: &str) -> String {
    text.lines().filter(|line| line.starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

/// A YAML string in double quotes, in which JSON's escapes mean the same.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn append(path: &Path, addition: &Addition<'_>) -> Result<(), String> {
        super::append(&KeyFilePath { path: path.to_path_buf(), configuration: None }, addition)
    }

    fn addition(owner: &str) -> Addition<'_> {
        Addition {
            id: "k_new",
            owner,
            label: "nightly \"export\": all",
            sha256: &[7; 32],
            scopes: &[],
            roles: &[],
            created: 1_795_251_600,
            expires: Expiry::Never,
        }
    }

    const HASH: &str = "0101010101010101010101010101010101010101010101010101010101010101";

    #[test]
    fn keeps_existing_entries_and_comments() {
        for (before, good) in [
            (None, true),
            (Some(String::new()), true),
            (Some("keys:\n".to_owned()), true),
            (Some("keys: []\n".to_owned()), true),
            (Some("# none yet\n".to_owned()), true),
            (
                Some(format!(
                    "# ours\nkeys:\n- id: a # first\n  owner: acme\n  sha256: \"{HASH}\"\n  expires: never"
                )),
                true,
            ),
            (
                Some(format!(
                    "keys:\n    - id: a\n      owner: acme\n      sha256: \"{HASH}\"\n      expires: never\n"
                )),
                true,
            ),
            (Some(format!("keys: [{{ id: a, owner: acme, sha256: \"{HASH}\", expires: never }}]\n")), false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("keys.yaml");
            if let Some(text) = &before {
                fs::write(&path, text).unwrap();
            }
            let result = append(&path, &addition("acme: \"x\""));
            assert_eq!(result.is_ok(), good, "{before:?} {result:?}");
            assert!(fs::read_dir(folder.path()).unwrap().count() <= 1, "a temporary file stays");
            if good {
                let after = fs::read_to_string(&path).unwrap();
                let kept =
                    before.filter(|text| text.contains("- id") || text.starts_with('#')).unwrap_or_default();
                assert!(after.starts_with(&kept), "{after}");
                let file = read(&path).unwrap();
                let new = file.keys.last().unwrap();
                assert_eq!(
                    (new.owner.as_str(), new.label.as_deref()),
                    ("acme: \"x\"", Some("nightly \"export\": all"))
                );
            }
        }
    }
}
