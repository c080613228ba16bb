//! What the clients of other teams' apps send, and the answers that they read; README has the table.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::body::format;
use super::fields::{self, Fields};
use super::judge::Judged;
use super::{App, api, feedback, forward};
use crate::request::{Format, LARGEST_BODY};
use crate::service::answer::{json_response, refused};
use crate::service::overload;

/// Team 14: the form `input_text` → `{"prediction": "0.97"}`. Every other body is the model service's.
pub(super) async fn predict(State(app): State<Arc<App>>, request: Request) -> Response {
    if format(request.headers()) != Ok(Format::Form) {
        return forward::as_is(State(app), request).await;
    }
    let (head, body) = request.into_parts();
    let body = match overload::read(body, &head.headers, LARGEST_BODY, app.settings.body).await {
        Ok(body) => body,
        Err(refusal) => return refused(&refusal),
    };
    match fields::read(Format::Form, &body).map(|mut fields| fields.remove("input_text")) {
        Ok(Some(text)) => answered(&app, Some(text), |judged| json!({"prediction": judged.probability.to_string()})).await,
        Err(refusal) => refused(&refusal),
        Ok(None) => forward::as_is(State(app), Request::from_parts(head, Body::from(body.bytes))).await,
    }
}

/// Team 14: `{"feedback": "yes" | "no"}` → `{"status": "success"}`.
pub(super) async fn feedback(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    match app.fields(&headers, body).await {
        Ok(fields) => recorded(&app, &fields, json!({"status": "success"})).await,
        Err(refusal) => refused(&refusal),
    }
}

/// Team 6: `{"url", "label", "feedback": 0 | 1}` → `{"message", "feedback_result"}`; 1 agrees with the label.
pub(super) async fn labelled(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let fields = match app.fields(&headers, body).await {
        Ok(fields) => fields,
        Err(refusal) => return refused(&refusal),
    };
    let truth = |name: &str| match fields.get(name).map(String::as_str) {
        Some("1" | "true") => Some(true),
        Some("0" | "false") => Some(false),
        _ => None,
    };
    let (Some(url), Some(phishing), Some(agrees)) = (fields.get("url"), truth("label"), truth("feedback")) else {
        return (StatusCode::BAD_REQUEST, "URL, is_phishing, and feedback_result are required.").into_response();
    };
    let verdict = if phishing { "phishing" } else { "legitimate" };
    let ours = [("url", url.as_str()), ("verdict", verdict), ("feedback", if agrees { "yes" } else { "no" })];
    let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    recorded(&app, &ours, json!({"message": "Feedback received successfully", "feedback_result": u8::from(agrees)})).await
}

/// Team 6: `{"test_url"}` → `{"is_phishing"}`.
pub(super) async fn check(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    match app.fields(&headers, body).await {
        Ok(mut fields) => answered(&app, fields.remove("test_url"), |judged| json!({"is_phishing": judged.verdict == "phishing"})).await,
        Err(refusal) => refused(&refusal),
    }
}

/// Team 9: `{"input"}` or `{"url"}` → what its model service answers, `{"prediction": [[p]]}`.
pub(super) async fn submitted(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    match app.fields(&headers, body).await {
        Ok(mut fields) => {
            let Some(url) = fields.remove("input").or_else(|| fields.remove("url")).filter(|url| !url.is_empty()) else {
                return json_response(StatusCode::BAD_REQUEST, &json!({"message": "No input provided"}));
            };
            answered(&app, Some(url), |judged| json!({"url": judged.url, "verdict": judged.verdict, "prediction": [[judged.probability]]}))
                .await
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn answered(app: &Arc<App>, url: Option<String>, told: impl FnOnce(&Judged) -> Value) -> Response {
    let url = match api::url(url) {
        Ok(url) => url,
        Err(refusal) => return refused(&refusal),
    };
    match app.judge(&url).await {
        Ok(judged) => api::marked(json_response(StatusCode::OK, &told(&judged)), &judged),
        Err(trouble) => api::refused_by(&trouble),
    }
}

async fn recorded(app: &Arc<App>, fields: &Fields, told: Value) -> Response {
    let outcome = match feedback::read(fields, app.settings.variant.name()) {
        Ok(feedback) => app.record(feedback).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(_) => json_response(StatusCode::OK, &told),
        Err(refusal) => refused(&refusal),
    }
}
