//! What is on every answer, errors too: the versions that made it; and each answer is counted.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use super::{APP_VERSION, Service};
use crate::metrics::Answered;

/// Count the answer and put the versions on it, whatever it is.
pub(super) async fn observed(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
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
