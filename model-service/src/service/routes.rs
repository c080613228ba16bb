//! The routes that judge nothing: probes, versions, metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::json_response;
use super::{APP_VERSION, Service};
use crate::metrics::Format;
use crate::swap::Served;

pub(super) async fn ready(State(service): State<Arc<Service>>) -> Response {
    if service.draining.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}

pub(super) async fn version(Extension(served): Extension<Arc<Served>>) -> Response {
    let model = &served.model;
    json_response(
        StatusCode::OK,
        &json!({"app": APP_VERSION, "library": ::versions::LIBRARY, "model": model.about, "runtime": model.runtime()}),
    )
}

pub(super) async fn tell_metrics(
    State(service): State<Arc<Service>>,
    Extension(served): Extension<Arc<Served>>,
    headers: HeaderMap,
) -> Response {
    let format = Format::of(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    let text = service.metrics.encoded(format, &served.model.about, &served.drift);
    ([(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")], text).into_response()
}
