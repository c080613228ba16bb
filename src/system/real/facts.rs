//! Facts of this machine, with the names and shapes of Ansible's `setup`; read from /proc, /sys and netlink.
//!
//! Left out, since nothing of ours needs it: `ansible_python*` (asked for where something reads it: `python`), what ethtool, lspci and
//! sg3_utils add.

mod capabilities;
mod devices;
mod distribution;
mod hardware;
mod local;
mod mounts;
mod netlink;
mod network;
mod platform;
mod subset;
mod time;
mod virtualization;

use std::path::Path;

use crate::program::glob::glob;
use crate::program::{Key, Map, Value};
use crate::system::{FactRequest, Result, traceless};

/// The facts of the request's subsets whose names match its filter, prefixed with `ansible_`.
pub(super) fn facts(request: &FactRequest) -> Result<Map> {
    let chosen = subset::chosen(&request.subset)?;
    let systemd = chosen.contains("systemd").then(|| std::thread::spawn(distribution::systemd));
    let mut facts = Map::new();
    let distributed = distribution::distribution();
    for (name, collect) in collectors() {
        if chosen.contains(name) {
            facts.extend(collect(request, &distributed));
        }
    }
    if let Some(Ok(Some(systemd))) = systemd.map(std::thread::JoinHandle::join) {
        facts.insert("systemd".into(), systemd);
    }
    let mut named: Map =
        facts.into_iter().map(|(name, value)| (Key::from(format!("ansible_{}", name.text().replace('-', "_"))), value)).collect();
    named.insert("gather_subset".into(), if request.subset.is_empty() { vec!["all"].into() } else { request.subset.clone().into() });
    named.insert("module_setup".into(), true.into());
    Ok(filtered(named, &request.filter))
}

/// `ansible_service_mgr` alone.
pub(super) fn service_manager() -> Result<String> {
    let facts = distribution::service_manager(&distribution::distribution());
    Ok(facts.get("service_mgr").and_then(Value::as_str).unwrap_or("service").to_owned())
}

type Collect = fn(&FactRequest, &Map) -> Map;

/// Every collector by Ansible's name, in the order their facts are shown.
fn collectors() -> [(&'static str, Collect); 24] {
    [
        ("platform", |_, _| platform::platform()),
        ("distribution", |_, distribution| distribution.clone()),
        ("lsb", |_, _| distribution::lsb()),
        ("selinux", |_, _| platform::selinux()),
        ("apparmor", |_, _| platform::apparmor()),
        ("chroot", |_, _| platform::chroot()),
        ("fips", |_, _| platform::fips()),
        ("caps", |_, _| capabilities::capabilities()),
        ("pkg_mgr", |_, distribution| distribution::package_manager(distribution)),
        ("service_mgr", |_, distribution| distribution::service_manager(distribution)),
        ("cmdline", |_, _| platform::command_line()),
        ("date_time", |_, _| time::date_time()),
        ("env", |_, _| platform::environment()),
        ("loadavg", |_, _| platform::load_average()),
        ("ssh_pub_keys", |_, _| platform::ssh_host_keys()),
        ("user", |_, _| platform::user()),
        ("virtual", |_, _| virtualization::virtualization()),
        ("hardware", |request, _| hardware::hardware(request)),
        ("dns", |_, _| network::name_service()),
        ("fibre_channel_wwn", |_, _| network::fibre_channel()),
        ("network", |_, _| network::network()),
        ("iscsi", |_, _| network::iscsi()),
        ("nvme", |_, _| network::nvme()),
        ("local", |request, _| local::local(request.fact_path.as_deref())),
    ]
}

/// The names that match one of the shell patterns, with or without the prefix; all if there is none.
fn filtered(facts: Map, patterns: &[String]) -> Map {
    if patterns.is_empty() || patterns == ["*"] || patterns.iter().any(String::is_empty) {
        return facts;
    }
    let bare = patterns.iter().filter(|pattern| !["ansible_", "facter", "ohai"].iter().any(|prefix| pattern.starts_with(prefix)));
    let wanted: Vec<String> = patterns.iter().cloned().chain(bare.map(|pattern| format!("ansible_{pattern}"))).collect();
    let fits = |name: &str| wanted.iter().any(|pattern| glob(pattern, name));
    facts.into_iter().filter(|(name, _)| fits(&name.text())).collect()
}

/// A file's text, trimmed; `None` where it cannot be read or is empty.
fn text(path: impl AsRef<Path>) -> Option<String> {
    let bytes = traceless::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Names in a folder, sorted; none where it cannot be read.
fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let mut names: Vec<String> =
        traceless::names(folder).unwrap_or_default().iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The last part of a symbolic link's target.
fn link_name(path: impl AsRef<Path>) -> Option<String> {
    let target = std::fs::read_link(path).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

/// A text that is there, or `null`.
fn optional(text: Option<String>) -> Value {
    text.into()
}

/// What a program prints, in the C locale; `None` where it is not there or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let path = super::files::executable(program)?;
    let output = std::process::Command::new(path).args(arguments).env("LC_ALL", "C").stdin(std::process::Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_with_and_without_the_prefix() {
        let facts = crate::map! { "ansible_eth0" => 1, "ansible_eth10" => 2, "module_setup" => true };
        let kept = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            filtered(facts.clone(), &patterns).keys().map(|name| name.text().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(kept(&["eth?"]), ["ansible_eth0"]);
        assert_eq!(kept(&["ansible_eth[!0]*"]), ["ansible_eth10"]);
        assert_eq!(kept(&["module_*", "eth0"]), ["ansible_eth0", "module_setup"]);
        assert_eq!(kept(&[]).len(), 3);
    }
}
