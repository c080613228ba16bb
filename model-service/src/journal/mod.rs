//! The journal: predictions and feedback as JSON lines in a folder, durable before they are acknowledged.
//!
//! Sync policy: `append` returns once `fdatasync` has returned for its lines. Appends that wait at the same time share one (group commit),
//! so load costs few syncs, and a lone append costs one. A new file's name is synced with its folder. What was refused is taken back;
//! a torn last line, which nobody was told of, is cut at the next start. Nothing is ever deleted here.
//!
//! One process writes to a folder at a time: `lock` in it. Files are `0000000001.jsonl`, `0000000002.jsonl`, …, each closed at its size.

mod disk;
mod export;
mod folder;
mod record;
mod writer;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

pub use self::export::Export;
pub use self::folder::lines;
pub use self::record::{Feedback, Kind, Prediction, Record};
use self::writer::{Waiting, Writer};

/// Bytes from which a file is closed and the next one begun.
pub const LARGEST_FILE: u64 = 64 * 1024 * 1024;
/// Appends that may wait for the disk; the next is refused.
const WAITING: usize = 1024;

/// Why lines are not in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No room on the disk, or in the quota.
    Full,
    /// Too many wait.
    Busy,
    /// Another error of the disk.
    Failed(String),
}

/// A journal that is open for writing; clones share it.
#[derive(Clone)]
pub struct Journal {
    waiting: mpsc::Sender<Waiting>,
}

impl Journal {
    /// Makes the folder where there is none, and cuts a torn last line.
    pub fn open(folder: &Path, largest_file: u64) -> Result<Self> {
        let opened = || -> Result<_> {
            let lock = folder::lock(folder)?;
            Ok((lock, Writer::new(folder::Files::open(folder)?, largest_file)?))
        };
        let (lock, mut writer) = opened().with_context(|| format!("open the journal `{}`", folder.display()))?;
        let (waiting, receiver) = mpsc::channel(WAITING);
        let write = move || {
            writer.run(receiver);
            drop(lock); // held for as long as anything is written
        };
        std::thread::Builder::new().name("journal".into()).spawn(write).context("start the journal's thread")?;
        Ok(Self { waiting })
    }

    /// Returns when the records are on the disk: all of them, or none.
    pub async fn append(&self, records: impl IntoIterator<Item = Record>) -> Result<(), Refused> {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, &record).map_err(|error| Refused::Failed(error.to_string()))?;
            lines.push(b'\n');
        }
        let (done, answer) = oneshot::channel();
        self.waiting.try_send(Waiting { lines, done }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Busy,
            mpsc::error::TrySendError::Closed(_) => Refused::Failed("the journal's thread ended".into()),
        })?;
        let ended = answer.await.unwrap_or_else(|_| Err(Refused::Failed("the journal's thread ended".into())));
        if let Err(refused) = &ended {
            error!(?refused, "not written to the journal");
        }
        ended
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_millis() as u64)
}
