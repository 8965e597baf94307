//! Finds the route of a request: by host, then by path, then by method.
//!
//! The most specific route wins, whatever the order in the file: an exact host before a wildcard before none, a longer
//! path before a shorter one, a literal segment before `*` before `**`, a route with methods before one without. The
//! table is a tree for each host, so a look-up costs as much as the path has segments, however many routes there are.
//!
//! A public route takes no method from a guarded one that is more specific and does not match it: whoever lists methods where
//! callers are asked who they are does not mean that the others are for everybody.
//!
//! A path has one meaning here, but there are upstreams that see others in it. One that they would take for the path of
//! another route has no route: otherwise a looser one would be a way around a stricter one.

mod near;
mod pattern;
mod reading;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

use super::requirement::Methods;
use super::route::Route;
use crate::request::Request;
pub use near::{Miss, Near};
pub use pattern::{HostPattern, PathPattern, Pattern, PatternError, Segment, Tail};

/// All routes.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    exact: Trees,
    /// The same routes with their segments in lower case.
    folded: Trees,
    /// Whether a route has a letter in upper case, so that the two differ.
    folds: bool,
    /// Whether a route with a guard ends with a slash.
    slashes: bool,
}

/// The routes below each host.
#[derive(Debug, Default)]
struct Trees {
    exact_hosts: HashMap<Box<str>, Node>,
    /// By the suffix with its leading dot.
    wildcard_hosts: HashMap<Box<str>, Node>,
    any_host: Node,
}

/// What a look-up finds.
#[derive(Debug)]
pub enum Lookup {
    /// The route.
    Found(Arc<Route>),
    /// Routes for the path, but not for the method; the methods there are.
    MethodNotAllowed(HeaderValue),
    /// Nothing.
    NoRoute,
}

/// The routes below one path.
#[derive(Debug, Default)]
struct Node {
    literal: HashMap<Box<str>, Node>,
    any: Option<Box<Node>>,
    /// Routes that end here, those with methods first.
    here: Vec<Arc<Route>>,
    /// Routes that take everything from here on (`/**`), those with methods first.
    below: Vec<Arc<Route>>,
}

impl RouteTable {
    /// Builds the table. Two routes with the same pattern and a method in common are for the caller to find and refuse.
    pub fn new(routes: Vec<Arc<Route>>) -> Self {
        let literals = routes.iter().flat_map(|route| &route.pattern.path.segments);
        let folds = literals.clone().any(|segment| *segment != segment.to_lower_case());
        let ends_with_slash = |route: &Arc<Route>| route.pattern.path.ends_with_slash() && !route.is_public();
        let slashes = routes.iter().any(ends_with_slash);
        let exact = Trees::new(&routes, Segment::clone);
        let folded = Trees::new(&routes, Segment::to_lower_case);
        Self { routes, exact, folded, folds, slashes }
    }

    /// All routes, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// Finds the most specific route.
    pub fn find(&self, request: &Request<'_>) -> Lookup {
        let mut search = Search::new(request.method());
        match self.exact.find(request.host(), &request.target().segments(), &mut search) {
            Some(route) if search.guarded_before(route).is_some() => Lookup::MethodNotAllowed(search.allow()),
            Some(route) if self.dispute(request, route).is_some() => Lookup::NoRoute,
            Some(route) => Lookup::Found(route.clone()),
            None if search.other_methods.is_empty() => Lookup::NoRoute,
            None => Lookup::MethodNotAllowed(search.allow()),
        }
    }

    /// The other route whose path that of `request`, which has found `route`, is in the eyes of some upstreams.
    fn dispute(&self, request: &Request<'_>, route: &Route) -> Option<&Arc<Route>> {
        let target = request.target();
        // Most upstreams make no difference where a path ends with a slash. Files do, so it only counts where it would lead
        // around a guard.
        let others = self.folds || reading::has_others(target);
        let ends = target.path().len() > 1 && target.path().ends_with('/');
        let slash = route.is_public() && (others || ends || self.slashes);
        if !others && !slash {
            return None;
        }
        let readings = reading::others(target);
        let other = readings.iter().find_map(|segments| self.taken_for(request, segments, route));
        if other.is_some() || !slash {
            return other;
        }
        // What lies below a path is there with and without the slash; and of two that differ by it only, the file wants both.
        let guarded = |other: &&Arc<Route>| {
            let (own, path) = (&route.pattern.path, &other.pattern.path);
            !other.is_public() && path.tail == Tail::End && path.without_slash() != own.without_slash()
        };
        let mut toggled = readings.into_iter().filter_map(reading::toggle_slash);
        toggled.find_map(|segments| self.taken_for(request, &segments, route).filter(guarded))
    }

