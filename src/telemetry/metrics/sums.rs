//! What the counters say by now, for a page that works out rates from them.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::LabelPair;
use serde::Serialize;

use super::Metrics;

/// What was answered on one route.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answered {
    /// How many answers there were of each status; 0 where the client was gone before there was one.
    pub statuses: BTreeMap<u16, u64>,
    /// How long they took together, in seconds.
    pub seconds: f64,
}

impl Metrics {
    /// What was answered, by route, since the process began.
    pub fn answered(&self) -> BTreeMap<String, Answered> {
        let mut routes: BTreeMap<String, Answered> = BTreeMap::new();
        for family in self.requests.collect() {
            for metric in family.get_metric() {
                let label = |wanted: &str| {
                    metric.get_label().iter().find(|label| label.name() == wanted).map(LabelPair::value)
                };
                let (Some(route), Some(status)) = (label("route"), label("status")) else { continue };
                let statuses = &mut routes.entry(route.to_owned()).or_default().statuses;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
                let count = metric.get_counter().get_value() as u64;
                *statuses.entry(status.parse().unwrap_or_default()).or_default() += count;
            }
        }
        for (route, answered) in &mut routes {
            answered.seconds = self.request_duration.with_label_values(&[route]).get_sample_sum();
        }
        routes
    }
}
