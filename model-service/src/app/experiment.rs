//! The experiment: do people call more answers right where the probability is shown (v2) than where it is not (v1)?
//!
//! The test was fixed before any data: two-sided, at 95 %, once each variant has `NEEDED` answers with feedback. The interval of the
//! difference of two proportions is Newcombe's hybrid score interval (R. G. Newcombe, Statistics in Medicine 17, 1998, 873–890,
//! method 10), from Wilson's intervals (E. B. Wilson, JASA 22, 1927, 209–212). It holds for one look: who looks again and again until
//! it excludes 0 will find that it does.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::body::accepts_html;
use super::counts::{self, Heard};
use super::page;
use super::{App, Variant};
use crate::service::answer::json_response;

/// Feedback a variant, below which nothing is concluded: shows .80 against .90 with a power of 80 % at 5 %
/// (n = (1.96 √(2·.85·.15) + 0.84 √(.8·.2 + .9·.1))² / .1² = 199).
pub const NEEDED: u64 = 200;
/// Standard normal quantile of a two-sided 95 %.
const Z: f64 = 1.959_963_984_540_054;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub yes: u64,
    pub no: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// One variant's share of `yes`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    pub n: u64,
    pub yes: u64,
    /// Absent without feedback.
    pub share: Option<f64>,
    /// Wilson's, 95 %.
    pub interval: Option<Interval>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub v1: Share,
    pub v2: Share,
    /// v2 − v1.
    pub difference: Option<f64>,
    /// Newcombe's, 95 %.
    pub interval: Option<Interval>,
    /// `not enough data`, `v2 is called right more often`, `v1 is called right more often`, `no difference shown`.
    pub result: &'static str,
}

fn share(counts: Counts) -> Share {
    let n = counts.yes + counts.no;
    if n == 0 {
        return Share { n, yes: 0, share: None, interval: None };
    }
    let (total, p) = (n as f64, counts.yes as f64 / n as f64);
    let middle = (2.0 * total * p + Z * Z) / (2.0 * (total + Z * Z));
    let half = Z * (Z * Z + 4.0 * total * p * (1.0 - p)).sqrt() / (2.0 * (total + Z * Z));
    let interval = Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) };
    Share { n, yes: counts.yes, share: Some(p), interval: Some(interval) }
}

/// Both variants' shares, the interval of their difference, and what follows from it.
pub fn compare(v1: Counts, v2: Counts) -> Comparison {
    let (v1, v2) = (share(v1), share(v2));
    let (mut difference, mut interval) = (None, None);
    if let (Some(p1), Some(i1), Some(p2), Some(i2)) = (v1.share, v1.interval, v2.share, v2.interval) {
        difference = Some(p2 - p1);
        interval = Some(Interval {
            low: p2 - p1 - ((p2 - i2.low).powi(2) + (i1.high - p1).powi(2)).sqrt(),
            high: p2 - p1 + ((i2.high - p2).powi(2) + (p1 - i1.low).powi(2)).sqrt(),
        });
    }
    let result = match interval {
        Some(interval) if v1.n.min(v2.n) >= NEEDED => {
            if interval.low > 0.0 {
                "v2 is called right more often"
            } else if interval.high < 0.0 {
                "v1 is called right more often"
            } else {
                "no difference shown"
            }
        }
        _ => "not enough data",
    };
    Comparison { v1, v2, difference, interval, result }
}

/// `GET /experiment`: a page, or JSON for programs.
pub(super) async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let sources = &app.settings.counts_from;
    let heard = if sources.is_empty() {
        let [v1, v2] = [Variant::V1, Variant::V2].map(|variant| app.metrics.votes(variant.name()));
        let [v1, v2] = [v1, v2].map(|(yes, no)| Counts { yes, no });
        Heard { v1, v2, asked: 1, answered: 1, silent: Vec::new() }
    } else {
        counts::ask(&app.client, &app.settings.resolver, sources, app.settings.patience).await
    };
    let mut comparison = compare(heard.v1, heard.v2);
    if heard.answered < heard.asked {
        comparison.result = "not enough data";
    }
    let told = json!({
        "question": "is the answer called right more often where the probability is shown (v2) than where it is not (v1)?",
        "test": "two-sided, 95 %: Newcombe's hybrid score interval of the difference (Statistics in Medicine 17, 1998, 873-890, method 10)",
        "needed": NEEDED,
        "counted": if sources.is_empty() { "this process and its journal" } else { "every process behind the names that it was told" },
        "asked": heard.asked,
        "answered": heard.answered,
        "silent": heard.silent,
        "comparison": comparison,
    });
    if accepts_html(&headers) { page::experiment(&app, &told, &comparison).await } else { json_response(StatusCode::OK, &told) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newcombe(first: (u64, u64), second: (u64, u64)) -> (f64, f64) {
        let counts = |(yes, n): (u64, u64)| Counts { yes, no: n - yes };
        let interval = compare(counts(second), counts(first)).interval.unwrap();
        ((interval.low * 1e4).round() / 1e4, (interval.high * 1e4).round() / 1e4)
    }

    /// Table II of Newcombe's paper, method 10.
    #[test]
    fn interval_is_that_of_the_paper() {
        assert_eq!(newcombe((56, 70), (48, 80)), (0.0524, 0.3339));
        assert_eq!(newcombe((9, 10), (3, 10)), (0.1705, 0.8090));
        assert_eq!(newcombe((5, 56), (0, 29)), (-0.0381, 0.1926));
        assert_eq!(newcombe((10, 10), (0, 10)), (0.6075, 1.0));
    }

    #[test]
    fn nothing_is_concluded_below_the_stated_number() {
        let counts = |yes, no| Counts { yes, no };
        assert_eq!(compare(counts(0, 0), counts(0, 0)).result, "not enough data");
        assert_eq!(compare(counts(100, 99), counts(200, 0)).result, "not enough data");
        assert_eq!(compare(counts(100, 100), counts(200, 0)).result, "v2 is called right more often");
        assert_eq!(compare(counts(200, 0), counts(100, 100)).result, "v1 is called right more often");
        assert_eq!(compare(counts(160, 40), counts(162, 38)).result, "no difference shown");
    }
}
