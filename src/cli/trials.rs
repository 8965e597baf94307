//! `portcullis test`: tries the tests that stand beside a policy, by the code that serves requests.
//!
//! Nothing outside of the files is asked: tokens are signed by a key that stands in for the issuer's, and revocations are
//! what a test says.

mod credential;
mod verdict;

use std::path::PathBuf;

use super::check::report;
use super::explain::Report;
use super::explain::describe;
use super::sketch::{Drawn, Sketch};
use super::{ConfigurationFile, Output, Status};
use crate::authn::stand_in::StandIn;
use crate::clock::Clock;
use crate::config::document::{Peer, TestEntry};
use crate::config::{Configuration, RESERVED, trials};
use crate::loading::Loading;
use crate::proxy::rehearsal::{Account, Rehearsal, Trial};
use crate::revocation::entry::{Entry, Lifetime, Name};
use crate::yaml::Located;
use credential::Credential;
use verdict::Verdict;

/// Try the tests that stand beside a policy.
///
/// A test is a request and what is expected of it. Tests stand in `tests:` of the configuration, and in files of their own
/// that have `tests:` only. Each is decided by the code that serves requests. Credentials are named, not known: `key: {
/// owner: acme }` sends a key of acme, `user: alice` her password, and `claims: { sub: alice }` a token as if its issuer had
/// signed it. Neither issuers nor Redis are asked.
///
/// The exit status is 0 when all tests pass, 1 when one fails, and 2 when a file cannot be used.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestArguments {
    /// More files with tests.
    files: Vec<PathBuf>,
    #[command(flatten)]
    file: ConfigurationFile,
}

const EXAMPLES: &str = "\
Examples:
  portcullis test
  portcullis test --config gateway.yaml tests/*.yaml

  tests:
    - name: acme reads orders
      request: GET https://api.example.com/v1/orders/1
      key: { owner: acme }
      expect: { status: 200, route: orders, subject: acme }
    - name: a reader writes nothing
      request: POST https://api.example.com/v1/orders
      claims: { sub: alice, scope: orders:read }
      expect: { status: 403, reason: missing_scope }";

pub(super) fn execute(arguments: &TestArguments) -> Output {
    run(arguments).unwrap_or_else(|complaint| Output {
        complaint,
        status: Status::Unusable,
        ..Output::default()
    })
}

fn run(arguments: &TestArguments) -> Result<Output, String> {
    let TestArguments { files, file } = arguments;
    let stand_in = StandIn::new().map_err(|error| format!("error: {error}"))?;
    let rehearsal = Rehearsal::open(&file.config, Some(&stand_in)).map_err(describe)?;
    let environment = |name: &str| std::env::var(name).ok();
    let mut loading = Loading::new(Clock::system(), &environment, &RESERVED);
    let mut tests = rehearsal.configuration().tests.clone();
    for file in files {
        tests.extend(trials::read(file, &mut loading).unwrap_or_default());
    }
    let prepared: Vec<Option<Prepared<'_>>> = tests
        .iter()
        .map(|test| Prepared::new(test, rehearsal.configuration(), &stand_in, &mut loading))
        .collect();
    if loading.problems.has_errors() {
        return Err(report(&loading.problems));
    }
    if tests.is_empty() {
        return Err(format!("error: there are no tests in {}: add `tests:`", file.config.display()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("error: {error}"))?;
    let mut lines = Vec::new();
    let mut failed = 0;
    for prepared in prepared.into_iter().flatten() {
        let account = runtime.block_on(prepared.try_out(&rehearsal))?;
        let verdict = Verdict::of(prepared.test, &Report::of(&account));
        failed += usize::from(!verdict.is_good());
        lines.push(verdict.to_string());
    }
    let count = tests.len();
    let noun = if count == 1 { "test" } else { "tests" };
    lines.push(match failed {
        0 => format!("\n{count} {noun} passed"),
        _ => format!("\n{count} {noun}, {failed} failed"),
    });
    let status = if failed == 0 { Status::Success } else { Status::Failure };
    Ok(Output { text: lines.join("\n"), status, ..Output::default() })
}

/// A test that is ready to be tried.
struct Prepared<'t> {
    test: &'t Located<TestEntry>,
    drawn: Drawn,
    /// What is revoked while it is tried.
    revoked: Option<Name>,
}

impl<'t> Prepared<'t> {
    fn new(
        test: &'t Located<TestEntry>,
        configuration: &Configuration,
        stand_in: &StandIn,
        loading: &mut Loading<'_>,
    ) -> Option<Self> {
        let (method, url) = trials::split(&test.request)?;
        let mut sketch = Sketch { method: method.to_owned(), url: url.to_owned(), ..Sketch::default() };
        let mut revoked = None;
        for credential in Credential::all_of(test, configuration, stand_in, loading)? {
            revoked = credential.send(&mut sketch);
        }
        for (name, value) in test.headers.iter() {
            sketch.fields.push(format!("{}: {}", **name, **value).into());
        }
        if let Some(route) = &test.expect.route {
            check_route(route, configuration, loading);
        }
        let drawn = sketch
            .draw(configuration)
            .map_err(|complaint| {
                loading.error(test.request.place(), complaint);
            })
            .ok()?;
        Some(Self { test, drawn, revoked: revoked.filter(|_| test.revoked) })
    }

    async fn try_out(&self, rehearsal: &Rehearsal) -> Result<Account, String> {
        let Drawn { listener, server_name, head } = &self.drawn;
        let localhost = std::net::IpAddr::from([127, 0, 0, 1]);
        let peer = self.test.peer.as_ref().map_or(localhost, |peer| {
            let Peer(address) = **peer;
            address
        });
        let trial = Trial { listener: *listener, server_name: server_name.as_deref(), peer, head };
        let store = rehearsal.configuration().list.store();
        let complain = |error: &dyn std::fmt::Display| format!("error: {error}");
        if let Some(name) = &self.revoked {
            let now = Clock::system().unix_seconds();
            let entry =
                Entry::new(name.clone(), Lifetime::Endless, "", now).map_err(|error| complain(&error))?;
            store.add(&entry).await.map_err(|error| complain(&error))?;
        }
        let account = rehearsal.try_out(&trial).await.map_err(describe)?;
        if let Some(name) = &self.revoked {
            store.remove(name).await.map_err(|error| complain(&error))?;
        }
        Ok(account)
    }
}

fn check_route(route: &Located<String>, configuration: &Configuration, loading: &mut Loading<'_>) {
    let names: Vec<&str> = configuration.gateway.routes.iter().map(|route| &*route.name).collect();
    if **route == "none" || names.contains(&route.as_str()) {
        return;
    }
    let hint = match crate::problem::nearest(route, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("the routes are {}, or `none`", names.join(", ")),
    };
    loading.error(route.place(), format!("there is no route `{}`", **route)).hint(hint);
}
