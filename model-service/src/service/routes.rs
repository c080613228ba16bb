//! The routes that judge nothing: probes, versions, metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::json_response;
use super::{APP_VERSION, Service};
use crate::metrics;

pub(super) async fn ready(State(service): State<Arc<Service>>) -> Response {
    if service.draining.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}

pub(super) async fn version(State(service): State<Arc<Service>>) -> Response {
    json_response(
        StatusCode::OK,
        &json!({
            "app": APP_VERSION, "library": ::versions::LIBRARY, "model": service.model.about, "runtime": service.model.runtime(),
        }),
    )
}

pub(super) async fn tell_metrics(State(service): State<Arc<Service>>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], service.metrics.encoded()).into_response()
}
