//! The shapes that answers share.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::json;

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

pub(crate) fn retry_after(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
