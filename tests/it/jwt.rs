//! What must never work with a token (RFC 8725), tried on the real binary with a real issuer.

mod algorithms;
mod cache;
mod claims;
mod corpus;
mod encoding;
mod headers;
mod keys;
mod signatures;
mod stand;
