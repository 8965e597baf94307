//! Following a real Redis: what other programs write, what goes wrong, and how fast it is.

mod changes;
mod clusters;
mod figures;
mod outages;
mod rights;
mod sections;
mod sentinels;
mod writing;

use crate::authn::revocable::{Kind, Revocable};

/// A token of `subject` with this `jti`, issued at second 1000.
fn token(subject: &str, jti: &str) -> Revocable {
    Revocable::new(subject, Some(1000)).with_jti("https://id.example.com", jti).with(Kind::Sid, "s-1")
}
