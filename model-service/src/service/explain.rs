//! `POST /explain`: `{"url"}` → the answer, and `changes`: what drove it, character by character.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::Service;
use super::answer::{json_response, refused};
use super::overload::Turn;
use super::predict::{read_as, rounded};
use crate::explain::explain;
use crate::model::Verdict;
use crate::request::{self, Refusal};
use crate::swap::Served;

pub(super) async fn handle(
    State(service): State<Arc<Service>>,
    Extension(served): Extension<Arc<Served>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match answer(&service, &served, &headers, body).await {
        Ok(response) => response,
        Err(refusal) => refused(&refusal),
    }
}

async fn answer(service: &Service, served: &Served, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
    let (format, body) = read_as(service, headers, body).await?;
    let mut urls = request::asked(format, &body)?.urls;
    let (1, Some(url)) = (urls.len(), urls.pop()) else {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "one URL at a time is explained"));
    };
    drop(body);
    let turn = Turn::take(service)?;
    let explained = {
        let url = url.clone();
        turn.run(served, move |model| explain(model, &url)).await?
    };
    turn.judged(served, &[&url], &[explained.probability]).await?;
    let told = json!({
        "url": url,
        "verdict": Verdict::of(explained.probability),
        "probability": rounded(f64::from(explained.probability)),
        "changes": explained.changes.iter().map(|change| change.map(rounded)).collect::<Vec<_>>(),
    });
    Ok(json_response(StatusCode::OK, &told))
}
