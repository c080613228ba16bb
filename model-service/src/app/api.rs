//! The interface for programs: `/api/predict`, `/api/feedback`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::judge::{Judged, Trouble};
use super::{App, Variant, feedback};
use crate::request::{LONGEST_URL, Refusal};
use crate::service::answer::{json_response, refused};

/// What people and programs are told when the model service has no answer: nothing about the URL.
pub(super) const NO_ANSWER: &str = "the model service does not answer now, so this URL was not judged; try again";

/// `{"url"}` → `{"id", "url", "verdict", "app"}`, from v2 also `probability` and `changes`.
pub(super) async fn predict(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let url = match app.fields(&headers, body).await.and_then(|mut fields| url(fields.remove("url"))) {
        Ok(url) => url,
        Err(refusal) => return refused(&refusal),
    };
    match app.judge(&url).await {
        Ok(judged) => marked(json_response(StatusCode::OK, &told(&app, &judged)), &judged),
        Err(trouble) => refused_by(&trouble),
    }
}

pub(super) fn told(app: &App, judged: &Judged) -> Value {
    let mut told = json!({"id": judged.id, "url": judged.url, "verdict": judged.verdict, "app": app.settings.variant.name()});
    if app.settings.variant == Variant::V2 {
        told["probability"] = json!(judged.probability);
        told["changes"] = json!(judged.changes);
    }
    told
}

/// `{"id", "url", "verdict", "feedback": "yes" | "no"}` → `{"status": "success"}`, when it is on the disk.
pub(super) async fn feedback(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let read = app.fields(&headers, body).await.and_then(|fields| {
        feedback::same_site(&headers)?;
        feedback::read(&fields, app.settings.variant.name())
    });
    let outcome = match read {
        Ok(feedback) => app.record(feedback).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(outcome) => json_response(StatusCode::OK, &json!({"status": "success", "counted": outcome == feedback::Outcome::Recorded})),
        Err(refusal) => refused(&refusal),
    }
}

/// A URL that may be asked about.
pub(super) fn url(told: Option<String>) -> Result<String, Refusal> {
    let wrong = |message: String| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message);
    let url = told.ok_or_else(|| wrong("`url` is missing".into()))?;
    if url.trim().is_empty() {
        return Err(wrong("the URL is empty".into()));
    }
    if url.len() > LONGEST_URL {
        let message = format!("the URL has {} bytes; at most {LONGEST_URL}", url.len());
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
    }
    Ok(url)
}

/// A fallback is marked as one, and says so by its status too.
pub(super) fn refused_by(trouble: &Trouble) -> Response {
    match trouble {
        Trouble::Refused(refusal) => refused(refusal),
        Trouble::Down => {
            let told = json!({"fallback": true, "error": {"code": "no_model", "message": NO_ANSWER}});
            fallback(json_response(StatusCode::SERVICE_UNAVAILABLE, &told))
        }
    }
}

pub(super) fn fallback(mut response: Response) -> Response {
    response.headers_mut().insert("x-fallback", HeaderValue::from_static("true"));
    crate::service::answer::retry_after(response)
}

pub(super) fn marked(mut response: Response, judged: &Judged) -> Response {
    response.headers_mut().extend(judged.marks.clone());
    response
}
