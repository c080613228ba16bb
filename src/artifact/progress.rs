//! Long work: what is said about it while it goes on, and how it is stopped.

use tokio::sync::watch;

use super::error::{Error, Result, Tried};

/// A step of [`super::Store::ensure`], as it happens. Names are artifacts'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A source is asked: `upstream https://…`, `go k8s.io/kubernetes v1.36.4`.
    Started { name: String, version: String, from: String },
    /// Bytes of a download; `total` where the server said it.
    Bytes { name: String, done: u64, total: Option<u64> },
    /// Modules that Go has fetched so far.
    Modules { name: String, done: usize },
    /// Packages that Go has begun to compile; those that its cache holds already are never begun.
    Packages { name: String, done: usize, total: usize },
    /// Another process works on the same.
    Waiting { name: String, what: String },
    /// A source did not give it; the next one is asked.
    Failed(Tried),
    /// It is in the cache now.
    Finished { name: String, version: String, source: String, bytes: u64, milliseconds: u64 },
}

/// Where progress is told: from any thread, in order.
pub(super) type Teller = tokio::sync::mpsc::UnboundedSender<Progress>;

/// A word that ends long work: cloned freely, given once.
#[derive(Clone, Debug)]
pub struct Cancel {
    word: watch::Sender<bool>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self { word: watch::Sender::new(false) }
    }
}

impl Cancel {
    /// From now on all work that holds a clone ends: downloads at once, a build with its whole process group.
    pub fn cancel(&self) {
        self.word.send_replace(true);
    }

    pub fn is_cancelled(&self) -> bool {
        *self.word.borrow()
    }

    /// Returns when [`Cancel::cancel`] was called.
    pub async fn cancelled(&self) {
        let mut word = self.word.subscribe();
        // The sender lives in `self`: waiting ends only with the word.
        let _ = word.wait_for(|word| *word).await;
    }

    /// The work's result, or the error of a cancelled one.
    pub(super) async fn unless<T>(&self, doing: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancelled() => Err(Error::cancelled(doing)),
            result = work => result,
        }
    }
}
