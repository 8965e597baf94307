//! Routes as rows.
