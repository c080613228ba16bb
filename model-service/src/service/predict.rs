//! `POST /predict`, for programs, ours and the peers'. `POST /add`: feedback.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::json;

use super::Service;
use super::answer::{json_response, refused, serialized};
use super::overload::{self, Room, Turn, Whole, read};
use crate::app::not_kept;
use crate::journal::{self, Feedback, Record};
use crate::model::Verdict;
use crate::request::{self, Asked, Format, LARGEST_BODY, Refusal, Shape};
use crate::swap::Served;

#[derive(Serialize)]
struct Predictions<'a> {
    predictions: Vec<Prediction<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<[[f64; 1]; 1]>,
}

#[derive(Serialize)]
struct Prediction<'a> {
    url: &'a str,
    verdict: Verdict,
    probability: f64,
}

/// As many digits as the self-test holds the model to, and two more.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e7).round() / 1e7
}

pub(super) async fn predict(
    State(service): State<Arc<Service>>,
    Extension(served): Extension<Arc<Served>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(&service, &served, &headers, body).await
}

pub(super) async fn answer(service: &Service, served: &Arc<Served>, headers: &HeaderMap, body: Body) -> Response {
    match predicted(service, served, headers, body).await {
        Ok(response) => response,
        Err(refusal) => refused(&refusal),
    }
}

async fn predicted(service: &Service, served: &Arc<Served>, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
    let (format, body) = read_as(service, headers, body).await?;
    let Asked { urls, shape } = request::asked(format, &body)?;
    let Whole { bytes, room } = body;
    drop(bytes);
    let turn = Turn::take(service)?;
    let (urls, found) = turn.judge(served, urls).await?;
    Ok(answered(shape, &urls, &found, room))
}

/// The body is read before its kind is refused, so that who still sends it hears why.
pub(super) async fn read_as(service: &Service, headers: &HeaderMap, body: Body) -> Result<(Format, Whole), Refusal> {
    let body = read(body, headers, LARGEST_BODY, service.limits.body).await.map_err(|refusal| overload::refused(service, refusal))?;
    Ok((Format::of(headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()))?, body))
}

fn answered(shape: Shape, urls: &[String], found: &[f32], room: Room) -> Response {
    match shape {
        Shape::Own | Shape::Single => {
            let predictions = urls.iter().zip(found);
            let predictions =
                predictions.map(|(url, p)| Prediction { url, verdict: Verdict::of(*p), probability: rounded(f64::from(*p)) }).collect();
            let prediction = (shape == Shape::Single).then(|| [[rounded(f64::from(found[0]))]]);
            serialized(StatusCode::OK, &Predictions { predictions, prediction }, room)
        }
        Shape::Named => {
            let text = format!("{:?}", rounded(f64::from(found[0])));
            (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
        }
        Shape::Data => {
            let classes: Vec<u8> = found.iter().map(|p| u8::from(Verdict::of(*p) == Verdict::Phishing)).collect();
            json_response(StatusCode::OK, &json!({ "prediction": classes }))
        }
    }
}

/// Answered only when it is on the disk.
pub(super) async fn add(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Response {
    match added(&service, &headers, body).await {
        Ok(()) => json_response(StatusCode::OK, &json!({"msg": "feedback kept"})),
        Err(refusal) => refused(&refusal),
    }
}

async fn added(service: &Service, headers: &HeaderMap, body: Body) -> Result<(), Refusal> {
    let (format, body) = read_as(service, headers, body).await?;
    if format != Format::Json {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "send Content-Type: application/json"));
    }
    let told = request::told(&body)?;
    let Some(journal) = &service.journal else {
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "no_journal", "this instance keeps no feedback; start it with --journal"));
    };
    let feedback = Feedback {
        at: journal::now(),
        id: None,
        url: Some(told.url),
        verdict: Some(told.verdict.to_owned()),
        feedback: told.feedback.to_owned(),
        // No variant of the app has shown it, so it is no part of the experiment.
        version: None,
        model: None,
    };
    journal.append([Record::Feedback(feedback)]).await.map_err(|refused| not_kept(&refused))
}
