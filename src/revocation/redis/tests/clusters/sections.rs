//! The section `redis` with a cluster: what is accepted, and what each mistake is told.

use crate::revocation::redis::fixture::{server, try_server};

#[test]
fn sections() {
    let good = "{ cluster: [\"redis://a\", \"redis://b:7000/0\"], username: gateway, password: \"${REDIS_PASSWORD}\" }";
    assert_eq!(server(good).to_string(), "the cluster of redis://a:6379, redis://b:7000");
    assert!(!format!("{:?}", server(good)).contains("hunter2"));
    assert!(server(good) == server(good) && server(good) != server("{ cluster: [\"redis://a\"] }"));
    for (section, expect) in [
        ("{ cluster: [] }", "at least one node of the cluster must stand here"),
        ("{ cluster: \"redis://a\" }", "a list is expected here"),
        ("{ cluster: [\"a:6379\"] }", "this is no address of a Redis"),
        ("{ cluster: [\"redis://a/3\"] }", "a Redis Cluster has no databases other than 0"),
        ("{ cluster: [\"redis://:hunter2@a\"] }", "a password stands in the url"),
        ("{ cluster: [\"redis://a\", \"rediss://b\"] }", "some of these speak TLS and some do not"),
        ("{ cluster: [\"redis://a\"], ca: /etc/hostname }", "`ca` is for TLS"),
        ("{ cluster: [\"redis://a\"], url: \"redis://a\" }", "`url` and `cluster` both say where Redis is"),
        (
            "{ cluster: [\"redis://a\"], sentinel: { service: m, nodes: [\"redis://a\"] } }",
            "`sentinel` and `cluster` both say where Redis is",
        ),
        ("{ cluster: [\"redis://a\"], database: 1 }", "unknown key `database`"),
    ] {
        let problems = try_server(section).expect_err(section);
        assert!(problems.contains(expect), "{section}: {problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}
