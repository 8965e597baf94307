//! The texts that tests write: configuration with `{placeholders}`, indented as the code around it is.

/// Takes away the first line if it is empty, and the indentation that all lines share.
pub fn dedent(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let shared =
        text.lines().filter(|line| !line.trim().is_empty()).map(indentation).min().unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().map(|line| line.get(shared..).unwrap_or_default()).collect();
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    lines.join("\n") + "\n"
}

/// Puts values in the place of `{name}`. A name is of lower-case letters, digits and underscores, so the braces of YAML
/// and of `${VARIABLES}` are left alone.
///
/// # Panics
/// When a placeholder has no value, which is a mistake in the test.
#[track_caller]
pub fn fill(text: &str, values: &[(String, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, after) = rest.split_at(open);
        filled.push_str(before);
        let name = after[1..].split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
        match name {
            Some(name) if !filled.ends_with('$') => {
                let value = values.iter().rev().find(|(known, _)| known == name);
                let (_, value) = value.unwrap_or_else(|| panic!("no value for the placeholder {{{name}}}"));
                filled.push_str(value);
                rest = &after[name.len() + 2..];
            }
            Some(_) | None => {
                filled.push('{');
                rest = &after[1..];
            }
        }
    }
    filled + rest
}

fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !text.is_empty() && text.bytes().all(letter)
}
