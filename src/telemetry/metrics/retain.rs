//! Forgets series of what is no longer there.

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

/// Keeps the series of `family`, which has a single label, whose label is one of `values`.
pub(super) fn retain<B: MetricVecBuilder>(family: &MetricVec<B>, values: &[&str]) {
    for family_now in family.collect() {
        for metric in family_now.get_metric() {
            for label in metric.get_label() {
                if !values.contains(&label.value()) {
                    // Somebody else may have removed it since.
                    let _ = family.remove_label_values(&[label.value()]);
                }
            }
        }
    }
}
