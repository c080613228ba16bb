//! The body of `POST /predict`: its two forms, its limits, and a clear refusal of everything else.

use std::borrow::Cow;

use axum::http::StatusCode;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

/// Bytes of a body.
pub const LARGEST_BODY: usize = 1024 * 1024;
/// URLs in a request.
pub const LARGEST_BATCH: usize = 256;
/// Bytes of a URL.
pub const LONGEST_URL: usize = 8192;

/// A request that is not answered, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    /// A word for programs; it never changes.
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn shape(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Form,
}

impl Format {
    /// From the `Content-Type` header; parameters are ignored, but a charset other than UTF-8 is refused.
    pub fn of(content_type: Option<&str>) -> Result<Self, Refusal> {
        let unsupported = |message: String| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message);
        let told = content_type.ok_or_else(|| unsupported("send Content-Type: application/json".into()))?;
        let mut parts = told.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        for parameter in parts {
            if let Some((name, value)) = parameter.split_once('=')
                && name.eq_ignore_ascii_case("charset")
                && !value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            {
                return Err(unsupported(format!("charset `{value}`: only utf-8 is read")));
            }
        }
        match kind.as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            _ => Err(unsupported(format!("`{kind}`: send application/json or application/x-www-form-urlencoded"))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    url: Option<String>,
    urls: Option<Vec<String>>,
}

/// The URLs of a body: 1 to `LARGEST_BATCH`, none blank, none longer than `LONGEST_URL` bytes.
pub fn urls(format: Format, body: &[u8]) -> Result<Vec<String>, Refusal> {
    let text = std::str::from_utf8(body).map_err(|error| not_utf8(error.valid_up_to()))?;
    let urls = match format {
        Format::Json => json(text)?,
        Format::Form => form(text)?,
    };
    let too_large = |message| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message);
    if urls.is_empty() {
        return Err(Refusal::shape("`urls` is empty"));
    }
    if urls.len() > LARGEST_BATCH {
        return Err(too_large(format!("{} URLs; at most {LARGEST_BATCH} in a request", urls.len())));
    }
    for (index, url) in urls.iter().enumerate() {
        if url.trim().is_empty() {
            return Err(Refusal::shape(format!("URL {index} is empty")));
        }
        if url.len() > LONGEST_URL {
            return Err(too_large(format!("URL {index} has {} bytes; at most {LONGEST_URL}", url.len())));
        }
    }
    Ok(urls)
}

fn not_utf8(place: usize) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_utf8", format!("not UTF-8 at byte {place}"))
}

fn json(text: &str) -> Result<Vec<String>, Refusal> {
    let body: Body = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Refusal::shape(format!("{error}; send {{\"url\": \"…\"}} or {{\"urls\": [\"…\"]}}")),
        _ => Refusal::new(StatusCode::BAD_REQUEST, "malformed_json", error.to_string()),
    })?;
    match (body.url, body.urls) {
        (Some(url), None) => Ok(vec![url]),
        (None, Some(urls)) => Ok(urls),
        (Some(_), Some(_)) => Err(Refusal::shape("send `url` or `urls`, not both")),
        (None, None) => Err(Refusal::shape("send {\"url\": \"…\"} or {\"urls\": [\"…\"]}")),
    }
}

fn form(text: &str) -> Result<Vec<String>, Refusal> {
    let mut urls = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match decode(name)?.as_ref() {
            "url" => urls.push(decode(value)?.into_owned()),
            other => {
                return Err(Refusal::shape(format!("unknown field `{other}`; the form has `url`")));
            }
        }
    }
    if urls.is_empty() {
        return Err(Refusal::shape("the form has no `url`"));
    }
    Ok(urls)
}

fn decode(text: &str) -> Result<Cow<'static, str>, Refusal> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|error| not_utf8(error.valid_up_to()))?;
    Ok(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(format: Format, body: &[u8]) -> (u16, &'static str) {
        let refusal = urls(format, body).unwrap_err();
        (refusal.status.as_u16(), refusal.code)
    }

    #[test]
    fn one_url_many_urls_and_a_form_are_read() {
        assert_eq!(urls(Format::Json, br#"{"url":"a"}"#).unwrap(), ["a"]);
        assert_eq!(urls(Format::Json, br#"{"urls":["a","b"]}"#).unwrap(), ["a", "b"]);
        assert_eq!(urls(Format::Form, b"url=http%3A%2F%2Fa%2F%3Fx%3D1%262+3").unwrap(), ["http://a/?x=1&2 3"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_kind() {
        assert_eq!(code(Format::Json, b"{\"url\":"), (400, "malformed_json"));
        assert_eq!(code(Format::Json, b"{\"url\":\"\xff\"}"), (400, "invalid_utf8"));
        assert_eq!(code(Format::Form, b"url=%ff"), (400, "invalid_utf8"));
        for body in ["{}", "[]", r#"{"url":1}"#, r#"{"urls":[]}"#, r#"{"url":"a","urls":["b"]}"#, r#"{"uri":"a"}"#, r#"{"url":"  "}"#] {
            assert_eq!(code(Format::Json, body.as_bytes()), (422, "invalid_request"), "{body}");
        }
        assert_eq!(code(Format::Form, b"link=a"), (422, "invalid_request"));
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let batch = |count: usize| serde_json::to_vec(&serde_json::json!({ "urls": vec!["a"; count] })).unwrap();
        assert_eq!(urls(Format::Json, &batch(LARGEST_BATCH)).unwrap().len(), LARGEST_BATCH);
        assert_eq!(code(Format::Json, &batch(LARGEST_BATCH + 1)), (413, "too_large"));
        let long = |length: usize| format!("url={}", "a".repeat(length)).into_bytes();
        assert_eq!(urls(Format::Form, &long(LONGEST_URL)).unwrap()[0].len(), LONGEST_URL);
        assert_eq!(code(Format::Form, &long(LONGEST_URL + 1)), (413, "too_large"));
    }

    #[test]
    fn content_type_decides_the_format() {
        assert_eq!(Format::of(Some("Application/JSON; charset=UTF-8")), Ok(Format::Json));
        for wrong in [None, Some("text/plain"), Some("application/json; charset=latin1"), Some("")] {
            assert_eq!(Format::of(wrong).unwrap_err().status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{wrong:?}");
        }
    }
}
