//! Which collectors a `gather_subset` means.

use std::collections::BTreeSet;

use crate::system::{Error, Result};

/// Collectors by name, with the single facts that stand for them.
const COLLECTORS: &[(&str, &[&str])] = &[
    ("apparmor", &[]),
    ("caps", &["system_capabilities", "system_capabilities_enforced"]),
    ("chroot", &["is_chroot"]),
    ("cmdline", &[]),
    ("date_time", &[]),
    ("distribution", &["distribution_version", "distribution_release", "distribution_major_version", "os_family"]),
    ("dns", &[]),
    ("env", &[]),
    ("facter", &[]),
    ("fibre_channel_wwn", &[]),
    ("fips", &[]),
    ("hardware", &["processor", "processor_cores", "processor_count", "mounts", "devices"]),
    ("iscsi", &[]),
    ("loadavg", &[]),
    ("local", &[]),
    ("lsb", &[]),
    ("network", &["interfaces", "default_ipv4", "default_ipv6", "all_ipv4_addresses", "all_ipv6_addresses"]),
    ("nvme", &[]),
    ("ohai", &[]),
    ("pkg_mgr", &[]),
    ("platform", &["system", "kernel", "kernel_version", "machine", "python_version", "architecture", "machine_id"]),
    ("python", &[]),
    ("selinux", &[]),
    ("service_mgr", &[]),
    (
        "ssh_pub_keys",
        &[
            "ssh_host_pub_keys",
            "ssh_host_key_dsa_public",
            "ssh_host_key_rsa_public",
            "ssh_host_key_ecdsa_public",
            "ssh_host_key_ed25519_public",
        ],
    ),
    ("systemd", &[]),
    (
        "user",
        &[
            "user_id",
            "user_uid",
            "user_gid",
            "user_gecos",
            "user_dir",
            "user_shell",
            "real_user_id",
            "effective_user_id",
            "effective_group_ids",
        ],
    ),
    ("virtual", &["virtualization_type", "virtualization_role", "virtualization_tech_guest", "virtualization_tech_host"]),
];

/// Always collected unless `!min` is said.
const MINIMUM: &[&str] = &[
    "apparmor",
    "caps",
    "cmdline",
    "date_time",
    "distribution",
    "dns",
    "env",
    "fips",
    "local",
    "lsb",
    "pkg_mgr",
    "platform",
    "python",
    "selinux",
    "service_mgr",
    "ssh_pub_keys",
    "user",
];

/// Facts that a collector's own facts depend on are collected with it.
const NEEDS: &[(&str, &[&str])] = &[
    ("hardware", &["platform"]),
    ("network", &["distribution", "platform"]),
    ("pkg_mgr", &["distribution"]),
    ("service_mgr", &["platform", "distribution"]),
];

/// The collectors' names. Order matters only in that what is named wins over what is excluded.
pub(super) fn chosen(subset: &[String]) -> Result<BTreeSet<&'static str>> {
    let all: BTreeSet<&str> = COLLECTORS.iter().flat_map(|(name, facts)| std::iter::once(name).chain(facts.iter())).copied().collect();
    let (mut added, mut excluded): (BTreeSet<&str>, BTreeSet<&str>) = (BTreeSet::new(), BTreeSet::new());
    let mut explicit: BTreeSet<&str> = BTreeSet::new();
    let all_by_default = ["all".to_owned()];
    let subset = if subset.is_empty() { &all_by_default } else { subset };
    for word in std::iter::once("min").chain(subset.iter().map(String::as_str)) {
        match word.strip_prefix('!') {
            None if word == "min" => added.extend(MINIMUM),
            None if word == "all" => added.extend(&all),
            None => {
                let Some(known) = all.get(word) else {
                    return Err(Error::failed(format!(
                        "Bad subset '{word}' given to Ansible. gather_subset options allowed: all, {}",
                        all.iter().copied().collect::<Vec<_>>().join(", ")
                    )));
                };
                explicit.insert(*known);
                added.insert(*known);
            }
            Some("min") => excluded.extend(MINIMUM),
            Some("all") => excluded.extend(all.iter().filter(|name| !MINIMUM.contains(name))),
            Some(word) => {
                excluded.extend(all.get(word));
                excluded.extend(COLLECTORS.iter().filter(|(name, _)| *name == word).flat_map(|(_, facts)| facts.iter()));
            }
        }
    }
    if added.is_empty() {
        added.extend(&all);
    }
    let wanted: BTreeSet<&str> = added.into_iter().filter(|name| explicit.contains(name) || !excluded.contains(name)).collect();
    let mut collectors: BTreeSet<&'static str> = COLLECTORS
        .iter()
        .filter(|(name, facts)| wanted.contains(name) || facts.iter().any(|fact| wanted.contains(fact)))
        .map(|(name, _)| *name)
        .collect();
    for (name, needs) in NEEDS {
        if collectors.contains(name) {
            collectors.extend(*needs);
        }
    }
    Ok(collectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subset(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        chosen(&words).expect("a good subset").into_iter().collect()
    }

    #[test]
    fn nothing_said_means_all() {
        assert_eq!(subset(&[]).len(), COLLECTORS.len());
        assert_eq!(subset(&["all"]), subset(&[]));
    }

    #[test]
    fn exclusions_leave_the_minimum() {
        assert_eq!(subset(&["!all"]), MINIMUM);
        assert_eq!(subset(&["min"]), MINIMUM);
        assert!(!subset(&["!hardware"]).contains(&"hardware"));
    }

    #[test]
    fn a_named_fact_brings_its_collector_and_what_that_needs() {
        assert_eq!(subset(&["!all", "!min", "interfaces"]), ["distribution", "network", "platform"]);
        assert_eq!(subset(&["!all", "!min", "user_dir"]), ["user"]);
    }

    #[test]
    fn an_unknown_subset_is_refused_and_an_unknown_exclusion_is_not() {
        let error = chosen(&["hardwear".to_owned()]).expect_err("no such subset");
        assert!(error.message.starts_with("Bad subset 'hardwear'"));
        assert_eq!(subset(&["!hardwear"]), subset(&["all"]).into_iter().filter(|name| MINIMUM.contains(name)).collect::<Vec<_>>());
    }
}
