//! Who has to be followed and when the list counts as whole, by tables of what the nodes say.

use std::time::Duration;

use super::super::view::tests::view_of;
use super::*;

const A: &str = "a 1.1.1.1:1@2 master - 0 0 1 connected 0-8191";
const B: &str = "b 1.1.1.2:1@2 master - 0 0 2 connected 8192-16383";

/// What `id` says when it knows these nodes.
fn said_by(id: &str, nodes: &[&str]) -> View {
    let lines: Vec<String> = nodes
        .iter()
        .map(|line| {
            let (mark, own) = ("master", format!("{id} "));
            if line.starts_with(&own) { line.replacen(mark, "myself,master", 1) } else { (*line).to_owned() }
        })
        .collect();
    view_of(true, &lines.join("\n")).unwrap()
}

fn state(nodes: &[(&str, Option<View>)]) -> State {
    let now = Instant::now();
    let mut state = State::default();
    for (id, view) in nodes {
        let digit = u16::from(id.as_bytes()[0] - b'a' + 1);
        let endpoint = Endpoint {
            host: format!("1.1.1.{digit}"),
            port: 1,
            scheme: crate::revocation::redis::endpoint::Scheme::Plain,
        };
        let as_of = view.as_ref().map(|_| now + Duration::from_secs(u64::from(digit)));
        state.nodes.insert((*id).to_owned(), Followed { endpoint, view: view.clone(), as_of });
    }
    state
}

type Row = (&'static str, Vec<(&'static str, Option<View>)>, &'static str, Option<&'static str>);

fn check(rows: Vec<Row>) {
    for (what, nodes, plan, trouble) in rows {
        let state = state(&nodes);
        assert_eq!(state.plan().into_keys().collect::<String>(), plan, "{what}");
        assert_eq!(state.trouble().map(|loss| loss.to_string()).as_deref(), trouble, "{what}");
        let oldest = plan.chars().next().and_then(|id| state.nodes.get(&id.to_string())?.as_of);
        assert_eq!(state.complete_as_of(), oldest.filter(|_| trouble.is_none()), "{what}");
    }
}

#[test]
fn the_list_is_whole_when_everybody_who_may_hold_entries_is_heard() {
    let both = [A, B];
    let slotless = "c 1.1.1.3:1@2 master - 0 0 0 connected";
    let taken_over = "c 1.1.1.3:1@2 master - 0 0 9 connected 0-8191";
    check(vec![
        ("nobody", vec![], "", Some("no node of the cluster can be asked: ")),
        ("both", vec![("a", Some(said_by("a", &both))), ("b", Some(said_by("b", &both)))], "ab", None),
        (
            "one of them is not heard",
            vec![("a", Some(said_by("a", &both))), ("b", None)],
            "ab",
            Some("the node redis://1.1.1.2:1 of the cluster cannot be followed"),
        ),
        (
            "one of them is not there yet",
            vec![("a", Some(said_by("a", &both)))],
            "ab",
            Some("the node redis://1.1.1.2:1 of the cluster cannot be followed"),
        ),
        (
            "somebody without slots",
            vec![("a", Some(said_by("a", &[A, B, slotless]))), ("b", Some(said_by("b", &[A, B, slotless])))],
            "ab",
            None,
        ),
        (
            "a slot is on its way to somebody",
            vec![
                (
                    "a",
                    Some(said_by(
                        "a",
                        &["a 1.1.1.1:1@2 master - 0 0 1 connected 0-8191 [7->-c]", B, slotless],
                    )),
                ),
                ("b", Some(said_by("b", &[A, B, slotless]))),
            ],
            "abc",
            Some("the node redis://1.1.1.3:1 of the cluster cannot be followed"),
        ),
        (
            "one was replaced and has not heard of it",
            vec![
                ("a", Some(said_by("a", &both))),
                ("b", Some(said_by("b", &["a 1.1.1.1:1@2 master,fail - 0 0 1 connected", B, taken_over]))),
            ],
            "abc",
            Some("the node redis://1.1.1.3:1 of the cluster cannot be followed"),
        ),
        (
            "one was replaced and has gone",
            vec![
                ("a", None),
                ("b", Some(said_by("b", &["a 1.1.1.1:1@2 master,fail - 0 0 1 connected", B, taken_over]))),
                ("c", Some(said_by("c", &["a 1.1.1.1:1@2 master,fail - 0 0 1 connected", B, taken_over]))),
            ],
            "bc",
            None,
        ),
        (
            "one was thrown out and has not heard of it",
            vec![
                ("a", Some(said_by("a", &[A, B, taken_over]))),
                ("b", Some(said_by("b", &[B, taken_over]))),
                ("c", Some(said_by("c", &[B, taken_over]))),
            ],
            "bc",
            None,
        ),
    ]);
}

#[test]
fn the_list_is_not_whole_when_a_slot_is_nobodys() {
    let both = [A, B];
    check(vec![
        (
            "an owner has failed",
            vec![
                ("a", Some(said_by("a", &[A, "b 1.1.1.2:1@2 master,fail - 0 0 2 connected 8192-16383"]))),
                ("b", Some(said_by("b", &both))),
            ],
            "ab",
            Some("slot 8192 of the cluster has no owner that is well, says redis://1.1.1.1:1"),
        ),
        (
            "only one of them knows that a slot has no owner",
            vec![
                ("a", Some(said_by("a", &["a 1.1.1.1:1@2 master - 0 0 1 connected 0-8190", B]))),
                ("b", Some(said_by("b", &both))),
            ],
            "ab",
            Some("slot 8191 of the cluster has no owner that is well, says redis://1.1.1.1:1"),
        ),
        (
            "one of them says that the cluster is down",
            vec![
                ("a", view_of(false, &[&A.replacen("master", "myself,master", 1), B].join("\n"))),
                ("b", Some(said_by("b", &both))),
            ],
            "ab",
            Some("the cluster is down, says redis://1.1.1.1:1"),
        ),
    ]);
}

#[test]
fn a_rumour_says_whom_to_follow_and_proves_nothing() {
    let mut state = State { rumour: Some(said_by("a", &[A, B])), ..State::default() };
    assert_eq!(state.plan().into_keys().collect::<String>(), "ab");
    assert!(state.trouble().is_some() && state.complete_as_of().is_none());
    let alone = said_by("b", &["b 1.1.1.2:1@2 master - 0 0 2 connected 0-16383"]);
    let Followed { endpoint, .. } = self::state(&[("b", None)]).nodes.remove("b").unwrap();
    let as_of = Some(Instant::now());
    state.nodes.insert("b".to_owned(), Followed { endpoint, view: Some(alone), as_of });
    assert_eq!(state.plan().into_keys().collect::<String>(), "b", "what is heard at first hand counts more");
    assert_eq!(state.complete_as_of(), as_of);
}

/// A node that has moved is followed where it is now.
#[test]
fn another_address_is_another_follower() {
    let moved = "b 1.1.1.9:1@2 master - 0 0 2 connected 8192-16383";
    let nodes = [("a", Some(said_by("a", &[A, moved]))), ("b", Some(said_by("b", &[A, moved])))];
    let trouble = state(&nodes).trouble().map(|loss| loss.to_string());
    assert_eq!(trouble.as_deref(), Some("the node redis://1.1.1.9:1 of the cluster cannot be followed"));
}
