//! A request that never came whole, or is none: refused like every other one, and the connection ends.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::front::Front;
use crate::request::Refusal;

/// Instead of the request that could not be read: no route has this path, so it comes to `service::answer::no_route`.
const INSTEAD: &[u8] = b"OPTIONS * HTTP/1.1\r\nhost: unread\r\nconnection: close\r\n\r\n";
/// How long a slow client may take to take the answer, and then to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// On a request that stands for one that could not be read: what it is told.
#[derive(Debug, Clone)]
pub(crate) struct Unread(pub Refusal);

impl Unread {
    /// What the client is owed for this end of its connection; `read` is what had come of a request whose head may take `head`.
    pub fn of(error: &hyper::Error, withheld: Option<StatusCode>, read: &[u8], head: Duration) -> Option<Self> {
        // A connection that was merely idle is closed without a word.
        if error.is_timeout() && has_begun(read) {
            let message = format!("the request's head did not arrive within {head:?}");
            return Some(Self(Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)));
        }
        if !error.is_parse() {
            return None;
        }
        Some(Self(match withheld {
            // hyper has a name for a long path only where it has room for it.
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) if !read.trim_ascii_start().contains(&b'\n') => {
                Refusal::new(StatusCode::URI_TOO_LONG, "too_large", "the request's path is over 16 kB; send the URL in a body")
            }
            Some(status @ StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => {
                Refusal::new(status, "too_large", "the request's head has too many headers, or too long ones")
            }
            Some(status) => Refusal::new(status, "malformed_http", format!("no HTTP/1.1 request: {error}")),
            // hyper says nothing to who speaks HTTP/2 at once.
            None => Refusal::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "malformed_http", "HTTP/1.1 is spoken here"),
        }))
    }
}

/// Whether a request had begun with these bytes: empty lines may stand before one (RFC 9112, 2.2).
fn has_begun(read: &[u8]) -> bool {
    read.iter().any(|byte| !b"\r\n".contains(byte))
}

/// Answers as the front does, which puts the versions on it, and closes.
pub(crate) async fn refuse(stream: TcpStream, front: Front, unread: Unread) {
    if let Ok(Err(error)) = timeout(2 * PATIENCE, answer(stream, front, unread)).await {
        debug!(%error, "a refused client has gone");
    }
}

async fn answer(stream: TcpStream, front: Front, unread: Unread) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let io = tokio::io::join(INSTEAD.chain(read), write);
    let asked = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(unread.clone());
        let front = front.clone();
        async { Ok::<_, Infallible>(front.answer(request).await) }
    });
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(io), asked);
    let answered = connection.without_shutdown().await.map_err(io::Error::other)?;
    let mut io = answered.io.into_inner();
    io.shutdown().await?;
    // Closing on what is still sent would reset the connection, and its sender might never see why.
    let _ = timeout(PATIENCE, tokio::io::copy(&mut io, &mut tokio::io::sink())).await;
    Ok(())
}
