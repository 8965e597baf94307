//! What else than its own meaning upstreams see in a path: many compare without case, some cut off what follows a `;`,
//! and some divide a segment at an encoded slash.

use crate::request::target::Target;

/// Whether there can be other readings of `target`; it costs nothing for most.
pub(super) fn has_others(target: &Target<'_>) -> bool {
    let telling = |byte: u8| matches!(byte, b'A'..=b'Z' | b';' | b'%');
    target.path().bytes().fold(false, |found, byte| found | telling(byte))
}

/// The segments of each reading, in lower case.
pub(super) fn others(target: &Target<'_>) -> Vec<Vec<String>> {
    let plain: Vec<String> = target.segments().map(|segment| fold(&segment)).collect();
    let mut all = Vec::new();
    if target.has_encoded_slash() {
        let divided = plain.iter().flat_map(|segment| segment.split('/')).map(str::to_owned).collect();
        all.push(divided);
    }
    all.push(plain);
    // Whoever cuts may do so before or after it divides, which comes to the same.
    let cut: Vec<_> = all.iter().filter(|segments| has_parameters(segments)).map(|all| cut(all)).collect();
    all.extend(cut);
    all
}

/// The segments with a slash at the end if there is none, and without it if there is one.
pub(super) fn toggle_slash(mut segments: Vec<String>) -> Option<Vec<String>> {
    match segments.as_slice() {
        [] | [_] if segments.iter().all(String::is_empty) => return None,
        [.., last] if last.is_empty() => {
            segments.pop();
        }
        _ => segments.push(String::new()),
    }
    Some(segments)
}

/// `text` as it compares for whoever ignores case. Some compare both cases of a letter, so that the Kelvin sign is a `k`, a
/// long s an `s` and a dotless i an `i`.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

fn has_parameters(segments: &[String]) -> bool {
    segments.iter().any(|segment| segment.contains(';'))
}

/// The segments without their parameters, and without those that are empty then: whoever cuts merges slashes, too.
fn cut(segments: &[String]) -> Vec<String> {
    let names = segments.iter().map(|segment| segment.split(';').next().unwrap_or_default());
    let last = segments.len() - 1;
    let kept = names.enumerate().filter(|(at, name)| *at == last || !name.is_empty());
    kept.map(|(_, name)| name.to_owned()).collect()
}
