//! `hostname`: the host's name, now and after a reboot.

use std::path::Path;

use super::{Context, Diff, Entry, Mode, Module, Outcome, Plan};
use crate::map;
use crate::program::{Bytes, Value};
use crate::system::{Action, Content, Error, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Hostname>(&["hostname", "ansible.builtin.hostname"]);

const FILE: &str = "/etc/hostname";

/// systemd's name for people (machine-info(5)), which Ansible sets with the other.
const PRETTY_FILE: &str = "/etc/machine-info";

arguments! {
    /// Set the host name; the file and the running kernel agree afterwards. Arguments and results as in
    /// `ansible.builtin.hostname`. Source: hostname(5), sethostname(2).
    pub struct Hostname {
        /// 64 bytes at most (HOST_NAME_MAX on Linux).
        name: String [required],
        /// How; on Linux all of them come to the same file and the kernel.
        method as "use": Option<Method>,
    }
}

choices! {
    /// Ansible's strategies. Those whose files are not /etc/hostname are refused.
    pub enum Method {
        /// The file.
        Alpine = "alpine",
        /// systemd's, by its file.
        Debian = "debian",
        /// The file.
        Generic = "generic",
        /// /etc/conf.d/hostname.
        Openrc = "openrc",
        /// /etc/sysconfig/network.
        Redhat = "redhat",
        /// /etc/HOSTNAME.
        Sles = "sles",
        /// systemd's, by its file.
        Systemd = "systemd",
    }
}

impl Module for Hostname {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        if let Some(method @ (Method::Openrc | Method::Redhat | Method::Sles)) = self.method {
            let word = super::Choice::word(method);
            return Err(Error::failed(format!("`use: {word}` is not supported")).hint("/etc/hostname is what systemd, Debian and Alpine read"));
        }
        if self.name.len() > 64 {
            return Err(Error::failed("name cannot be longer than 64 characters on systemd servers, try a shorter name"));
        }
        if self.name.is_empty() || self.name.contains(char::is_whitespace) {
            return Err(Error::failed(format!("{:?} is no host name", self.name)));
        }
        let system = context.system;
        let file = system.read(Path::new(FILE))?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let running = system.kernel_hostname()?;
        let mut actions = Vec::new();
        if file.trim() != self.name {
            actions.push(Action::WriteFile {
                path: FILE.into(),
                content: Content::Inline(Bytes(format!("{}\n", self.name).into_bytes().into())),
                ownership: Ownership::default(),
                backup: false,
                // A container's /etc/hostname is a mount of its own.
                unsafe_writes: true,
                validate: None,
            });
        }
        if file.trim() != self.name && self.is_by_systemd(system)? {
            let before = system.read(Path::new(PRETTY_FILE))?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            let after = with_pretty_name(&before, &self.name);
            if before != after {
                actions.push(Action::WriteFile {
                    path: PRETTY_FILE.into(),
                    content: Content::Inline(Bytes(after.into_bytes().into())),
                    ownership: Ownership::default(),
                    backup: false,
                    unsafe_writes: true,
                    validate: None,
                });
            }
        }
        if running != self.name {
            actions.push(Action::SetKernelHostname { name: self.name.clone() });
        }
        let hosts = system.read(Path::new("/etc/hosts"))?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        // The kernel is asked for it, which has the old name still in check mode.
        let asked = if context.mode == Mode::Check { &running } else { &self.name };
        let full = crate::system::names::full_name(asked, &hosts);
        let short = self.name.split('.').next().unwrap_or_default();
        let domain = full.split_once('.').map_or("", |(_, domain)| domain).to_owned();
        let mut outcome = Outcome { changed: !actions.is_empty(), ..Outcome::ok() }.with("name", self.name.as_str());
        outcome.facts = Some(map! {
            "ansible_hostname" => short,
            "ansible_nodename" => self.name.as_str(),
            "ansible_fqdn" => Value::from(full),
            "ansible_domain" => domain,
        });
        if outcome.changed && context.diff {
            let before = if running == self.name { file.trim() } else { running.as_str() };
            outcome.diff.push(Diff { before: format!("hostname = {before}\n"), after: format!("hostname = {}\n", self.name), ..Diff::default() });
        }
        Ok(Plan::act(actions, outcome))
    }
}

impl Hostname {
    fn is_by_systemd(&self, system: &dyn System) -> Result<bool> {
        match self.method {
            None => Ok(system.init()? == "systemd"),
            Some(method) => Ok(matches!(method, Method::Debian | Method::Systemd)),
        }
    }
}

/// The file with this `PRETTY_HOSTNAME`; its other lines stay.
fn with_pretty_name(file: &str, name: &str) -> String {
    let line = format!("PRETTY_HOSTNAME={name}");
    let mut lines: Vec<&str> = file.lines().collect();
    match lines.iter_mut().find(|line| line.starts_with("PRETTY_HOSTNAME=")) {
        Some(old) => *old = &line,
        None => lines.push(&line),
    }
    lines.join("\n") + "\n"
}
