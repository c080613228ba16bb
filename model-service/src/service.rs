//! The HTTP side: routes, the bounded queue, headers on every answer, and the drain at the end.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{error, info};

use crate::metrics::{self, Answered, Metrics, Said};
use crate::model::{Model, Verdict};
use crate::page::{self, Shown};
use crate::request::{self, Format, LARGEST_BODY, Refusal};

/// This service's version, as `x-app-version` tells it.
pub const APP_VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, Clone)]
pub struct Limits {
    /// Model runs at one time.
    pub workers: NonZeroUsize,
    /// Requests that are run or wait; the next is answered 503.
    pub queue: usize,
    /// How long a body may take to arrive.
    pub body: Duration,
    /// Between the signal and the closing of the port: `/readyz` says 503 while load balancers look away.
    pub drain_notice: Duration,
    /// How long open requests may take after that.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            queue: 256,
            body: Duration::from_secs(10),
            drain_notice: Duration::from_secs(2),
            drain: Duration::from_secs(10),
        }
    }
}

struct Service {
    model: Arc<Model>,
    metrics: Metrics,
    limits: Limits,
    workers: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    draining: AtomicBool,
}

/// Serve until `stop` ends, then drain. The model has passed its self-test before the port answers.
pub async fn serve(listener: TcpListener, model: Model, limits: Limits, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let service = Arc::new(Service {
        metrics: Metrics::new(&model.about, APP_VERSION),
        model: Arc::new(model),
        workers: Arc::new(Semaphore::new(limits.workers.get())),
        queue: Arc::new(Semaphore::new(limits.queue)),
        limits,
        draining: AtomicBool::new(false),
    });
    let (closing, closed) = tokio::sync::oneshot::channel::<()>();
    let (notice, drain) = (service.limits.drain_notice, service.limits.drain);
    let stopping = {
        let service = Arc::clone(&service);
        async move {
            stop.await;
            service.draining.store(true, Ordering::Release);
            info!("draining");
            tokio::time::sleep(notice).await;
            // Nobody waits any more only if the server has ended first.
            let _ = closing.send(());
        }
    };
    let served = axum::serve(listener, router(service)).with_graceful_shutdown(stopping).into_future();
    let too_late = async {
        if closed.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        ended = served => ended.context("serve"),
        () = too_late => {
            error!("requests still open after {drain:?} are cut");
            Ok(())
        }
    }
}

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/predict", post(predict))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/version", get(version))
        .route("/metrics", get(tell_metrics))
        .fallback(async || refused(&Refusal::new(StatusCode::NOT_FOUND, "not_found", "no such path")))
        .method_not_allowed_fallback(async || {
            refused(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "another method is needed here"))
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&service), observed))
        .with_state(service)
}

/// Count the answer and put the versions on it, whatever it is.
async fn observed(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    service.metrics.requests.get_or_create(&Answered { route, method: method.to_owned(), status }).inc();
    let about = &service.model.about;
    for (name, value) in [("x-model-id", about.id.as_str()), ("x-model-version", &about.version), ("x-app-version", APP_VERSION)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn front(State(service): State<Arc<Service>>) -> Response {
    shown(&service, StatusCode::OK, &Shown::default())
}

async fn ready(State(service): State<Arc<Service>>) -> Response {
    if service.draining.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}

async fn version(State(service): State<Arc<Service>>) -> Response {
    json_response(
        StatusCode::OK,
        &json!({
            "app": APP_VERSION, "model": service.model.about, "runtime": service.model.runtime(),
        }),
    )
}

async fn tell_metrics(State(service): State<Arc<Service>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], service.metrics.encoded()).into_response()
}

async fn predict(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let format = Format::of(text(header::CONTENT_TYPE));
    let wants_page = format == Ok(Format::Form) && text(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let mut urls = Vec::new();
    let answer = match format {
        Err(refusal) => Err(refusal),
        Ok(format) => judge(&service, format, body, &mut urls).await,
    };
    if wants_page {
        let url = urls.first().map_or("", String::as_str);
        return match &answer {
            Ok(found) => shown(&service, StatusCode::OK, &Shown { url, answer: Some((Verdict::of(found[0]), found[0])), error: None }),
            Err(refusal) => retry_after(shown(&service, refusal.status, &Shown { url, answer: None, error: Some(&refusal.message) })),
        };
    }
    match answer {
        Ok(found) => {
            let predictions: Vec<_> = urls
                .iter()
                .zip(found)
                .map(|(url, probability)| json!({"url": url, "verdict": Verdict::of(probability), "probability": (f64::from(probability) * 1e7).round() / 1e7}))
                .collect();
            json_response(StatusCode::OK, &json!({ "predictions": predictions }))
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Probabilities of the body's URLs, which are put into `urls`.
async fn judge(service: &Arc<Service>, format: Format, body: Body, urls: &mut Vec<String>) -> Result<Vec<f32>, Refusal> {
    let body = read(body, service.limits.body).await?;
    *urls = request::urls(format, &body)?;
    let Ok(place) = Arc::clone(&service.queue).try_acquire_owned() else {
        service.metrics.refused.inc();
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many requests wait; try again"));
    };
    service.metrics.in_progress.inc();
    let found = run(service, urls.clone()).await;
    service.metrics.in_progress.dec();
    drop(place);
    let found = found.map_err(|failure| {
        error!(error = format!("{failure:#}"), "prediction failed");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the model failed")
    })?;
    for (url, probability) in urls.iter().zip(&found) {
        service.metrics.predictions.get_or_create(&Said { verdict: Verdict::of(*probability).name() }).inc();
        service.metrics.url_length.observe(url.len() as f64);
        service.metrics.score.observe(f64::from(*probability));
    }
    Ok(found)
}

async fn run(service: &Service, urls: Vec<String>) -> Result<Vec<f32>> {
    let worker = Arc::clone(&service.workers).acquire_owned().await.context("the service ends")?;
    let model = Arc::clone(&service.model);
    let started = Instant::now();
    let found = tokio::task::spawn_blocking(move || {
        let _worker = worker; // held to the end of the run, also when the client has gone
        model.probabilities(&urls)
    })
    .await
    .context("the model's thread ended")??;
    service.metrics.prediction_time.observe(started.elapsed().as_secs_f64());
    Ok(found)
}

async fn read(body: Body, limit: Duration) -> Result<Vec<u8>, Refusal> {
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body may have {LARGEST_BODY} bytes"));
    if axum::body::HttpBody::size_hint(&body).lower() > LARGEST_BODY as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(limit, Limited::new(body, LARGEST_BODY).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "broken_body", "the body ended early")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", format!("the body did not arrive within {limit:?}"))),
    }
}

fn json_response(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    retry_after(json_response(refusal.status, &json!({"error": {"code": refusal.code, "message": refusal.message}})))
}

fn retry_after(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn shown(service: &Service, status: StatusCode, shown: &Shown<'_>) -> Response {
    let html = page::html(shown, &service.model.about, APP_VERSION);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)], html).into_response()
}
