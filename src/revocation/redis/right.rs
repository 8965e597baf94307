//! Which right of a Redis user (an ACL) is missing, by the words in which Redis refuses a command.

use super::connection::Loss;

/// Every command that this program sends, as ACLs name it. What the server says is shown only if it is one of these: a
/// server may say anything, and the text stands in logs.
const COMMANDS: [&str; 17] = [
    "asking",
    "client|tracking",
    "cluster|info",
    "cluster|nodes",
    "cluster|slots",
    "del",
    "exec",
    "get",
    "getrange",
    "hello",
    "info",
    "multi",
    "ping",
    "pttl",
    "scan",
    "select",
    "set",
];

/// The right that is missing, from the text behind `NOPERM`: `User NAME has no permissions to run the 'multi' command`, or
/// `No permissions to access a key` (Redis 7), and `this user has no permissions …` (Redis 6).
pub(super) fn missing_right(detail: &str) -> Option<Loss> {
    let quoted = detail.split('\'').nth(1).map(str::to_ascii_lowercase);
    match quoted.as_deref() {
        // Redis 6 names a command without the subcommand.
        Some("client") => Some(Loss::NoRight("client|tracking")),
        Some(command) => COMMANDS.into_iter().find(|known| *known == command).map(Loss::NoRight),
        None if detail.contains("access") && detail.contains("key") => Some(Loss::NoRightToKeys),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_missing_right() {
        let message = |right: &str, command: &str| {
            format!(
                "the Redis user has no right to run `{command}`: grant it with `ACL SETUSER USER +{right}`, and keep it \
                 with `ACL SAVE`"
            )
        };
        for (detail, expected) in [
            ("User gateway has no permissions to run the 'multi' command", Some(message("multi", "MULTI"))),
            (
                "this user has no permissions to run the 'client' command or its subcommand",
                Some(message("client|tracking", "CLIENT TRACKING")),
            ),
            (
                "User gateway has no permissions to run the 'client|tracking' command",
                Some(message("client|tracking", "CLIENT TRACKING")),
            ),
            ("User gateway has no permissions to run the 'hunter2' command", None),
            ("hunter2", None),
            ("", None),
        ] {
            assert_eq!(missing_right(detail).map(|loss| loss.to_string()), expected, "{detail}");
        }
        for detail in [
            "No permissions to access a key",
            "this user has no permissions to access one of the keys used as arguments",
        ] {
            assert!(matches!(missing_right(detail), Some(Loss::NoRightToKeys)), "{detail}");
        }
    }
}
