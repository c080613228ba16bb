//! One host's connection: frames in, frames out, heartbeats.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

use super::connect::{Connect, ConnectError, Stream};
use crate::agent::frame::{self, Down, Packing, Start, Up, WireError};
use crate::program::Bytes;

/// Well below the silence that an agent takes as a lost link (20 s).
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Chunks of files that may wait for a host.
const QUEUE: usize = 8;

/// What is to go to a host. Frames go in the order in which they were sent, and before the chunks of files that wait for room.
#[derive(Clone, Debug)]
pub struct Outbox {
    frames: mpsc::UnboundedSender<Down>,
    chunks: mpsc::Sender<Down>,
}

/// The other end.
#[derive(Debug)]
pub struct Outgoing {
    frames: mpsc::UnboundedReceiver<Down>,
    chunks: mpsc::Receiver<Down>,
}

impl Outbox {
    pub fn new() -> (Self, Outgoing) {
        let (frames, to_frames) = mpsc::unbounded_channel();
        let (chunks, to_chunks) = mpsc::channel(QUEUE);
        (Self { frames, chunks }, Outgoing { frames: to_frames, chunks: to_chunks })
    }

    /// Never waits. A session that is over takes nothing: its end is told by its reader.
    pub fn send(&self, frame: Down) {
        let _ = self.frames.send(frame);
    }

    /// Waits until there is room. `false`: the session is over.
    pub async fn send_chunk(&self, id: u64, chunk: Bytes) -> bool {
        self.chunks.send(Down::Content { id, chunk }).await.is_ok()
    }
}

impl Outgoing {
    /// `None` once nobody can send any more and all is taken.
    pub async fn next(&mut self) -> Option<Down> {
        tokio::select! {
            biased;
            Some(frame) = self.frames.recv() => Some(frame),
            Some(chunk) = self.chunks.recv() => Some(chunk),
            else => None,
        }
    }
}

/// What a host's task tells the coordinator.
#[derive(Debug)]
pub enum Incoming {
    Connected {
        host: Arc<str>,
        session: u64,
        down: Outbox,
        is_here: bool,
    },
    NotConnected {
        host: Arc<str>,
        session: u64,
        error: ConnectError,
    },
    Frame {
        host: Arc<str>,
        session: u64,
        frame: Box<Up>,
    },
    /// A file of it is kept here.
    Kept {
        host: Arc<str>,
        path: Arc<str>,
    },
    Closed {
        host: Arc<str>,
        session: u64,
        reason: String,
    },
}

/// Whether a connection is wanted with or without retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Usual,
    /// The host may not be up yet.
    UpTo(Duration),
    /// One attempt, of so long: who calls tries again.
    Once(Option<Duration>),
    /// None: its agent runs on the controller.
    StandIn,
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
    // A host that may not be up yet keeps no other one from its connection.
    let slot = if matches!(patience, Patience::UpTo(_)) { None } else { slots.acquire().await.ok() };
    let connected = match (frame::encode(&Down::Start(start)), patience) {
        (Err(error), _) => Err(ConnectError { message: format!("pack the program: {error}"), ..ConnectError::default() }),
        (Ok(first), Patience::Usual) => connector.connect(&host, &first).await,
        (Ok(first), Patience::UpTo(limit)) => connector.connect_within(&host, &first, limit).await,
        (Ok(first), Patience::Once(limit)) => try_once(&*connector, &host, &first, limit).await,
        (Ok(first), Patience::StandIn) => connector.stand_in(&first).await,
    };
    drop(slot);
    let Stream { input, output, is_here, keeper } = match connected {
        Ok(stream) => stream,
        Err(error) => {
            // The coordinator may be gone; then nobody waits for this.
            let _ = incoming.send(Incoming::NotConnected { host, session, error });
            return;
        }
    };
    let (down, outgoing) = Outbox::new();
    let _ = incoming.send(Incoming::Connected { host: Arc::clone(&host), session, down, is_here });
    let writer = tokio::spawn(write(input, outgoing));
    let reason = read(output, &host, session, &incoming).await;
    writer.abort();
    drop(keeper);
    let _ = incoming.send(Incoming::Closed { host, session, reason });
}

