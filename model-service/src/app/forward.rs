//! What is passed to the model service as it came.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use tracing::warn;

use super::App;
use crate::request::Refusal;
use crate::service::answer::refused;

/// On answers that are the model service's own.
#[derive(Clone)]
pub(super) struct Forwarded;

/// `/model/predict` is the model service's `/predict`.
pub(super) async fn to_model(State(app): State<Arc<App>>, request: Request) -> Response {
    let whole = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = whole.strip_prefix("/model").unwrap_or(whole).to_owned();
    pass(&app, &if path.starts_with('/') { path } else { format!("/{path}") }, request).await
}

pub(super) async fn as_is(State(app): State<Arc<App>>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    pass(&app, &path, request).await
}

pub(super) async fn pass(app: &App, path: &str, request: Request) -> Response {
    // Its body may still be on its way.
    let mut answer = match app.upstream.send(path, request, app.settings.body + app.settings.patience).await {
        Ok(answer) => answer,
        Err(cause) => {
            warn!(%cause, "the model service has no answer");
            return refused(&Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no_model", "the model service does not answer; try again"));
        }
    };
    answer.extensions_mut().insert(Forwarded);
    answer
}
