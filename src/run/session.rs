//! A run as its caller holds it: begin, hear, apply what was planned, end. Ctrl-C cancels.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Happening, HostResult, Inputs, Run};

/// How each host ended.
pub type Results = BTreeMap<Arc<str>, HostResult>;

/// One session with every host, kept from plan to apply.
pub struct Session {
    run: Run,
    happenings: mpsc::UnboundedReceiver<Happening>,
    interrupts: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Connects and begins with what `inputs.mode` says.
    pub fn begin(inputs: Inputs) -> Self {
        let (sender, happenings) = mpsc::unbounded_channel();
        let run = super::start(inputs, sender);
        let canceller = run.canceller();
        let interrupts = tokio::spawn(async move {
            interrupted().await;
            canceller.cancel();
        });
        Self { run, happenings, interrupts }
    }

    /// Until every host is through with what it was told; `hear` is told everything in order.
    pub async fn finished(&mut self, hear: &mut dyn FnMut(&Happening)) -> Results {
        let results = {
            let finished = self.run.finished();
            tokio::pin!(finished);
            loop {
                tokio::select! {
                    Some(happening) = self.happenings.recv() => hear(&happening),
                    results = &mut finished => break results,
                }
            }
        };
        while let Ok(happening) = self.happenings.try_recv() {
            hear(&happening);
        }
        results
    }

    /// Every host does what it planned, in the session in which it planned.
    pub fn apply(&self) {
        self.run.apply();
    }

    pub async fn end(self) {
        self.run.end().await;
        self.interrupts.abort();
    }
}

/// Returns when somebody wants this to end: Ctrl-C or TERM.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
