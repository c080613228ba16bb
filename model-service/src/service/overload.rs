//! From a body to probabilities within the limits: its size and time, room for it, a place in the bounded queue, a worker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::error;

use super::Service;
use crate::app::not_kept;
use crate::journal::{self, Prediction, Record};
use crate::listen;
use crate::model::{Model, Verdict};
use crate::request::{LARGEST_BODY, Refusal};
use crate::swap::Served;

/// URLs that a quick model judges on the spot: less work than handing it to another thread.
const ON_THE_SPOT: usize = 16;
/// Of a body that is too large, how much is read and thrown away, so that its sender gets to reading the answer.
const THROWN_AWAY: usize = 16 * 1024 * 1024;
/// How long such a body may pause.
const PAUSE: Duration = Duration::from_millis(500);

/// A place in the queue, held until the answer is made; given back, and timed, also when the client goes first.
pub(super) struct Turn<'a> {
    service: &'a Service,
    began: Instant,
    _place: SemaphorePermit<'a>,
}

impl<'a> Turn<'a> {
    /// Taken when the body is there: who is slow to send it holds no place.
    pub fn take(service: &'a Service) -> Result<Self, Refusal> {
        let place = service.queue.try_acquire().ok().filter(|_| !service.pulse.is_behind() && !listen::is_crowded());
        let place = place.ok_or_else(|| refused(service, overloaded("too many requests wait; try again")))?;
        service.metrics.in_progress.inc();
        Ok(Self { service, began: Instant::now(), _place: place })
    }

    /// The URLs again, and their probabilities by this model; in the journal where there is one.
    pub async fn judge(&self, served: &Arc<Served>, urls: Vec<String>) -> Result<(Vec<String>, Vec<f32>), Refusal> {
        let (urls, found) = if served.model.is_quick() && urls.len() <= ON_THE_SPOT {
            let started = Instant::now();
            // The panic's message is in the log; the model has no state that it could leave broken.
            let found = catch_unwind(AssertUnwindSafe(|| served.model.probabilities(&urls)));
            let found = found.unwrap_or_else(|_| Err(anyhow!("the model panicked")));
            self.service.metrics.ran(started.elapsed());
            (urls, found.map_err(|failure| failed(&failure))?)
        } else {
            self.run(served, move |model| model.probabilities(&urls).map(|found| (urls, found))).await?
        };
        self.judged(served, &urls, &found).await?;
        Ok((urls, found))
    }

    /// Counts predictions, once they are in the journal.
    pub async fn judged<U: AsRef<str>>(&self, served: &Served, urls: &[U], found: &[f32]) -> Result<(), Refusal> {
        if let Some(journal) = &self.service.journal {
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
            journal.append(urls.iter().zip(found).map(record)).await.map_err(|refused| not_kept(&refused))?;
        }
        self.service.metrics.judged(urls, found, &served.drift);
        Ok(())
    }

    /// Runs the model on another thread, as soon as one is free.
    pub async fn run<T: Send + 'static>(
        &self,
        served: &Served,
        work: impl FnOnce(&Model) -> Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        run(self.service, Arc::clone(&served.model), work).await.map_err(|failure| failed(&failure))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.service.metrics.in_progress.dec();
        self.service.metrics.answer_time.observe(self.began.elapsed().as_secs_f64());
    }
}

fn overloaded(message: &str) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message)
}

/// Counted, if it is for want of room.
pub(super) fn refused(service: &Service, refusal: Refusal) -> Refusal {
    if refusal.code == "overloaded" {
        service.metrics.refused.inc();
    }
    refusal
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

/// What bodies take of the process's memory beyond their first `OWN` bytes: their sum is bounded, and the next is answered 503.
static ROOM: Semaphore = Semaphore::const_new(4 * LARGEST_BODY);
/// Of each body, what needs no room: a few URLs are read also while others send much.
const OWN: usize = 4 * 1024;
/// By how much a larger one grows at a time.
const STEP: usize = 64 * 1024;

/// A place in `ROOM`.
pub(crate) struct Room(Option<SemaphorePermit<'static>>);

impl Room {
    fn add(&mut self, bytes: usize) -> Result<(), Refusal> {
        let more = ROOM.try_acquire_many(bytes as u32).map_err(|_| overloaded("too much is being sent; try again"))?;
        match &mut self.0 {
            Some(held) => held.merge(more),
            None => self.0 = Some(more),
        }
        Ok(())
    }
}

/// A body that came whole.
pub(crate) struct Whole {
    pub bytes: Vec<u8>,
    /// To be kept for as long as what was made of the bytes.
    pub room: Room,
}

impl std::ops::Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body of at most `largest` bytes, which may take `limit` to come.
pub(crate) async fn read(mut body: Body, headers: &HeaderMap, largest: usize, limit: Duration) -> Result<Whole, Refusal> {
    let late = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", format!("the body did not arrive within {limit:?}"));
    let refusal = match timeout(limit, take(&mut body, largest)).await.unwrap_or_else(|_| Err(late())) {
        Ok(whole) => return Ok(whole),
        Err(refusal) => refusal,
    };
    // Who waits for 100 Continue has sent nothing, and is not to be told to.
    let is_sent = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::SERVICE_UNAVAILABLE].contains(&refusal.status);
    if is_sent && !headers.contains_key(header::EXPECT) {
        let _ = timeout(limit, throw_away(body)).await;
    }
    Err(refusal)
}

async fn take(body: &mut Body, largest: usize) -> Result<Whole, Refusal> {
    let fits = |length: usize| {
        let message = || format!("the body may have {largest} bytes");
        if length <= largest { Ok(()) } else { Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message())) }
    };
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    fits(told)?;
    let mut whole = Whole { bytes: Vec::with_capacity(told.min(OWN)), room: Room(None) };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "broken_body", "the body ended early"))?;
        let Some(data) = frame.data_ref() else { continue };
        let length = whole.bytes.len() + data.len();
        fits(length)?;
        if length > whole.bytes.capacity().max(OWN) {
            let more = (length - whole.bytes.capacity()).max(STEP.min(largest));
            whole.room.add(more)?;
            let free = whole.bytes.capacity() - whole.bytes.len();
            whole.bytes.reserve_exact(free + more);
        }
        whole.bytes.extend_from_slice(data);
    }
    Ok(whole)
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
