//! What is gathered while a policy is loaded: the problems that were found and the files that were read.
//!
//! Every file passes through here, so the list of files to watch for changes is complete by construction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, SHA256};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Visitor};

use crate::clock::Clock;
use crate::hex;
use crate::problem::{Place, Problems};
use crate::secret::{Secret, looks_like_a_credential};
use crate::yaml::{self, Environment, Located};

/// The state of loading one policy.
pub struct Loading<'a> {
    /// Everything that is wrong.
    pub problems: Problems,
    /// The time that expiries are judged by.
    pub clock: Clock,
    environment: Environment<'a>,
    reserved: &'a [&'a str],
    read: BTreeSet<PathBuf>,
    /// The SHA-256 of what was read, but of no secret: a short one could be found by trying.
    contents: BTreeMap<PathBuf, [u8; digest::SHA256_OUTPUT_LEN]>,
}

/// No single file of a policy may be larger than this.
const LARGEST_FILE: u64 = 1 << 30;

/// Bytes of a fingerprint: enough that no two policies have the same one.
const FINGERPRINT: usize = 16;

impl<'a> Loading<'a> {
    /// Starts with nothing found and nothing read. Keys in `reserved` are refused as "not supported yet".
    pub fn new(clock: Clock, environment: Environment<'a>, reserved: &'a [&'a str]) -> Self {
        let (read, contents) = (BTreeSet::new(), BTreeMap::new());
        Self { problems: Problems::default(), clock, environment, reserved, read, contents }
    }

    /// The files that were read or should have been there to be read.
    pub fn files(&self) -> &BTreeSet<PathBuf> {
        &self.read
    }

    /// What tells one policy from another: 32 hexadecimal digits made from the text of every file but secrets. It is the
    /// same on every machine that has the same files at the same places beside the one at `root`.
    pub fn fingerprint(&self, root: &Path) -> String {
        let mut context = digest::Context::new(&SHA256);
        for (path, content) in &self.contents {
            let name = root.parent().and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path);
            let name = name.as_os_str().as_bytes();
            context.update(&(name.len() as u64).to_be_bytes());
            context.update(name);
            context.update(content);
        }
        hex::encode(context.finish().as_ref().get(..FINGERPRINT).unwrap_or_default())
    }

    fn remember(&mut self, path: &Path, bytes: &[u8]) {
        let mut content = [0; digest::SHA256_OUTPUT_LEN];
        content.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
        self.contents.insert(path.to_path_buf(), content);
    }

    /// Reads the YAML document at `path`, which no other file mentions.
    pub fn root_document<T: DeserializeOwned>(&mut self, path: &Path) -> Option<Located<T>> {
        self.read.insert(path.to_path_buf());
        match read_file(path) {
            Ok(bytes) => {
                self.remember(path, &bytes);
                self.parse(path.to_path_buf(), &bytes)
            }
            Err(error) => {
                self.problems.error_without_place(format!("cannot read `{}`: {error}", path.display()));
                None
            }
        }
    }

    /// Reads the YAML document that `name` points to.
    pub fn document<T: DeserializeOwned>(&mut self, name: &Located<PathBuf>) -> Option<Located<T>> {
        let bytes = self.file(name)?;
        self.parse(resolve(name), &bytes)
    }

