//! The page, which needs no JavaScript: forms post to `/` and come back as a page; its script asks for the changed part alone.
//!
//! Style and script stand in the page, so that one answer is whole whichever version gives it; the policy allows them by their hashes.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use handlebars::Handlebars;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::experiment::Comparison;
use super::judge::Trouble;
use super::{App, api, feedback, view};
use crate::request::{LONGEST_URL, Refusal};
use crate::service::answer::retry_after;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
/// What the script sends, and what its answers have.
const FRAGMENT: &str = "x-fragment";

static TEMPLATES: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    for (name, text) in [
        ("page", include_str!("page/page.hbs")),
        ("frame", include_str!("page/frame.hbs")),
        ("answer", include_str!("page/answer.hbs")),
        ("thanks", include_str!("page/thanks.hbs")),
        ("refused", include_str!("page/refused.hbs")),
        ("fallback", include_str!("page/fallback.hbs")),
        ("experiment", include_str!("page/experiment.hbs")),
    ] {
        templates.register_template_string(name, text.trim_end()).expect("the bundled template is valid");
    }
    templates
});

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    HeaderValue::from_str(&policy).expect("it is ASCII")
});

/// What stands below the form.
enum Part {
    Nothing,
    Answer(Value),
    Thanks(Value),
    Refused(Refusal),
    Fallback,
}

pub(super) async fn front(State(app): State<Arc<App>>) -> Response {
    whole(&app, "", Part::Nothing).await
}

/// A URL to be judged, or feedback to an answer.
pub(super) async fn posted(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let (mut url, mut marks) = (String::new(), super::Marks::new());
    let part = match app.fields(&headers, body).await {
        Err(refusal) => Part::Refused(refusal),
        Ok(fields) if fields.contains_key("feedback") => {
            let read = feedback::same_site(&headers).and_then(|()| feedback::read(&fields, app.settings.variant.name()));
            let recorded = match read {
                Ok(feedback) => app.record(feedback).await,
                Err(refusal) => Err(refusal),
            };
            let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
            url = text("url");
            match recorded {
                Ok(outcome) => Part::Thanks(json!({
                    "right": text("feedback") == "yes", "verdict": text("verdict"), "again": outcome == feedback::Outcome::Again,
                })),
                Err(refusal) => Part::Refused(refusal),
            }
        }
        Ok(mut fields) => match api::url(fields.remove("url")) {
            Err(refusal) => Part::Refused(refusal),
            Ok(told) => {
                let judged = app.judge(&told).await;
                url = told;
                match judged {
                    Ok(judged) => {
                        marks.clone_from(&judged.marks);
                        Part::Answer(view::answer(&judged, app.settings.variant))
                    }
                    Err(Trouble::Refused(refusal)) => Part::Refused(refusal),
                    Err(Trouble::Down) => Part::Fallback,
                }
            }
        },
    };
    let mut response = if headers.contains_key(FRAGMENT) { alone(part) } else { whole(&app, &url, part).await };
    response.headers_mut().extend(marks);
    response
}

impl Part {
    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refusal.status,
            Self::Fallback => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        }
    }

    fn html(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Answer(shown) => render("answer", shown),
            Self::Thanks(shown) => render("thanks", shown),
            Self::Refused(refusal) => render("refused", &json!({"message": refusal.message})),
            Self::Fallback => render("fallback", &json!({})),
        }
    }

    fn finish(&self, mut response: Response) -> Response {
        *response.status_mut() = self.status();
        if matches!(self, Self::Fallback) { api::fallback(response) } else { retry_after(response) }
    }
}

fn render(template: &str, context: &Value) -> String {
    TEMPLATES.render(template, context).expect("every name of the template is in its context")
}

fn alone(part: Part) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], part.html()).into_response();
    response.headers_mut().insert(FRAGMENT, HeaderValue::from_static("1"));
    part.finish(response)
}

async fn whole(app: &App, url: &str, part: Part) -> Response {
    let form = json!({
        "url": url, "longest": LONGEST_URL, "first": matches!(part, Part::Nothing), "part": part.html(), "offline": Part::Fallback.html(),
    });
    part.finish(framed(app, "Is this URL phishing?", &render("page", &form)).await)
}

async fn framed(app: &App, title: &str, content: &str) -> Response {
    let model = app.model().await;
    let context = json!({
        "title": title,
        "style": STYLE,
        "script": SCRIPT,
        "content": content,
        "app": versions::APP,
        "library": versions::LIBRARY,
        "variant": app.settings.variant.name(),
        "model": model.map(|model| json!({
            "name": model.name, "version": if model.version == model.name { "" } else { &model.version }, "id": model.id, "short": model.id.get(..12).unwrap_or(&model.id),
        })),
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, render("frame", &context)).into_response()
}

/// The experiment for people.
pub(super) async fn experiment(app: &App, told: &Value, comparison: &Comparison) -> Response {
    let points = |value: f64| format!("{:.1}", value * 100.0);
    let row = |name: &str, share: &super::experiment::Share| {
        json!({
            "name": name, "n": share.n, "yes": share.yes,
            "share": share.share.map(|share| points(share) + " %"),
            "interval": share.interval.map(|interval| format!("{} % to {} %", points(interval.low), points(interval.high))),
        })
    };
    let context = json!({
        "told": told,
        "rows": [row("v1 (verdict only)", &comparison.v1), row("v2 (with probability)", &comparison.v2)],
        "difference": comparison.difference.map(points),
        "interval": comparison.interval.map(|interval| format!("{} to {}", points(interval.low), points(interval.high))),
    });
    framed(app, "The experiment", &render("experiment", &context)).await
}
