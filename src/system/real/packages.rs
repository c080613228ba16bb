//! Debian packages of this machine. What is installed is read from dpkg's database; what could be is asked of `apt-cache`,
//! at once for all names that a task will ask about, and kept until apt's own files change.

mod inventory;
mod status;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::system::{Error, Package, Result};
pub(super) use inventory::inventory;
use status::Status;

const STATUS: &str = "/var/lib/dpkg/status";
const EXTENDED: &str = "/var/lib/apt/extended_states";

/// What the package lists say of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Policy {
    /// The lists know the name.
    known: bool,
    candidate: Option<String>,
    /// Newest first.
    versions: Vec<String>,
}

/// Files' change times and sizes: what was read holds as long as they do.
type Stamp = Vec<Option<(i64, i64, u64, u64)>>;

#[derive(Default)]
struct Cache {
    status: Option<(Stamp, Arc<Status>)>,
    /// By release (empty: none asked for) and name.
    policies: HashMap<(String, String), Policy>,
    policies_stamp: Stamp,
}

static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

fn stamp(paths: &[&str]) -> Stamp {
    let one = |path: &&str| std::fs::metadata(path).ok().map(|found| (found.mtime(), found.mtime_nsec(), found.size(), found.ino()));
    paths.iter().map(one).collect()
}

fn status() -> Result<Arc<Status>> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let now = stamp(&[STATUS, EXTENDED]);
    if let Some((then, status)) = &cache.status
        && *then == now
    {
        return Ok(Arc::clone(status));
    }
    let read = |path: &str| match crate::system::traceless::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::io(format_args!("read {path}"), &error)),
    };
    let status = Arc::new(Status::parse(&read(STATUS)?, &read(EXTENDED)?));
    cache.status = Some((now, Arc::clone(&status)));
    Ok(status)
}

/// Installed means unpacked and configured.
pub(super) fn package(name: &str) -> Result<Option<Package>> {
    let status = status()?;
    let entry = status.entry(name).filter(|entry| entry.state == "installed");
    Ok(entry.map(|entry| Package { version: entry.version.clone(), selection: entry.want.clone(), automatic: status.is_automatic(name) }))
}

/// Whether a removed package left configuration files, or an installation stopped half way.
pub(super) fn residue(name: &str) -> Result<bool> {
    Ok(status()?.entry(name).is_some_and(|entry| !matches!(entry.state.as_str(), "installed" | "not-installed")))
}

/// Installed packages that provide a virtual one.
pub(super) fn providers(name: &str) -> Result<Vec<String>> {
    Ok(status()?.providers(name))
}

/// Every name that is installed or could be, sorted.
pub(super) fn names() -> Result<Vec<String>> {
    let listed = run("apt-cache", &["pkgnames"])?;
    let status = status()?;
    let mut names: Vec<String> = listed.lines().map(str::to_owned).chain(status.installed().map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

pub(super) fn candidate(name: &str, release: Option<&str>) -> Result<Option<String>> {
    Ok(policies(&[name], release)?.remove(0).candidate)
}

/// Every version that could be installed, newest first.
pub(super) fn versions(name: &str) -> Result<Vec<String>> {
    Ok(policies(&[name], None)?.remove(0).versions)
}

/// Known to the lists, but only as something that others provide.
pub(super) fn is_virtual(name: &str) -> Result<bool> {
    let policy = policies(&[name], None)?.remove(0);
    Ok(policy.known && policy.versions.is_empty())
}

/// Asks for all of them in one process.
pub(super) fn expect(names: &[&str], release: Option<&str>) -> Result<()> {
    policies(names, release).map(drop)
}

fn policies(names: &[&str], release: Option<&str>) -> Result<Vec<Policy>> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let now = stamp(&[
        STATUS,
        "/var/lib/apt/lists",
        "/var/cache/apt/pkgcache.bin",
        "/etc/apt",
        "/etc/apt/sources.list",
        "/etc/apt/sources.list.d",
        "/etc/apt/preferences",
        "/etc/apt/preferences.d",
        "/etc/apt/apt.conf.d",
    ]);
    if cache.policies_stamp != now {
        cache.policies.clear();
        cache.policies_stamp = now;
    }
    let key = |name: &str| (release.unwrap_or_default().to_owned(), name.to_owned());
    let missing: Vec<&str> = names.iter().copied().filter(|name| !cache.policies.contains_key(&key(name))).collect();
    if !missing.is_empty() {
        let option = release.map(|release| format!("APT::Default-Release={release}"));
        let mut arguments = vec!["policy"];
        arguments.extend(option.iter().flat_map(|option| ["-o", option.as_str()]));
        arguments.push("--");
        arguments.extend(&missing);
        let mut found = parse_policies(&run("apt-cache", &arguments)?);
        for name in missing {
            let policy = found.remove(name).or_else(|| found.remove(name.split(':').next().unwrap_or(name))).unwrap_or_default();
            cache.policies.insert(key(name), policy);
        }
    }
    Ok(names.iter().map(|name| cache.policies.get(&key(name)).cloned().unwrap_or_default()).collect())
}

/// `apt-cache policy`'s paragraphs: a name, its candidate, its versions with their priorities.
fn parse_policies(text: &str) -> HashMap<String, Policy> {
    let mut policies: HashMap<String, Policy> = HashMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if !line.starts_with(' ') {
            line.trim_end_matches(':').clone_into(&mut name);
            continue;
        }
        let policy = policies.entry(name.clone()).or_default();
        policy.known = true;
        if let Some(candidate) = line.trim_start().strip_prefix("Candidate: ") {
            policy.candidate = Some(candidate.to_owned()).filter(|candidate| candidate != "(none)");
        } else if let Some(version) =
            line.strip_prefix(" *** ").or_else(|| line.strip_prefix("     ").filter(|rest| !rest.starts_with(' ')))
        {
            policy.versions.extend(version.split(' ').next().map(str::to_owned));
        }
    }
    policies
}

