//! Texts of tests: indentation and placeholders.

use super::failure;
use crate::harness::text::{dedent, fill};

#[test]
fn indentation_is_taken_away() {
    for (name, text, expect) in [
        ("none", "a\n  b\n", "a\n  b\n"),
        ("shared", "\n    a:\n      b\n\n    c\n    ", "a:\n  b\n\nc\n"),
        ("one line", "a", "a\n"),
        ("only the first empty line goes", "\n\n  a\n", "\na\n"),
    ] {
        assert_eq!(dedent(text), expect, "{name}");
    }
}

#[test]
fn placeholders_are_filled() {
    let values = [("up", "http://a:1"), ("b_2", "x"), ("b_2", "{up}")];
    let values: Vec<_> =
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for (name, text, expect) in [
        ("none", "a: {b: c}", "a: {b: c}"),
        ("one", r#"a: "{up}/x""#, r#"a: "http://a:1/x""#),
        ("the last value counts, and is not filled again", "{b_2}", "{up}"),
        ("a variable is left alone", "${up} ${REDIS:-x}", "${up} ${REDIS:-x}"),
        ("YAML is left alone", "{ up } {Up} {} {up: 1} {up", "{ up } {Up} {} {up: 1} {up"),
    ] {
        assert_eq!(fill(text, &values), expect, "{name}");
    }
    assert!(failure(|| fill("{missing}", &values)).contains("{missing}"));
}
