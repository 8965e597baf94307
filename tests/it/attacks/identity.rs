//! Who a request says it is, and who it is.
