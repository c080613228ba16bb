//! From a body to probabilities within the limits: its size and time, a place in the bounded queue, a worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tracing::error;

use super::Service;
use crate::metrics::Said;
use crate::model::Verdict;
use crate::request::{self, Format, LARGEST_BODY, Refusal};

/// Probabilities of the body's URLs, which are put into `urls`.
pub(super) async fn judge(service: &Arc<Service>, format: Format, body: Body, urls: &mut Vec<String>) -> Result<Vec<f32>, Refusal> {
    let body = read(body, service.limits.body).await?;
    *urls = request::urls(format, &body)?;
    let Ok(place) = Arc::clone(&service.queue).try_acquire_owned() else {
        service.metrics.refused.inc();
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many requests wait; try again"));
    };
    service.metrics.in_progress.inc();
    let found = run(service, urls.clone()).await;
    service.metrics.in_progress.dec();
    drop(place);
    let found = found.map_err(|failure| {
        error!(error = format!("{failure:#}"), "prediction failed");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the model failed")
    })?;
    for (url, probability) in urls.iter().zip(&found) {
        service.metrics.predictions.get_or_create(&Said { verdict: Verdict::of(*probability).name() }).inc();
        service.metrics.url_length.observe(url.len() as f64);
        service.metrics.score.observe(f64::from(*probability));
    }
    Ok(found)
}

async fn run(service: &Service, urls: Vec<String>) -> Result<Vec<f32>> {
    let worker = Arc::clone(&service.workers).acquire_owned().await.context("the service ends")?;
    let model = Arc::clone(&service.model);
    let started = Instant::now();
    let found = tokio::task::spawn_blocking(move || {
        let _worker = worker; // held to the end of the run, also when the client has gone
        model.probabilities(&urls)
    })
    .await
    .context("the model's thread ended")??;
    service.metrics.prediction_time.observe(started.elapsed().as_secs_f64());
    Ok(found)
}

async fn read(body: Body, limit: Duration) -> Result<Vec<u8>, Refusal> {
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
