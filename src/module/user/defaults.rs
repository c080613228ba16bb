//! What useradd(8) takes where nothing is said: /etc/login.defs and /etc/default/useradd.

use std::path::{Path, PathBuf};

use crate::system::{Result, Shadow, System};

/// Both files, as text.
pub(super) struct Defaults {
    login: String,
    useradd: String,
}

impl Defaults {
    pub(super) fn read(system: &dyn System) -> Result<Self> {
        let text = |path: &str| -> Result<String> {
            Ok(system.read(Path::new(path))?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
        };
        Ok(Self { login: text("/etc/login.defs")?, useradd: text("/etc/default/useradd")? })
    }

    /// `NAME value`; the last one counts.
    fn login(&self, name: &str) -> Option<&str> {
        let found = self.login.lines().rev().find(|line| line.split_whitespace().next() == Some(name));
        found.and_then(|line| line.split_whitespace().nth(1))
    }

    /// `NAME=value`.
    fn useradd(&self, name: &str) -> Option<&str> {
        let value = self.useradd.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim().trim_matches('"')).filter(|value| !value.is_empty())
    }

    fn days(&self, name: &str) -> i64 {
        self.login(name).and_then(|days| days.parse().ok()).unwrap_or(-1)
    }

    /// Whether a user gets a group of its own.
    pub(super) fn own_groups(&self) -> bool {
        self.login("USERGROUPS_ENAB") == Some("yes")
    }

    /// The primary group of who gets none of its own.
    pub(super) fn group(&self) -> &str {
        self.useradd("GROUP").unwrap_or("100")
    }

    pub(super) fn home(&self, name: &str) -> PathBuf {
        Path::new(self.useradd("HOME").unwrap_or("/home")).join(name)
    }

    pub(super) fn shell(&self) -> PathBuf {
        self.useradd("SHELL").unwrap_or("/bin/bash").into()
    }

    /// Bits of a new home folder; `umask` is what the task says.
    pub(super) fn home_mode(&self, umask: Option<&str>) -> u32 {
        let octal = |text: &str| u32::from_str_radix(text, 8).ok();
        let masked = || 0o777 & !umask.or(self.login("UMASK")).and_then(octal).unwrap_or(0o022);
        self.login("HOME_MODE").and_then(octal).unwrap_or_else(masked)
    }

    /// The line of a new user; a system user's password has no ages.
    pub(super) fn shadow(&self, system: bool) -> Shadow {
        let number = |name| self.useradd(name).and_then(|days| days.parse().ok()).unwrap_or(-1);
        let shadow = Shadow { inactive: number("INACTIVE"), ..Shadow::default() };
        if system {
            return shadow;
        }
        Shadow { min: self.days("PASS_MIN_DAYS"), max: self.days("PASS_MAX_DAYS"), warn: self.days("PASS_WARN_AGE"), ..shadow }
    }
}