async fn try_once(connector: &dyn Connect, host: &str, first: &[u8], limit: Option<Duration>) -> Result<Stream, ConnectError> {
    let attempt = connector.try_once(host, first);
    let Some(limit) = limit else { return attempt.await };
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
        Err(ConnectError { message: format!("connect to {host}: no answer within {limit:?}"), may_pass: true, ..ConnectError::default() })
    })
}

async fn write(mut stream: Box<dyn tokio::io::AsyncWrite + Send + Unpin>, mut outgoing: Outgoing) {
    let mut speed = Speed::default();
    loop {
        let next = match tokio::time::timeout(HEARTBEAT, outgoing.next()).await {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(_) => Down::Heartbeat,
        };
        let content = matches!(next, Down::Content { .. });
        let Ok(bytes) = frame::encode_as(&next, if content { speed.packing() } else { Packing::Deflate }) else { return };
        let begun = Instant::now();
        // A broken stream shows at the reading end.
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if content {
            speed.took(bytes.len(), begun.elapsed());
        }
    }
}

/// How fast a link takes files' content, which is most of what goes over it.
#[derive(Debug, Default)]
struct Speed {
    bytes: usize,
    elapsed: Duration,
}

impl Speed {
    /// Deflate makes some 100 MB/s of a core's time; below this, packing is faster than the link: 100 Mbit/s.
    const SLOW: f64 = 12.5e6;
    /// So much is looked at: more than an SSH window, which is filled without waiting.
    const SPAN: usize = 8 << 20;

    fn packing(&self) -> Packing {
        let slow = self.bytes >= Self::SPAN / 2 && (self.bytes as f64) < Self::SLOW * self.elapsed.as_secs_f64();
        if slow { Packing::Deflate } else { Packing::Plain }
    }

    /// What went before counts less and less.
    fn took(&mut self, bytes: usize, elapsed: Duration) {
        self.bytes += bytes;
        self.elapsed += elapsed;
        if self.bytes > Self::SPAN {
            self.bytes /= 2;
            self.elapsed /= 2;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Position;

    /// A host that takes a connection and says nothing.
    struct Silent;

    impl Connect for Silent {
        fn connect<'a>(&'a self, _: &'a str, _: &'a [u8]) -> super::super::connect::Boxed<'a, Result<Stream, ConnectError>> {
            Box::pin(std::future::pending())
        }

        fn stand_in<'a>(&'a self, _: &'a [u8]) -> super::super::connect::Boxed<'a, Result<Stream, ConnectError>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn frames_go_in_their_order_and_before_the_chunks_that_wait() {
        let (outbox, mut outgoing) = Outbox::new();
        let watermark = |task| Down::Watermark { position: Position(vec![0, task]), dirty: false };
        let many = 4 * u32::try_from(QUEUE).expect("a small number");
        for id in 0..QUEUE as u64 {
            assert!(outbox.send_chunk(id, Bytes::default()).await);
        }
        let waits = outbox.clone();
        let last = tokio::spawn(async move { waits.send_chunk(QUEUE as u64, Bytes::default()).await });
        (0..many).for_each(|task| outbox.send(watermark(task)));
        drop(outbox);
        for task in 0..many {
            assert!(
                matches!(outgoing.next().await, Some(Down::Watermark { position, .. }) if position == Position(vec![0, task])),
                "{task}"
            );
        }
        for wanted in 0..=QUEUE as u64 {
            assert!(matches!(outgoing.next().await, Some(Down::Content { id, .. }) if id == wanted), "{wanted}");
        }
        assert!(last.await.is_ok_and(|sent| sent));
        assert!(outgoing.next().await.is_none(), "nobody can send any more");
    }

    #[tokio::test]
    async fn an_attempt_ends_with_its_limit() {
        let error = try_once(&Silent, "a", b"", Some(Duration::from_millis(20))).await.expect_err("nobody answers");
        assert!(error.may_pass && error.message == "connect to a: no answer within 20ms", "{error:?}");
    }

    #[test]
    fn content_is_packed_where_the_link_is_slower_than_packing() {
        let mut speed = Speed::default();
        assert_eq!(speed.packing(), Packing::Plain);
        for _ in 0..100 {
            speed.took(256 << 10, Duration::from_millis(50));
        }
        assert_eq!(speed.packing(), Packing::Deflate);
        for _ in 0..100 {
            speed.took(256 << 10, Duration::from_millis(5));
        }
        assert_eq!(speed.packing(), Packing::Plain);
    }
}
