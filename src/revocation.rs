//! Is this credential still good?
