//! One host's connection: frames in, frames out, heartbeats.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

use super::connect::{Connect, ConnectError, Stream};
use crate::agent::frame::{self, Down, Start, Up, WireError};

/// Well below the silence that an agent takes as a lost link (20 s).
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Frames that may wait for a host: content is bounded by it.
const QUEUE: usize = 8;

/// What a host's task tells the coordinator.
#[derive(Debug)]
pub enum Incoming {
    Connected { host: Arc<str>, session: u64, down: mpsc::Sender<Down> },
    NotConnected { host: Arc<str>, session: u64, error: ConnectError },
    Frame { host: Arc<str>, session: u64, frame: Box<Up> },
    Closed { host: Arc<str>, session: u64, reason: String },
}

/// Whether a connection is wanted with or without retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Usual,
    /// One attempt: who calls tries again.
    Once,
}

/// Connects with the run's start, then carries frames until either end closes.
pub async fn run(
    host: Arc<str>,
    session: u64,
    connector: Arc<dyn Connect>,
    patience: Patience,
    start: Box<Start>,
    slots: Arc<Semaphore>,
    incoming: mpsc::UnboundedSender<Incoming>,
) {
    let slot = slots.acquire().await;
    let connected = match (frame::encode(&Down::Start(start)), patience) {
        (Err(error), _) => Err(ConnectError { message: format!("pack the program: {error}"), ..ConnectError::default() }),
        (Ok(first), Patience::Usual) => connector.connect(&host, &first).await,
        (Ok(first), Patience::Once) => connector.try_once(&host, &first).await,
    };
    drop(slot);
    let Stream { input, output, keeper } = match connected {
        Ok(stream) => stream,
        Err(error) => {
            // The coordinator may be gone; then nobody waits for this.
            let _ = incoming.send(Incoming::NotConnected { host, session, error });
            return;
        }
    };
    let (down, frames) = mpsc::channel(QUEUE);
    let _ = incoming.send(Incoming::Connected { host: Arc::clone(&host), session, down });
    let writer = tokio::spawn(write(input, frames));
    let reason = read(output, &host, session, &incoming).await;
    writer.abort();
    drop(keeper);
    let _ = incoming.send(Incoming::Closed { host, session, reason });
}

async fn write(mut stream: Box<dyn tokio::io::AsyncWrite + Send + Unpin>, mut frames: mpsc::Receiver<Down>) {
    loop {
        let next = match tokio::time::timeout(HEARTBEAT, frames.recv()).await {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(_) => Down::Heartbeat,
        };
        let Ok(bytes) = frame::encode(&next) else { return };
        // A broken stream shows at the reading end.
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn read(
    mut stream: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    host: &Arc<str>,
    session: u64,
    incoming: &mpsc::UnboundedSender<Incoming>,
) -> String {
    loop {
        match read_one(&mut stream).await {
            Ok(frame) => {
                if incoming.send(Incoming::Frame { host: Arc::clone(host), session, frame: Box::new(frame) }).is_err() {
                    return "the run is over".to_owned();
                }
            }
            Err(error) => return error.to_string(),
        }
    }
}

async fn read_one(stream: &mut (dyn tokio::io::AsyncRead + Send + Unpin)) -> Result<Up, WireError> {
    let mut header = [0; 4];
    match stream.read_exact(&mut header).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(WireError::Closed),
        Err(error) => return Err(WireError::Io(error)),
    }
    let mut body = vec![0; frame::announced(header)?];
    stream.read_exact(&mut body).await.map_err(WireError::Io)?;
    frame::decode(&body)
}