    /// The route other than `route` that `segments` lead to, or from which a public `route` would take the method.
    fn taken_for(&self, request: &Request<'_>, segments: &[String], route: &Route) -> Option<&Arc<Route>> {
        let segments = segments.iter().map(|segment| Cow::Borrowed(segment.as_str()));
        let mut search = Search::new(request.method());
        // Routes that differ by case only are what the file wants.
        let found = self.folded.find(request.host(), &segments, &mut search).filter(|other| {
            other.pattern.host != route.pattern.host
                || !other.pattern.path.eq_ignoring_case(&route.pattern.path)
        });
        found.or_else(|| search.guarded_before(route))
    }
}

impl Trees {
    /// The trees of `routes`, of whose segments `spell` makes what is looked up.
    fn new(routes: &[Arc<Route>], spell: impl Fn(&Segment) -> Segment) -> Self {
        let mut trees = Self::default();
        for route in routes {
            let root = match &route.pattern.host {
                HostPattern::Any => &mut trees.any_host,
                HostPattern::Exact(host) => trees.exact_hosts.entry(host.clone()).or_default(),
                HostPattern::Wildcard(suffix) => trees.wildcard_hosts.entry(suffix.clone()).or_default(),
            };
            let mut node = root;
            for segment in &route.pattern.path.segments {
                node = match spell(segment) {
                    Segment::Any => node.any.get_or_insert_default(),
                    Segment::Literal(text) => node.literal.entry(text).or_default(),
                };
            }
            let list = match route.pattern.path.tail {
                Tail::End => &mut node.here,
                Tail::Everything => &mut node.below,
            };
            let with_methods = list.iter().take_while(|other| other.pattern.methods.is_some()).count();
            let at = if route.pattern.methods.is_some() { with_methods } else { list.len() };
            list.insert(at, route.clone());
        }
        trees
    }

    /// The most specific route for `host` and `segments`.
    fn find<'t, 's>(
        &'t self,
        host: &str,
        segments: &(impl Iterator<Item = Cow<'s, str>> + Clone),
        search: &mut Search<'_, 't>,
    ) -> Option<&'t Arc<Route>> {
        self.exact_hosts
            .get(host)
            .and_then(|root| search.below(root, segments.clone()))
            .or_else(|| self.find_by_suffix(host, segments, search))
            .or_else(|| search.below(&self.any_host, segments.clone()))
    }

    fn find_by_suffix<'t, 's>(
        &'t self,
        host: &str,
        segments: &(impl Iterator<Item = Cow<'s, str>> + Clone),
        search: &mut Search<'_, 't>,
    ) -> Option<&'t Arc<Route>> {
        if self.wildcard_hosts.is_empty() {
            return None;
        }
        // From the longest suffix to the shortest: each dot but a leading one begins one.
        let dots = host.char_indices().filter(|(at, letter)| *letter == '.' && *at > 0);
        dots.filter_map(|(at, _)| self.wildcard_hosts.get(&host[at..]))
            .find_map(|root| search.below(root, segments.clone()))
    }
}

/// One look-up.
struct Search<'a, 't> {
    method: &'a str,
    /// Routes that fit but for their methods.
    other_methods: Vec<&'t Arc<Route>>,
}

impl<'a, 't> Search<'a, 't> {
    fn new(method: &'a str) -> Self {
        Self { method, other_methods: Vec::new() }
    }

    /// The most specific route below `node`. It descends only where routes are, so its depth is bounded by the policy
    /// and not by the request.
    fn below<'s>(
        &mut self,
        node: &'t Node,
        mut segments: impl Iterator<Item = Cow<'s, str>> + Clone,
    ) -> Option<&'t Arc<Route>> {
        let Some(segment) = segments.next() else {
            return self.first_of(&node.here).or_else(|| self.first_of(&node.below));
        };
        if let Some(child) = node.literal.get(&*segment)
            && let Some(route) = self.below(child, segments.clone())
        {
            return Some(route);
        }
        if let Some(child) = &node.any
            && !segment.is_empty()
            && let Some(route) = self.below(child, segments)
        {
            return Some(route);
        }
        self.first_of(&node.below)
    }

    fn first_of(&mut self, routes: &'t [Arc<Route>]) -> Option<&'t Arc<Route>> {
        let fits = |route: &&Arc<Route>| {
            route.pattern.methods.as_ref().is_none_or(|methods| methods.contains(self.method))
        };
        let found = routes.iter().find(fits);
        if found.is_none() {
            self.other_methods.extend(routes);
        }
        found
    }

    /// A more specific route with a guard that does not match the method, which `found` would let anybody use. One for the same
    /// host and path says so itself.
    fn guarded_before(&self, found: &Route) -> Option<&'t Arc<Route>> {
        let same = |other: &Route| {
            other.pattern.host == found.pattern.host && other.pattern.path == found.pattern.path
        };
        self.other_methods
            .iter()
            .find(|other| found.is_public() && !other.is_public() && !same(other))
            .copied()
    }

    fn allow(&self) -> HeaderValue {
        let mut names: Vec<&str> = Vec::new();
        for route in &self.other_methods {
            for name in route.pattern.methods.iter().flat_map(Methods::iter) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Methods::new(names).allow()
    }
}

#[cfg(test)]
mod tests;