/// What an upgrade would change, by a simulation that locks nothing.
pub(super) fn upgradable(dist: bool) -> Result<Vec<String>> {
    let mode: &[&str] = if dist { &["dist-upgrade"] } else { &["upgrade", "--with-new-pkgs"] };
    let arguments: Vec<&str> = ["-s", "-o", "Debug::NoLocking=1"].iter().chain(mode).copied().collect();
    Ok(simulated(&run("apt-get", &arguments)?))
}

/// Names of `Inst` and `Remv` lines.
fn simulated(text: &str) -> Vec<String> {
    let changed = text.lines().filter_map(|line| line.strip_prefix("Inst ").or_else(|| line.strip_prefix("Remv ")));
    changed.filter_map(|rest| rest.split(' ').next()).map(str::to_owned).collect()
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let path = super::files::executable(program).unwrap_or_else(|| Path::new("/usr/bin").join(program));
    let doing = format!("{program} {}", arguments.join(" "));
    let output = Command::new(path)
        .args(arguments)
        .envs([("LC_ALL", "C"), ("LANGUAGE", "C"), ("DEBIAN_FRONTEND", "noninteractive")])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io(&doing, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::failed(format!("{doing}: {}", said.trim().lines().last().unwrap_or("failed"))).detail("stderr", said.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_parsed() {
        let text = "nginx:\n  Installed: (none)\n  Candidate: 1.22.1-9+deb12u1\n  Version table:\n     1.22.1-9+deb12u1 500\n        500 http://mirror.example/debian bookworm/main amd64 Packages\n     1.18.0-6 400\n        400 http://old main\nvim:\n  Installed: 2:9.0\n  Candidate: 2:9.0\n  Version table:\n *** 2:9.0 500\n        100 /var/lib/dpkg/status\nawk:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n";
        let policies = parse_policies(text);
        assert_eq!(policies["nginx"].candidate.as_deref(), Some("1.22.1-9+deb12u1"));
        assert_eq!(policies["nginx"].versions, ["1.22.1-9+deb12u1", "1.18.0-6"]);
        assert_eq!(policies["vim"].versions, ["2:9.0"]);
        assert_eq!(policies["awk"], Policy { known: true, ..Policy::default() });
    }

    #[test]
    fn simulations_name_what_changes() {
        let text =
            "Reading package lists...\nInst base-files [12.4] (12.5 Debian:12.5/stable [amd64])\nConf base-files (12.5)\nRemv old [1]\n";
        assert_eq!(simulated(text), ["base-files", "old"]);
    }

    #[test]
    fn this_machines_packages_are_read_without_a_process() {
        // The tests run on Debian; elsewhere dpkg has no database and nothing is installed.
        if !Path::new(STATUS).exists() {
            return;
        }
        let dpkg = package("dpkg").expect("reads").expect("dpkg is installed where its database is");
        assert!(!dpkg.version.is_empty());
        assert_eq!(package("no-such-package-at-all").expect("reads"), None);
    }
}
