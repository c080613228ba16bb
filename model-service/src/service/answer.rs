//! The shapes that answers share.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::request::Refusal;

pub(crate) fn json_response(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

pub(crate) fn refused(refusal: &Refusal) -> Response {
    retry_after(json_response(refusal.status, &json!({"error": {"code": refusal.code, "message": refusal.message}})))
}

pub(crate) fn retry_after(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
