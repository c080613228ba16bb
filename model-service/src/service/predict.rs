//! `POST /predict`: JSON to programs, the page to browsers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::Service;
use super::answer::{json_response, refused, retry_after};
use super::overload::judge;
use super::routes::shown;
use crate::model::Verdict;
use crate::page::Shown;
use crate::request::Format;

pub(super) async fn predict(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let format = Format::of(text(header::CONTENT_TYPE));
    let wants_page = format == Ok(Format::Form) && text(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let mut urls = Vec::new();
    let answer = match format {
        Err(refusal) => Err(refusal),
        Ok(format) => judge(&service, format, body, &mut urls).await,
    };
    if wants_page {
        let url = urls.first().map_or("", String::as_str);
        return match &answer {
            Ok(found) => shown(&service, StatusCode::OK, &Shown { url, answer: Some((Verdict::of(found[0]), found[0])), error: None }),
            Err(refusal) => retry_after(shown(&service, refusal.status, &Shown { url, answer: None, error: Some(&refusal.message) })),
        };
    }
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
