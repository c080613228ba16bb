//! The administration, on a port of its own that no gateway leads to: which models there are, and back to the previous one.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;
use tracing::info;

use super::answer::{json_response, no_route, refused};
use super::{Service, versions};
use crate::metrics::Outcome;
use crate::request::Refusal;

pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/admin/models", get(async |State(service): State<Arc<Service>>| json_response(StatusCode::OK, &service.models.told())))
        .route("/admin/rollback", post(roll_back))
        .fallback(no_route)
        .layer(middleware::from_fn_with_state(Arc::clone(&service), versions::told))
        .with_state(service)
}

async fn roll_back(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    if headers.contains_key(header::ORIGIN) {
        return refused(&Refusal::new(StatusCode::FORBIDDEN, "from_a_page", "no page of a browser may do this"));
    }
    match service.models.roll_back() {
        Some(again) => {
            info!(model = again.model.about.id, version = again.model.about.version, "rolled back");
            service.metrics.swapped(Outcome::RolledBack);
            json_response(StatusCode::OK, &json!({"current": again.model.about}))
        }
        None => refused(&Refusal::new(StatusCode::CONFLICT, "no_previous_model", "no other model has answered since the start")),
    }
}
