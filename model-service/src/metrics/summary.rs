//! A summary: quantiles over the last while, count and sum since the start. `prometheus-client` has none.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Quantiles are exact over the last `KEPT` observations of `AGE`; Prometheus' own clients look back as long.
const AGE: Duration = Duration::from_mins(10);
const KEPT: usize = 1024;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

#[derive(Default)]
pub struct Summary {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    recent: VecDeque<(Instant, f64)>,
    count: u64,
    sum: f64,
}

impl Summary {
    pub fn observe(&self, value: f64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.recent.len() == KEPT {
            inner.recent.pop_front();
        }
        inner.recent.push_back((Instant::now(), value));
        inner.count += 1;
        inner.sum += value;
    }

    /// The family's lines; a quantile of nothing is NaN, as the format has it.
    pub(super) fn write(&self, text: &mut String, name: &str, help: &str) {
        let (mut recent, count, sum) = {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let recent: Vec<f64> = inner.recent.iter().filter(|(at, _)| at.elapsed() <= AGE).map(|(_, value)| *value).collect();
            (recent, inner.count, inner.sum)
        };
        recent.sort_by(f64::total_cmp);
        let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} summary");
        for quantile in QUANTILES {
            let rank = (quantile * recent.len() as f64).ceil() as usize;
            let value = recent.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN);
            let _ = writeln!(text, "{name}{{quantile=\"{quantile}\"}} {value}");
        }
        let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(values: impl Iterator<Item = u32>) -> String {
        let summary = Summary::default();
        values.for_each(|value| summary.observe(f64::from(value)));
        let mut text = String::new();
        summary.write(&mut text, "a_seconds", "Help");
        text
    }

    #[test]
    fn quantiles_are_ranks_of_what_was_seen() {
        let text = text((1..=100).rev());
        for line in ["a_seconds{quantile=\"0.5\"} 50", "a_seconds{quantile=\"0.99\"} 99", "a_seconds_sum 5050", "a_seconds_count 100"] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(self::text(0..0).contains("a_seconds{quantile=\"0.9\"} NaN\n"));
    }

    #[test]
    fn old_observations_leave_the_quantiles_but_not_the_count() {
        let text = text((0..1024).chain(std::iter::repeat_n(7, 1024)));
        assert!(text.contains("{quantile=\"0.99\"} 7\n") && text.contains("_count 2048\n"), "{text}");
    }
}
