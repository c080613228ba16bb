//! After `destroy` this machine is as it was: compared piece by piece.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use provision::vm::host::Record;
use provision::vm::process::{Process, all, has_program, run, wait_until};
use provision::vm::{Container, Environment, Nodes, Provider as _};

use sha2::{Digest as _, Sha256};

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
    lines.extend(
        run("ip", &["-o", "link"]).expect("links").lines().map(|line| format!("link {}", line.split(": ").nth(1).unwrap_or_default())),
    );
    for family in ["-4", "-6"] {
        let routes = run("ip", &[family, "route", "show", "table", "all"]).expect("routes");
        // A router's advertisement is renewed.
        lines.extend(routes.lines().map(|line| format!("route {}", line.split(" expires ").next().unwrap_or_default())));
    }
    lines.extend(rules());
    let names = ["/sys/fs/cgroup", "/run", "/etc", "/var/lib", "/usr/lib/systemd", "/opt", "/usr/local"];
    let mut folders: Vec<PathBuf> = names.map(PathBuf::from).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && entry.path() != Path::new("/run/systemd/nspawn") {
                folders.push(entry.path());
            }
            if is_folder || !folder.starts_with("/sys") {
                let content = if folder.starts_with("/etc") { content(&entry.path()) } else { String::new() };
                lines.insert(format!("path {} {content}", entry.path().display()));
            }
        }
    }
    if others.is_empty() {
        for part in ["vm", "kernel", "fs", "net.ipv4", "net.ipv6", "net.core", "net.bridge", "net.netfilter"] {
            let text = run("sysctl", &["-a", "--pattern", &format!("^{}", part.replace('.', "\\."))]).expect("sysctl");
            // The last two where the kernel has them.
            assert!(!text.is_empty() || !Path::new("/proc/sys").join(part.replace('.', "/")).exists(), "{part}");
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
                "nf_conntrack_count",
            ];
            lines.extend(text.lines().filter(|line| !volatile.iter().any(|word| line.contains(word))).map(|line| format!("sysctl {line}")));
        }
    }
    lines.retain(|line| !foreign.iter().any(|name| line.contains(name.as_str())) && !line.contains(USERS));
    lines
}

/// How users begin that other test processes make and take away.
const USERS: &str = "pv-user-";

/// Every rule of the packet filters, after the table and the chain that it is in; how much came by is left out.
fn rules() -> Vec<String> {
    let mut lines = Vec::new();
    let mut within: Vec<String> = Vec::new();
    for line in run("nft", &["--stateless", "list", "ruleset"]).expect("rules").lines() {
        let line = line.trim();
        if line == "}" {
            within.pop();
        } else {
            lines.push(format!("nft {} {line}", within.join(" ")));
        }
        if let Some(name) = line.strip_suffix('{') {
            within.push(name.trim().to_owned());
        }
    }
    // The older filters, which nft does not list; `:INPUT ACCEPT [3:180]` counts.
    for program in ["iptables-legacy-save", "ip6tables-legacy-save", "iptables-save", "ip6tables-save"] {
        if has_program(program) {
            let text = run(program, &[] as &[&str]).expect("rules");
            let said = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(" [").next().unwrap_or_default());
            lines.extend(said.map(|line| format!("{program} {line}")));
        }
    }
    lines
}

/// Mode, owner and digest of a file, or where a link leads.
fn content(path: &Path) -> String {
    let Ok(about) = fs::symlink_metadata(path) else { return "gone".to_owned() };
    let said = if about.is_symlink() {
        fs::read_link(path).map(|target| target.display().to_string()).unwrap_or_default()
    } else if about.is_file() {
        let bytes = fs::read(path).unwrap_or_default();
        let name = path.to_string_lossy();
        let accounts = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"];
        let bytes = if accounts.contains(&&*name) {
            String::from_utf8_lossy(&bytes).lines().filter(|line| !line.starts_with(USERS)).collect::<String>().into_bytes()
        } else if name.strip_suffix('-').is_some_and(|name| accounts.contains(&name)) {
            Vec::new() // as they were before the last change
        } else {
            bytes
        };
        hex::encode(&Sha256::digest(&bytes)[..8])
    } else {
        String::new()
    };
    format!("{:o} {}:{} {said}", about.mode(), about.uid(), about.gid())
}

