//! The HTTP side: the server's life from its first route to the drain at its end.
//!
//! `routes`, `predict` and `explain` answer, `overload` bounds what is run, `versions` marks and counts every answer, `admin` has a port
//! of its own.

mod admin;
pub(crate) mod answer;
pub(crate) mod documentation;
mod explain;
pub(crate) mod overload;
mod predict;
mod routes;
#[cfg(test)]
mod tests;
pub(crate) mod versions;

use std::num::NonZeroUsize;
use std::path::PathBuf;
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
use self::documentation::SERVICE;
use crate::app::{self, Settings, Upstream, Variant};
use crate::front::Front;
use crate::journal::Journal;
use crate::listen::{self, Clients, KEPT};
use crate::metrics::Metrics;
use crate::model::{Model, Wanted};
use crate::pulse::Pulse;
use crate::request::Refusal;
use crate::server::{self, Drain};
use crate::swap::{self, Models};

/// This service's version, as `x-app-version` tells it.
pub const APP_VERSION: &str = ::versions::APP;

#[derive(Debug, Clone)]
pub struct Limits {
    /// Model runs at one time.
    pub workers: NonZeroUsize,
    /// Requests that are run or wait; the next is answered 503.
    pub queue: usize,
    pub clients: Clients,
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
            clients: Clients { kept: KEPT, head: Duration::from_mins(1) },
            body: Duration::from_secs(10),
            drain_notice: Duration::from_secs(2),
            drain: Duration::from_secs(10),
        }
    }
}

/// Everything a server is started with.
pub struct Setup {
    pub model: Model,
    /// A folder that is watched for newer models, and what is to compute them.
    pub watched: Option<(PathBuf, Wanted)>,
    pub limits: Limits,
    /// The administration's port.
    pub admin: Option<TcpListener>,
    pub app: Settings,
}

pub(crate) struct Service {
    models: Arc<Models>,
    metrics: Arc<Metrics>,
    limits: Limits,
    /// Whether this instance is the canary, as `x-canary` tells.
    canary: bool,
    /// What the app in this process shows, as `x-app-variant` tells.
    variant: Variant,
    workers: Arc<Semaphore>,
    queue: Semaphore,
    pulse: Pulse,
    draining: Arc<AtomicBool>,
    /// Where predictions and feedback are kept.
    journal: Option<Journal>,
}

/// Serve until `stop` ends, then drain. The model has passed its self-test before the port answers.
/// The app stands before it, in the same process.
pub async fn serve(listener: TcpListener, setup: Setup, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let Setup { model, watched, limits, admin, app } = setup;
    let draining = Arc::new(AtomicBool::new(false));
    let service = Arc::new(Service {
        models: Arc::new(Models::new(model)),
        metrics: Arc::new(Metrics::new(APP_VERSION)),
        canary: app.canary,
        variant: app.variant,
        workers: Arc::new(Semaphore::new(limits.workers.get())),
        queue: Semaphore::new(limits.queue),
        pulse: Pulse::default(),
        limits,
        draining: Arc::clone(&draining),
        journal: app.journal.as_ref().map(|(journal, _)| journal.clone()),
    });
    let Limits { clients, drain_notice: notice, drain: open, .. } = service.limits;
    // All end with the server: the set aborts them when it is dropped.
    let mut beside = tokio::task::JoinSet::new();
    let beating = Arc::clone(&service);
    beside.spawn(async move { beating.pulse.beat().await });
    if let Some((folder, wanted)) = watched {
        beside.spawn(swap::watch(folder, wanted, Arc::clone(&service.models), Arc::clone(&service.metrics)));
    }
    if let Some(listener) = admin {
        beside.spawn(listen::serve(
            listener,
            admin::router(Arc::clone(&service)).into(),
            clients,
            Arc::clone(&draining),
            std::future::pending(),
        ));
    }
    let router = app::router(Upstream::Here(router(Arc::clone(&service))), app, Arc::clone(&draining))?;
    server::serve(listener, Front::new(router, service), clients, draining, Drain { notice, open }, stop).await
}

/// The paths that are told apart in metrics; `/openapi.json` describes each.
pub const ROUTES: [&str; 11] =
    ["/predict", "/explain", "/add", "/healthz", "/readyz", "/version", "/metrics", "/openapi.json", "/docs", "/swagger", "/apidocs/"];

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/predict", post(predict::predict))
        .route("/explain", post(explain::handle))
        .route("/add", post(predict::add))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(routes::ready))
        .route("/version", get(routes::version))
        .route("/metrics", get(routes::tell_metrics))
        .route("/openapi.json", get(async || SERVICE.openapi()))
        .route("/docs", get(async || SERVICE.page("/docs")))
        .route("/swagger", get(async || SERVICE.page("/swagger")))
        .route("/apidocs/", get(async || SERVICE.page("/apidocs/")))
        .fallback(answer::no_route)
        .method_not_allowed_fallback(async || {
            refused(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "another method is needed here"))
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&service), versions::observed))
        .with_state(service)
}
