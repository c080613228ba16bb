//! `POST /predict`, for programs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::Service;
use super::answer::{json_response, refused};
use super::overload::judge;
use crate::model::Verdict;
use crate::request::Format;

pub(super) async fn predict(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let format = Format::of(text(header::CONTENT_TYPE));
    let mut urls = Vec::new();
    let answer = match format {
        Err(refusal) => Err(refusal),
        Ok(format) => judge(&service, format, body, &mut urls).await,
    };
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
