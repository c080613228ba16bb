//! A URL's answer from the model service, and what that says of its model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::warn;

use super::{App, Marks, Variant};
use crate::request::Refusal;

/// Bytes of an answer of the model service.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// How long what was learned of the model is believed.
const FRESH: Duration = Duration::from_secs(5);
/// How long one probe waits for the model service: the chart's probes have 2 s, and the next comes 5 s later.
const REACHING: Duration = Duration::from_millis(1_500);

/// An answer for one URL.
pub(super) struct Judged {
    /// Names this answer; feedback refers to it.
    pub id: String,
    pub url: String,
    /// `phishing` or `legitimate`.
    pub verdict: String,
    pub probability: f64,
    /// For each character of the URL how it moved the model's log-odds; `None` for those that it does not read. v2 only.
    pub changes: Option<Vec<Option<f64>>>,
    pub marks: Marks,
}

/// No answer.
pub(super) enum Trouble {
    /// The model service says that the request is wrong.
    Refused(Refusal),
    /// It is down, late, overloaded or broken: the fallback is shown.
    Down,
}

/// What the model service says of its model.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct About {
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub version: String,
}

#[derive(Default)]
pub(super) struct Seen {
    asked: Option<Instant>,
    about: Option<About>,
    marks: Marks,
}

#[derive(Deserialize)]
struct One {
    verdict: String,
    probability: f64,
    changes: Option<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
struct Many {
    predictions: Vec<One>,
}

impl App {
    /// The answer for a URL; v2 also asks what drove it.
    pub(super) async fn judge(self: &Arc<Self>, url: &str) -> Result<Judged, Trouble> {
        let explained = self.settings.variant == Variant::V2;
        let begun = Instant::now();
        let mut found = self.ask(if explained { "/explain" } else { "/predict" }, url).await;
        if let Ok((StatusCode::NOT_FOUND, ..)) = found {
            // A model service that cannot explain still answers.
            found = self.ask("/predict", url).await;
        }
        self.metrics.model_time.observe(begun.elapsed().as_secs_f64());
        let down = |cause: &dyn std::fmt::Display| {
            warn!(%cause, "fallback: the model service has no answer");
            self.metrics.fell_back();
            Trouble::Down
        };
        let (status, marks, body) = found.map_err(|error| down(&error))?;
        if status.is_client_error() {
            let error = &serde_json::from_slice::<Value>(&body).unwrap_or_default()["error"];
            let message = error["message"].as_str().unwrap_or("the model service refused it").to_owned();
            return Err(Trouble::Refused(Refusal::new(status, "refused", message)));
        }
        if !status.is_success() {
            return Err(down(&format!("it answered {status}")));
        }
        let one = match serde_json::from_slice::<One>(&body) {
            Ok(one) => one,
            Err(_) => serde_json::from_slice::<Many>(&body)
                .ok()
                .and_then(|mut many| many.predictions.pop())
                .ok_or_else(|| down(&"its answer cannot be read"))?,
        };
        self.metrics.judged(self.settings.variant, &one.verdict);
        let changes = one.changes.filter(|changes| changes.len() == url.chars().count());
        Ok(Judged { id: new_id(), url: url.to_owned(), verdict: one.verdict, probability: one.probability, changes, marks })
    }

    async fn ask(&self, path: &str, url: &str) -> Result<(StatusCode, Marks, Vec<u8>), String> {
        let body = json!({ "url": url }).to_string();
        let request = Request::post("/").header(header::CONTENT_TYPE, "application/json").body(Body::from(body));
        self.exchange(path, request.map_err(|error| error.to_string())?, self.settings.patience).await
    }

    async fn exchange(&self, path: &str, request: Request<Body>, patience: Duration) -> Result<(StatusCode, Marks, Vec<u8>), String> {
        let answer = self.upstream.send(path, request, patience).await.map_err(|down| down.to_string())?;
        let (head, body) = answer.into_parts();
        let whole = tokio::time::timeout(patience, Limited::new(body, LARGEST_ANSWER).collect()).await;
        let whole = whole.map_err(|_| "its answer does not end".to_owned())?.map_err(|error| format!("read its answer: {error}"))?;
        let marks = marks(&head.headers);
        if !marks.is_empty() {
            self.model.lock().unwrap_or_else(std::sync::PoisonError::into_inner).marks.clone_from(&marks);
        }
        Ok((head.status, marks, whole.to_bytes().to_vec()))
    }

    /// What the model service says of its model, at most `FRESH` old; `None` when it does not answer.
    pub(super) async fn model(&self) -> Option<About> {
        let lock = || self.model.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        {
            let seen = lock();
            if seen.asked.is_some_and(|asked| asked.elapsed() < FRESH) {
                return seen.about.clone();
            }
        }
        let asked = match Request::get("/").body(Body::empty()) {
            Ok(request) => self.exchange("/version", request, self.settings.patience.min(Duration::from_secs(1))).await.ok(),
            Err(_) => None,
        };
        let about = asked.filter(|(status, ..)| status.is_success()).and_then(|(.., body)| {
            let mut told: Value = serde_json::from_slice(&body).ok()?;
            serde_json::from_value(told["model"].take()).ok()
        });
        let mut seen = lock();
        seen.asked = Some(Instant::now());
        seen.about.clone_from(&about);
        about
    }

    /// Asks the model service now, again and again until it is ready or `REACHING` is over.
    pub(super) async fn reaches_model_service(&self) -> bool {
        let asked = async {
            loop {
                let Ok(request) = Request::get("/").body(Body::empty()) else { return false };
                let asked = self.exchange("/readyz", request, self.settings.patience.min(REACHING / 2)).await;
                if asked.is_ok_and(|(status, ..)| status.is_success()) {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(REACHING, asked).await.unwrap_or(false)
    }

    pub(super) fn seen_marks(&self) -> Marks {
        self.model.lock().unwrap_or_else(std::sync::PoisonError::into_inner).marks.clone()
    }
}

/// The headers by which a model service tells which model answered.
pub(super) const MARKS: [&str; 2] = ["x-model-id", "x-model-version"];

pub(super) fn marks(headers: &HeaderMap) -> Marks {
    MARKS.into_iter().filter_map(|name| Some((HeaderName::from_static(name), headers.get(name)?.clone()))).collect()
}

/// 128 bits that differ each time, by the standard library's keyed hash.
fn new_id() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let half = |salt: u64| RandomState::new().hash_one((number, salt, std::process::id()));
    format!("{:016x}{:016x}", half(0), half(1))
}
