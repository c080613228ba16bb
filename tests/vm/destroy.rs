//! After `destroy` this machine is as it was: compared piece by piece.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use provision::vm::host::Record;
use provision::vm::process::{Process, all, run, wait_until};
use provision::vm::{Container, Environment, Nodes, Provider as _};

use super::{config, running};
use crate::support::nodes::{TestNodes, Turn, container, machines, root_or_skip};

/// Everything of this machine that a node may touch, a line each. What other test processes have is left out.
pub fn snapshot(own: &Environment) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let others: Vec<Record> = Record::all().into_iter().filter(|record| record.environment != *own).collect();
    let mut foreign: Vec<String> = Vec::new();
    for record in &others {
        let names = record.environment.names();
        foreign.extend([names.id.clone(), names.bridge(), names.table()]);
        foreign.extend(provision::vm::host::nodes(&names).iter().map(|node| names.link(node)));
    }
    // A zombie has ended: when its parent looks is not ours to say.
    for pid in all().into_iter().filter(|pid| Process::of(*pid).is_some()) {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        // Compilers, shells and test servers of others come and go; what we start is one of these.
        let ours = ["supervise ", "systemd-nspawn", "mmdebstrap"].iter().any(|ours| command.contains(ours));
        if ours || group.contains("provision-") {
            lines.insert(format!("process {command} {}", group.replace('\n', " ")));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    lines.extend(mounts.lines().map(|line| format!("mount {line}")));
    for namespaces in ["/run/netns"] {
        for entry in fs::read_dir(namespaces).into_iter().flatten().flatten() {
            lines.insert(format!("namespace {}", entry.path().display()));
        }
    }
    lines.extend(
        run("ip", &["-o", "link"]).expect("links").lines().map(|line| format!("link {}", line.split(": ").nth(1).unwrap_or_default())),
    );
    lines.extend(run("ip", &["-4", "route", "show", "table", "all"]).expect("routes").lines().map(|line| format!("route {line}")));
    lines.extend(run("nft", &["list", "tables"]).expect("tables").lines().map(|line| format!("nft {line}")));
    let mut folders = vec!["/sys/fs/cgroup".into(), "/run".into(), "/etc".into(), "/var/lib".into(), "/usr/lib/systemd".into()];
    while let Some(folder) = folders.pop() {
        let folder: std::path::PathBuf = folder;
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && entry.path() != Path::new("/run/systemd/nspawn") {
                folders.push(entry.path());
            }
            if is_folder || !folder.starts_with("/sys") {
                lines.insert(format!("path {}", entry.path().display()));
            }
        }
    }
    if others.is_empty() {
        for part in ["vm", "kernel", "fs", "net/ipv4", "net/core"] {
            let text = run("sysctl", &["-a", "--pattern", &format!("^{}", part.replace('/', "\\."))]).unwrap_or_default();
            let volatile = [
                "kernel.random",
                "ns_last_pid",
                "fs.dentry",
                "fs.inode",
                "fs.file-nr",
                "fs.quota",
                "sched_domain",
                "kernel.pty.nr",
                "fs.aio-nr",
                "neigh.",
            ];
            lines.extend(text.lines().filter(|line| !volatile.iter().any(|word| line.contains(word))).map(|line| format!("sysctl {line}")));
        }
    }
    lines.retain(|line| !foreign.iter().any(|name| line.contains(name.as_str())));
    lines
}

/// What is there now and was not before, and the other way round; settles within seconds.
pub fn difference(own: &Environment, before: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    wait_until(Duration::from_secs(5), Duration::from_millis(100), || {
        let after = snapshot(own);
        found = after
            .difference(before)
            .map(|line| format!("+ {line}"))
            .chain(before.difference(&after).map(|line| format!("- {line}")))
            .collect();
        // They are put back when the last environment of the machine goes: not while another process tests.
        let has_sysctls = |lines: &BTreeSet<String>| lines.iter().any(|line| line.starts_with("sysctl "));
        if !has_sysctls(before) || !has_sysctls(&after) {
            found.retain(|line| !line.contains(" sysctl "));
        }
        found.is_empty()
    });
    found
}

/// Destroys also when the test fails.
struct Guard(Container);

impl Drop for Guard {
    fn drop(&mut self) {
        _ = self.0.destroy(&Nodes::All);
    }
}

#[test]
fn the_machine_is_as_it_was() {
    if !root_or_skip() {
        return;
    }
    // Builds the image, which stays, before the first look.
    drop(TestNodes::boot(&["a"]));
    let turn = Turn::alone();
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::new(&format!("t-{}-gone", std::process::id()), folder.path()).expect("an environment");
    let before = snapshot(&environment);
    let nodes = [("a".to_owned(), [10, 215, 7, 2].into()), ("b".to_owned(), [10, 215, 8, 2].into())];
    let guard = Guard(container(&environment, &machines(&["10.215.7.0/24", "10.215.8.0/24"], &nodes), &[]));
    let provider = &guard.0;
    let result = provider.ensure(&|_| {}).map(|_| {
        // What a kubelet does to the kernel that all share.
        run("sysctl", &["-qw", "vm.overcommit_memory=1", "kernel.panic=10", "kernel.panic_on_oops=1"]).expect("sysctl");
        assert!(!difference(&environment, &before).is_empty(), "the snapshot sees nodes");
        provider.destroy(&Nodes::Named(vec!["b".try_into().expect("a name")])).expect("destroying b");
        let left: Vec<String> = provider.status().iter().map(|status| format!("{} {}", status.name, status.state)).collect();
        assert_eq!(left, ["a ready", "b absent"]);
        let names = environment.names();
        assert!(!names.node_folder(&"b".try_into().expect("a name")).exists());
    });
    provider.destroy(&Nodes::All).expect("destroying");
    result.expect("making nodes");
    assert_eq!(difference(&environment, &before), Vec::<String>::new());
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "nothing stays in the user's folder");
    provider.destroy(&Nodes::All).expect("destroying nothing is no error");
    drop(turn);
}

#[test]
fn killed_parts_do_not_keep_destroy_from_its_work() {
    let Some(nodes) = TestNodes::boot(&["a", "b", "c"]) else {
        return;
    };
    let names = nodes.environment.names();
    running(&nodes, "a").supervisor.signal(Signal::SIGKILL);
    running(&nodes, "b").nspawn.expect("nspawn").signal(Signal::SIGKILL);
    running(&nodes, "b").supervisor.signal(Signal::SIGKILL);
    // The records are a cache: without them the node's processes are found by their group.
    let c = config(&nodes, "c");
    running(&nodes, "c").supervisor.signal(Signal::SIGKILL);
    fs::remove_file(c.folder().join("running.json")).expect("removing the record");
    let groups: Vec<_> = ["a", "b", "c"].iter().map(|name| config(&nodes, name).group().expect("a group")).collect();
    assert!(groups.iter().all(|group| !group.processes().is_empty()));
    nodes.provider.destroy(&Nodes::All).expect("destroying");
    assert!(groups.iter().all(|group| !group.exists()));
    assert!(!names.data_folder().exists());
    assert!(!provision::vm::host::link_exists(&names.bridge()));
    let left = all()
        .into_iter()
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|text| String::from_utf8_lossy(&text).contains(&names.id)));
    assert_eq!(left.count(), 0);
}
