//! What becomes of spans that were sent to a collector: taken, taken in part, to be sent again later, or lost (OTLP
//! §OTLP/HTTP Response).

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::proxy::fetch::{FetchError, Posted};

/// What a collector has made of some spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has taken them, but for so many; and what it says about that.
    Taken { rejected: usize, remark: Option<String> },
    /// It could take them later, and may have said when.
    Later { after: Option<Duration>, why: String },
    /// It does not take them, however often they are sent.
    Lost(String),
}

/// How often the same spans are sent.
const ATTEMPTS: u32 = 4;

/// The first pause between two attempts. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause that a collector may ask for. Meanwhile new spans wait in a buffer that has an end.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// As much as is logged of what a collector says.
const LONGEST_REMARK: usize = 200;

impl Outcome {
    /// Reads an answer.
    pub(super) fn of(answer: Result<Posted, FetchError>) -> Self {
        let Posted { status, retry_after, body } = match answer {
            Ok(posted) => posted,
            // Whoever refuses connections may be about to start. One that has been sent everything and does not answer has had
            // its time, and may have taken it.
            Err(error @ FetchError::NoAnswer(_)) => {
                return Self::Later { after: None, why: error.to_string() };
            }
            Err(error) => return Self::Lost(error.to_string()),
        };
        let why = format!("the answer was {status}");
        match status {
            status if status.is_success() => {
                // The body is nothing that spans depend on: it may be empty, or nothing that can be read.
                let Response { partial_success } = serde_json::from_slice(&body).unwrap_or_default();
                let PartialSuccess { rejected_spans, error_message } = partial_success.unwrap_or_default();
                let rejected = usize::try_from(rejected_spans.count()).unwrap_or_default();
                let remark = (rejected > 0 || !error_message.is_empty()).then(|| shown(&error_message));
                Self::Taken { rejected, remark }
            }
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Later { after: retry_after, why },
            _ => Self::Lost(why),
        }
    }
}

/// How long to wait before spans are sent again after `attempts`; nothing if they are not, because it was often enough or the
/// collector wants to be left alone for longer than they can wait.
pub(super) fn pause(attempts: u32, asked_for: Option<Duration>) -> Option<Duration> {
    if attempts >= ATTEMPTS {
        return None;
    }
    let usual = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1));
    Some(asked_for.unwrap_or(usual)).filter(|pause| *pause <= LONGEST_PAUSE)
}

/// The beginning of a text from elsewhere, in one line.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST_REMARK).map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// `ExportTraceServiceResponse`, of which unknown members are ignored.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Response {
    partial_success: Option<PartialSuccess>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PartialSuccess {
    rejected_spans: Count,
    error_message: String,
}

/// A 64-bit number, which is text in the JSON of protobuf, and is read as a number as well.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(i64),
    Text(String),
}

impl Default for Count {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl Count {
    fn count(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.parse().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_became_of_spans() {
        let answer = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            Ok(Posted { status, retry_after: Some(Duration::from_secs(7)), body: body.as_bytes().to_vec() })
        };
        let taken =
            |rejected, remark: Option<&str>| Outcome::Taken { rejected, remark: remark.map(str::to_owned) };
        let later = |why: &str| Outcome::Later {
            after: Some(Duration::from_secs(7)),
            why: format!("the answer was {why}"),
        };
        let lost = |why: &str| Outcome::Lost(format!("the answer was {why}"));
        for (answer, outcome) in [
            (answer(200, ""), taken(0, None)),
            (answer(200, "{}"), taken(0, None)),
            (answer(202, "what"), taken(0, None)),
            (answer(200, r#"{"partialSuccess":null}"#), taken(0, None)),
            (answer(200, r#"{"partialSuccess":{},"more":1}"#), taken(0, None)),
            (
                answer(200, r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}}"#),
                taken(2, Some("old")),
            ),
            (answer(200, r#"{"partialSuccess":{"rejectedSpans":3}}"#), taken(3, Some(""))),
            (answer(200, r#"{"partialSuccess":{"rejectedSpans":"-3"}}"#), taken(0, None)),
            (answer(200, r#"{"partialSuccess":{"errorMessage":"a\nb"}}"#), taken(0, Some("a?b"))),
            (answer(429, ""), later("429 Too Many Requests")),
            (answer(502, ""), later("502 Bad Gateway")),
            (answer(503, ""), later("503 Service Unavailable")),
            (answer(504, ""), later("504 Gateway Timeout")),
            (answer(400, ""), lost("400 Bad Request")),
            (answer(401, ""), lost("401 Unauthorized")),
            (answer(404, ""), lost("404 Not Found")),
            (answer(413, ""), lost("413 Payload Too Large")),
            (answer(500, ""), lost("500 Internal Server Error")),
        ] {
            assert_eq!(Outcome::of(answer), outcome);
        }
        let gone = Outcome::of(Err(FetchError::NoAnswer("refused".to_owned())));
        assert!(matches!(gone, Outcome::Later { after: None, .. }), "{gone:?}");
        let slow = Outcome::of(Err(FetchError::TimedOut(Duration::from_secs(5))));
        assert!(matches!(slow, Outcome::Lost(_)), "{slow:?}");
    }

    #[test]
    fn spans_are_sent_a_few_times_with_pauses() {
        let milliseconds = |pause: Option<Duration>| pause.map(|pause| pause.as_millis());
        let pauses: Vec<_> = (1..=5).map(|attempts| milliseconds(pause(attempts, None))).collect();
        assert_eq!(pauses, [Some(250), Some(500), Some(1000), None, None]);
        let asked = |seconds| milliseconds(pause(1, Some(Duration::from_secs(seconds))));
        assert_eq!((asked(0), asked(7), asked(30), asked(31)), (Some(0), Some(7_000), Some(30_000), None));
    }
}
