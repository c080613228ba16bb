//! `provision ssh NODE [-- COMMAND]` and `provision ssh-config`, below their arguments.

use std::fmt::Write;
use std::path::Path;

use crate::ssh::terminal::{Local, session};
use crate::ssh::{Connection, HostKeyPolicy, Result, Target};

/// Opens a shell on a host or runs a command there, with this process's streams, as ssh(1) does: several words are one
/// line with spaces between them, which the host's shell reads. The result is the remote exit status; an error is 255.
pub async fn ssh(connection: &Connection, words: &[String]) -> Result<u8> {
    let line = words.join(" ");
    let local = Local::standard()
        .map_err(|error| crate::ssh::Error::new(crate::ssh::ErrorKind::Configuration, format!("use the standard streams: {error}")))?;
    session(connection, (!line.is_empty()).then_some(&*line), local).await
}

/// A host's section for `~/.ssh/config`, so that ssh, scp, rsync and editors reach it too. `known_hosts` is a file that
/// names the host's pinned key under the host's address, as [`known_hosts_line`] writes it.
pub fn ssh_config(target: &Target, known_hosts: Option<&Path>) -> String {
    let mut text = String::new();
    let mut line = |keyword: &str, value: &str| {
        let quoted = if value.contains(' ') { format!("\"{value}\"") } else { value.to_owned() };
        writeln!(text, "{}{keyword} {quoted}", if keyword == "Host" { "" } else { "  " }).expect("a string takes every text");
    };
    line("Host", &target.name);
    line("HostName", &target.host);
    line("User", &target.user);
    line("Port", &target.port.to_string());
    for key in &target.credentials.keys {
        line("IdentityFile", &key.display().to_string());
    }
    if !target.credentials.keys.is_empty() {
        line("IdentitiesOnly", "yes");
    }
    if let (HostKeyPolicy::Pinned(_), Some(file)) = (&target.host_keys, known_hosts) {
        line("UserKnownHostsFile", &file.display().to_string());
        line("StrictHostKeyChecking", "yes");
    }
    text
}

/// Lines of known_hosts for a host whose keys are pinned; none otherwise.
pub fn known_hosts_line(target: &Target) -> String {
    let HostKeyPolicy::Pinned(keys) = &target.host_keys else { return String::new() };
    let name = if target.port == 22 { target.host.clone() } else { format!("[{}]:{}", target.host, target.port) };
    let keys = keys.iter().filter_map(|key| key.to_openssh().ok());
    keys.fold(String::new(), |mut text, key| {
        let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        writeln!(text, "{name} {key}").expect("a string takes every text");
        text
    })
}
