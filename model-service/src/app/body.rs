//! A request's body: whole, in time, as JSON or a form.

use axum::body::Body;
use axum::http::{HeaderMap, header};

use super::App;
use super::fields::{self, Fields};
use crate::request::{Format, Refusal};
use crate::service::overload;

/// Bytes of a body: a URL of the greatest length, each character of it escaped, and the answer's id.
const LARGEST: usize = 64 * 1024;

impl App {
    /// Reads a body whose `Content-Type` says what it is.
    pub(super) async fn fields(&self, headers: &HeaderMap, body: Body) -> Result<Fields, Refusal> {
        let format = format(headers)?;
        let body = overload::read(body, headers, LARGEST, self.settings.body).await?;
        fields::read(format, &body)
    }
}

pub(super) fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    Format::of(headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()))
}

pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}
