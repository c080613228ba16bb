//! `model-service`: serve, the app, check a model, export a journal, write the images.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use model_service::listen::{self, Clients, KEPT};
use model_service::model::{Model, Wanted};
use model_service::service::{self, APP_VERSION, Limits, Setup};
use model_service::{app, health, image, journal, sbom, swap};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

/// Say whether a URL is phishing
#[derive(Parser)]
#[command(version = APP_VERSION)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the page and the interface
    Serve(Serve),
    /// Load a model, run its self-test, and print what it says of itself as JSON
    Check {
        /// Its file; `-` reads it from the standard input
        model: PathBuf,
        /// What computes the model
        #[arg(long, value_enum, default_value_t)]
        runtime: Wanted,
    },
    /// Serve the app alone, beside a model service elsewhere
    App(app::command::App),
    /// Print a journal's lines
    Export(journal::Export),
    /// Ask a server on this machine whether it is ready; the exit status is the answer
    Health(health::Arguments),
    /// Write an OCI image of a static binary and a model, or of the app
    Image(image::Arguments),
    /// Write what the program is made of, as CycloneDX JSON
    Sbom(sbom::Arguments),
}

#[derive(Parser)]
struct Serve {
    /// Model (ONNX), or a folder of which the newest is served, also when it comes later
    #[arg(long, env = "MODEL", default_value = "/models/model.onnx")]
    model: PathBuf,
    /// What computes the model
    #[arg(long, env = "RUNTIME", value_enum, default_value_t)]
    runtime: Wanted,
    /// Address and port to listen on
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Address and port of the administration; 127.0.0.1:9090 where that is free when absent
    #[arg(long, env = "ADMIN")]
    admin: Option<SocketAddr>,
    /// Model runs at one time; the number of cores when absent
    #[arg(long, env = "WORKERS")]
    workers: Option<NonZeroUsize>,
    /// Requests that are run or wait, before 503
    #[arg(long, env = "QUEUE", default_value_t = Limits::default().queue)]
    queue: usize,
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
    app: app::command::Options,
}

const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

fn main() -> ExitCode {
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).with_max_level(tracing::Level::INFO).init();
    let done = match Arguments::parse().command {
        Command::Serve(arguments) => serve(arguments),
        Command::Check { model, runtime } => check(&model, runtime),
        Command::App(arguments) => until_stopped(|stop| arguments.run(stop)),
        Command::Export(arguments) => arguments.run(std::io::stdout()),
        Command::Health(arguments) => health::ask(&arguments),
        Command::Image(arguments) => image::write(&arguments),
        Command::Sbom(arguments) => sbom::write(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Serve) -> Result<()> {
    let defaults = Limits::default();
    let limits = Limits {
        workers: arguments.workers.unwrap_or(defaults.workers),
        queue: arguments.queue,
        clients: Clients { kept: arguments.connections, head: Duration::from_millis(arguments.head_timeout_ms) },
        body: Duration::from_millis(arguments.body_timeout_ms),
        drain_notice: Duration::from_millis(arguments.drain_notice_ms),
        ..defaults
    };
    let watched = arguments.model.is_dir().then(|| (arguments.model.clone(), arguments.runtime));
    let model = match &watched {
        Some((folder, wanted)) => swap::first(folder, *wanted)?,
        None => Model::load_with(&arguments.model, arguments.runtime)?,
    };
    let app = arguments.app.settings(limits.body)?;
    until_stopped(|stop| async move {
        let listener = listen::bind(arguments.listen)?;
        let admin = match arguments.admin {
            Some(address) => Some(listen::bind(address)?),
            None => listen::bind(ADMIN).inspect_err(|failure| warn!("{failure:#}: no administration; hint: pass --admin")).ok(),
        };
        info!(
            address = %listener.local_addr()?,
            admin = admin.as_ref().map(|admin| admin.local_addr()).transpose()?.map(tracing::field::display),
            model = model.about.id,
            runtime = model.runtime(),
            app = APP_VERSION,
            "serving"
        );
        service::serve(listener, Setup { model, watched, limits, admin, app }, stop).await
    })
}

/// Runs a server with what ends when this process is told to stop.
fn until_stopped<S: Future<Output = Result<()>>>(server: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>) -> S) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        server(Box::pin(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }))
        .await
    })
}

fn check(path: &Path, runtime: Wanted) -> Result<()> {
    let model = if path == Path::new("-") {
        let mut file = Vec::new();
        std::io::stdin().read_to_end(&mut file).context("read the model")?;
        Model::from_bytes_with(&file, runtime)?
    } else {
        Model::load_with(path, runtime)?
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&model.about)?)?;
    Ok(())
}
