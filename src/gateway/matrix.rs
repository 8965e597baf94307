//! Who may do what, for whoever wants to see all of a policy at once. A row is a rule of a route, a column a method of authentication.
//!
//! What a column says comes from the rule's own check, put to each key and user of the files. What is said of routes that
//! other routes cover comes from the look-up that requests go through, asked for requests that are made up for each route.

mod covered;

use serde::Serialize;

use super::Gateway;
use super::guard::{Guard, Rule};
use super::requirement::{Methods, Requirement};
use super::route::{Access, Mode, Route};
use crate::authn::identity::Words;
use crate::authn::{Authenticator, Identity};
use covered::covering;

/// Who may do what.
#[derive(Debug, Serialize)]
pub struct Matrix {
    /// The names of the methods in `auth`: the columns.
    pub auth: Vec<String>,
    /// The rules of all routes, in the order of the file.
    pub rows: Vec<Row>,
    /// What somebody should look at.
    pub flags: Vec<Remark>,
}

/// A rule of a route.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The route's name.
    pub route: String,
    /// The host that it is for; `*` for all.
    pub host: String,
    /// The paths that it is for.
    pub path: String,
    /// The methods that the rule is for.
    pub methods: Vec<String>,
    /// Whether anyone may.
    pub public: bool,
    /// Whether refusals are only reported.
    pub reports_only: bool,
    /// All of these are needed.
    pub scopes: Vec<String>,
    /// One of these is needed, if there are any.
    pub roles: Vec<String>,
    /// One for each column.
    pub may: Vec<Cell>,
}

/// Who may, of those that a method of authentication knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Nobody: the route does not accept the method.
    NotAccepted,
    /// So many of all keys or users.
    Listed {
        /// Those who may.
        may: usize,
        /// All of them.
        of: usize,
    },
    /// Whoever the claims of a token say.
    Claims,
}

/// Something that somebody should look at.
#[derive(Debug, Serialize)]
pub struct Remark {
    /// The route's name.
    pub route: String,
    /// `public`, `reports_only`, `nobody`, `redundant` or `shadowed`.
    pub flag: &'static str,
    /// Why, for people.
    pub detail: String,
}

impl Matrix {
    /// Who may do what with `gateway`.
    pub fn of(gateway: &Gateway) -> Self {
        let mut flags = Vec::new();
        let mut rows = Vec::new();
        for route in gateway.routes.iter() {
            let before = rows.len();
            match &route.access {
                Access::Public(methods) => rows.push(Row::public(route, methods, gateway)),
                Access::Guarded(guard) => {
                    rows.extend(guard.rules().iter().map(|rule| Row::guarded(route, guard, rule, gateway)));
                }
            }
            flags.extend(flags_of(route, &rows[before..]));
            flags.extend(covering(route, gateway).map(|(flag, detail)| Remark::new(route, flag, detail)));
        }
        let auth = gateway.methods.iter().map(|method| method.name().to_string()).collect();
        Self { auth, rows, flags }
    }
}

impl Row {
    fn public(route: &Route, methods: &Methods, gateway: &Gateway) -> Self {
        let may = gateway.methods.iter().map(|_| Cell::NotAccepted).collect();
        Self { public: true, ..Self::new(route, methods, &Requirement::default(), may) }
    }

    fn guarded(route: &Route, guard: &Guard, rule: &Rule, gateway: &Gateway) -> Self {
        let Rule { methods, requirement } = rule;
        let accepted = |method: &Authenticator| {
            guard.authenticators().iter().any(|accepted| accepted.name() == method.name())
        };
        let cell = |method: &Authenticator| {
            if accepted(method) { Cell::of(method, requirement) } else { Cell::NotAccepted }
        };
        Self::new(route, methods, requirement, gateway.methods.iter().map(cell).collect())
    }

    fn new(route: &Route, methods: &Methods, requirement: &Requirement, may: Vec<Cell>) -> Self {
        let words = |words: &Words| words.iter().map(str::to_owned).collect();
        Self {
            route: route.name.to_string(),
            host: route.pattern.host.to_string(),
            path: route.pattern.path.to_string(),
            methods: methods.iter().map(str::to_owned).collect(),
            public: false,
            reports_only: route.mode == Mode::Report,
            scopes: words(&requirement.scopes),
            roles: words(&requirement.roles),
            may,
        }
    }

    /// What a caller needs, in words; nothing when any caller may.
    pub fn needs(&self) -> String {
        match (self.scopes.is_empty(), self.roles.is_empty()) {
            (true, true) => String::new(),
            (false, true) => self.scopes.join(" and "),
            (true, false) => format!("as {}", self.roles.join(" or ")),
            (false, false) => format!("{} as {}", self.scopes.join(" and "), self.roles.join(" or ")),
        }
    }
}

impl Cell {
    fn of(method: &Authenticator, requirement: &Requirement) -> Self {
        let known: Vec<&Identity> = match method {
            Authenticator::ApiKey(method) => method.identities().collect(),
            Authenticator::Basic(method) => method.identities().collect(),
            Authenticator::Jwt(_) => return Self::Claims,
        };
        let may = known.iter().filter(|identity| requirement.check(identity).is_ok()).count();
        Self::Listed { may, of: known.len() }
    }

    fn is_nobody(&self) -> bool {
        matches!(self, Self::NotAccepted | Self::Listed { may: 0, .. })
    }
}

impl Remark {
    fn new(route: &Route, flag: &'static str, detail: String) -> Self {
        Self { route: route.name.to_string(), flag, detail }
    }
}

/// What can be said of a route by its own rows.
fn flags_of(route: &Route, rows: &[Row]) -> Vec<Remark> {
    let mut flags = Vec::new();
    for row in rows {
        let methods = row.methods.join(", ");
        if row.public {
            flags.push(Remark::new(route, "public", format!("anyone may, by {methods}")));
        } else if row.may.iter().all(Cell::is_nobody) {
            let detail = match row.needs() {
                needs if needs.is_empty() => format!("there is no key and no user yet, for {methods}"),
                needs => format!("no key and no user has {needs}, for {methods}"),
            };
            flags.push(Remark::new(route, "nobody", detail));
        }
    }
    if route.mode == Mode::Report && !rows.iter().all(|row| row.public) {
        let detail = "refusals are only reported: anyone may".to_owned();
        flags.push(Remark::new(route, "reports_only", detail));
    }
    flags
}
