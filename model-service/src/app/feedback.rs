//! What people say of answers: checked, counted once for each answer, in the journal before it is acknowledged.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use anyhow::Result;
use axum::http::{HeaderMap, StatusCode};
use tracing::{info, warn};

use super::App;
use super::fields::Fields;
use super::metrics::Metrics;
use crate::journal::{self, Feedback, Record, Refused};
use crate::request::{LONGEST_URL, Refusal};

/// Answers whose feedback is remembered, so that a second one is not counted.
const REMEMBERED: usize = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vote {
    /// On its way to the disk.
    Coming,
    Recorded,
}

/// The answers that have feedback.
#[derive(Default)]
pub(super) struct Votes {
    known: HashMap<String, Vote>,
    order: VecDeque<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Recorded,
    /// This answer has its feedback already.
    Again,
}

impl Votes {
    /// Counts what the journal has, so that a restart forgets nothing.
    pub fn restore(&mut self, folder: &Path, metrics: &Metrics) -> Result<()> {
        let mut count = 0;
        let strange = journal::lines(folder, &mut |_, line| {
            if line["kind"] == "feedback"
                && let Some(said) = line["feedback"].as_str()
            {
                // What came by another way than a page belongs to no variant of it.
                if let Some(version) = line["version"].as_str().filter(|version| ["v1", "v2"].contains(version)) {
                    metrics.voted(version, said == "yes");
                    count += 1;
                }
                if let Some(id) = line["id"].as_str() {
                    self.remember(id, Vote::Recorded);
                }
            }
            Ok(())
        })?;
        info!(feedback = count, "read the journal");
        if strange > 0 {
            warn!(lines = strange, "the journal has lines that are no JSON; they are left alone");
        }
        Ok(())
    }

    fn remember(&mut self, id: &str, vote: Vote) {
        if self.known.insert(id.to_owned(), vote).is_none() {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn forget(&mut self, id: &str) {
        if self.known.remove(id).is_some() {
            self.order.retain(|known| known != id);
        }
    }
}

/// Another site's page must not vote through its visitor's browser; programs send no such header.
pub(super) fn same_site(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "cross_site", "feedback is given on our own page"));
    }
    Ok(())
}

/// Feedback from the fields of a body: `feedback` is `yes` or `no`; `id`, `url`, `verdict` and `model` say of what.
pub(super) fn read(fields: &Fields, variant: &str) -> Result<Feedback, Refusal> {
    let wrong = |message: String| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message);
    let text = |name: &str| fields.get(name).filter(|text| !text.is_empty()).cloned();
    let said = text("feedback").ok_or_else(|| wrong("`feedback` is missing: send `yes` or `no`".into()))?;
    if !["yes", "no"].contains(&said.as_str()) {
        return Err(wrong(format!("`feedback` is `{said}`: send `yes` or `no`")));
    }
    for name in ["id", "model"] {
        if text(name).is_some_and(|text| text.len() > 64 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')) {
            return Err(wrong(format!("`{name}` is none of ours")));
        }
    }
    if let Some(url) = text("url")
        && (url.trim().is_empty() || url.len() > LONGEST_URL)
    {
        return Err(wrong(format!("`url` must have 1 to {LONGEST_URL} bytes")));
    }
    let verdict = text("verdict");
    if let Some(verdict) = &verdict
        && !["phishing", "legitimate"].contains(&verdict.as_str())
    {
        return Err(wrong(format!("`verdict` is `{verdict}`: send `phishing` or `legitimate`")));
    }
    Ok(Feedback {
        at: journal::now(),
        id: text("id"),
        url: text("url"),
        verdict,
        feedback: said,
        version: Some(variant.to_owned()),
        model: text("model"),
    })
}

impl App {
    /// Records feedback; it is on the disk when this returns.
    pub(super) async fn record(self: &Arc<Self>, feedback: Feedback) -> Result<Outcome, Refusal> {
        // A client that goes away must not leave an answer half recorded: what is begun is ended.
        let app = Arc::clone(self);
        let ended = tokio::spawn(async move { app.record_to_the_end(feedback).await }).await;
        ended.unwrap_or_else(|_| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the feedback could not be recorded")))
    }

    async fn record_to_the_end(&self, feedback: Feedback) -> Result<Outcome, Refusal> {
        let votes = || self.votes.lock().unwrap_or_else(PoisonError::into_inner);
        let id = feedback.id.clone();
        if let Some(id) = &id {
            let mut votes = votes();
            match votes.known.get(id) {
                Some(Vote::Recorded) => return Ok(Outcome::Again),
                Some(Vote::Coming) => {
                    return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "this feedback is being recorded; try again"));
                }
                None => votes.remember(id, Vote::Coming),
            }
        }
        let (version, yes) = (feedback.version.clone().unwrap_or_default(), feedback.feedback == "yes");
        let kept = match &self.settings.journal {
            Some((journal, _)) => journal.append([Record::Feedback(feedback)]).await,
            None => Ok(()),
        };
        if let Err(refused) = kept {
            self.metrics.not_kept.inc();
            id.iter().for_each(|id| votes().forget(id));
            return Err(not_kept(&refused));
        }
        self.metrics.voted(&version, yes);
        id.iter().for_each(|id| votes().remember(id, Vote::Recorded));
        Ok(Outcome::Recorded)
    }
}

/// What a client is told whose lines are not in the journal.
pub(crate) fn not_kept(refused: &Refused) -> Refusal {
    match refused {
        Refused::Full => {
            Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", "there is no room to record it; nothing was recorded")
        }
        Refused::Busy => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too much waits for the disk; try again"),
        Refused::Failed(_) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "storage_failed", "it could not be recorded; try again"),
    }
}
