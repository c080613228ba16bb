//! The HTTP side: the server's life from its first route to the drain at its end.
//!
//! `routes` and `predict` answer, `overload` bounds what is run, `versions` marks and counts every answer.

pub(crate) mod answer;
mod explain;
pub(crate) mod overload;
mod predict;
mod routes;
mod versions;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::answer::refused;
use crate::app::{self, Settings, Upstream};
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::model::Model;
use crate::request::Refusal;
use crate::server::{self, Drain};

/// This service's version, as `x-app-version` tells it.
pub const APP_VERSION: &str = ::versions::APP;

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
    draining: Arc<AtomicBool>,
    /// Where predictions are kept.
    journal: Option<Journal>,
}

/// Serve until `stop` ends, then drain. The model has passed its self-test before the port answers.
/// The app stands before it, in the same process.
pub async fn serve(
    listener: TcpListener,
    model: Model,
    limits: Limits,
    app: Settings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let draining = Arc::new(AtomicBool::new(false));
    let service = Arc::new(Service {
        metrics: Metrics::new(&model.about, APP_VERSION),
        model: Arc::new(model),
        workers: Arc::new(Semaphore::new(limits.workers.get())),
        queue: Arc::new(Semaphore::new(limits.queue)),
        limits,
        draining: Arc::clone(&draining),
        journal: app.journal.as_ref().map(|(journal, _)| journal.clone()),
    });
    let drain = Drain { notice: service.limits.drain_notice, open: service.limits.drain };
    let router = app::router(Upstream::Here(router(service)), app, Arc::clone(&draining))?;
    server::serve(listener, router, draining, drain, stop).await
}

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/predict", post(predict::predict))
        .route("/explain", post(explain::handle))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(routes::ready))
        .route("/version", get(routes::version))
        .route("/metrics", get(routes::tell_metrics))
        .fallback(async || refused(&Refusal::new(StatusCode::NOT_FOUND, "not_found", "no such path")))
        .method_not_allowed_fallback(async || {
            refused(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "another method is needed here"))
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&service), versions::observed))
        .with_state(service)
}
