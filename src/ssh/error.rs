//! Why a host was not reached, or a command on it not run: kind, cause, hint.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller chooses by; the sentence is the error's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The name has no address.
    Resolve,
    /// Nothing listens: a host that is booting, or a wrong port.
    Refused,
    /// No route or no answer in time.
    Unreachable,
    /// The server hung up before it identified itself: `MaxStartups`, a booting host, another protocol.
    Dropped,
    /// The two sides have no algorithm in common, or the server does not speak SSH.
    Protocol,
    /// The host's key is not in known_hosts.
    HostKeyUnknown,
    /// Another key is known for the host than the one it shows.
    HostKeyChanged,
    /// The key is marked `@revoked`.
    HostKeyRevoked,
    /// No key or password was accepted.
    Authentication,
    /// `pam_nologin` while the host boots: keys are right, logins are not open yet.
    Booting,
    /// A key file, a configuration file, an option: ours to mend before anything is tried.
    Configuration,
    /// A connection that stood has ended: cut, silent, or closed by the host.
    Lost,
    /// The host refused a session, a tunnel or a request on a connection that stands.
    Denied,
    /// The host cannot run our agent: architecture, full or noexec folders, a damaged file.
    Agent,
}

/// A connection or a command that did not come about.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// What was being done on which host, and the cause: ``connect to `worker-1` (10.0.0.3:22): connection refused``.
    pub message: String,
    /// What to type next.
    pub hint: Option<String>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts what was being done before the cause.
    #[must_use]
    pub fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// Whether the same attempt may succeed a little later with nothing changed by the user.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, ErrorKind::Refused | ErrorKind::Unreachable | ErrorKind::Dropped | ErrorKind::Booting | ErrorKind::Lost)
    }

    /// Whether Ansible would call the host `UNREACHABLE`: no work on it was begun. [`ErrorKind::Agent`] and
    /// [`ErrorKind::Denied`] come from a host that was reached.
    pub fn is_unreachable(&self) -> bool {
        !matches!(self.kind, ErrorKind::Agent | ErrorKind::Denied)
    }

    /// An operating system's error of a connection attempt.
    pub(crate) fn io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::ConnectionRefused => ErrorKind::Refused,
            Io::TimedOut | Io::HostUnreachable | Io::NetworkUnreachable | Io::NetworkDown | Io::AddrNotAvailable => ErrorKind::Unreachable,
            Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => ErrorKind::Dropped,
            _ => ErrorKind::Unreachable,
        };
        let told = Self::new(kind, plain(error));
        match kind {
            ErrorKind::Refused => told.hint("is an SSH server running there, and is this its port? `ansible_port` names another"),
            _ => told,
        }
    }
}

/// The error's own words without `(os error 111)`, lowercase as a cause is written.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        // "I/O error" keeps its capital: the second letter is not a small one.
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

impl From<russh::Error> for Error {
    fn from(error: russh::Error) -> Self {
        use russh::Error as Cause;
        match error {
            Cause::IO(error) => Self::io(&error),
            Cause::Disconnect | Cause::HUP => Self::new(ErrorKind::Dropped, "the server closed the connection"),
            Cause::SendError | Cause::RecvError => Self::new(ErrorKind::Lost, "the connection is closed"),
            Cause::KeepaliveTimeout | Cause::InactivityTimeout | Cause::ConnectionTimeout => {
                Self::new(ErrorKind::Lost, format!("no answer for {} s", super::connection::SILENCE.as_secs()))
            }
            Cause::NoCommonAlgo { kind, theirs, .. } => {
                Self::new(ErrorKind::Protocol, format!("no {kind:?} algorithm in common; the server offers {}", theirs.join(", ")))
            }
            Cause::Version => Self::new(ErrorKind::Protocol, "the server does not speak SSH 2"),
            Cause::ChannelOpenFailure(reason) => Self::new(ErrorKind::Denied, format!("the server refused to open a channel ({reason:?})")),
            other => Self::new(ErrorKind::Protocol, other.to_string()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
