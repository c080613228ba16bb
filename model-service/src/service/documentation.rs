//! The interface described: OpenAPI 3.1 for programs, a page of the same for people.

use std::sync::LazyLock;

use axum::extract::MatchedPath;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use handlebars::Handlebars;
use serde_json::{Value, json};

use super::APP_VERSION;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(include_str!("../openapi.json")).expect("the bundled document is JSON");
    document["info"]["version"] = APP_VERSION.into();
    document
});

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    templates.register_template_string("docs", include_str!("../docs.hbs")).expect("the bundled template is valid");
    templates.render("docs", &shown(&DOCUMENT)).expect("every name of the template is in its context")
});

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.to_string()).into_response()
}

pub(super) async fn page(path: MatchedPath) -> Response {
    // The link is relative, since a gateway may serve all of this below a prefix.
    let html = if path.as_str().ends_with('/') { PAGE.replace("href=\"openapi.json\"", "href=\"../openapi.json\"") } else { PAGE.clone() };
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)], html).into_response()
}

/// The document's operations, each with its example requests and its answers.
fn shown(document: &Value) -> Value {
    let entries = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let mut operations = Vec::new();
    for (path, item) in entries(&document["paths"]) {
        for (method, operation) in entries(&item) {
            let examples: Vec<Value> = entries(&operation["requestBody"]["content"])
                .into_iter()
                .flat_map(|(kind, content)| {
                    entries(&content["examples"]).into_iter().map(move |(_, example)| {
                        let value = &example["value"];
                        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        json!({"kind": kind, "summary": example["summary"], "text": text})
                    })
                })
                .collect();
            let answers: Vec<Value> = entries(&operation["responses"])
                .into_iter()
                .map(|(status, answer)| {
                    let answer = match answer["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
                        Some(name) => document["components"]["responses"][name].clone(),
                        None => answer,
                    };
                    json!({"status": status, "description": answer["description"]})
                })
                .collect();
            operations.push(json!({
                "method": method.to_uppercase(), "path": path, "summary": operation["summary"],
                "description": operation["description"].as_str().unwrap_or_default(), "examples": examples, "answers": answers,
            }));
        }
    }
    json!({"title": document["info"]["title"], "version": document["info"]["version"], "description": document["info"]["description"], "operations": operations})
}
