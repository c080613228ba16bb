//! The app: the page for people, the interface for their programs, what they say of the answers, and the experiment.
//!
//! It asks the model service (`upstream`), in this process or elsewhere. Variant v1 shows the verdict, v2 also the probability and which
//! characters drove it. `/`, `/api/predict` and `/api/feedback` are its own, `/model/…` is the model service's; what clients of other
//! teams' apps send is understood by `peers`.

mod api;
mod body;
pub mod command;
mod counts;
mod experiment;
mod feedback;
pub mod fields;
mod forward;
mod judge;
mod metrics;
mod page;
mod peers;
mod upstream;
mod view;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use clap::ValueEnum;
use serde_json::json;

pub use self::counts::Resolver;
pub use self::experiment::{Comparison, Counts, NEEDED, compare};
pub(crate) use self::feedback::not_kept;
pub use self::upstream::Upstream;
use crate::journal::Journal;
use crate::request::Refusal;
use crate::service::answer::{answered, json_response, no_route, refused};
use crate::service::documentation::Description;
use crate::service::versions::canary;

/// What the experiment compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    /// Shows the verdict
    V1,
    /// Shows the probability and the characters that drove it, too
    V2,
}

impl Variant {
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

pub struct Settings {
    pub variant: Variant,
    /// Where feedback is kept; without it feedback is only counted.
    pub journal: Option<(Journal, PathBuf)>,
    /// How long the model service may take to answer.
    pub patience: Duration,
    /// How long a body may take to arrive.
    pub body: Duration,
    /// Whether this instance is the canary, as `x-canary` tells.
    pub canary: bool,
    /// Where the experiment's counts come from, as Prometheus text; this process alone when empty.
    pub counts_from: Vec<Uri>,
    /// Finds all processes behind these names.
    pub resolver: Resolver,
    /// How long after its start this process is unready as long as the model service has not been reached once.
    pub reach_within: Duration,
}

pub(crate) struct App {
    settings: Settings,
    upstream: Upstream,
    metrics: metrics::Metrics,
    votes: Mutex<feedback::Votes>,
    /// What the model service last said of its model.
    model: Mutex<judge::Seen>,
    /// For the experiment's counts.
    client: upstream::Client,
    draining: Arc<AtomicBool>,
    begun: Instant,
    /// Whether the model service was ready, seen from here.
    reached: AtomicBool,
}

/// What `/api/openapi.json` describes: every path of the app alone.
pub const ROUTES: [&str; 18] = [
    "/",
    "/api/predict",
    "/api/feedback",
    "/experiment",
    "/metrics",
    "/healthz",
    "/readyz",
    "/version",
    "/model/{path}",
    "/predict",
    "/feedback",
    "/feedback/",
    "/check",
    "/check/",
    "/submit_input",
    "/send_predict_request",
    "/api/openapi.json",
    "/api/docs",
];

static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| Description::new(include_str!("openapi.json")));

/// The app's routes. Beside a model service elsewhere it also has the probes and metrics of a server of its own; in the model service's
/// process all that is not the app's is answered by that.
pub fn router(upstream: Upstream, settings: Settings, draining: Arc<AtomicBool>) -> Result<Router> {
    let metrics = metrics::Metrics::new(settings.variant);
    let mut votes = feedback::Votes::default();
    if let Some((_, folder)) = &settings.journal {
        votes.restore(folder, &metrics)?;
    }
    let elsewhere = matches!(upstream, Upstream::There { .. });
    let app = Arc::new(App {
        settings,
        upstream,
        metrics,
        votes: Mutex::new(votes),
        model: Mutex::default(),
        client: upstream::client(),
        draining,
        begun: Instant::now(),
        reached: AtomicBool::new(false),
    });
    let mut router = Router::new()
        .route("/", get(page::front).post(page::posted))
        .route("/api/predict", post(api::predict))
        .route("/api/feedback", post(api::feedback))
        .route("/api/openapi.json", get(async || DESCRIPTION.openapi()))
        .route("/api/docs", get(async || DESCRIPTION.page("/api/docs")))
        .route("/experiment", get(experiment::show))
        .route("/metrics", get(metrics::tell))
        .route("/model", any(forward::to_model))
        .route("/model/{*path}", any(forward::to_model))
        .route("/predict", post(peers::predict).fallback(forward::as_is))
        .route("/feedback", post(peers::feedback))
        .route("/feedback/", post(peers::labelled))
        .route("/check", post(peers::check))
        .route("/check/", post(peers::check))
        .route("/submit_input", post(peers::submitted))
        .route("/send_predict_request", post(peers::submitted));
    if elsewhere {
        router =
            router.route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).route("/version", get(version)).fallback(no_route);
    } else {
        router = router.fallback(forward::as_is);
    }
    Ok(router
        .method_not_allowed_fallback(async || {
            refused(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "another method is needed here"))
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), observed))
        .with_state(app))
}

