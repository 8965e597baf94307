//! Replaces `${NAME}` and `${NAME:-default}` in string values. It happens after the YAML was parsed, so a variable's
//! value can never add a key or close a quote.

use super::Environment;

/// Replaces every reference in `raw`, or says which one is wrong. The text of the error names variables, never values.
pub(super) fn expand(raw: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find("${") {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let end = after.find('}').ok_or_else(|| "`${` is not closed with `}`".to_owned())?;
        let (name, default) = match after[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&after[..end], None),
        };
        if !is_name(name) {
            return Err(
                "a variable is written `${NAME}` or `${NAME:-default}`, its name of letters, digits and `_`"
                    .into(),
            );
        }
        match (environment(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => expanded.push_str(&value),
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => {
                return Err(format!(
                    "the environment variable `{name}` is not set and has no default (`${{{name}:-…}}`)"
                ));
            }
        }
        rest = &after[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Whether it is the name of a variable: letters, digits and `_`, and no digit first.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced() {
        let environment = |name: &str| match name {
            "HOST" => Some("redis".to_owned()),
            "TRICK" => Some("x\"\nadmin: yes ${HOST}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (raw, expect) in [
            ("redis://${HOST}:6379/0", Ok("redis://redis:6379/0")),
            ("${HOST}${HOST}", Ok("redisredis")),
            ("${PORT:-6379}", Ok("6379")),
            ("${EMPTY:-full}", Ok("full")),
            ("${HOST:-other}", Ok("redis")),
            ("${TRICK}", Ok("x\"\nadmin: yes ${HOST}")),
            ("$HOST {x}", Ok("$HOST {x}")),
            ("${PORT}", Err("the environment variable `PORT` is not set and has no default (`${PORT:-…}`)")),
            ("${PORT", Err("`${` is not closed with `}`")),
            (
                "${}",
                Err(
                    "a variable is written `${NAME}` or `${NAME:-default}`, its name of letters, digits and `_`",
                ),
            ),
        ] {
            assert_eq!(
                expand(raw, &environment).as_deref(),
                expect.map_err(str::to_owned).as_ref().map(|t| *t),
                "{raw}"
            );
        }
    }
}
