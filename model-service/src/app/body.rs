//! A request's body: whole, in time, as JSON or a form.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::App;
use crate::request::{Format, Refusal};
use crate::service::overload;

/// Bytes of a body: a URL of the greatest length, each character of it escaped, and the answer's id.
const LARGEST: usize = 64 * 1024;

/// The fields of a body: of a form, or those of a JSON object that are texts, numbers or truths.
pub(super) type Fields = BTreeMap<String, String>;

impl App {
    /// Reads a body whose `Content-Type` says what it is.
    pub(super) async fn fields(&self, headers: &HeaderMap, body: Body) -> Result<Fields, Refusal> {
        let format = format(headers)?;
        let body = overload::read(body, headers, LARGEST, self.settings.body).await?;
        match format {
            Format::Json => json(&body),
            Format::Form => form(&body),
        }
    }
}

pub(super) fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    Format::of(headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()))
}

pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

fn json(body: &[u8]) -> Result<Fields, Refusal> {
    let wrong = |code, message: String| Refusal::new(StatusCode::BAD_REQUEST, code, message);
    let text = std::str::from_utf8(body).map_err(|error| wrong("invalid_utf8", format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let value: Value = serde_json::from_str(text).map_err(|error| wrong("malformed_json", error.to_string()))?;
    let Value::Object(object) = value else {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "send a JSON object"));
    };
    let scalar = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    Ok(object.into_iter().filter_map(|(name, value)| Some((name, scalar(value)?))).collect())
}

pub(super) fn form(body: &[u8]) -> Result<Fields, Refusal> {
    let decode = |text: &[u8]| {
        let spaced = String::from_utf8_lossy(text).replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8();
        let not_utf8 = |_| Refusal::new(StatusCode::BAD_REQUEST, "invalid_utf8", "the form is not UTF-8");
        decoded.map(|decoded| decoded.into_owned()).map_err(not_utf8)
    };
    let mut fields = Fields::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        fields.insert(decode(name)?, decode(value)?);
    }
    Ok(fields)
}
