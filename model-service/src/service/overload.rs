//! From a body to probabilities within the limits: its size and time, a place in the bounded queue, a worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tracing::error;

use super::Service;
use crate::app::not_kept;
use crate::journal::{self, Prediction, Record};
use crate::metrics::Said;
use crate::model::{Model, Verdict};
use crate::request::{self, Format, LARGEST_BODY, Refusal};

/// Probabilities of the body's URLs, which are put into `urls`.
pub(super) async fn judge(service: &Arc<Service>, format: Format, body: Body, urls: &mut Vec<String>) -> Result<Vec<f32>, Refusal> {
    let body = read(body, service.limits.body).await?;
    *urls = request::urls(format, &body)?;
    let found = {
        let urls = urls.clone();
        in_turn(service, move |model| model.probabilities(&urls)).await?
    };
    judged(service, urls, &found).await?;
    Ok(found)
}

/// Counts predictions, once they are in the journal.
pub(super) async fn judged<U: AsRef<str>>(service: &Service, urls: &[U], found: &[f32]) -> Result<(), Refusal> {
    if let Some(journal) = &service.journal {
        let at = journal::now();
        let record = |(url, probability): (&U, &f32)| {
            Record::Prediction(Prediction {
                at,
                url: url.as_ref().to_owned(),
                verdict: Verdict::of(*probability).name(),
                probability: f64::from(*probability),
                model: service.model.about.id.clone(),
            })
        };
        let records: Vec<Record> = urls.iter().zip(found).map(record).collect();
        journal.append(&records).await.map_err(|refused| not_kept(&refused))?;
    }
    for (url, probability) in urls.iter().zip(found) {
        service.metrics.predictions.get_or_create(&Said { verdict: Verdict::of(*probability).name() }).inc();
        service.metrics.url_length.observe(url.as_ref().len() as f64);
        service.metrics.score.observe(f64::from(*probability));
    }
    Ok(())
}

/// Runs the model when it is this request's turn; refused when too many wait.
pub(super) async fn in_turn<T: Send + 'static>(
    service: &Arc<Service>,
    work: impl FnOnce(&Model) -> Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let Ok(place) = Arc::clone(&service.queue).try_acquire_owned() else {
        service.metrics.refused.inc();
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many requests wait; try again"));
    };
    service.metrics.in_progress.inc();
    let found = run(service, work).await;
    service.metrics.in_progress.dec();
    drop(place);
    found.map_err(|failure| {
        error!(error = format!("{failure:#}"), "prediction failed");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the model failed")
    })
}

async fn run<T: Send + 'static>(service: &Service, work: impl FnOnce(&Model) -> Result<T> + Send + 'static) -> Result<T> {
    let worker = Arc::clone(&service.workers).acquire_owned().await.context("the service ends")?;
    let model = Arc::clone(&service.model);
    let started = Instant::now();
    let found = tokio::task::spawn_blocking(move || {
        let _worker = worker; // held to the end of the run, also when the client has gone
        work(&model)
    })
    .await
    .context("the model's thread ended")??;
    service.metrics.prediction_time.observe(started.elapsed().as_secs_f64());
    Ok(found)
}

pub(crate) async fn read(body: Body, limit: Duration) -> Result<Vec<u8>, Refusal> {
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body may have {LARGEST_BODY} bytes"));
    if axum::body::HttpBody::size_hint(&body).lower() > LARGEST_BODY as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(limit, Limited::new(body, LARGEST_BODY).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "broken_body", "the body ended early")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", format!("the body did not arrive within {limit:?}"))),
    }
}
