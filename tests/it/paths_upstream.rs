//! What a route and its upstream change on the way: path, host, redirects, and the limits of one route.

mod applications;
mod base_path;
mod host;
mod limits;
mod location;
