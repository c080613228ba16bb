//! `model-service app`: the app alone, beside a model service elsewhere; and the options that `serve` has in common with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use axum::http::Uri;
use clap::Parser;
use tracing::info;

use super::{Resolver, Settings, Upstream, Variant};
use crate::journal::{self, Journal};
use crate::listen::{self, Clients, KEPT};
use crate::server::{self, Drain};
use crate::service::Limits;

/// The app's part of a command line.
#[derive(Debug, Clone, Parser)]
pub struct Options {
    /// What the page shows
    #[arg(long, env = "VARIANT", value_enum, default_value = "v2")]
    pub variant: Variant,
    /// Say on every answer that this instance is the canary
    #[arg(long, env = "CANARY", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub canary: bool,
    /// Folder of this process alone, for predictions and feedback; kept nowhere when absent
    #[arg(long, env = "JOURNAL")]
    pub journal: Option<PathBuf>,
    /// Bytes from which a file of the journal is closed and the next one begun
    #[arg(long, env = "JOURNAL_FILE_BYTES", default_value_t = journal::LARGEST_FILE)]
    pub journal_file_bytes: u64,
    /// Milliseconds that the model service may take to answer the page
    #[arg(long, env = "MODEL_TIMEOUT_MS", default_value_t = 2_000)]
    pub model_timeout_ms: u64,
    /// Milliseconds from its start in which the app alone is not ready as long as it has not reached the model service once
    #[arg(long, env = "REACH_MODEL_WITHIN_MS", default_value_t = 15_000)]
    pub reach_model_within_ms: u64,
    /// Where the experiment's counts are read, as Prometheus text: every app's /metrics (this one's too), or Prometheus' /federate;
    /// every address that a name has is asked
    #[arg(long, env = "EXPERIMENT_COUNTS", value_delimiter = ' ')]
    pub counts_from: Vec<Uri>,
}

impl Options {
    /// Opens the journal.
    pub fn settings(self, body: Duration) -> Result<Settings> {
        let journal = self.journal.map(|folder| Ok::<_, anyhow::Error>((Journal::open(&folder, self.journal_file_bytes)?, folder)));
        Ok(Settings {
            variant: self.variant,
            journal: journal.transpose()?,
            patience: Duration::from_millis(self.model_timeout_ms),
            body,
            canary: self.canary,
            counts_from: self.counts_from,
            resolver: Resolver::default(),
            reach_within: Duration::from_millis(self.reach_model_within_ms),
        })
    }
}

#[derive(Debug, Parser)]
pub struct App {
    /// The model service: its URL, with or without /predict
    #[arg(long, env = "MODEL_SERVICE_URL")]
    model_service: String,
    /// Address and port to listen on
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Connections that are kept open; further ones get one answer each
    #[arg(long, env = "CONNECTIONS", default_value_t = KEPT)]
    connections: usize,
    /// Milliseconds that a request's head may take to arrive, and a connection may be idle
    #[arg(long, env = "HEAD_TIMEOUT_MS", default_value_t = 60_000)]
    head_timeout_ms: u64,
    /// Milliseconds that a body may take to arrive
    #[arg(long, env = "BODY_TIMEOUT_MS", default_value_t = 10_000)]
    body_timeout_ms: u64,
    /// Milliseconds of being unready before the port closes on SIGTERM
    #[arg(long, env = "DRAIN_NOTICE_MS", default_value_t = 2_000)]
    drain_notice_ms: u64,
    #[command(flatten)]
    options: Options,
}

impl App {
    /// Serves until `stop` ends.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let upstream = Upstream::at(&self.model_service)?;
        let variant = self.options.variant.name();
        let settings = self.options.settings(Duration::from_millis(self.body_timeout_ms))?;
        let draining = Arc::new(AtomicBool::new(false));
        let router = super::router(upstream, settings, Arc::clone(&draining))?;
        let listener = listen::bind(self.listen)?;
        info!(address = %listener.local_addr()?, variant, model_service = self.model_service, app = versions::APP, "serving");
        let [head, notice] = [self.head_timeout_ms, self.drain_notice_ms].map(Duration::from_millis);
        let drain = Drain { notice, open: Limits::default().drain };
        server::serve(listener, router.into(), Clients { kept: self.connections, head }, draining, drain, stop).await
    }
}
