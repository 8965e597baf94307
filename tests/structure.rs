//! The structure of the source is a promise; this reads `src/` and holds it to that.
#![expect(clippy::unwrap_used, reason = "all of this is a test, also where it is not in a test function")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by floor, lowest first. A file imports only from floors below its own, or from its own module.
const FLOORS: [&[&str]; 8] = [
    &["address", "clock", "fingerprint", "hex", "loading", "problem", "secret", "telemetry", "units", "yaml"],
    &["request"],
    &["authn"],
    &["revocation"],
    &["gateway"],
    &["config"],
    &["proxy"],
    &["cli"],
];

/// No file is longer than this many lines.
const LONGEST_FILE: usize = 400;

struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn module(&self) -> &str {
        let first = self.path.components().next().unwrap().as_os_str().to_str().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The lines that are neither comments nor tests, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]").map_or(usize::MAX, |at| self.text[..at].lines().count());
        self.text
            .lines()
            .enumerate()
            .take_while(move |(at, _)| *at < tests)
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(at, line)| (at + 1, line))
    }

    fn is_test(&self) -> bool {
        self.path.components().any(|part| {
            let part = part.as_os_str().to_str().unwrap();
            matches!(part, "tests" | "tests.rs" | "fixture.rs")
        })
    }
}

fn sources() -> Vec<File> {
    fn collect(folder: &Path, root: &Path, files: &mut Vec<File>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, root, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push(File { path: path.strip_prefix(root).unwrap().to_path_buf(), text });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(files.len() > 50, "the sources are where they are looked for");
    files
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

fn report(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_module_has_a_floor_and_imports_only_from_below() {
    let mut found = Vec::new();
    for file in sources() {
        let module = file.module();
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some(own) = floor(module) else {
            found.push(format!("{}: `{module}` has no floor", file.path.display()));
            continue;
        };
        for (line, text) in file.code() {
            for (at, _) in text.match_indices("crate::") {
                let name = text[at + 7..]
                    .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                    .next()
                    .unwrap();
                // On the ground floor everything is vocabulary and may use everything else that is.
                let upward = floor(name)
                    .is_some_and(|other| other > own || (other == own && own > 0 && name != module));
                if upward {
                    found.push(format!("{}:{line}: {module} imports {name}", file.path.display()));
                }
            }
        }
    }
    report(&found);
}

#[test]
fn what_only_one_place_may_do_is_done_there_only() {
    let rules: [(&str, &[&str]); 8] = [
        // What stands in the code, and the files or folders that may say it.
        ("pingora", &["proxy"]),
        ("tokio::spawn", &["proxy"]),
        ("thread::spawn", &["proxy"]),
        ("thread::Builder", &["proxy"]),
        ("process::exit", &[]),
        ("SystemTime::now", &["clock.rs"]),
        ("x-auth-", &["gateway/fact.rs", "proxy/forward.rs"]),
        ("unsafe ", &[]),
    ];
    let mut found = Vec::new();
    for file in sources().iter().filter(|file| !file.is_test()) {
        for (word, places) in rules {
            let allowed = places.iter().any(|place| {
                file.path.starts_with(place)
                    || file.path.with_extension("") == Path::new(place)
                    || file.path == Path::new(place)
            });
            if allowed {
                continue;
            }
            for (line, _) in file.code().filter(|(_, text)| text.contains(word)) {
                found.push(format!("{}:{line}: `{word}` belongs to {places:?}", file.path.display()));
            }
        }
    }
    report(&found);
}

#[test]
fn every_file_says_what_it_answers_and_is_of_a_size_to_be_read() {
    let mut found = Vec::new();
    for file in sources() {
        if !file.text.starts_with("//! ") {
            found.push(format!("{}: does not open with what it answers", file.path.display()));
        }
        let lines = file.text.lines().count();
        if lines > LONGEST_FILE {
            found.push(format!("{}: {lines} lines", file.path.display()));
        }
        if file.path.ends_with("mod.rs") {
            found.push(format!("{}: a module is `name.rs` beside `name/`", file.path.display()));
        }
    }
    report(&found);
}
