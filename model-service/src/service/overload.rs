//! From a body to probabilities within the limits: its size and time, a place in the bounded queue, a worker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;
use tracing::error;

use super::Service;
use crate::app::not_kept;
use crate::journal::{self, Prediction, Record};
use crate::model::{Model, Verdict};
use crate::request::{LARGEST_BODY, Refusal};
use crate::swap::Served;

/// URLs that a quick model judges on the spot: less work than handing it to another thread.
const ON_THE_SPOT: usize = 16;
/// Of a body that is too large, how much is read and thrown away, so that its sender gets to reading the answer.
const THROWN_AWAY: usize = 16 * 1024 * 1024;
/// How long such a body may pause.
const PAUSE: Duration = Duration::from_millis(500);

/// A place in the queue; given back, and timed, also when the client goes first.
struct Turn<'a> {
    service: &'a Service,
    began: Instant,
    _place: SemaphorePermit<'a>,
}

impl<'a> Turn<'a> {
    fn take(service: &'a Service) -> Result<Self, Refusal> {
        let Ok(place) = service.queue.try_acquire() else {
            service.metrics.refused.inc();
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many requests wait; try again"));
        };
        service.metrics.in_progress.inc();
        Ok(Self { service, began: Instant::now(), _place: place })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.service.metrics.in_progress.dec();
        self.service.metrics.answer_time.observe(self.began.elapsed().as_secs_f64());
    }
}

/// Probabilities of the URLs, by this model.
pub(super) async fn judge(service: &Service, served: &Arc<Served>, urls: &[String]) -> Result<Vec<f32>, Refusal> {
    let found = if served.model.is_quick() && urls.len() <= ON_THE_SPOT {
        let _turn = Turn::take(service)?;
        let started = Instant::now();
        // The panic's message is in the log; the model has no state that it could leave broken.
        let found = catch_unwind(AssertUnwindSafe(|| served.model.probabilities(urls)));
        let found = found.unwrap_or_else(|_| Err(anyhow!("the model panicked")));
        service.metrics.ran(started.elapsed());
        found.map_err(|failure| failed(&failure))?
    } else {
        let urls = urls.to_vec();
        in_turn(service, served, move |model| model.probabilities(&urls)).await?
    };
    judged(service, served, urls, &found).await?;
    Ok(found)
}

/// Counts predictions, once they are in the journal.
pub(super) async fn judged<U: AsRef<str>>(service: &Service, served: &Served, urls: &[U], found: &[f32]) -> Result<(), Refusal> {
    if let Some(journal) = &service.journal {
        let at = journal::now();
        let record = |(url, probability): (&U, &f32)| {
            Record::Prediction(Prediction {
                at,
                url: url.as_ref().to_owned(),
                verdict: Verdict::of(*probability).name(),
                probability: f64::from(*probability),
                model: served.model.about.id.clone(),
            })
        };
        let records: Vec<Record> = urls.iter().zip(found).map(record).collect();
        journal.append(&records).await.map_err(|refused| not_kept(&refused))?;
    }
    service.metrics.judged(urls, found, &served.drift);
    Ok(())
}

/// Runs the model on another thread when it is this request's turn; refused when too many wait.
pub(super) async fn in_turn<T: Send + 'static>(
    service: &Service,
    served: &Served,
    work: impl FnOnce(&Model) -> Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let _turn = Turn::take(service)?;
    run(service, Arc::clone(&served.model), work).await.map_err(|failure| failed(&failure))
}

async fn run<T: Send + 'static>(
    service: &Service,
    model: Arc<Model>,
    work: impl FnOnce(&Model) -> Result<T> + Send + 'static,
) -> Result<T> {
    let worker = Arc::clone(&service.workers).acquire_owned().await.context("the service ends")?;
    let started = Instant::now();
    let found = tokio::task::spawn_blocking(move || {
        let _worker = worker; // held to the end of the run, also when the client has gone
        work(&model)
    })
    .await
    .context("the model's thread ended")??;
    service.metrics.ran(started.elapsed());
    Ok(found)
}

fn failed(failure: &anyhow::Error) -> Refusal {
    error!(error = format!("{failure:#}"), "prediction failed");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the model failed")
}

pub(crate) async fn read(mut body: Body, headers: &HeaderMap, limit: Duration) -> Result<Vec<u8>, Refusal> {
    let large = if body.size_hint().lower() > LARGEST_BODY as u64 {
        true
    } else {
        match timeout(limit, Limited::new(&mut body, LARGEST_BODY).collect()).await {
            Ok(Ok(whole)) => return Ok(whole.to_bytes().to_vec()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => true,
            Ok(Err(_)) => return Err(Refusal::new(StatusCode::BAD_REQUEST, "broken_body", "the body ended early")),
            Err(_) => false,
        }
    };
    if !large {
        return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", format!("the body did not arrive within {limit:?}")));
    }
    // Who waits for 100 Continue has sent nothing, and is not to be told to.
    if !headers.contains_key(header::EXPECT) {
        let _ = timeout(limit, throw_away(body)).await;
    }
    Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body may have {LARGEST_BODY} bytes")))
}

/// Read what is still sent. Closing on it would reset the connection, and the sender might never see why.
async fn throw_away(mut body: Body) {
    let mut left = THROWN_AWAY;
    while let Ok(Some(Ok(frame))) = timeout(PAUSE, body.frame()).await {
        let length = frame.data_ref().map_or(0, |data| data.len());
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
