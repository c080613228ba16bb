//! A way to run commands on a host: our own SSH, this machine, or the `ssh` program for what is not ours.

use std::io::Write;
use std::sync::Arc;

use super::connection::Connection;
use super::connector::{Connector, Patience};
use super::error::{Error, ErrorKind, Result};
use super::known_hosts::HostKeyPolicy;
use super::process::{Command, Process, Status};
use super::target::Target;

#[derive(Clone)]
pub enum Link {
    Ssh(Connection),
    /// `connection: local`, `delegate_to: localhost`: as the user who runs us.
    Local,
    Program(Arc<Program>),
}

/// The `ssh` program and what it is told: for configurations with options that [`Target::unsupported`] lists.
/// Every session is a connection of its own, unless the user's configuration multiplexes.
pub struct Program {
    words: Vec<String>,
    host: String,
    /// Pinned keys as a file.
    _known_hosts: Option<tempfile::NamedTempFile>,
}

impl Link {
    /// Connects to a target in the way that it needs.
    pub async fn connect(connector: &Connector, target: &Target, patience: Patience) -> Result<Self> {
        if target.unsupported.is_empty() {
            return Ok(Self::Ssh(connector.connect(target, patience).await?));
        }
        tracing::debug!(host = %target.name, options = ?target.unsupported, "through the ssh program");
        Ok(Self::Program(Arc::new(Program::new(target)?)))
    }

    /// Starts a program with its arguments; over SSH whatever the user's login shell is.
    pub async fn start(&self, words: &[String]) -> Result<Process> {
        match self {
            Self::Ssh(connection) => connection.start(Some(&format!("exec {}", Command::new(words).line)), None).await,
            Self::Local => {
                let (program, arguments) = words.split_first().expect("a program is given");
                let mut command = tokio::process::Command::new(program);
                command.args(arguments);
                Process::of_child(command, false)
            }
            Self::Program(program) => {
                let mut command = tokio::process::Command::new("ssh");
                command.args(&program.words).arg(&program.host).arg(format!("exec {}", Command::new(words).line));
                Process::of_child(command, true)
            }
        }
    }

    /// The error behind a session that ended before the command spoke.
    pub(super) fn explain(&self, status: &Status, words: &str) -> Option<Error> {
        match self {
            Self::Ssh(connection) => connection.end(),
            // 255 is the program's own; its message is the last line.
            Self::Program(_) if *status == Status::Exited(255) => Some(program_error(words)),
            Self::Program(_) | Self::Local => None,
        }
    }
}

impl Program {
    fn new(target: &Target) -> Result<Self> {
        if target.credentials.password.is_some() {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("{}: a password cannot be given to the ssh program", target.attempt()),
            )
            .hint(format!("use a key, or remove {}", target.unsupported.join(", "))));
        }
        let mut words: Vec<String> =
            ["-T", "-oBatchMode=yes", "-oServerAliveInterval=5", "-oServerAliveCountMax=3"].map(String::from).into();
        let mut known_hosts = None;
        let mut option = |name: &str, value: &str| words.push(format!("-o{name}={value}"));
        option("User", &target.user);
        option("Port", &target.port.to_string());
        option("ConnectTimeout", &target.timeout.as_secs().to_string());
        for key in &target.credentials.keys {
            option("IdentityFile", &key.display().to_string());
        }
        match &target.host_keys {
            HostKeyPolicy::Pinned(keys) => {
                let file = pinned_file(keys).map_err(|error| Error::io(&error).while_doing("write the pinned host key"))?;
                option("StrictHostKeyChecking", "yes");
                option("GlobalKnownHostsFile", "/dev/null");
                option("UserKnownHostsFile", &file.path().display().to_string());
                known_hosts = Some(file);
            }
            HostKeyPolicy::KnownHosts { accept_new, .. } => option("StrictHostKeyChecking", if *accept_new { "accept-new" } else { "yes" }),
            HostKeyPolicy::Unchecked { .. } => option("StrictHostKeyChecking", "no"),
        }
        words.extend(target.arguments.iter().cloned());
        Ok(Self { words, host: target.host.clone(), _known_hosts: known_hosts })
    }
}

fn pinned_file(keys: &[russh::keys::PublicKey]) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new()?;
    for key in keys {
        writeln!(file, "* {}", key.to_openssh().map_err(std::io::Error::other)?)?;
    }
    Ok(file)
}

fn program_error(words: &str) -> Error {
    let cause = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("ssh: exited with 255").trim();
    let kinds = [
        ("REMOTE HOST IDENTIFICATION HAS CHANGED", ErrorKind::HostKeyChanged),
        ("Host key verification failed", ErrorKind::HostKeyUnknown),
        ("Permission denied", ErrorKind::Authentication),
        ("Too many authentication failures", ErrorKind::Authentication),
        ("Connection refused", ErrorKind::Refused),
        ("Could not resolve", ErrorKind::Resolve),
        ("timed out", ErrorKind::Unreachable),
        ("No route to host", ErrorKind::Unreachable),
        ("kex_exchange_identification", ErrorKind::Dropped),
    ];
    let kind = kinds.iter().find(|(text, _)| words.contains(text)).map_or(ErrorKind::Lost, |(_, kind)| *kind);
    Error::new(kind, cause)
}
