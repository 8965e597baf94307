//! Which trace a request belongs to (W3C Trace Context), and the spans that say how it went.
//!
//! While tracing is off there is no [`Tracer`], and nothing of this is done. While it is on, spans wait in a bounded buffer for
//! a thread that exports them; those that find it full are dropped and counted, so that a collector that is slow or gone
//! costs spans and nothing else.

pub mod otlp;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use http::{HeaderMap, HeaderValue};
use prometheus::IntCounter;

use crate::hex;
use otlp::Span;

/// Decides which requests are traced, and keeps their spans until they are exported.
#[derive(Clone)]
pub struct Tracer(Arc<Shared>);

struct Shared {
    /// Below this, the number that a new trace is named by makes it a sampled one.
    threshold: u64,
    buffer: Mutex<Buffer>,
    filled: Condvar,
    dropped: IntCounter,
}

#[derive(Default)]
struct Buffer {
    spans: Vec<Span>,
    closed: bool,
}

/// The most spans that wait to be exported.
const CAPACITY: usize = 8192;

/// How many are exported at once, and how long they are waited for.
pub const BATCH: usize = 512;
const PAUSE: Duration = Duration::from_millis(500);

/// The field that names the trace and the span that a request comes from.
pub const TRACEPARENT: &str = "traceparent";

/// The field that goes with it, in which other systems keep what they need.
pub const TRACESTATE: &str = "tracestate";

/// The place of one request in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// The span of the caller, if it has named one and is believed: 16 hexadecimal digits.
    pub parent: Option<String>,
    /// The span of the request at the gateway.
    pub server: String,
    /// The span of the request to the upstream.
    pub client: String,
    /// Whether spans are recorded: what a caller that is believed has decided, or else the tracer.
    pub sampled: bool,
}

impl Context {
    /// The trace's identifier, where somebody can find something under it.
    pub fn shown(&self) -> Option<&str> {
        (self.sampled || self.parent.is_some()).then_some(&*self.trace_id)
    }

    /// What the upstream is told: it is called by the client span.
    pub fn traceparent(&self) -> Option<HeaderValue> {
        let flags = if self.sampled { "01" } else { "00" };
        HeaderValue::try_from(format!("00-{}-{}-{flags}", self.trace_id, self.client)).ok()
    }
}

