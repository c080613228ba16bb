//! A client whose head does not come in time: 408 like every other refusal, and the connection ends.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt as _;
use tracing::debug;

use crate::request::Refusal;

/// Instead of the request that never came whole: no route has this path, so it comes to `service::answer::no_route`.
const INSTEAD: &[u8] = b"OPTIONS * HTTP/1.1\r\nhost: late\r\nconnection: close\r\n\r\n";
/// How long a slow client may take to take the answer, and then to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// On a request that stands for one whose head did not come within this time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Late(Duration);

impl Late {
    pub fn refusal(self) -> Refusal {
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", format!("the request's head did not arrive within {:?}", self.0))
    }
}

/// Whether a request had begun with these bytes: empty lines may stand before one (RFC 9112, 2.2).
pub(crate) fn has_begun(read: &[u8]) -> bool {
    read.iter().any(|byte| !b"\r\n".contains(byte))
}

/// Answers as the router does, which puts the versions on it, and closes.
pub(crate) async fn refuse(stream: TcpStream, router: Router, head: Duration) {
    if let Ok(Err(error)) = timeout(2 * PATIENCE, answer(stream, router, head)).await {
        debug!(%error, "a late client has gone");
    }
}

async fn answer(stream: TcpStream, router: Router, head: Duration) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let io = tokio::io::join(INSTEAD.chain(read), write);
    let asked = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Late(head));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(io), asked);
    let answered = connection.without_shutdown().await.map_err(io::Error::other)?;
    let mut io = answered.io.into_inner();
    io.shutdown().await?;
    // Closing on what is still sent would reset the connection, and its sender might never see why.
    let _ = timeout(PATIENCE, tokio::io::copy(&mut io, &mut tokio::io::sink())).await;
    Ok(())
}
