//! The models of a running service: the one that answers, the one before it, and those that were refused.
//!
//! `watch` finds a new file, `check` tries it in a process of its own, and only then it takes over here. A request keeps the model
//! that it began with.

mod check;
mod folder;
mod watch;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::http::HeaderValue;
use serde::Serialize;

pub use self::folder::first;
pub use self::watch::watch;
use crate::metrics::Drift;
use crate::model::{About, Model};

/// Refusals that are told; the log has all.
const TOLD: usize = 10;

/// A model that answers, with what is on every answer of it.
pub struct Served {
    pub model: Arc<Model>,
    pub id: HeaderValue,
    pub version: HeaderValue,
    pub drift: Drift,
    since: SystemTime,
}

impl Served {
    pub fn new(model: Model) -> Self {
        let value = |text: &str| HeaderValue::from_str(text).expect("a loaded model's id and version are visible ASCII");
        Self {
            id: value(&model.about.id),
            version: value(&model.about.version),
            drift: Drift::new(model.about.reference.clone()),
            model: Arc::new(model),
            since: SystemTime::now(),
        }
    }

    fn told(&self) -> Told<'_> {
        Told { about: &self.model.about, runtime: self.model.runtime(), since: seconds(self.since) }
    }
}

/// A file that never took over, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    pub file: String,
    /// SHA-256 of what was read.
    pub id: String,
    pub reason: String,
    /// Seconds since 1970.
    pub at: u64,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    about: &'a About,
    runtime: &'static str,
    /// Seconds since 1970.
    since: u64,
}

pub struct Models {
    current: ArcSwap<Served>,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    previous: Option<Arc<Served>>,
    refused: VecDeque<Refused>,
}

impl Models {
    pub fn new(model: Model) -> Self {
        Self { current: ArcSwap::from_pointee(Served::new(model)), history: Mutex::default() }
    }

    pub fn current(&self) -> Arc<Served> {
        self.current.load_full()
    }

    /// From now on this one answers; what answered before is kept.
    pub fn take_over(&self, model: Model) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.previous = Some(self.current.swap(Arc::new(Served::new(model))));
    }

    /// The previous model answers again; the one that answered until now becomes the previous one. None where there is none.
    pub fn roll_back(&self) -> Option<Arc<Served>> {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let again = history.previous.take()?;
        history.previous = Some(self.current.swap(Arc::clone(&again)));
        Some(again)
    }

    pub fn refuse(&self, refused: Refused) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.refused.truncate(TOLD - 1);
        history.refused.push_front(refused);
    }

    /// What `GET /admin/models` answers.
    pub fn told(&self) -> serde_json::Value {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current();
        serde_json::json!({
            "current": current.told(),
            "previous": history.previous.as_ref().map(|previous| previous.told()),
            "refused": history.refused,
        })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
