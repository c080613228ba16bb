//! The bodies of `POST /predict` and `POST /add`: their shapes, their limits, and a clear refusal of everything else.
//!
//! Peers' clients are known by their keys: `model_name` and `input_url` (team 14), `data` (team 6), `url` (team 9, and our own).

use axum::http::StatusCode;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

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

/// The answer that the body's keys ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `urls`, or a form's `url`: `{"predictions": […]}`
    Own,
    /// `url`: the same, and `"prediction": [[p]]`
    Single,
    /// `model_name` and `input_url`: the probability as text
    Named,
    /// `data`: `{"prediction": [0|1, …]}`
    Data,
}

/// What a body asks.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub urls: Vec<String>,
    pub shape: Shape,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    url: Option<String>,
    urls: Option<Vec<String>>,
    data: Option<Vec<String>>,
    /// Theirs names a file; ours has one model, and `x-model-id` says which.
    model_name: Option<String>,
    input_url: Option<String>,
}

/// What a person said of an answer, as training reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    pub url: String,
    /// The verdict that was shown: `phishing` or `legitimate`.
    pub verdict: &'static str,
    /// Whether it was right: `yes` or `no`.
    pub feedback: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    url: String,
    label: serde_json::Value,
    feedback: serde_json::Value,
}

const SEND: &str = "send {\"url\": \"…\"} or {\"urls\": [\"…\"]}";

/// The URLs of a body: 1 to `LARGEST_BATCH`, none blank, none longer than `LONGEST_URL` bytes.
pub fn asked(format: Format, body: &[u8]) -> Result<Asked, Refusal> {
    let text = utf8(body)?;
    let asked = match format {
        Format::Json => json(text)?,
        Format::Form => Asked { urls: urls(text)?, shape: Shape::Own },
    };
    if asked.urls.is_empty() {
        return Err(Refusal::shape(format!("there is no URL; {SEND}")));
    }
    if asked.urls.len() > LARGEST_BATCH {
        return Err(too_large(format!("{} URLs; at most {LARGEST_BATCH} in a request", asked.urls.len())));
    }
    for (index, url) in asked.urls.iter().enumerate() {
        within(index, url)?;
    }
    Ok(asked)
}

/// The body of `POST /add`: a URL, the label that was shown (0 or 1, or its name), whether that was right (0 or 1, yes or no).
pub fn told(body: &[u8]) -> Result<Told, Refusal> {
    let text = utf8(body)?;
    let Addition { url, label, feedback } = serde_json::from_str(text).map_err(|error| of_json(&error, "send url, label and feedback"))?;
    within(0, &url)?;
    let verdict = one_of(&label, ["legitimate", "phishing"]).ok_or_else(|| Refusal::shape("`label` is 0, 1, legitimate or phishing"))?;
    let feedback = one_of(&feedback, ["no", "yes"]).ok_or_else(|| Refusal::shape("`feedback` is 0, 1, yes or no"))?;
    Ok(Told { url, verdict, feedback })
}

/// Of two names the one that a number, a boolean or a text means.
fn one_of(value: &serde_json::Value, names: [&'static str; 2]) -> Option<&'static str> {
    let text = match value {
        serde_json::Value::String(text) => text.to_ascii_lowercase(),
        serde_json::Value::Bool(yes) => u8::from(*yes).to_string(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    names.into_iter().enumerate().find(|(at, name)| text == *name || text == at.to_string()).map(|(_, name)| name)
}

fn within(index: usize, url: &str) -> Result<(), Refusal> {
    if url.trim().is_empty() {
        return Err(Refusal::shape(format!("URL {index} is empty")));
    }
    if url.len() > LONGEST_URL {
        return Err(too_large(format!("URL {index} has {} bytes; at most {LONGEST_URL}", url.len())));
    }
    Ok(())
}

fn too_large(message: String) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
}

fn of_json(error: &serde_json::Error, hint: &str) -> Refusal {
    match error.classify() {
        serde_json::error::Category::Data => Refusal::shape(format!("{error}; {hint}")),
        _ => malformed_json(error),
    }
}

pub(crate) fn malformed_json(error: &serde_json::Error) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "malformed_json", error.to_string())
}

/// A body as text: before a form is decoded, so that what is no text is refused and not replaced.
pub(crate) fn utf8(body: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(body).map_err(|error| not_utf8(error.valid_up_to()))
}

fn not_utf8(place: usize) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_utf8", format!("not UTF-8 at byte {place}"))
}