/// Of a release that was just installed both parts become ready at once, and the network of the app's node may not know the model
/// service's pods yet: who then is sent here would get the fallback. So the first readiness waits for the model service; one that goes
/// later is the fallback's matter.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.draining.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    if !app.reached.load(Ordering::Relaxed) && app.begun.elapsed() < app.settings.reach_within {
        if !app.reaches_model_service().await {
            return (StatusCode::SERVICE_UNAVAILABLE, "waiting for the model service\n").into_response();
        }
        app.reached.store(true, Ordering::Relaxed);
    }
    "ready\n".into_response()
}

async fn version(State(app): State<Arc<App>>) -> Response {
    let model = app.model().await;
    let told = json!({
        "app": versions::APP, "library": versions::LIBRARY, "variant": app.settings.variant.name(),
        "model": model.map(|model| json!({"name": model.name, "version": model.version, "id": model.id})),
    });
    json_response(StatusCode::OK, &told)
}

/// Count the app's own answers, and put the versions on every one: the model's as it was last seen, where none has just answered, and
/// `unknown` before that.
async fn observed(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let mut response = answered(next.run(request)).await;
    // What is not the app's is counted by the model service.
    if let Some(route) = route.filter(|_| response.extensions().get::<forward::Forwarded>().is_none()) {
        app.metrics.answered(route, method, response.status().as_u16());
    }
    let headers = response.headers_mut();
    // Of whom the client talked to, also where the model service has answered through it.
    headers.insert("x-app-version", HeaderValue::from_static(versions::APP));
    headers.insert("x-app-variant", HeaderValue::from_static(app.settings.variant.name()));
    headers.insert("x-canary", HeaderValue::from_static(canary(app.settings.canary)));
    if !headers.contains_key("x-model-id") {
        for (name, value) in app.seen_marks() {
            headers.entry(name).or_insert(value);
        }
    }
    for name in judge::MARKS {
        headers.entry(name).or_insert(HeaderValue::from_static("unknown"));
    }
    response
}

/// Headers that tell which model answered, as the model service sent them.
type Marks = HashMap<HeaderName, HeaderValue>;

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn panic_of_a_handler_is_an_answer_like_every_other() {
        let broken = Router::new().route("/broken", get(async || -> &'static str { panic!("broken") }));
        let settings = Settings {
            variant: Variant::V2,
            journal: None,
            patience: Duration::from_secs(1),
            body: Duration::from_secs(1),
            canary: true,
            counts_from: Vec::new(),
            resolver: Resolver::default(),
            reach_within: Duration::ZERO,
        };
        let router = router(Upstream::Here(broken), settings, Arc::default()).unwrap();
        let answer = router.oneshot(Request::get("/broken").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-app-version", versions::APP),
            ("x-canary", "canary"),
            ("x-model-id", "unknown"),
            ("x-model-version", "unknown"),
        ] {
            assert_eq!(answer.headers()[name], value, "{name}");
        }
    }
}
