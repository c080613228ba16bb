//! The HTTP side: the server's life from its first route to the drain at its end.
//!
//! `routes` and `predict` answer, `overload` bounds what is run, `versions` marks and counts every answer.

mod answer;
mod overload;
mod predict;
mod routes;
mod versions;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{error, info};

use self::answer::refused;
use crate::metrics::Metrics;
use crate::model::Model;
use crate::request::Refusal;

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
        .route("/", get(routes::front))
        .route("/predict", post(predict::predict))
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
