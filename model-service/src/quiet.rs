//! A connection without the answers that hyper gives by itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Passes everything on but the bare 4xx of hyper to what it cannot parse: that one is withheld, for a better one in its place.
///
/// hyper writes it only where no other answer is under way, so it is a write of its own; it has neither a body nor the
/// header that every answer of ours has.
pub(crate) struct Quiet {
    stream: TcpStream,
    /// The status that hyper would have answered.
    pub withheld: Option<StatusCode>,
}

impl Quiet {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, withheld: None }
    }

    pub fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

/// The status of a bare refusal of hyper.
fn bare(head: &[u8]) -> Option<StatusCode> {
    let rest = head.strip_prefix(b"HTTP/1.1 ").or_else(|| head.strip_prefix(b"HTTP/1.0 "))?;
    let status = StatusCode::from_bytes(rest.get(..3)?).ok().filter(StatusCode::is_client_error)?;
    let text = str::from_utf8(rest.strip_suffix(b"\r\n\r\n")?).ok()?.to_ascii_lowercase();
    (text.contains("\r\ncontent-length: 0") && !text.contains("\r\nx-app-version:")).then_some(status)
}

impl AsyncRead for Quiet {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(status) = bare(buf) {
            self.withheld = Some(status);
            return Poll::Ready(Ok(buf.len()));
        }
        self.stream().poll_write(cx, buf)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match bufs {
            [only] => self.poll_write(cx, only),
            _ => self.stream().poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The client is still owed an answer.
        if self.withheld.is_some() { Poll::Ready(Ok(())) } else { self.stream().poll_shutdown(cx) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_refusal_is_known_by_what_it_has_not() {
        let bare_400 = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        for (written, status) in [
            (bare_400, Some(400)),
            ("HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n", Some(431)),
            ("HTTP/1.0 414 URI Too Long\r\nContent-Length: 0\r\n\r\n", Some(414)),
            ("HTTP/1.1 404 Not Found\r\nx-app-version: 1\r\ncontent-length: 0\r\n\r\n", None),
            ("HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\n", None),
            ("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("HTTP/1.1 4", None),
            ("", None),
        ] {
            assert_eq!(bare(written.as_bytes()).map(|status| status.as_u16()), status, "{written:?}");
        }
    }
}
