//! `sysctl` and `modprobe` beside those of their collections: each tool with an /etc, a network and modules of its own (namespaces).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::accounts::{Beside, copy};
use super::{Task, checked, task};

/// Places of a test, copied, and these files in them.
pub(super) fn base(own: &[&str], files: &[(&str, &str, u32)]) -> tempfile::TempDir {
    let base = tempfile::tempdir().expect("a folder");
    let copies: Vec<_> = own.iter().map(|place| (*place, copy(Path::new(place), base.path()))).collect();
    for (path, text, mode) in files {
        let (place, copy) = copies.iter().find(|(place, _)| path.starts_with(place)).expect("a place of the test's own");
        let path = copy.join(path[place.len()..].trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("ours");
    }
    base
}

pub(super) fn said(script: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) fn with(mut task: Task, more: Json) -> Task {
    task.arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
    task
}

#[test]
#[ignore = "half a minute of Ansible: ANSIBLE_COLLECTIONS_PATH=… cargo test --workspace --test main parameters_are_ansibles -- --ignored"]
fn parameters_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    const OWN: [&str; 1] = ["/etc"];
    let of = |name: &str, value: &str| task("ansible.posix.sysctl", json!({"name": name, "value": value}));
    let absent = |name: &str| task("ansible.posix.sysctl", json!({"name": name, "state": "absent"}));
    let own = |task: Task| with(task, json!({"sysctl_file": "/etc/sysctl.d/own.conf"}));
    let check = |task: Task| Task { check: true, ..task };
    let shell = |line: &str| task("shell", json!({"cmd": line}));
    let forward = "net.ipv4.ip_forward";
    let range = "net.ipv4.ip_local_port_range";
    // (task, fields that differ for a reason)
    let tasks: Vec<(Task, &[&str])> = vec![
        (check(of(forward, "1")), &[]),
        (of(forward, "1"), &[]),
        (of(forward, "yes"), &[]),
        (check(of(forward, "0")), &[]),
        (of(forward, "off"), &[]),
        (with(task("ansible.posix.sysctl", json!({"key": forward, "val": "1"})), json!({"reload": false})), &[]),
        (of(forward, "1"), &[]),
        (of(forward, "1"), &[]),
        (of(range, "40000 50000"), &[]),
        (of(range, "40000\t50000"), &[]),
        (of(range, "40000   50000"), &[]),
        // In a file that is not there yet.
        (own(of("net.ipv4.tcp_fin_timeout", "31")), &[]),
        (own(of("net.ipv4.tcp_fin_timeout", "31")), &[]),
        (own(with(of("net.ipv4.tcp_fin_timeout", "32"), json!({"reload": false, "sysctl_set": true}))), &[]),
        (own(with(of("net.ipv4.tcp_fin_timeout", "32"), json!({"reload": false, "sysctl_set": true}))), &[]),
        (shell("sysctl -qw net.ipv4.tcp_fin_timeout=40"), &[]),
        (check(own(of("net.ipv4.tcp_fin_timeout", "32"))), &[]),
        (own(of("net.ipv4.tcp_fin_timeout", "32")), &[]),
        // What the file says besides is loaded too.
        (
            shell(
                "printf 'net.ipv4.tcp_syn_retries = 4\\n# a comment\\n\\n; another\\nnet.ipv4.tcp_syn_retries=5\\n' >> /etc/sysctl.d/own.conf",
            ),
            &[],
        ),
        (own(of("net.ipv4.tcp_fin_timeout", "33")), &[]),
        (own(of("net.ipv4.tcp_syn_retries", "6")), &[]),
        (check(own(absent("net.ipv4.tcp_syn_retries"))), &[]),
        (own(absent("net.ipv4.tcp_syn_retries")), &[]),
        (own(absent("net.ipv4.tcp_syn_retries")), &[]),
        (own(absent("net.ipv4.no_such_parameter")), &[]),
        // Theirs says what sysctl said, and has written the file by then.
        (own(of("net.ipv4.no_such_parameter", "1")), &["msg"]),
        (own(of(forward, "many")), &["msg"]),
        (shell("sed -i '/no_such/d; /ip_forward/d' /etc/sysctl.d/own.conf"), &[]),
        (own(with(of("net.ipv4.no_such_parameter", "1"), json!({"ignoreerrors": true}))), &[]),
        (shell("sed -i '/no_such/d' /etc/sysctl.d/own.conf"), &[]),
        (of("", "1"), &[]),
        (of(forward, ""), &[]),
        (task("ansible.posix.sysctl", json!({"name": forward})), &["msg"]),
    ];
    let base = base(&OWN, &[("/etc/sysctl.conf", "# of this machine\nnet.ipv4.ip_forward = 0\n", 0o640)]);
    let first = || nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network");
    let state = || {
        said(
            "stat -c '%n %a %U' /etc/sysctl.conf /etc/sysctl.d/own.conf; cat /etc/sysctl.conf /etc/sysctl.d/own.conf; \
             sysctl net.ipv4.ip_forward net.ipv4.ip_local_port_range net.ipv4.tcp_fin_timeout net.ipv4.tcp_syn_retries",
        )
    };
    Beside { first, ..Beside::new(&OWN, base.path(), state) }.compare(&tasks);
}

