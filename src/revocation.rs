//! Is this credential still good?
pub mod cutoff;
pub mod entry;
pub mod mirror;
/// x
#[derive(Debug)]
pub struct Revocations;
