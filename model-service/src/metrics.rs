//! What `/metrics` tells (OpenMetrics text). Label sets are bounded: routes and methods are ours, never the client's text.

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info};
use prometheus_client::registry::{Registry, Unit};

use crate::model::{About, Verdict};

/// The format of `encoded`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    pub route: String,
    pub method: String,
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Said {
    pub verdict: &'static str,
}

pub struct Metrics {
    registry: Registry,
    pub requests: Family<Answered, Counter>,
    pub predictions: Family<Said, Counter>,
    pub in_progress: Gauge,
    pub refused: Counter,
    pub prediction_time: Histogram,
    pub url_length: Histogram,
    pub score: Histogram,
}

impl Metrics {
    pub fn new(about: &About, app_version: &'static str) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("model_service"),
            requests: Family::default(),
            predictions: Family::default(),
            in_progress: Gauge::default(),
            refused: Counter::default(),
            prediction_time: Histogram::new([1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5]),
            url_length: Histogram::new([20.0, 30.0, 40.0, 50.0, 75.0, 100.0, 150.0, 200.0, 500.0, 2000.0]),
            score: Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]),
        };
        let registry = &mut metrics.registry;
        registry.register("http_requests", "Answers by route, method and status", metrics.requests.clone());
        registry.register("predictions", "URLs judged, by verdict", metrics.predictions.clone());
        // From 0 on: what a counter was when it appeared nobody can say, and an alert would miss it.
        for verdict in [Verdict::Phishing, Verdict::Legitimate] {
            drop(metrics.predictions.get_or_create(&Said { verdict: verdict.name() }));
        }
        for status in [200, 500, 503] {
            drop(metrics.requests.get_or_create(&Answered { route: "/predict".to_owned(), method: "POST".to_owned(), status }));
        }
        registry.register("in_progress_requests", "Requests to predict in hand or waiting", metrics.in_progress.clone());
        registry.register("refused_overload", "Requests refused because the queue was full", metrics.refused.clone());
        registry.register_with_unit(
            "prediction",
            "Time of a request's model run, without waiting",
            Unit::Seconds,
            metrics.prediction_time.clone(),
        );
        registry.register_with_unit("url_length", "Length of the judged URLs", Unit::Bytes, metrics.url_length.clone());
        registry.register("score", "Probability of phishing of the judged URLs", metrics.score.clone());
        registry.register(
            "build",
            "What runs",
            Info::new(vec![
                ("app_version", app_version.to_owned()),
                ("model", about.name.clone()),
                ("model_version", about.version.clone()),
                ("model_id", about.id.clone()),
            ]),
        );
        metrics
    }

    pub fn encoded(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}
