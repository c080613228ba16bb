//! Connections: how many, how long they may be silent, and how they end.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::http::{HeaderValue, header};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, warn};

use crate::front::Front;
use crate::quiet::Quiet;
use crate::unread::{self, Unread};

/// Connections beyond those that are kept: they get one answer, so that probes come through whoever holds the others.
const PASSING: usize = 256;
/// So many of those at once, and the next are told so where they ask for work.
const CROWD: usize = PASSING / 2;
/// How long such a one may be silent.
const IN_PASSING: Duration = Duration::from_secs(2);
/// Bytes of a connection's buffer, and so of a head.
const BUFFER: usize = 16 * 1024;

/// Connections that wait to be accepted; Linux allows no more by itself.
const BACKLOG: u32 = 4096;

/// What a server allows its clients.
#[derive(Debug, Clone, Copy)]
pub struct Clients {
    /// Connections that are kept open.
    pub kept: usize,
    /// How long a request's head may take, and a connection may be idle.
    pub head: Duration,
}

/// Most systems let a process have 1,024 files.
pub const KEPT: usize = 512;

/// A port of this machine. Who comes with many others waits to be accepted: without room for that, the kernel lets them try again seconds
/// later.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().with_context(|| format!("listen on {address}"))
}

tokio::task_local! {
    static CROWDED: ();
}

/// Whether this request came when there were too many others.
pub(crate) fn is_crowded() -> bool {
    CROWDED.try_with(|()| ()).is_ok()
}

/// Serve until `stop` ends and every connection has had its answer. While it drains each answer is its connection's last: on one that is
/// kept, a client's next request may meet the closing.
///
/// A head that does not come in time is answered 408.
/// What is no request is refused by the front too, so that this answer has what every answer has.
pub(crate) async fn serve(
    listener: TcpListener,
    front: Front,
    clients: Clients,
    draining: Arc<AtomicBool>,
    stop: impl Future<Output = ()>,
) {
    let [kept, passing] = [clients.kept, PASSING].map(|places| Arc::new(Semaphore::new(places)));
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let (place, is_kept) = tokio::select! {
                biased;
                place = Arc::clone(&kept).acquire_owned() => (place, true),
                place = Arc::clone(&passing).acquire_owned() => (place, false),
            };
            (place, is_kept, listener.accept().await)
        };
        let (place, is_kept, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let head = if is_kept { clients.head } else { clients.head.min(IN_PASSING) };
                let connection = answer(stream, front.clone(), head, is_kept, Arc::clone(&draining), stopped.clone());
                let is_crowded = !is_kept && passing.available_permits() < PASSING - CROWD;
                tokio::spawn(async move {
                    let _place = place;
                    if is_crowded { CROWDED.scope((), connection).await } else { connection.await }
                });
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                warn!(%error, "no connection is accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    drop(listener);
    // Fails only when no connection is left to hear it.
    let _ = stopping.send(true);
    let _ = kept.acquire_many(clients.kept as u32).await;
    let _ = passing.acquire_many(PASSING as u32).await;
}

async fn answer(
    stream: TcpStream,
    front: Front,
    head: Duration,
    is_kept: bool,
    draining: Arc<AtomicBool>,
    mut stopped: watch::Receiver<bool>,
) {
    // An answer is one small packet: waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    // Who does not read an answer must not hold it for ever.
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(head));
    let asked = service_fn(|request| {
        let (front, draining) = (front.clone(), &draining);
        async move {
            let mut answer = front.answer(request).await;
            if draining.load(Ordering::Acquire) {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(BUFFER)
        .keep_alive(is_kept)
        .serve_connection(TokioIo::new(Quiet::new(stream)), asked);
    let mut running = Pin::new(&mut connection);
    let ended = tokio::select! {
        ended = running.as_mut() => ended,
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
            running.as_mut().graceful_shutdown();
            running.await
        }
    };
    let Err(error) = ended else { return };
    debug!(%error, "a connection ended early");
    let left = connection.into_parts();
    let io = left.io.into_inner();
    if let Some(unread) = Unread::of(&error, io.withheld, &left.read_buf, head) {
        unread::refuse(io.into_inner(), front, unread).await;
    }
}
