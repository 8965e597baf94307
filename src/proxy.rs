//! The floor that knows pingora.

pub mod fetch;
pub mod keys;
