//! The interface described: OpenAPI 3.1 for programs, a page of the same for people.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use handlebars::{Handlebars, handlebars_helper};
use serde_json::{Value, json};

use super::APP_VERSION;

/// An interface's description.
pub(crate) struct Description {
    document: String,
    page: String,
}

pub(super) static SERVICE: LazyLock<Description> = LazyLock::new(|| Description::new(include_str!("../openapi.json")));

impl Description {
    pub fn new(bundled: &str) -> Self {
        let mut document: Value = serde_json::from_str(bundled).expect("the bundled document is JSON");
        document["info"]["version"] = APP_VERSION.into();
        let mut templates = Handlebars::new();
        templates.set_strict_mode(true);
        templates.register_helper("marked", Box::new(marked));
        templates.register_template_string("docs", include_str!("../docs.hbs")).expect("the bundled template is valid");
        let page = templates.render("docs", &shown(&document)).expect("every name of the template is in its context");
        Self { document: document.to_string(), page }
    }

    pub fn openapi(&'static self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.document.as_str()).into_response()
    }

    pub fn page(&'static self, path: &str) -> Response {
        // The link is relative, since a gateway may serve all of this below a prefix.
        let html =
            if path.ends_with('/') { self.page.replace("href=\"openapi.json\"", "href=\"../openapi.json\"") } else { self.page.clone() };
        let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";
        ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)], html).into_response()
    }
}

/// Words between backticks are code, as in the CommonMark that the document's texts are.
fn in_html(text: &str) -> String {
    let escaped = handlebars::html_escape(&text.replace('`', "\u{0}")).replace('\u{0}', "`");
    let parts = escaped.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

handlebars_helper!(marked: |text: str| in_html(text));

/// The document's operations, each with its example requests and its answers.
fn shown(document: &Value) -> Value {
    let entries = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let mut operations = Vec::new();
    for (path, item) in entries(&document["paths"]) {
        for (method, operation) in entries(&item).into_iter().filter(|(method, _)| method != "parameters") {
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