/// The namespaces that processes of an environment's nodes are in and this process is not: `net:[4026532381]`. To be looked at
/// while the nodes run.
pub fn namespaces(own: &Environment) -> BTreeSet<String> {
    let group = format!("provision-{}-", own.id());
    let ours = all().into_iter().filter(|pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(&group)));
    let here = namespaces_of("self");
    let found: BTreeSet<String> = ours.flat_map(|pid| namespaces_of(&pid.to_string())).filter(|name| !here.contains(name)).collect();
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        assert!(found.iter().any(|name| name.starts_with(&format!("{kind}:"))), "the nodes have no {kind} of their own: {found:?}");
    }
    found
}

fn namespaces_of(pid: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned())).collect()
}

/// Who is in these namespaces, keeps one by a mount, or sees the disks of the environment, a line each. A namespace that is made
/// later may get the number of one that is gone: who began after this moment does not count.
fn holders(own: &Environment, namespaces: &BTreeSet<String>, moment: u64) -> Vec<String> {
    let before = all().into_iter().filter_map(Process::of).filter(|process| process.start_time <= moment);
    let held = |process: Process| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
        let mut held: Vec<String> = namespaces_of(&process.pid.to_string()).intersection(namespaces).cloned().collect();
        let is_ours = |line: &&str| line.contains(&own.id()) || namespaces.iter().any(|name| line.contains(name.as_str()));
        held.extend(read("mountinfo").lines().filter(is_ours).map(str::to_owned));
        let command = read("cmdline").replace('\0', " ");
        held.into_iter().filter(move |_| process.alive()).map(move |what| format!("{what} of {} {command}", process.pid))
    };
    before.flat_map(held).collect()
}

/// In ticks of a hundredth of a second since the boot, as in /proc/PID/stat.
fn now() -> u64 {
    let text = fs::read_to_string("/proc/uptime").expect("a clock");
    (text.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok()).expect("seconds") * 100.0) as u64
}

/// Who still holds them after `destroy`.
pub fn still_held(own: &Environment, namespaces: &BTreeSet<String>) -> Vec<String> {
    let (moment, mut found) = (now(), Vec::new());
    wait_until(Duration::from_secs(5), Duration::from_millis(100), || {
        found = holders(own, namespaces, moment);
        found.is_empty()
    });
    found
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
            let of_all = ["", "/lock", "/sysctls.json"].map(|name| format!(" path /var/lib/provision{name} "));
            found.retain(|line| !line.contains(" sysctl ") && !of_all.iter().any(|path| line[1..].starts_with(path)));
        }
        // The empty one that a dead run has left goes with the last environment.
        found.retain(|line| line != "- path /var/lib/provision ");
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
    let mut made = BTreeSet::new();
    let result = provider.ensure(&|_| {}).map(|_| {
        made = namespaces(&environment);
        assert!(!holders(&environment, &made, now()).is_empty(), "they are seen");
        // What a kubelet does to the kernel that all share.
        run("sysctl", &["-qw", "vm.overcommit_memory=1", "kernel.panic=10", "kernel.panic_on_oops=1"]).expect("sysctl");
        let seen = difference(&environment, &before);
        for kind in ["process", "link", "route 10.", "route fe80:", "nft table ip", "path /sys/fs/cgroup", "path /var/lib"] {
            assert!(seen.iter().any(|line| line.starts_with(&format!("+ {kind}"))), "no {kind}: {seen:#?}");
        }
        provider.destroy(&Nodes::Named(vec!["b".try_into().expect("a name")])).expect("destroying b");
        let left: Vec<String> = provider.status().iter().map(|status| format!("{} {}", status.name, status.state)).collect();
        assert_eq!(left, ["a ready", "b absent"]);
        let names = environment.names();
        assert!(!names.node_folder(&"b".try_into().expect("a name")).exists());
    });
    provider.destroy(&Nodes::All).expect("destroying");
    result.expect("making nodes");
    assert_eq!(difference(&environment, &before), Vec::<String>::new());
    assert_eq!(still_held(&environment, &made), Vec::<String>::new());
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
