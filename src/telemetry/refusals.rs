//! The last refusals, for operators who look at a running gateway. The access log has all of them.
//!
//! Only requests that are refused come here. Each takes a number and writes into the place of that number, so that those
//! who are refused at the same time meet only when they are as many as there are places. A place keeps the memory of its
//! texts, so that in a flood of refusals nothing is allocated.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::access_log::Entry;
use crate::clock::rfc3339_millis;

/// How many refusals are kept.
pub const KEPT: usize = 100;

/// The most bytes that are kept of a text. A path is not longer in the access log either.
const LONGEST: usize = 1_100;

/// The last [`KEPT`] refusals.
#[derive(Debug)]
pub struct Refusals {
    places: Box<[Mutex<Place>]>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Place {
    /// Counted from 1; 0 where nothing was written yet.
    number: u64,
    time: u64,
    status: u16,
    client: Option<IpAddr>,
    texts: [Option<String>; TEXTS],
}

const TEXTS: usize = 10;

/// A refusal, in the words of the access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Which one it is since the process began, counted from 1.
    pub number: u64,
    /// When the request's first byte arrived, RFC 3339 in UTC.
    pub time: String,
    /// What the client saw in `X-Request-Id`.
    pub request_id: String,
    /// The address of the client.
    pub client: Option<IpAddr>,
    /// The request's method, or `other`.
    pub method: String,
    /// The host that was asked for; empty when it could not be read.
    pub host: String,
    /// The path without its query, credentials redacted; empty when it could not be read.
    pub path: String,
    /// The route's name, or `none`.
    pub route: String,
    /// The status of the answer; 0 when the client was gone before there was one.
    pub status: u16,
    /// Why.
    pub reason: String,
    /// The name of the method in `auth` that looked at the credential.
    pub auth: Option<String>,
    /// `api_key`, `basic` or `jwt`, where a caller was verified.
    pub auth_method: Option<String>,
    /// Who it was, where a caller was verified.
    pub subject: Option<String>,
    /// The public identifier of the API key, or the `kid` of the key that signed the token.
    pub key_id: Option<String>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { places: (0..KEPT).map(|_| Mutex::default()).collect(), next: AtomicU64::new(1) }
    }
}

impl Refusals {
    /// Keeps what the access log says of a refused request, in place of the oldest.
    pub fn keep(&self, entry: &Entry<'_>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut place = self.place(number);
        // Whoever was held up until the next round is late.
        if place.number < number {
            place.write(number, entry);
        }
    }

    /// The last ones, the newest first.
    pub fn last(&self) -> Vec<Refusal> {
        let end = self.next.load(Ordering::Relaxed);
        let first = end.saturating_sub(KEPT as u64).max(1);
        (first..end).rev().filter_map(|number| self.place(number).read(number)).collect()
    }

    fn place(&self, number: u64) -> MutexGuard<'_, Place> {
        let at = usize::try_from(number % KEPT as u64).unwrap_or_default();
        // Nothing that holds the lock can panic half-way through a change.
        self.places[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn write(&mut self, number: u64, entry: &Entry<'_>) {
        self.number = number;
        self.time = entry.time.0;
        self.status = entry.status;
        self.client = entry.client;
        let texts = [
            Some(entry.request_id),
            Some(entry.method),
            Some(entry.host),
            Some(entry.path),
            Some(entry.route),
            Some(entry.reason),
            entry.auth,
            entry.auth_method,
            entry.subject,
            entry.key_id,
        ];
        for (kept, text) in self.texts.iter_mut().zip(texts) {
            match (kept.as_mut(), text) {
                (_, None) => *kept = None,
                (Some(kept), Some(text)) => {
                    kept.clear();
                    kept.push_str(beginning(text));
                }
                (None, Some(text)) => *kept = Some(beginning(text).to_owned()),
            }
        }
    }

    /// What stands here, unless it is another one by now, or not yet written.
    fn read(&self, number: u64) -> Option<Refusal> {
        if self.number != number {
            return None;
        }
        let [request_id, method, host, path, route, reason, auth, auth_method, subject, key_id] =
            self.texts.clone();
        Some(Refusal {
            number,
            time: rfc3339_millis(self.time),
            request_id: request_id.unwrap_or_default(),
            client: self.client,
            method: method.unwrap_or_default(),
            host: host.unwrap_or_default(),
            path: path.unwrap_or_default(),
            route: route.unwrap_or_default(),
            status: self.status,
            reason: reason.unwrap_or_default(),
            auth,
            auth_method,
            subject,
            key_id,
        })
    }
}

fn beginning(text: &str) -> &str {
    let end = (0..=text.len().min(LONGEST)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn the_newest_come_first_and_the_oldest_go() {
        let refusals = Refusals::default();
        assert_eq!(refusals.last(), []);
        for number in 1..=250_u64 {
            let (path, subject) = (format!("/{number}"), (number % 2 == 0).then_some("acme"));
            let time = Timestamp(number);
            refusals.keep(&Entry { time, path: &path, subject, status: 403, ..Entry::default() });
        }
        let last = refusals.last();
        assert_eq!(last.len(), KEPT);
        for (refusal, number) in last.iter().zip((151..=250_u64).rev()) {
            assert_eq!((refusal.number, &refusal.path), (number, &format!("/{number}")));
            // A text of the one that stood there before is not left over.
            assert_eq!(refusal.subject.is_some(), number % 2 == 0);
        }
        assert_eq!(last[0].time, "1970-01-01T00:00:00.250Z");
    }

    #[test]
    fn many_at_once_are_each_kept_whole() {
        let refusals = Refusals::default();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let refusals = &refusals;
                scope.spawn(move || {
                    for number in 0..5_000 {
                        let text = format!("{writer}-{number}");
                        refusals.keep(&Entry { path: &text, host: &text, ..Entry::default() });
                    }
                });
            }
            for _ in 0..100 {
                for refusal in refusals.last() {
                    assert_eq!(refusal.path, refusal.host);
                }
            }
        });
        assert_eq!((refusals.last().len(), refusals.last()[0].number), (KEPT, 20_000));
    }

    #[test]
    fn long_texts_are_cut_at_a_letter() {
        let refusals = Refusals::default();
        let subject = "ö".repeat(100_000);
        refusals.keep(&Entry { subject: Some(&subject), ..Entry::default() });
        assert_eq!(refusals.last()[0].subject, Some("ö".repeat(LONGEST / 2)));
    }
}
