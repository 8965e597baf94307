//! The command line.

pub mod revoke;
