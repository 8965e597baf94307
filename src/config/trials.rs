//! Holds tests of the policy to their form, wherever they stand.

use std::path::Path;

use super::document::{Expectation, TestEntry, TestFile};
use crate::loading::Loading;
use crate::yaml::Located;

/// The statuses that the gateway answers with by itself because of a policy, and 200 for what goes upstream.
const STATUSES: [u16; 11] = [200, 308, 400, 401, 403, 404, 405, 413, 421, 431, 503];

/// Reads a file of tests.
pub fn read(path: &Path, loading: &mut Loading<'_>) -> Option<Vec<Located<TestEntry>>> {
    let file: Located<TestFile> = loading.root_document(path)?;
    let TestFile { tests } = file.into_value();
    check(&tests, loading);
    Some(tests)
}

/// Reports what is wrong with the form of `tests`.
pub(super) fn check(tests: &[Located<TestEntry>], loading: &mut Loading<'_>) {
    for test in tests {
        let TestEntry { name, request, headers: _, peer: _, key, user: _, claims: _, auth, revoked, expect } =
            &**test;
        if name.trim().is_empty() {
            loading.error(name.place(), "this test has no name").hint("say what it shows");
        }
        if split(request).is_none() {
            loading
                .error(request.place(), "this is no request")
                .hint("write a method and a URL, such as `GET https://api.example.com/v1/orders/1`");
        }
        if let Some(key) = key
            && key.owner.is_some() == key.id.is_some()
        {
            loading
                .error(key.place(), "which key is meant is not said")
                .hint("write `key: { owner: … }` or `key: { id: … }`");
        }
        let sends = test.key.is_some() || test.user.is_some() || test.claims.is_some();
        if let Some(auth) = auth.as_ref().filter(|_| !sends) {
            loading
                .error(auth.place(), "`auth` says which method a credential is for, and none is sent")
                .hint("add `key`, `user` or `claims`, or remove it");
        }
        if *revoked && !sends {
            loading
                .error(test.place(), "`revoked` is about a credential, and none is sent")
                .hint("add `key`, `user` or `claims`, or remove it");
        }
        check_expectation(expect, loading);
    }
}

fn check_expectation(expect: &Located<Expectation>, loading: &mut Loading<'_>) {
    let Expectation { status, route, subject, reason, upstream_path, upstream, absent } = &**expect;
    let nothing = status.is_none()
        && route.is_none()
        && subject.is_none()
        && reason.is_none()
        && upstream_path.is_none()
        && upstream.is_empty()
        && absent.is_empty();
    if nothing {
        loading
            .error(expect.place(), "nothing is expected here, so this test shows nothing")
            .hint("such as `expect: { status: 401, reason: no_credential }`");
    }
    if let Some(path) = upstream_path.as_ref().filter(|path| !path.starts_with('/')) {
        loading.error(path.place(), "a path begins with `/`").hint("such as `/orders/1?page=2`");
    }
    if let Some(status) = status.as_ref().filter(|status| !STATUSES.contains(status)) {
        let known: Vec<String> = STATUSES.iter().map(ToString::to_string).collect();
        loading
            .error(status.place(), format!("a policy never makes the gateway answer {}", **status))
            .hint(format!("200 stands for what goes upstream; all of them are {}", known.join(", ")));
    }
}

/// The method and the URL of a request.
pub fn split(request: &str) -> Option<(&str, &str)> {
    let (method, url) = request.split_once(' ')?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let http = url.starts_with("https://") || url.starts_with("http://");
    (plain(method) && plain(url) && http).then_some((method, url))
}
