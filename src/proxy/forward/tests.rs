//! Requests as rows, and what of them goes upstream.