/// Loads and unloads by a list, and says what kmod says.
const MODPROBE: &str = r#"#!/bin/sh
dry= remove= name=
for word; do case $word in -n) dry=1;; -r) remove=1;; -*) ;; *) [ "$name" ] || name=$(echo "$word" | tr - _);; esac; done
case $name in
    dummy|sch_fq|busy) ;;
    *) echo "modprobe: FATAL: Module $name not found in directory /lib/modules/$(uname -r)" >&2; exit 1;;
esac
if [ "$remove" ] && [ "$name" = busy ]; then echo "modprobe: FATAL: Module busy is in use." >&2; exit 1; fi
[ -z "$dry" ] || exit 0
others=$(grep -v "^$name " /srv/modules)
{ [ -z "$others" ] || echo "$others"; [ "$remove" ] || echo "$name 16384 0 - Live 0x0 ($*)"; } > /srv/modules
"#;

/// A kernel with a module of its own built in, and others by that list; /proc is what it was besides.
fn kernel() {
    let script = "set -e; mkdir /srv/upper /srv/work /srv/proc; \
                  mount -t overlay overlay -o lowerdir=/usr/lib,upperdir=/srv/upper,workdir=/srv/work /usr/lib; \
                  folder=/usr/lib/modules/$(uname -r); mkdir -p $folder; echo kernel/drivers/block/built-in.ko > $folder/modules.builtin; \
                  mount --rbind /proc /srv/proc; mount -t tmpfs tmpfs /proc";
    assert!(Command::new("sh").arg("-c").arg(script).status().expect("sh runs").success());
    let link = |name: &str| symlink(Path::new("/srv/proc").join(name), Path::new("/proc").join(name)).expect("linked");
    let entries = fs::read_dir("/srv/proc").expect("it is there").map(|entry| entry.expect("an entry").file_name());
    entries
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name != "modules" && name.parse::<u32>().is_err())
        .for_each(|name| link(&name));
    // Processes that are to come: the last number is that of the youngest one.
    let load = fs::read_to_string("/proc/loadavg").expect("it is there");
    let last: u32 = load.trim().rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a number");
    (last.saturating_sub(1000)..last + 30_000).for_each(|pid| link(&pid.to_string()));
    symlink("/srv/modules", "/proc/modules").expect("linked");
}

#[test]
#[ignore = "half a minute of Ansible: ANSIBLE_COLLECTIONS_PATH=… cargo test --workspace --test main modules_of_the_kernel_are_ansibles -- --ignored"]
fn modules_of_the_kernel_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    const OWN: [&str; 3] = ["/etc", "/srv", "/usr/local/sbin"];
    let of = |name: &str, more: Json| with(task("community.general.modprobe", json!({"name": name})), more);
    let check = |name: &str, more: Json| with(checked("community.general.modprobe", json!({"name": name})), more);
    let shell = |line: &str| task("shell", json!({"cmd": line}));
    let gone = || json!({"state": "absent"});
    let persistent = |params: &str| json!({"persistent": "present", "params": params});
    // What a command said is told in a sentence here, as of every command that fails, and without the arguments.
    let failed: &[&str] = &["msg", "stderr", "name", "params", "state"];
    let tasks: Vec<(Task, &[&str])> = vec![
        (check("dummy", json!({})), &[]),
        (of("dummy", json!({"params": "numdummies=2"})), &[]),
        (of("dummy", json!({"params": "numdummies=2"})), &[]),
        (of("sch-fq", json!({})), &[]),
        (of("sch_fq", json!({})), &[]),
        (of("built-in", json!({})), &[]),
        (check("dummy", gone()), &[]),
        (of("dummy", gone()), &[]),
        (of("dummy", gone()), &[]),
        (of("busy", json!({})), &[]),
        (of("busy", gone()), failed),
        (of("no-such-module", json!({})), failed),
        (of("no-such-module", gone()), &[]),
        // At boot.
        (check("dummy", persistent("numdummies=2")), &[]),
        (of("dummy", persistent("numdummies=2")), &[]),
        (of("dummy", persistent("numdummies=2")), &[]),
        (of("dummy", persistent("numdummies=3 other=a")), &[]),
        (of("dummy", persistent("other=a numdummies=3")), &[]),
        (of("dummy", json!({"persistent": "absent"})), &[]),
        (of("dummy", json!({"persistent": "absent"})), &[]),
        (shell("echo 'sch_fq # by hand' > /etc/modules-load.d/mine.conf"), &[]),
        (of("sch_fq", json!({"persistent": "present"})), &[]),
        (of("sch_fq", json!({"state": "absent", "persistent": "absent"})), &[]),
        (of("built-in", json!({"persistent": "present"})), &[]),
    ];
    let base =
        base(&OWN, &[("/srv/modules", "", 0o644), ("/usr/local/sbin/modprobe", MODPROBE, 0o755), ("/etc/modprobe.d/.keep", "", 0o644)]);
    // Theirs writes each line that it comments out with an empty one after it.
    let state = || said("cat /srv/modules; cd /etc; for file in modules-load.d/* modprobe.d/*; do echo $file; grep . $file; done");
    Beside { first: kernel, ..Beside::new(&OWN, base.path(), state) }.compare(&tasks);
}
