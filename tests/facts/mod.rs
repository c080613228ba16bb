//! Our facts beside Ansible's own on this very machine: every name and every value, but for a list of differences with reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use provision::system::{FactRequest, Real, System};
use serde_json::Value as Json;

/// Names that Ansible has and we do not, or the other way round.
const ABSENT: &[(&str, &str)] = &[
    ("ansible_python", "there is no Python"),
    ("ansible_python_version", "there is no Python"),
    ("features", "ethtool is not asked for every interface"),
    ("timestamping", "ethtool is not asked for every interface"),
    ("hw_timestamp_filters", "ethtool is not asked for every interface"),
    ("phc_index", "ethtool is not asked for every interface"),
];

/// Values that differ from one moment, or one process, to the next.
const VOLATILE: &[&str] = &[
    "ansible_date_time",
    "ansible_loadavg",
    "ansible_uptime_seconds",
    "ansible_memfree_mb",
    "ansible_memory_mb",
    "ansible_swapfree_mb",
    "ansible_env",
    "block_available",
    "block_used",
    "inode_available",
    "inode_used",
    "size_available",
];

/// Values that differ for a reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("ansible_selinux", "without the SELinux Python library Ansible cannot tell; we read /sys"),
    ("ansible_selinux_python_present", "the same"),
    ("host", "lspci's words for a disk's controller are not asked for"),
];

fn facts(subset: &[&str]) -> Json {
    let request = FactRequest {
        subset: subset.iter().map(ToString::to_string).collect(),
        fact_path: Some("/etc/ansible/facts.d".into()),
        timeout: Duration::from_secs(10),
        ..FactRequest::default()
    };
    provision::program::Value::map(Real::default().facts(&request).expect("gathers")).to_json(true)
}

/// What Ansible's own module says; `None` where there is no Ansible.
fn theirs(arguments: &[&str]) -> Option<Json> {
    let ansible = crate::oracle::ansible("ansible")?;
    let run = std::process::Command::new(ansible).args(["localhost", "-m", "setup"]).args(arguments).output().expect("runs");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let start = said.find("=> {").expect("ansible answers") + 3;
    Some(serde_json::from_str(&said[start..]).expect("ansible answers JSON"))
}

#[test]
fn facts_are_those_of_ansible() {
    // Nodes of other tests come and go as interfaces and mounts of this machine.
    #[cfg(feature = "controller")]
    let _alone = crate::support::nodes::Turn::alone();
    let Some(theirs) = theirs(&[]) else { return };
    let mut differences = Vec::new();
    compare("", &theirs["ansible_facts"], &facts(&["all"]), &mut differences);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn compare(path: &str, theirs: &Json, ours: &Json, differences: &mut Vec<String>) {
    let name = path.rsplit('.').next().unwrap_or(path);
    if VOLATILE.contains(&name) || DIFFERENT.iter().any(|(known, _)| *known == name) {
        if ours.is_null() {
            differences.push(format!("{path}: we have none"));
        }
        return;
    }
    match (theirs, ours) {
        (Json::Object(theirs), Json::Object(ours)) => {
            let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
            for name in names.into_iter().filter(|name| !ABSENT.iter().any(|(absent, _)| absent == name)) {
                let inner = format!("{path}.{name}");
                match (theirs.get(name), ours.get(name)) {
                    (Some(theirs), Some(ours)) => compare(&inner, theirs, ours, differences),
                    (Some(theirs), None) => differences.push(format!("{inner}: only Ansible has it: {theirs}")),
                    (None, ours) => differences.push(format!("{inner}: only we have it: {ours:?}")),
                }
            }
        }
        // Sets and what comes from a folder in any order.
        (Json::Array(theirs), Json::Array(ours)) => {
            if name == "ansible_mounts" && theirs.len() == ours.len() {
                let by_place =
                    |list: &[Json]| list.iter().map(|mount| (mount["mount"].to_string(), mount.clone())).collect::<BTreeMap<_, _>>();
                for ((place, theirs), (_, ours)) in by_place(theirs).iter().zip(by_place(ours).iter()) {
                    compare(&format!("{path}.{place}"), theirs, ours, differences);
                }
                return;
            }
            let sorted = |list: &[Json]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            if sorted(theirs) != sorted(ours) || theirs.len() != ours.len() {
                differences.push(format!("{path}: {theirs:?} is Ansible's, {ours:?} ours"));
            }
        }
        _ if theirs != ours => differences.push(format!("{path}: {theirs} is Ansible's, {ours} ours")),
        _ => {}
    }
}

#[test]
fn date_and_time_have_ansibles_names_and_forms() {
    let Some(theirs) = theirs(&["-a", "gather_subset=!all,!min,date_time"]) else { return };
    let (theirs, ours) = (&theirs["ansible_facts"]["ansible_date_time"], &facts(&["!all", "!min", "date_time"])["ansible_date_time"]);
    let shape = |text: &Json| {
        text.as_str().expect("a text").chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect::<String>()
    };
    let theirs = theirs.as_object().expect("a mapping");
    assert_eq!(theirs.len(), ours.as_object().expect("a mapping").len());
    for (name, value) in theirs {
        assert_eq!(shape(value), shape(&ours[name]), "{name}");
    }
    // A run at midnight may differ: these cannot otherwise.
    for name in ["tz", "tz_dst", "tz_offset", "year", "weeknumber"] {
        assert_eq!(theirs[name], ours[name], "{name}");
    }
}

#[test]
fn gathering_all_takes_milliseconds() {
    let best = (0..5).map(|_| {
        let start = Instant::now();
        facts(&["all"]);
        start.elapsed()
    });
    let best = best.min().expect("five runs");
    assert!(best < Duration::from_millis(60), "{best:?} in a debug build: Ansible takes a second, and the goal of a release is 10 ms");
}
