//! What `/metrics` tells. Label sets are bounded: routes, methods and outcomes are ours, never the client's text.

mod drift;
mod summary;
mod text;

use std::fmt::Write as _;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use prometheus_client::registry::{Registry, Unit};

pub use self::drift::{Distribution, Drift, Reference};
pub use self::summary::Summary;
pub use self::text::{Format, prometheus};
use crate::model::{About, Verdict};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    pub route: &'static str,
    pub method: &'static str,
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Said {
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Swapped {
    outcome: &'static str,
}

/// How an attempt to serve another model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Swapped,
    Refused,
    RolledBack,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Swapped, Self::Refused, Self::RolledBack];

    fn name(self) -> &'static str {
        match self {
            Self::Swapped => "swapped",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
        }
    }
}

pub struct Metrics {
    registry: Registry,
    app_version: &'static str,
    pub requests: Family<Answered, Counter>,
    predictions: Family<Said, Counter>,
    swaps: Family<Swapped, Counter>,
    pub in_progress: Gauge,
    pub refused: Counter,
    prediction_time: Histogram,
    /// A request's time with the model, waiting for its turn included.
    pub answer_time: Summary,
    url_length: Histogram,
    score: Histogram,
}

impl Metrics {
    pub fn new(app_version: &'static str) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("model_service"),
            app_version,
            requests: Family::default(),
            predictions: Family::default(),
            swaps: Family::default(),
            in_progress: Gauge::default(),
            refused: Counter::default(),
            prediction_time: Histogram::new([2.5e-6, 1e-5, 2.5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5]),
            answer_time: Summary::default(),
            url_length: Histogram::new([20.0, 30.0, 40.0, 50.0, 75.0, 100.0, 150.0, 200.0, 500.0, 2000.0]),
            score: Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]),
        };
        // A rate needs the value before the first event.
        for verdict in [Verdict::Phishing, Verdict::Legitimate] {
            let _ = metrics.predictions.get_or_create(&Said { verdict: verdict.name() });
        }
        for status in [200, 500, 503] {
            let _ = metrics.requests.get_or_create(&Answered { route: "/predict", method: "POST", status });
        }
        for outcome in Outcome::ALL {
            let _ = metrics.swaps.get_or_create(&Swapped { outcome: outcome.name() });
        }
        let registry = &mut metrics.registry;
        registry.register("http_requests", "Answers by route, method and status", metrics.requests.clone());
        registry.register("predictions", "URLs judged, by verdict", metrics.predictions.clone());
        registry.register("model_swaps", "Attempts to serve another model, by outcome", metrics.swaps.clone());
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
        metrics
    }

    /// A model run, without waiting.
    pub fn ran(&self, took: Duration) {
        self.prediction_time.observe(took.as_secs_f64());
    }

    /// URLs that were answered.
    pub fn judged<U: AsRef<str>>(&self, urls: &[U], probabilities: &[f32], drift: &Drift) {
        for (url, probability) in urls.iter().zip(probabilities) {
            self.predictions.get_or_create(&Said { verdict: Verdict::of(*probability).name() }).inc();
            self.url_length.observe(url.as_ref().len() as f64);
            self.score.observe(f64::from(*probability));
            drift.observe(url.as_ref().len(), *probability);
        }
    }

    pub fn swapped(&self, outcome: Outcome) {
        self.swaps.get_or_create(&Swapped { outcome: outcome.name() }).inc();
    }

    /// All of it, with what is told of the model that is served now.
    pub fn encoded(&self, format: Format, about: &About, drift: &Drift) -> String {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry).expect("writing to a String cannot fail");
        self.answer_time.write(
            &mut text,
            "model_service_answer_seconds",
            "Time of a request with the model, waiting for its turn included",
        );
        let _ = writeln!(text, "# HELP model_service_build What runs.\n# TYPE model_service_build info");
        let labels =
            [("app_version", self.app_version), ("model", &about.name), ("model_version", &about.version), ("model_id", &about.id)];
        let labels =
            labels.map(|(name, value)| format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")));
        let _ = writeln!(text, "model_service_build_info{{{}}} 1", labels.join(","));
        if let Some(indices) = drift.indices() {
            let name = "model_service_input_drift";
            let _ = writeln!(text, "# HELP {name} Population stability index of the last predictions.\n# TYPE {name} gauge");
            for (what, index) in indices {
                let _ = writeln!(text, "{name}{{what=\"{what}\"}} {index}");
            }
        }
        encode_eof(&mut text).expect("writing to a String cannot fail");
        match format {
            Format::OpenMetrics => text,
            Format::Prometheus => prometheus(&text),
        }
    }
}
