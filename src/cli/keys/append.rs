//! Appends an entry to a key file without touching what is there: comments and order stay as people wrote them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::read;
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

/// Appends `addition` to the file at `path`, which is made if there is none. The new text is read as the gateway would
/// read it before it takes the place of the old one.
pub(super) fn append(path: &Path, addition: &Addition<'_>) -> Result<(), String> {
    // Of two commands at the same time, the second reads what the first has written.
    let _lock = lock(path)
        .map_err(|error| format!("error: cannot lock the folder of `{}`: {error}", path.display()))?;
    let entry = |indent: &str| addition.lines(indent);
    let (before, count, indent) = if path.exists() {
        let file = read(path)?;
        let text = fs::read_to_string(path)
            .map_err(|error| format!("error: cannot read `{}`: {error}", path.display()))?;
        let indent = file.keys.first().map_or(2, |first| first.id.place().column().saturating_sub(7));
        (text, file.keys.len(), " ".repeat(indent))
    } else {
        ("keys:\n".to_owned(), 0, "  ".to_owned())
    };
    let mut text = if count == 0 { comments(&before) + "keys:\n" } else { before };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&entry(&indent));
    let next = neighbour(path);
    write_private(&next, &text, path)
        .map_err(|error| format!("error: cannot write `{}`: {error}", next.display()))?;
    let good = read(&next).is_ok_and(|file| file.keys.len() == count + 1);
    if !good {
        let _ = fs::remove_file(&next);
        return Err(format!(
            "error: an entry cannot be appended to `{}`: write its `keys` as a list with one `-` line for each, and try again",
            path.display()
        ));
    }
    fs::rename(&next, path).map_err(|error| format!("error: cannot replace `{}`: {error}", path.display()))
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

/// Waits for the folder of `path`, which is locked until the file is dropped. The file itself cannot be, because another
/// one takes its place.
fn lock(path: &Path) -> std::io::Result<fs::File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::File::open(folder.unwrap_or(Path::new(".")))?;
    folder.lock()?;
    Ok(folder)
}

/// The lines of a file without keys that people wrote for each other.
fn comments(text: &str) -> String {
    text.lines().filter(|line| line.starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

/// A YAML string in double quotes, in which JSON's escapes mean the same.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A name beside `path`, so that the new file can take its place in one step.
fn neighbour(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Writes a file that others cannot read, or that has the permissions of `like`.
fn write_private(path: &Path, text: &str, like: &Path) -> std::io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Ok(metadata) = fs::metadata(like) {
        fs::set_permissions(path, fs::Permissions::from_mode(metadata.permissions().mode() & 0o777))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_there_stays() {
        for (before, good) in [
            (None, true),
            (Some("keys: []\n".to_owned()), true),
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
            assert!(!folder.path().join("keys.yaml.new").exists());
            if good {
                let after = fs::read_to_string(&path).unwrap();
                let kept = before.filter(|text| !text.contains("[]")).unwrap_or_default();
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

    #[test]
    fn a_new_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.yaml");
        append(&path, &addition("acme")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
