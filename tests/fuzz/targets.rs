//! What must hold for any input at all. Each target reads the bytes that a client or an operator may have written, and
//! compares what the gateway makes of them with an independent reading.
//!
//! `cargo fuzz run NAME` searches for inputs that break them; `tests/seeds.rs` runs them on their seeds and variations.

#[path = "targets/answers.rs"]
pub mod answers;
#[path = "targets/chunks.rs"]
pub mod chunks;
#[path = "targets/configuration.rs"]
pub mod configuration;
#[path = "targets/credential.rs"]
pub mod credential;
#[path = "targets/decision.rs"]
pub mod decision;
#[path = "targets/entry.rs"]
pub mod entry;
#[path = "targets/files.rs"]
pub mod files;
#[path = "targets/forwarded.rs"]
pub mod forwarded;
#[path = "targets/head.rs"]
pub mod head;
#[path = "targets/nodes.rs"]
pub mod nodes;
#[path = "targets/policy.rs"]
pub mod policy;
#[path = "targets/target.rs"]
pub mod target;
#[path = "targets/token.rs"]
pub mod token;

/// What runs on an input, and panics when something does not hold.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const ALL: [(&str, Target); 12] = [
    ("answers", answers::run),
    ("chunks", chunks::run),
    ("configuration", configuration::run),
    ("credential", credential::run),
    ("decision", decision::run),
    ("entry", entry::run),
    ("files", files::run),
    ("forwarded", forwarded::run),
    ("head", head::run),
    ("nodes", nodes::run),
    ("target", target::run),
    ("token", token::run),
];
