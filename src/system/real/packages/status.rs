//! What dpkg and apt keep of installed packages: /var/lib/dpkg/status and /var/lib/apt/extended_states.

use std::collections::{HashMap, HashSet};

/// One package as dpkg knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub architecture: String,
    pub version: String,
    /// `install`, `hold`, `deinstall`, `purge`.
    pub want: String,
    /// `installed`, `config-files`, `half-configured`, …
    pub state: String,
    /// Names without versions.
    pub provides: Vec<String>,
}

/// The whole database, read at once.
#[derive(Debug, Default)]
pub(super) struct Status {
    packages: HashMap<String, Vec<Entry>>,
    /// `name:architecture`.
    automatic: HashSet<String>,
    native: String,
}

impl Status {
    pub(super) fn parse(status: &str, extended: &str) -> Self {
        let mut packages: HashMap<String, Vec<Entry>> = HashMap::new();
        for stanza in status.split("\n\n") {
            if let Some((name, entry)) = entry(stanza) {
                packages.entry(name).or_default().push(entry);
            }
        }
        let automatic = extended.split("\n\n").filter_map(|stanza| {
            let is_automatic = field(stanza, "Auto-Installed") == Some("1");
            is_automatic
                .then(|| format!("{}:{}", field(stanza, "Package").unwrap_or_default(), field(stanza, "Architecture").unwrap_or_default()))
        });
        let native = packages.get("dpkg").and_then(|entries| entries.first()).map(|entry| entry.architecture.clone()).unwrap_or_default();
        Self { automatic: automatic.collect(), packages, native }
    }

    /// The entry of `name` (this machine's architecture) or `name:architecture`, in whatever state.
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        let (name, architecture) = split(name);
        let entries = self.packages.get(name)?;
        let fits = |entry: &&Entry| match architecture {
            Some("native") | None => entry.architecture == self.native || entry.architecture == "all" || self.native.is_empty(),
            Some("any") => true,
            Some(wanted) => entry.architecture == wanted || (entry.architecture == "all" && wanted == self.native),
        };
        entries.iter().filter(fits).max_by_key(|entry| entry.state == "installed")
    }

    pub(super) fn is_automatic(&self, name: &str) -> bool {
        let (name, _) = split(name);
        self.entry(name).is_some_and(|entry| {
            let native = if entry.architecture == "all" { &self.native } else { &entry.architecture };
            self.automatic.contains(&format!("{name}:{native}")) || self.automatic.contains(&format!("{name}:{}", entry.architecture))
        })
    }

    /// Installed packages that provide a virtual one, sorted.
    pub(super) fn providers(&self, name: &str) -> Vec<String> {
        let provides = |entry: &Entry| entry.state == "installed" && entry.provides.iter().any(|provided| provided == name);
        let mut names: Vec<String> =
            self.packages.iter().filter(|(_, entries)| entries.iter().any(provides)).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    pub(super) fn installed(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().filter(|(_, entries)| entries.iter().any(|entry| entry.state == "installed")).map(|(name, _)| name.as_str())
    }
}

/// `libc6:i386`.
fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once(':').map_or((name, None), |(name, architecture)| (name, Some(architecture)))
}

fn entry(stanza: &str) -> Option<(String, Entry)> {
    let name = field(stanza, "Package")?;
    let mut status = field(stanza, "Status")?.split(' ');
    let want = status.next()?;
    let state = status.nth(1)?;
    let provides = field(stanza, "Provides").unwrap_or_default().split(',').filter_map(|provided| provided.split_whitespace().next());
    let entry = Entry {
        architecture: field(stanza, "Architecture").unwrap_or_default().to_owned(),
        version: field(stanza, "Version").unwrap_or_default().to_owned(),
        want: want.to_owned(),
        state: state.to_owned(),
        provides: provides.map(|provided| provided.split(':').next().unwrap_or(provided).to_owned()).collect(),
    };
    Some((name.to_owned(), entry))
}

/// A one-line field of a stanza.
fn field<'stanza>(stanza: &'stanza str, name: &str) -> Option<&'stanza str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21.22\n\n\
        Package: libc6\nStatus: hold ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 2.36-9\n\n\
        Package: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2.36-8\n\n\
        Package: postfix\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.7\nProvides: mail-transport-agent, postfix-api (= 3)\nDescription: mail\n Provides: not this\n\n\
        Package: nginx\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1.22\n";

    #[test]
    fn packages_are_found_by_name_and_architecture() {
        let status = Status::parse(STATUS, "Package: libc6\nArchitecture: amd64\nAuto-Installed: 1\n");
        assert_eq!(status.entry("libc6").map(|entry| entry.version.as_str()), Some("2.36-9"));
        assert_eq!(status.entry("libc6:i386").map(|entry| entry.version.as_str()), Some("2.36-8"));
        assert_eq!(status.entry("libc6:arm64"), None);
        assert_eq!(status.entry("libc6").map(|entry| entry.want.as_str()), Some("hold"));
        assert!(status.is_automatic("libc6") && !status.is_automatic("dpkg"));
    }

    #[test]
    fn providers_are_installed_packages_and_residue_is_not_installed() {
        let status = Status::parse(STATUS, "");
        assert_eq!(status.providers("mail-transport-agent"), ["postfix"]);
        assert_eq!(status.providers("postfix-api"), ["postfix"]);
        assert_eq!(status.entry("nginx").map(|entry| entry.state.as_str()), Some("config-files"));
        assert_eq!(status.installed().filter(|name| *name == "nginx").count(), 0);
    }
}
