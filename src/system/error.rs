//! Errors of reads and actions.

use std::fmt;
use std::sync::Arc;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A read or an action that did not succeed.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// What was being done, on which object, and the cause: ``read /etc/shadow: permission denied``.
    pub message: String,
    pub hint: Option<String>,
    /// More fields of the module's failure result (`rc`, `stdout`, …).
    pub details: Box<crate::program::Map>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A plan cannot know; because of what.
    Unknown(Arc<str>),
    Denied,
    Failed,
    /// Cancelled while it was being done.
    Interrupted,
}

impl Error {
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failed, message: message.into(), hint: None, details: Box::default() }
    }

    pub fn unknown(cause: impl Into<Arc<str>>) -> Self {
        let cause = cause.into();
        Self { kind: ErrorKind::Unknown(Arc::clone(&cause)), ..Self::failed(format!("not known before: {cause}")) }
    }

    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Interrupted, ..Self::failed(message) }
    }

    /// A command that ended with a status it may not have: `start nginx: systemctl exited with 1`, and its output as details.
    pub fn command(command: &super::Command, outcome: &super::ActionOutcome) -> Self {
        let rc = outcome.rc.unwrap_or(-1);
        let program = command.argv.first().map_or("?", |program| program.rsplit('/').next().unwrap_or(program));
        let text = |bytes: &crate::program::Bytes| String::from_utf8_lossy(&bytes.0).trim_end().to_owned();
        let (stdout, stderr) = (text(&outcome.stdout), text(&outcome.stderr));
        let told = if stderr.is_empty() { stdout.lines().last() } else { stderr.lines().last() };
        let told = told.map(|line| format!(": {}", line.trim())).unwrap_or_default();
        Self::failed(format!("{}: {program} exited with {rc}{told}", command.label))
            .detail("cmd", command.argv.clone())
            .detail("rc", i64::from(rc))
            .output(&stdout, &stderr)
    }

    /// What a command said, whole and by lines, as details.
    #[must_use]
    pub fn output(self, stdout: &str, stderr: &str) -> Self {
        let lines = |text: &str| super::words::lines(text);
        self.detail("stdout", stdout).detail("stdout_lines", lines(stdout)).detail("stderr", stderr).detail("stderr_lines", lines(stderr))
    }

    /// An I/O error with what was being done.
    pub fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::PermissionDenied { ErrorKind::Denied } else { ErrorKind::Failed };
        Self { kind, ..Self::failed(format!("{doing}: {error}")) }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<crate::program::Value>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    pub fn unknown_cause(&self) -> Option<&Arc<str>> {
        match &self.kind {
            ErrorKind::Unknown(cause) => Some(cause),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
