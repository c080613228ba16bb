//! What the app counts. In the model service's process it stands in one text with what that counts.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram, info::Info};
use prometheus_client::registry::{Registry, Unit};

use super::{App, Upstream, Variant};
use crate::metrics::{Format, prometheus};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shown {
    version: &'static str,
    verdict: String,
}

pub(super) struct Metrics {
    registry: Registry,
    yes: Family<Version, Counter>,
    no: Family<Version, Counter>,
    requests: Family<Answered, Counter>,
    shown: Family<Shown, Counter>,
    fallbacks: Counter,
    pub not_kept: Counter,
    pub model_time: Histogram,
}

impl Metrics {
    pub fn new(variant: Variant) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            yes: Family::default(),
            no: Family::default(),
            requests: Family::default(),
            shown: Family::default(),
            fallbacks: Counter::default(),
            not_kept: Counter::default(),
            model_time: Histogram::new([1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5]),
        };
        let registry = &mut metrics.registry;
        registry.register("feedback_yes", "Answers that people called right, by the app's variant", metrics.yes.clone());
        registry.register("feedback_no", "Answers that people called wrong, by the app's variant", metrics.no.clone());
        registry.register("app_http_requests", "The app's answers by route, method and status", metrics.requests.clone());
        registry.register("app_verdicts", "Verdicts shown, by the app's variant", metrics.shown.clone());
        registry.register("app_fallbacks", "Fallback answers, because the model service had none", metrics.fallbacks.clone());
        registry.register("app_feedback_refused", "Feedback that could not be kept", metrics.not_kept.clone());
        registry.register_with_unit("app_model", "Time that the model service took", Unit::Seconds, metrics.model_time.clone());
        let told = vec![("version", versions::APP), ("library", versions::LIBRARY), ("variant", variant.name())];
        registry.register("app_build", "What runs", Info::new(told));
        // A rate needs its zero.
        for family in [&metrics.yes, &metrics.no] {
            drop(family.get_or_create(&Version { version: variant.name().to_owned() }));
        }
        for verdict in ["phishing", "legitimate"] {
            drop(metrics.shown.get_or_create(&Shown { version: variant.name(), verdict: verdict.to_owned() }));
        }
        metrics
    }

    pub fn voted(&self, version: &str, yes: bool) {
        let version = version.to_owned();
        if yes { &self.yes } else { &self.no }.get_or_create(&Version { version }).inc();
    }

    /// Yes and no of this process.
    pub fn votes(&self, version: &str) -> (u64, u64) {
        let label = Version { version: version.to_owned() };
        (self.yes.get_or_create(&label).get(), self.no.get_or_create(&label).get())
    }

    pub fn answered(&self, route: String, method: &'static str, status: u16) {
        self.requests.get_or_create(&Answered { route, method, status }).inc();
    }

    pub fn judged(&self, variant: Variant, verdict: &str) {
        let verdict = if verdict == "phishing" { "phishing" } else { "legitimate" }.to_owned();
        self.shown.get_or_create(&Shown { version: variant.name(), verdict }).inc();
    }

    pub fn fell_back(&self) {
        self.fallbacks.inc();
    }

    fn encoded(&self, format: Format) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        match format {
            Format::OpenMetrics => text,
            Format::Prometheus => prometheus(&text),
        }
    }
}

/// `GET /metrics`: the model service's before ours, where both are one process.
pub(super) async fn tell(State(app): State<Arc<App>>, request: Request) -> Response {
    let format = Format::of(request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    let own = app.metrics.encoded(format);
    if matches!(app.upstream, Upstream::There { .. }) {
        return ([(header::CONTENT_TYPE, format.content_type())], own).into_response();
    }
    let Ok(theirs) = app.upstream.send("/metrics", request, app.settings.patience).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let (mut head, body) = theirs.into_parts();
    let Ok(body) = body.collect().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mut text = String::from_utf8_lossy(&body.to_bytes()).trim_end_matches("# EOF\n").to_owned();
    text.push_str(&own);
    head.headers.remove(header::CONTENT_LENGTH);
    (head.status, head.headers, text).into_response()
}
