//! The reference of every key as a page of Markdown, made of the schema and so of what the reader of the file knows.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What a definition of the schema is referred to by.
const DEFINITIONS: &str = "#/definitions/";

/// Writes the page.
pub(super) fn page(schema: &Value) -> String {
    let mut page = Page { definitions: &schema["definitions"], text: String::new(), done: BTreeSet::new() };
    page.text.push_str(
        "# Reference\n\nEvery key of gateway.yaml, as `portcullis schema --markdown` writes it. [gateway.yaml](../gateway.yaml) shows \
         them at work. `NAME` stands for a name of yours, `[]` for each entry of a list.\n",
    );
    page.section("gateway.yaml", "", schema);
    page.text
}

struct Page<'s> {
    definitions: &'s Value,
    text: String,
    /// Paths that have a section.
    done: BTreeSet<String>,
}

impl<'s> Page<'s> {
    /// A section for an object, and then one for each object in it.
    fn section(&mut self, title: &str, path: &str, object: &'s Value) {
        if !self.done.insert(path.to_owned()) {
            return;
        }
        self.text.push_str(&format!("\n## {title}\n\n"));
        if let Some(description) = object["description"].as_str() {
            self.text.push_str(&format!("{}\n\n", line(description)));
        }
        self.text.push_str("| key | value | |\n|---|---|---|\n");
        let required: Vec<&str> =
            object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut inside = Vec::new();
        for (key, value) in properties(object) {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let mut about = value["description"].as_str().or(self.resolved(value)["description"].as_str());
            about = about.filter(|about| !about.is_empty());
            let mut notes = vec![line(about.unwrap_or_default())];
            if required.contains(&key.as_str()) {
                notes.push("Required.".to_owned());
            }
            if let Some(default) = value.get("default").filter(|default| is_simple(default)) {
                notes.push(format!("Default: `{}`.", plain(default)));
            }
            let kind = self.kind(value, &below, &mut inside);
            self.text.push_str(&format!(
                "| `{key}` | {} | {} |\n",
                cell(&kind),
                cell(notes.join(" ").trim())
            ));
        }
        for (path, object) in inside {
            self.section(&format!("`{path}`"), &path, object);
        }
    }

    /// What kind of value stands there. Objects get sections of their own, which are added to `inside`.
    fn kind(&self, value: &'s Value, path: &str, inside: &mut Vec<(String, &'s Value)>) -> String {
        let value = self.resolved(value);
        if !properties(value).is_empty() {
            inside.push((path.to_owned(), value));
            return format!("[mapping](#{})", anchor(path));
        }
        if let Some(choices) = ["oneOf", "anyOf"].iter().find_map(|name| value[*name].as_array()) {
            let kinds = choices.iter().filter(|choice| choice["type"] != "null").map(|choice| {
                // A mapping with one key is known by that key.
                match properties(choice).as_slice() {
                    [(key, only)] => {
                        format!("`{key}:` {}", self.kind(only, &format!("{path}.{key}"), inside))
                    }
                    _ => self.kind(choice, path, inside),
                }
            });
            return kinds.collect::<Vec<_>>().join(", or ");
        }
        if let Some(fixed) = value.get("const") {
            return format!("`{}`", plain(fixed));
        }
        if let Some(names) = value["enum"].as_array() {
            return names.iter().map(|name| format!("`{}`", plain(name))).collect::<Vec<_>>().join(", ");
        }
        // `["integer", "null"]` is a number that may be left out.
        let kinds = value["type"].as_array().into_iter().flatten().chain([&value["type"]]);
        match kinds.filter_map(Value::as_str).find(|kind| *kind != "null") {
            Some("array") => format!("list: {}", self.kind(&value["items"], &format!("{path}[]"), inside)),
            Some("object") if value["additionalProperties"].is_object() => {
                let kind = self.kind(&value["additionalProperties"], &format!("{path}.NAME"), inside);
                format!("`NAME:` {kind}")
            }
            Some("integer") => "whole number".to_owned(),
            Some("number") => "number".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("object") => "mapping".to_owned(),
            Some(_) | None => {
                let examples: Vec<String> = value["examples"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|example| format!("`{}`", plain(example)))
                    .collect();
                if examples.is_empty() {
                    "text".to_owned()
                } else {
                    format!("such as {}", examples.join(", "))
                }
            }
        }
    }

    /// The definition that is referred to, without the wrappers that only add a description or allow nothing.
    fn resolved(&self, value: &'s Value) -> &'s Value {
        if let Some(name) = value["$ref"].as_str().and_then(|path| path.strip_prefix(DEFINITIONS)) {
            return self.resolved(&self.definitions[name]);
        }
        let choices = ["allOf", "anyOf"].iter().find_map(|name| value[*name].as_array());
        let real: Vec<&Value> =
            choices.into_iter().flatten().filter(|choice| choice["type"] != "null").collect();
        match real.as_slice() {
            [only] => self.resolved(only),
            _ => value,
        }
    }
}

fn properties(object: &Value) -> Vec<(&String, &Value)> {
    object["properties"].as_object().map(Map::iter).into_iter().flatten().collect()
}

fn is_simple(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// What a heading is linked by: lower case, without what is neither a letter, a digit, a hyphen nor an underscore.
fn anchor(path: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
    path.to_lowercase().chars().filter(kept).collect()
}
