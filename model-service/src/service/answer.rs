//! The shapes that answers share.

use axum::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::json;

use crate::late::Late;
use crate::request::Refusal;

pub(crate) fn json_response(status: StatusCode, value: &serde_json::Value) -> Response {
    serialized(status, value)
}

pub(crate) fn serialized(status: StatusCode, value: &impl Serialize) -> Response {
    let mut text = serde_json::to_string(value).expect("maps have text as keys, and numbers are finite");
    text.push('\n');
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

pub(crate) fn refused(refusal: &Refusal) -> Response {
    retry_after(json_response(refusal.status, &json!({"error": {"code": refusal.code, "message": refusal.message}})))
}

/// What no route answers: another path, or a request that never came whole.
pub(crate) async fn no_route(late: Option<Extension<Late>>) -> Response {
    refused(&late.map_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "not_found", "no such path"), |Extension(late)| late.refusal()))
}

pub(crate) fn retry_after(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
