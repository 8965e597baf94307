//! How problems are shown, counted and ordered.

use super::*;

fn place(text: &str, at: &str) -> Place {
    let start = text.find(at).unwrap();
    let source = Source::new(PathBuf::from("gateway.yaml"), text, &[]);
    Place::new(Arc::new(source), start.try_into().unwrap(), (start + at.len()).try_into().unwrap())
}

#[test]
fn line_and_column_are_counted_in_characters_from_one() {
    let place = place("a: 1\n  né: x\n", "x");
    assert_eq!((place.line(), place.column()), (2, 7));
}

#[test]
fn a_rendered_problem_names_place_line_caret_and_hint() {
    let text = "auth:\n  users:\n    audiance: x\n";
    let mut problems = Problems::default();
    problems.error(&place(text, "audiance"), "unknown key `audiance`").hint("did you mean `audience`?");
    let expect = "error: unknown key `audiance`\n --> gateway.yaml:3:5\n  |\n3 |     audiance: x\n  |     ^^^^^^^^\n  |\n  = help: did you mean `audience`?";
    assert_eq!(problems.render(false), expect);
    assert_eq!(
        problems.sorted()[0].to_string(),
        "gateway.yaml:3:5: unknown key `audiance` (did you mean `audience`?)"
    );
}

#[test]
fn secrets_are_masked_in_the_quoted_line() {
    let text = "secret: hunter2\n";
    let source = Arc::new(Source::new(PathBuf::from("g.yaml"), text, std::slice::from_ref(&(8..15))));
    let mut problems = Problems::default();
    problems.error(&Place::new(source, 0, 6), "wrong");
    let rendered = problems.render(false);
    assert!(rendered.contains("secret: *******") && !rendered.contains("hunter2"), "{rendered}");
}

#[test]
fn many_problems_are_counted_and_some_are_shown() {
    let text = "a: b\n".repeat(5_000);
    let source = Arc::new(Source::new(PathBuf::from("g.yaml"), &text, &[]));
    let mut problems = Problems::default();
    for at in 0..5_000 {
        // The last one is what the file is refused for.
        let severity = if at == 4_999 { Severity::Error } else { Severity::Warning };
        problems.add(severity, Some(Place::new(source.clone(), at * 5, at * 5 + 1)), "wrong".to_owned());
    }
    assert_eq!((problems.error_count(), problems.len()), (1, 5_000));
    let (lines, rendered) = (problems.lines(), problems.render(false));
    assert_eq!(lines.len(), MOST_SHOWN + 1);
    assert_eq!(
        lines[MOST_SHOWN - 2..],
        ["g.yaml:99:1: wrong", "g.yaml:5000:1: wrong", "and 4900 more problems, which are not shown"]
    );
    assert_eq!(rendered.matches("wrong").count(), MOST_SHOWN);
    assert!(rendered.contains("g.yaml:5000:1") && rendered.ends_with("not shown"), "{rendered}");
    problems.count_error();
    assert_eq!((problems.error_count(), problems.len()), (2, 5_001));
}

#[test]
fn nearest_suggests_only_what_is_close() {
    let keys = ["audience", "issuer", "algorithms"];
    assert_eq!(nearest("audiance", keys), Some("audience"));
    assert_eq!(nearest("Issuer", keys), Some("issuer"));
    assert_eq!(nearest("colour", keys), None);
}
