//! Which routes a request nearly took, for whoever asks why it took none, or another one.
//!
//! Nothing is compared here: each route is put into a table of its own, which is asked with the host, the path or the
//! method that would fit. So what is said of a route comes from the look-up that requests go through.

use std::borrow::Cow;
use std::sync::Arc;

use super::{HostPattern, PathPattern, RouteTable, Search, Segment, Trees};
use crate::gateway::requirement::Methods;
use crate::gateway::route::Route;
use crate::request::Request;

/// A route that a request nearly took.
#[derive(Clone, Debug)]
pub struct Near {
    /// The route.
    pub route: Arc<Route>,
    /// Why it was not taken.
    pub miss: Miss,
}

/// Why a route was not taken.
#[derive(Clone, Debug)]
pub enum Miss {
    /// Only its host does not fit.
    Host,
    /// It fits, and another route that fits is more specific.
    LessSpecific,
    /// Only its methods do not fit.
    Method,
    /// Only its path does not fit, and looks alike.
    Path,
    /// It fits and is public, and a more specific route with a guard does not take the method.
    Reserved,
    /// It fits, but some upstreams would take the path for that of this route, so there is no route.
    Shadow(Arc<Route>),
}

impl Miss {
    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::LessSpecific => "less_specific",
            Self::Method => "method",
            Self::Path => "path",
            Self::Reserved => "reserved",
            Self::Shadow(_) => "shadow",
        }
    }
}

/// More are not shown.
const MOST: usize = 8;

impl RouteTable {
    /// The routes that `request` nearly took, in the order of the file.
    pub fn nearly(&self, request: &Request<'_>) -> Vec<Near> {
        let mut search = Search::new(request.method());
        let best = self.exact.find(request.host(), &request.target().segments(), &mut search);
        let near = self.routes.iter().filter_map(|route| {
            let miss = match best {
                Some(best) if Arc::ptr_eq(best, route) && search.guarded_before(route).is_some() => {
                    Miss::Reserved
                }
                Some(best) if Arc::ptr_eq(best, route) => Miss::Shadow(self.dispute(request, route)?.clone()),
                Some(_) | None => miss(route, request)?,
            };
            Some(Near { route: route.clone(), miss })
        });
        near.take(MOST).collect()
    }
}

/// What keeps `request` from `route`, where that is one thing.
fn miss(route: &Arc<Route>, request: &Request<'_>) -> Option<Miss> {
    let alone = Trees::new(std::slice::from_ref(route), Segment::clone);
    let own_method = own_method(route, request.method());
    let own_host = own_host(&route.pattern.host, request.host());
    let own_path = own_path(&route.pattern.path);
    let own_segments = own_path.iter().map(|segment| Cow::Borrowed(&**segment));
    let asked = request.target().segments();
    let fits_path = alone.find(&own_host, &asked, &mut Search::new(own_method)).is_some();
    let fits_host = alone.find(request.host(), &own_segments, &mut Search::new(own_method)).is_some();
    let fits_method = alone.find(&own_host, &own_segments, &mut Search::new(request.method())).is_some();
    match (fits_host, fits_path, fits_method) {
        (true, true, true) => Some(Miss::LessSpecific),
        (false, true, true) => Some(Miss::Host),
        (true, true, false) => Some(Miss::Method),
        (true, false, true) if resembles(&route.pattern.path, request) => Some(Miss::Path),
        (_, false, _) | (false, true, false) => None,
    }
}

fn own_host<'a>(pattern: &'a HostPattern, asked: &'a str) -> Cow<'a, str> {
    match pattern {
        HostPattern::Any => asked.into(),
        HostPattern::Exact(host) => Cow::Borrowed(&**host),
        HostPattern::Wildcard(suffix) => format!("any{suffix}").into(),
    }
}

fn own_method<'a>(route: &'a Route, asked: &'a str) -> &'a str {
    route.pattern.methods.iter().flat_map(Methods::iter).next().unwrap_or(asked)
}

fn own_path(pattern: &PathPattern) -> Vec<Box<str>> {
    let segment = |segment: &Segment| match segment {
        Segment::Any => "any".into(),
        Segment::Literal(text) => text.clone(),
    };
    let own: Vec<Box<str>> = pattern.segments.iter().map(segment).collect();
    if own.is_empty() { vec!["".into()] } else { own }
}

/// Whether the two begin alike, but for the case of letters: then somebody may have meant this route.
fn resembles(pattern: &PathPattern, request: &Request<'_>) -> bool {
    let mut asked = request.target().segments();
    match (pattern.segments.first(), asked.next()) {
        (Some(Segment::Literal(own)), Some(asked)) => {
            !own.is_empty() && crate::problem::nearest(&asked, [&**own]).is_some()
        }
        (Some(Segment::Any) | None, _) | (Some(Segment::Literal(_)), None) => false,
    }
}
