//! `model-service health`: a container's own look at its service, where there is no shell and no curl.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

#[derive(clap::Args)]
pub struct Arguments {
    /// Address and port of the service
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    #[arg(long, default_value = "/readyz")]
    path: String,
    /// Milliseconds until no answer is one
    #[arg(long, default_value_t = 2_000)]
    timeout_ms: u64,
}

/// An error, and so exit status 1, where it does not say 200.
pub fn ask(arguments: &Arguments) -> Result<()> {
    let Arguments { address, path, timeout_ms } = arguments;
    let doing = || format!("ask {address}{path}");
    let limit = Duration::from_millis((*timeout_ms).max(1));
    let mut stream = TcpStream::connect_timeout(address, limit).with_context(doing)?;
    stream.set_read_timeout(Some(limit)).with_context(doing)?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").with_context(doing)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).with_context(doing)?;
    let head = String::from_utf8_lossy(&head);
    if !head.starts_with("HTTP/1.") || !head.ends_with(" 200") {
        bail!("{}: it answers {head}", doing());
    }
    Ok(())
}
