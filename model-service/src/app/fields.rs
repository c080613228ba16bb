//! The fields of a body: of a form, or of a JSON object. Any bytes are fields, or a clear 4xx.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::Value;

use crate::request::{Format, Refusal, form, malformed_json, utf8};

/// Of a form, or those of a JSON object that are texts, numbers or truths. Of a name that stands twice it is the last.
pub type Fields = BTreeMap<String, String>;

pub fn read(format: Format, body: &[u8]) -> Result<Fields, Refusal> {
    let text = utf8(body)?;
    match format {
        Format::Json => json(text),
        Format::Form => form(text).collect(),
    }
}

fn json(text: &str) -> Result<Fields, Refusal> {
    let value: Value = serde_json::from_str(text).map_err(|error| malformed_json(&error))?;
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