impl Tracer {
    /// Samples this share of the traces that begin here, from 0 to 1. Spans that are lost are counted in `dropped`.
    pub fn new(sample: f64, dropped: IntCounter) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a share of all numbers, which conversion keeps within their bounds"
        )]
        let threshold = (sample.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
        Self(Arc::new(Shared { threshold, buffer: Mutex::default(), filled: Condvar::new(), dropped }))
    }

    /// The place of a request: in the trace that the fields of a `believed` caller name, or in a new one if there are none
    /// or they cannot be read (W3C Trace Context §3.2, §4.3). Nothing without randomness.
    ///
    /// Whoever may name a trace may have every request of theirs recorded, hide from being recorded, and mix their spans
    /// into traces of others. A gateway in front of a network therefore restarts the traces of those whom it does not know
    /// (§3.4, and §7 about denial of service).
    pub fn begin(&self, believed: Option<&HeaderMap>) -> Option<Context> {
        let parent = believed.and_then(Parent::of);
        let (server, client) = (hex::encode(&random::<8>()?), hex::encode(&random::<8>()?));
        if let Some(Parent { trace_id, span_id, sampled }) = parent {
            return Some(Context { trace_id, parent: Some(span_id), server, client, sampled });
        }
        let id = random::<16>()?;
        let (_, number) = id.split_at(8);
        let number = number.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        let sampled = number < self.0.threshold || self.0.threshold == u64::MAX;
        Some(Context { trace_id: hex::encode(&id), parent: None, server, client, sampled })
    }

    /// Keeps the spans of one request until they are exported.
    pub fn record(&self, spans: impl IntoIterator<Item = Span>) {
        let mut buffer = self.buffer();
        for span in spans {
            if buffer.spans.len() < CAPACITY {
                buffer.spans.push(span);
            } else {
                self.0.dropped.inc();
            }
        }
        let full = buffer.spans.len() >= BATCH;
        drop(buffer);
        if full {
            self.0.filled.notify_one();
        }
    }

    /// Waits for spans and takes some of them: nothing once [`Tracer::close`] was called and all were taken. Blocks.
    pub fn take(&self) -> Option<Vec<Span>> {
        let mut buffer = self.buffer();
        loop {
            let waits = |buffer: &mut Buffer| buffer.spans.len() < BATCH && !buffer.closed;
            (buffer, _) = self
                .0
                .filled
                .wait_timeout_while(buffer, PAUSE, waits)
                .unwrap_or_else(PoisonError::into_inner);
            if !buffer.spans.is_empty() {
                let count = buffer.spans.len().min(BATCH);
                return Some(buffer.spans.drain(..count).collect());
            }
            if buffer.closed {
                return None;
            }
        }
    }

    /// Waits for so long, and says whether it did: not once [`Tracer::close`] was called. Blocks.
    pub fn waits(&self, pause: Duration) -> bool {
        let (buffer, _) = self
            .0
            .filled
            .wait_timeout_while(self.buffer(), pause, |buffer| !buffer.closed)
            .unwrap_or_else(PoisonError::into_inner);
        !buffer.closed
    }

    /// Counts spans that did not reach the collector.
    pub fn lost(&self, count: usize) {
        self.0.dropped.inc_by(count as u64);
    }

    /// Makes [`Tracer::take`] give out what is left, and then nothing.
    pub fn close(&self) {
        self.buffer().closed = true;
        self.0.filled.notify_all();
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a caller says in `traceparent`.
#[derive(Debug, PartialEq, Eq)]
struct Parent {
    trace_id: String,
    span_id: String,
    sampled: bool,
}

impl Parent {
    /// Two fields name no parent.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        match (fields.next(), fields.next()) {
            (Some(field), None) => Self::parse(field.as_bytes()),
            (None | Some(_), _) => None,
        }
    }

    /// Reads the field by the rules of version 00, which later versions only add to (W3C Trace Context §3.2, §4.3).
    fn parse(field: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(field).ok()?;
        let (known, more) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let mut digits = |length: usize| parts.next().filter(|part| part.len() == length && is_hex(part));
        let (version, trace_id, span_id, flags) = (digits(2)?, digits(32)?, digits(16)?, digits(2)?);
        let ends = more.is_empty() || (version != "00" && more.starts_with('-'));
        let named = |id: &str| id.bytes().any(|byte| byte != b'0');
        if version == "ff" || !ends || !named(trace_id) || !named(span_id) {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id: trace_id.to_owned(), span_id: span_id.to_owned(), sampled })
    }
}

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// Whether all of it is lower-case hexadecimal digits.
fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn tracer(sample: f64) -> Tracer {
        Tracer::new(sample, IntCounter::new("dropped", "dropped").unwrap())
    }

    #[test]
    fn only_what_the_standard_allows_is_a_parent() {
        for (field, sampled) in [
            (format!("00-{TRACE}-{SPAN}-01"), Some(true)),
            (format!("00-{TRACE}-{SPAN}-00"), Some(false)),
            (format!("00-{TRACE}-{SPAN}-03"), Some(true)),
            (format!("cc-{TRACE}-{SPAN}-01"), Some(true)),
            (format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings"), Some(true)),
            (format!("cc-{TRACE}-{SPAN}-01.what"), None),
            (format!("00-{TRACE}-{SPAN}-01-more"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            (format!("00-{TRACE}-{SPAN}-0"), None),
            (format!("00-{TRACE}-{SPAN}-0x"), None),
            (format!("00_{TRACE}-{SPAN}-01"), None),
            (format!(" 00-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}{SPAN}--01"), None),
            (String::new(), None),
            ("é".repeat(40), None),
        ] {
            let parent = Parent::parse(field.as_bytes());
            assert_eq!(parent.as_ref().map(|parent| parent.sampled), sampled, "{field}");
            if let Some(parent) = parent {
                assert_eq!((&*parent.trace_id, &*parent.span_id), (TRACE, SPAN));
            }
        }
    }

    #[test]
    fn a_share_of_new_traces_is_sampled_and_of_others_what_a_believed_caller_said() {
        let count = |sample: f64| {
            let tracer = tracer(sample);
            (0..4000).filter(|_| tracer.begin(Some(&HeaderMap::new())).unwrap().sampled).count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 4000));
        assert!((800..1200).contains(&count(0.25)));
        for (flags, sampled) in [("00", false), ("01", true)] {
            for sample in [0.0, 1.0] {
                let mut headers = HeaderMap::new();
                let field = format!("00-{TRACE}-{SPAN}-{flags}");
                headers.insert(TRACEPARENT, field.parse().unwrap());
                let context = tracer(sample).begin(None).unwrap();
                assert_eq!((context.sampled, context.parent), (sample > 0.5, None));
                let context = tracer(sample).begin(Some(&headers)).unwrap();
                assert_eq!((context.sampled, context.parent.as_deref()), (sampled, Some(SPAN)));
                let told = context.traceparent().unwrap();
                assert_eq!(told, format!("00-{TRACE}-{}-{flags}", context.client));
                // Two of them name no parent.
                headers.append(TRACEPARENT, field.parse().unwrap());
                let context = tracer(sample).begin(Some(&headers)).unwrap();
                assert_eq!((context.sampled, context.parent), (sample > 0.5, None));
            }
        }
    }

    #[test]
    fn spans_that_find_no_place_are_counted() {
        let tracer = tracer(1.0);
        tracer.record((0..CAPACITY + 3).map(|_| Span::default()));
        assert_eq!(tracer.0.dropped.get(), 3);
        tracer.close();
        let taken: usize = std::iter::from_fn(|| tracer.take()).map(|spans| spans.len()).sum();
        assert_eq!(taken, CAPACITY);
    }
}
