//! Connections: how many, how long they may be silent, and how they end.

use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, warn};

use crate::quiet::Quiet;
use crate::unread::{self, Unread};

/// Open connections; the next ones wait to be accepted.
const MOST: usize = 4096;

/// Serve until `stop` ends and every connection has had its answer.
///
/// A request's head may take `head` to arrive, else it is answered 408; a connection may be idle for as long.
/// What is no request is refused by the router too, so that this answer has what every answer has.
pub(crate) async fn serve(listener: TcpListener, router: Router, head: Duration, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MOST));
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = answer(stream, router.clone(), head, stopped.clone());
                tokio::spawn(async move {
                    let _place = place;
                    connection.await;
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
    let _ = places.acquire_many(MOST as u32).await;
}

async fn answer(stream: TcpStream, router: Router, head: Duration, mut stopped: watch::Receiver<bool>) {
    // An answer is one small packet: waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(Quiet::new(stream)), TowerToHyperService::new(router.clone()));
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
        unread::refuse(io.into_inner(), router, unread).await;
    }
}
