//! The shapes that answers share.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::Extension;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::json;

use crate::request::Refusal;
use crate::unread::Unread;

pub(crate) fn json_response(status: StatusCode, value: &serde_json::Value) -> Response {
    serialized(status, value, ())
}

/// With what is to be kept until the last byte of it is sent.
pub(crate) fn serialized<K: Send + 'static>(status: StatusCode, value: &impl Serialize, kept: K) -> Response {
    struct Text<K>(String, K);
    impl<K> AsRef<[u8]> for Text<K> {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    let mut text = serde_json::to_string(value).expect("maps have text as keys, and numbers are finite");
    text.push('\n');
    (status, [(header::CONTENT_TYPE, "application/json")], Bytes::from_owner(Text(text, kept))).into_response()
}

pub(crate) fn refused(refusal: &Refusal) -> Response {
    retry_after(json_response(refusal.status, &json!({"error": {"code": refusal.code, "message": refusal.message}})))
}

/// The answer that comes of a request; a panic on the way is one too, and its message is in the log.
pub(crate) async fn answered(running: impl Future<Output = Response>) -> Response {
    let mut running = pin!(running);
    let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    let broken = |_| refused(&Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this request could not be answered"));
    let mut response = caught.await.unwrap_or_else(broken);
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        // As RFC 9110, 15.5.9 asks; what came of this request is not read on.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What no route answers: another path, or a request that could not be read.
pub(crate) async fn no_route(unread: Option<Extension<Unread>>) -> Response {
    refused(&unread.map_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "not_found", "no such path"), |Extension(Unread(refusal))| refusal))
}

pub(crate) fn retry_after(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
