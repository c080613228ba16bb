//! A folder that is looked at every second: what is new in it is tried, and takes over if it holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::folder::{Candidate, candidates};
use super::{Models, Refused, check, seconds};
use crate::metrics::{Metrics, Outcome};
use crate::model::{Model, Wanted};

const INTERVAL: Duration = Duration::from_secs(1);

/// Before a file is tried again that could not be checked.
const AGAIN: Duration = Duration::from_secs(10);

#[derive(PartialEq, Eq)]
enum Then {
    Decided,
    Again,
}

/// What was seen of the folder.
struct Seen {
    /// The newest file when it was looked at last; it is tried once it is the same twice, so not while it is being written.
    newest: Option<Candidate>,
    /// Content that was decided on. A model that was rolled back from stays so until the folder has other content.
    decided: String,
}

/// Never ends. The model that runs is the folder's newest, as far as it could be served.
pub async fn watch(folder: PathBuf, wanted: Wanted, models: Arc<Models>, metrics: Arc<Metrics>) {
    let mut seen = Seen { newest: None, decided: models.current().model.about.id.clone() };
    let mut tried = None;
    let mut unlisted = String::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let listed = {
            let folder = folder.clone();
            spawn_blocking(move || candidates(&folder)).await.context("list the models").flatten()
        };
        let newest = match listed {
            Ok(found) => found.into_iter().next(),
            Err(failure) => {
                let failure = format!("{failure:#}");
                if failure != unlisted {
                    warn!(reason = failure, "models are not looked for");
                    unlisted = failure;
                }
                continue;
            }
        };
        unlisted.clear();
        let settled = newest.is_some() && newest == seen.newest;
        seen.newest.clone_from(&newest);
        let Some(candidate) = newest.filter(|newest| settled && tried.as_ref() != Some(newest)) else { continue };
        tried = Some(candidate.clone());
        if consider(&candidate, wanted, &models, &metrics, &mut seen.decided).await == Then::Again {
            tokio::time::sleep(AGAIN).await;
            tried = None;
        }
    }
}

async fn consider(candidate: &Candidate, wanted: Wanted, models: &Models, metrics: &Metrics, decided: &mut String) -> Then {
    let path = candidate.path.display().to_string();
    let known = [decided.clone(), models.current().model.about.id.clone()];
    let opened = {
        let candidate = candidate.clone();
        spawn_blocking(move || open(&candidate, wanted, &known)).await.context("load it")
    };
    let (id, opened) = match opened.flatten() {
        Ok(opened) => opened,
        Err(failure) => {
            warn!(file = path, reason = format!("{failure:#}"), "model not checked");
            return Then::Again;
        }
    };
    match opened {
        Ok(None) => {}
        Ok(Some(model)) => {
            info!(file = path, model = model.about.id, version = model.about.version, runtime = model.runtime(), "model takes over");
            models.take_over(model);
            metrics.swapped(Outcome::Swapped);
        }
        Err(reason) => {
            let reason = format!("{reason:#}");
            warn!(file = path, model = id, reason, "model refused");
            models.refuse(Refused { file: path, id: id.clone(), reason, at: seconds(SystemTime::now()) });
            metrics.swapped(Outcome::Refused);
        }
    }
    *decided = id;
    Then::Decided
}

/// The file's digest, and its model unless that content is known; or why neither could be found out.
fn open(candidate: &Candidate, wanted: Wanted, known: &[String]) -> Result<(String, Result<Option<Model>>)> {
    let file = candidate.read()?;
    let id = hex::encode(Sha256::digest(&file));
    if known.contains(&id) {
        return Ok((id, Ok(None)));
    }
    let model = match check::in_a_process(&file, wanted)? {
        Ok(()) => Model::from_bytes_with(&file, wanted).map(Some),
        Err(reason) => Err(reason),
    };
    Ok((id, model))
}