fn json(text: &str) -> Result<Asked, Refusal> {
    let body: Body = serde_json::from_str(text).map_err(|error| of_json(&error, SEND))?;
    let (urls, shape) = match body {
        Body { url: None, urls: Some(urls), data: None, model_name: None, input_url: None } => (urls, Shape::Own),
        Body { url: Some(url), urls: None, data: None, model_name: None, input_url: None } => (vec![url], Shape::Single),
        Body { url: None, urls: None, data: Some(urls), model_name: None, input_url: None } => (urls, Shape::Data),
        Body { url: None, urls: None, data: None, model_name: _, input_url: Some(url) } => (vec![url], Shape::Named),
        Body { url: None, urls: None, data: None, .. } => return Err(Refusal::shape(SEND)),
        _ => return Err(Refusal::shape(format!("keys of several kinds of body; {SEND}"))),
    };
    Ok(Asked { urls, shape })
}

/// The URLs of a form that has nothing else.
fn urls(text: &str) -> Result<Vec<String>, Refusal> {
    let mut urls = Vec::new();
    for field in form(text) {
        let (name, value) = field?;
        if name != "url" {
            return Err(Refusal::shape(format!("unknown field `{name}`; the form has `url`")));
        }
        urls.push(value);
    }
    if urls.is_empty() {
        return Err(Refusal::shape("the form has no `url`"));
    }
    Ok(urls)
}

/// The name and value of each field of a form, decoded.
pub(crate) fn form(text: &str) -> impl Iterator<Item = Result<(String, String), Refusal>> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(name)?, decode(value)?))
    })
}

fn decode(text: &str) -> Result<String, Refusal> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|error| not_utf8(error.valid_up_to()))?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(format: Format, body: &[u8]) -> (u16, &'static str) {
        let refusal = asked(format, body).unwrap_err();
        (refusal.status.as_u16(), refusal.code)
    }

    fn urls(format: Format, body: &[u8]) -> Result<Vec<String>, Refusal> {
        asked(format, body).map(|asked| asked.urls)
    }

    #[test]
    fn keys_decide_the_answer() {
        let shape = |body: &str| asked(Format::Json, body.as_bytes()).unwrap().shape;
        assert_eq!(shape(r#"{"urls":["a"]}"#), Shape::Own);
        assert_eq!(shape(r#"{"url":"a"}"#), Shape::Single);
        assert_eq!(shape(r#"{"data":["a","b"]}"#), Shape::Data);
        assert_eq!(shape(r#"{"model_name":"model.h5","input_url":"a"}"#), Shape::Named);
        for mixed in [r#"{"url":"a","data":["b"]}"#, r#"{"url":"a","model_name":"m"}"#, r#"{"model_name":"m"}"#, r#"{"data":[]}"#] {
            assert_eq!(code(Format::Json, mixed.as_bytes()), (422, "invalid_request"), "{mixed}");
        }
    }

    #[test]
    fn feedback_is_read_as_number_name_or_boolean() {
        let read = |label: &str, feedback: &str| told(format!(r#"{{"url":"a","label":{label},"feedback":{feedback}}}"#).as_bytes());
        let expected = Told { url: "a".into(), verdict: "phishing", feedback: "no" };
        for (label, feedback) in [("1", "0"), ("\"Phishing\"", "\"no\""), ("true", "false"), ("\"1\"", "\"0\"")] {
            assert_eq!(read(label, feedback).unwrap(), expected);
        }
        for (label, feedback) in [("2", "0"), ("1", "[]"), ("null", "1"), ("-1", "1")] {
            assert_eq!(read(label, feedback).unwrap_err().code, "invalid_request", "{label} {feedback}");
        }
        assert_eq!(told(br#"{"url":" ","label":1,"feedback":1}"#).unwrap_err().code, "invalid_request");
        assert_eq!(told(b"{").unwrap_err().code, "malformed_json");
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
