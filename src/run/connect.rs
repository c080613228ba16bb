//! How a run reaches an agent: a trait, so that its order and answers are tested without any network.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

/// An agent's standard input and output, and what keeps them alive.
pub struct Stream {
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// The agent is this very program, started on the controller.
    pub is_here: bool,
    /// Dropped when the session is over.
    pub keeper: Box<dyn std::any::Any + Send>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// Why there is no agent.
#[derive(Clone, Debug, Default)]
pub struct ConnectError {
    /// "connect to 10.0.0.1:22: connection refused".
    pub message: String,
    pub hint: Option<String>,
    /// Trying again may help: a host that boots refuses, a full sshd drops.
    pub may_pass: bool,
}

/// A boxed future, so that the trait is an object.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Starts agents. `first` is what their standard input begins with: it goes out beside the command that starts the
/// agent, so that the start of a run costs no turn on the wire of its own.
pub trait Connect: Send + Sync {
    /// The agent of a host, started, with `first` sent. Retries within it what may pass.
    fn connect<'a>(&'a self, host: &'a str, first: &'a [u8]) -> Boxed<'a, Result<Stream, ConnectError>>;

    /// The same for a host that may not be up before the limit.
    fn connect_within<'a>(&'a self, host: &'a str, first: &'a [u8], limit: Duration) -> Boxed<'a, Result<Stream, ConnectError>> {
        let _ = limit;
        self.connect(host, first)
    }

    /// One attempt, for a host that restarts.
    fn try_once<'a>(&'a self, host: &'a str, first: &'a [u8]) -> Boxed<'a, Result<Stream, ConnectError>> {
        self.connect(host, first)
    }

    /// An agent on the controller, in the place of a host that cannot be reached any more.
    fn stand_in<'a>(&'a self, first: &'a [u8]) -> Boxed<'a, Result<Stream, ConnectError>>;
}
