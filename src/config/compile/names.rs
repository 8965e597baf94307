//! Names that the file gives and uses: none may be undefined, and none unused.

use std::collections::HashSet;

use crate::loading::Loading;
use crate::problem::{Place, nearest};
use crate::yaml::Located;

/// Which names were used.
pub(super) struct Uses {
    methods: Vec<Located<String>>,
    upstreams: Vec<Located<String>>,
    used_methods: HashSet<String>,
    used_upstreams: HashSet<String>,
}

impl Uses {
    pub(super) fn new<'a>(
        methods: impl Iterator<Item = &'a Located<String>>,
        upstreams: impl Iterator<Item = &'a Located<String>>,
    ) -> Self {
        Self {
            methods: methods.cloned().collect(),
            upstreams: upstreams.cloned().collect(),
            used_methods: HashSet::new(),
            used_upstreams: HashSet::new(),
        }
    }

    /// Notes that the method `name` is used at `place`, and reports it if there is none.
    pub(super) fn method(&mut self, name: &str, place: &Place, loading: &mut Loading<'_>) {
        let meant = report_undefined(name, &self.methods, "auth", place, loading);
        self.used_methods.insert(meant);
    }

    /// Notes that the upstream `name` is used at `place`, and reports it if there is none.
    pub(super) fn upstream(&mut self, name: &str, place: &Place, loading: &mut Loading<'_>) {
        let meant = report_undefined(name, &self.upstreams, "upstreams", place, loading);
        self.used_upstreams.insert(meant);
    }

    /// Reports what was never used: mostly a misspelt name, or a guard that someone believes to be in place.
    pub(super) fn report_unused(&self, loading: &mut Loading<'_>) {
        let hint = if loading.problems.has_errors() {
            "use it in a route or remove it, unless a route that has a mistake uses it"
        } else {
            "use it in a route or remove it"
        };
        for (names, used) in [(&self.methods, &self.used_methods), (&self.upstreams, &self.used_upstreams)] {
            for name in names.iter().filter(|name| !used.contains(name.as_str())) {
                loading.error(name.place(), format!("no route uses `{}`", **name)).hint(hint);
            }
        }
    }
}

/// Returns the name that was meant: one that is misspelt here is not called unused elsewhere.
fn report_undefined(
    name: &str,
    defined: &[Located<String>],
    section: &str,
    place: &Place,
    loading: &mut Loading<'_>,
) -> String {
    if defined.iter().any(|known| **known == *name) {
        return name.to_owned();
    }
    let suggestion = nearest(name, defined.iter().map(|known| known.as_str())).map(str::to_owned);
    let problem = loading.error(place, format!("there is no `{name}` in `{section}`"));
    match &suggestion {
        Some(suggestion) => problem.hint(format!("did you mean `{suggestion}`?")),
        None => problem.hint(format!("add it to `{section}`")),
    };
    suggestion.unwrap_or_else(|| name.to_owned())
}

/// Reports a name that cannot stand in logs and metrics.
pub(super) fn check(name: &Located<String>, loading: &mut Loading<'_>) {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        loading.error(name.place(), "a name is 1 to 64 letters, digits, `-`, `_` or `.`");
    } else if matches!(name.as_str(), "none" | "public") {
        loading
            .error(name.place(), format!("`{}` cannot be a name", **name))
            .hint("`none` stands for \"no route\" in metrics, `public` for \"no authentication\" in routes");
    }
}