    fn parse<T: DeserializeOwned>(&mut self, path: PathBuf, bytes: &[u8]) -> Option<Located<T>> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.problems.error_without_place(format!("`{}` is not UTF-8 text", path.display()));
            return None;
        };
        // Some editors begin a file with a byte order mark, which means nothing in UTF-8 (RFC 3629 §6).
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let options = yaml::Options { environment: self.environment, reserved: self.reserved };
        yaml::read(path, text, &options, &mut self.problems)
    }

    /// Reads the file that `name` points to, relative to the file that `name` stands in.
    pub fn file(&mut self, name: &Located<PathBuf>) -> Option<Vec<u8>> {
        let bytes = self.secret_file(name)?;
        self.remember(&resolve(name), &bytes);
        Some(bytes)
    }

    fn secret_file(&mut self, name: &Located<PathBuf>) -> Option<Vec<u8>> {
        let path = resolve(name);
        self.read.insert(path.clone());
        match read_file(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let problem = self.problems.error(name.place(), format!("cannot read this file: {error}"));
                if looks_like_a_credential(&name.to_string_lossy()) {
                    problem.hint("the path of a file is expected here, and this looks like a credential");
                } else if error.kind() == std::io::ErrorKind::NotFound {
                    problem.hint(format!("it is looked for at `{}`", path.display()));
                }
                None
            }
        }
    }

    /// Reads the file that `name` points to as UTF-8 text.
    pub fn text(&mut self, name: &Located<PathBuf>) -> Option<String> {
        let bytes = self.file(name)?;
        let text = String::from_utf8(bytes).ok();
        if text.is_none() {
            self.problems.error(name.place(), "this file is not UTF-8 text");
        }
        text
    }

    /// Resolves a secret: `file:PATH` is read from that file without its last newline. Anything else must have come
    /// from an environment variable, since a secret that stands in the file itself ends up in version control.
    pub fn secret(&mut self, reference: &Located<SecretReference>) -> Option<Secret> {
        let secret = match &**reference {
            SecretReference::File(path) => {
                let mut bytes = self.secret_file(&Located::new(path.clone(), reference.place().clone()))?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                    if bytes.last() == Some(&b'\r') {
                        bytes.pop();
                    }
                }
                Secret::new(bytes)
            }
            SecretReference::Value(secret) => secret.clone(),
        };
        if secret.is_empty() {
            self.problems.error(reference.place(), "this secret is empty");
            return None;
        }
        Some(secret)
    }

    /// Adds an error at `place`; short for going through [`Loading::problems`].
    pub fn error(&mut self, place: &Place, what: impl Into<String>) -> &mut crate::problem::Problem {
        self.problems.error(place, what)
    }
}

/// Where a secret comes from, as the file says it.
#[derive(Clone, Debug)]
pub enum SecretReference {
    /// `file:PATH`.
    File(PathBuf),
    /// The value itself, after environment variables were replaced.
    Value(Secret),
}

impl PartialEq for SecretReference {
    /// Two references are the same when they name the same file; values are never compared.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(left), Self::File(right)) => left == right,
            (Self::File(_), Self::Value(_)) | (Self::Value(_), Self::File(_) | Self::Value(_)) => false,
        }
    }
}

impl<'de> Deserialize<'de> for SecretReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(yaml::SECRET_MARKER, SecretReferenceVisitor)
    }
}

struct SecretReferenceVisitor;

impl<'de> Visitor<'de> for SecretReferenceVisitor {
    type Value = SecretReference;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`file:PATH` or `${NAME}`")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<SecretReference, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.strip_prefix("file:") {
            Some(path) => SecretReference::File(PathBuf::from(path)),
            None => SecretReference::Value(Secret::from(text)),
        })
    }
}

impl schemars::JsonSchema for SecretReference {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^file:.+|^\\$\\{[A-Za-z_][A-Za-z0-9_]*",
            "description": "Where the secret comes from: `file:PATH` or an environment variable, `${NAME}`.",
            "examples": ["file:secrets/redis", "${REDIS_PASSWORD}"]
        })
    }
}

/// The path that `name` means: relative paths start at the folder of the file they stand in.
pub fn resolve(name: &Located<PathBuf>) -> PathBuf {
    match name.place().path().parent() {
        Some(folder) if name.is_relative() => folder.join(&**name),
        Some(_) | None => name.to_path_buf(),
    }
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if metadata.len() > LARGEST_FILE {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it is larger than 1 GiB"));
    }
    std::fs::read(path)
}
