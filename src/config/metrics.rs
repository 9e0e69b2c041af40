//! `[metrics]`: what is counted beyond what is always counted.

use crate::source::At;
use crate::source::Section;

/// What is counted beyond what is always counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// How many keys have series of their own.
    pub keys: usize,
}

/// Each is up to five series on every replica, for as long as Prometheus keeps them.
const MOST_KEYS: i64 = 10_000;

pub(super) fn read(root: &mut Section<'_, '_>) -> MetricsConfig {
    let mut metrics = MetricsConfig::default();
    let Some(table) = root.table("metrics") else { return metrics };
    let mut section = root.enter("[metrics]", table);
    if let Some(At { value, span }) = section.integer("keys") {
        match usize::try_from(value) {
            Ok(keys) if value <= MOST_KEYS => metrics.keys = keys,
            _ => {
                let help = format!("write how many keys are counted one by one, 0 to {MOST_KEYS}");
                section.wrong(&span, format!("`keys` cannot be {value}"), help);
            }
        }
    }
    metrics
}
