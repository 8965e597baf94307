//! The floor that knows pingora.
