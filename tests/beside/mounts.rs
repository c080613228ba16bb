//! `mount` beside Ansible's, really done: each tool with an /etc, a /srv and mounts of its own (a mount namespace).

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::accounts::{Beside, copy};
use super::{Task, checked, task};

const OWN: [&str; 2] = ["/etc", "/srv"];

/// What is mounted below /srv, its options and fstab, with the folders that are left.
fn state() -> String {
    let script = "awk '$5 ~ /^\\/srv\\// {print $5, $6, $(NF-2), $(NF-1)}' /proc/thread-self/mountinfo; \
        cat /etc/fstab; find /srv -xdev -printf '%p %y %m\\n' | sort; ls /etc/fstab*; cat /srv/other/fstab";
    let output = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
    // A copy is named by the process and the moment.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| if line.contains("/fstab.") { "a copy\n".to_owned() } else { format!("{line}\n") }).collect()
}

/// The process's own list is that of its first thread: here it shows this thread's mounts.
fn show_own_mounts() {
    use nix::mount::{MsFlags, mount};
    let own = format!("/proc/self/task/{}/mountinfo", nix::unistd::gettid());
    mount(Some(own.as_str()), "/proc/self/mountinfo", None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("is mounted");
}

fn mount(path: &str, state: &str, more: Json) -> Json {
    let mut arguments = json!({"path": path, "state": state});
    arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
    arguments
}

#[test]
#[ignore = "a minute of Ansible: ANSIBLE_COLLECTIONS_PATH=… cargo test --test main mounts_are_ansibles -- --ignored"]
fn mounts_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    let of = |arguments: Json| task("ansible.posix.mount", arguments);
    let check = |arguments: Json| checked("ansible.posix.mount", arguments);
    let tmpfs = |more: Json| {
        let mut arguments = json!({"src": "tmpfs", "fstype": "tmpfs"});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        arguments
    };
    let bind = json!({"src": "/srv/data", "fstype": "none", "opts": "bind"});
    let shell = |line: &str| task("shell", json!({"cmd": line}));
    // (task, fields that differ for a reason)
    let tasks: Vec<(Task, &[&str])> = vec![
        (of(mount("/srv/a", "present", tmpfs(json!({})))), &[]),
        (of(mount("/srv/a", "present", tmpfs(json!({})))), &[]),
        (check(mount("/srv/a", "present", tmpfs(json!({"opts": "ro"})))), &[]),
        (check(mount("/srv/a", "mounted", tmpfs(json!({})))), &[]),
        (of(mount("/srv/a", "mounted", tmpfs(json!({})))), &[]),
        (of(mount("/srv/a", "mounted", tmpfs(json!({})))), &[]),
        (of(mount("/srv/a", "mounted", tmpfs(json!({"opts": "size=64k,nodev", "passno": 2})))), &[]),
        (of(mount("/srv/a", "mounted", tmpfs(json!({"opts": "size=64k,nodev", "passno": 2})))), &[]),
        (check(mount("/srv/a", "unmounted", json!({}))), &[]),
        (of(mount("/srv/a", "unmounted", json!({}))), &[]),
        (of(mount("/srv/a", "unmounted", json!({}))), &[]),
        (of(mount("/srv/deep/er", "mounted", tmpfs(json!({"boot": false})))), &[]),
        (of(mount("/srv/deep/er", "mounted", tmpfs(json!({"opts": "noauto"})))), &[]),
        (of(mount("/srv/my data & more", "mounted", tmpfs(json!({"opts": "size=1m"})))), &[]),
        (of(mount("/srv/my data & more", "mounted", tmpfs(json!({"opts": "size=1m"})))), &[]),
        (of(mount("/srv/data", "mounted", tmpfs(json!({})))), &[]),
        (of(mount("/srv/bound", "mounted", bind.clone())), &[]),
        (of(mount("/srv/bound", "mounted", bind.clone())), &[]),
        (of(mount("/srv/bound", "remounted", json!({}))), &[]),
        (of(mount("/srv/bound", "remounted", json!({"opts": "bind,ro"}))), &[]),
        (check(mount("/srv/bound", "remounted", json!({"opts": "bind,ro"}))), &[]),
        (of(mount("/srv/data", "remounted", json!({"opts": "no-such-option"}))), &["msg"]),
        (check(mount("/srv/bound", "absent", json!({}))), &[]),
        (of(mount("/srv/bound", "absent", json!({}))), &[]),
        (of(mount("/srv/bound", "absent", json!({}))), &[]),
        // A folder of the same file system: only its source tells that it is mounted.
        (shell("mkdir /srv/plain /srv/plain/x && mkdir /srv/onto && mount --bind /srv/plain /srv/onto"), &["start", "end", "delta"]),
        (of(mount("/srv/onto", "unmounted", json!({}))), &[]),
        (of(mount("/srv/onto", "mounted", json!({"src": "/srv/plain", "fstype": "none", "opts": "bind"}))), &[]),
        (of(mount("/srv/onto", "absent_from_fstab", json!({"backup": true}))), &[]),
        (of(mount("/srv/onto", "absent_from_fstab", json!({}))), &[]),
        // The copy's name holds the moment.
        (of(mount("/srv/b", "present", tmpfs(json!({"backup": true, "opts": "ro"})))), &["backup_file"]),
        (of(mount("/srv/b", "present", tmpfs(json!({"backup": true, "opts": "ro"})))), &[]),
        (of(mount("none", "present", json!({"src": "/dev/s1", "fstype": "swap", "opts": "sw"}))), &[]),
        (of(mount("none", "present", json!({"src": "/dev/s2", "fstype": "swap", "opts": "sw"}))), &[]),
        (of(mount("none", "absent_from_fstab", json!({"src": "/dev/s1", "fstype": "swap"}))), &[]),
        (of(mount("/srv/bad", "mounted", json!({"src": "/dev/no-such-device", "fstype": "ext4"}))), &[]),
        (of(mount("/srv/e", "ephemeral", tmpfs(json!({"opts": "size=1m"})))), &[]),
        (of(mount("/srv/e", "ephemeral", tmpfs(json!({"opts": "size=2m"})))), &[]),
        (of(mount("/srv/e", "ephemeral", json!({"src": "other", "fstype": "tmpfs"}))), &["msg"]),
        (of(mount("/srv/f", "mounted", tmpfs(json!({"fstab": "/srv/other/fstab", "opts": "size=1m"})))), &[]),
        (of(mount("/srv/f", "mounted", tmpfs(json!({"fstab": "/srv/other/fstab", "opts": "size=2m"})))), &[]),
        (of(mount("/srv/f", "remounted", json!({"fstab": "/srv/other/fstab"}))), &[]),
        (of(mount("/srv/f", "absent", json!({"fstab": "/srv/other/fstab"}))), &[]),
        (of(mount("/srv/my data & more", "absent", json!({}))), &[]),
        (of(mount("/srv/a", "mounted", json!({"src": "tmpfs"}))), &["msg"]),
        (shell("mkdir -p /srv/full/x && echo 'tmpfs /srv/full tmpfs ro 0 0' >> /etc/fstab"), &["start", "end", "delta"]),
        (of(mount("/srv/full", "absent", json!({}))), &["msg"]),
        (shell("echo '/dev/x /srv/x ext4 defaults' >> /etc/fstab; printf '# without an end' >> /etc/fstab"), &["start", "end", "delta"]),
        (of(mount("/srv/x", "absent_from_fstab", json!({}))), &[]),
        (of(mount("/srv/x", "present", json!({"src": "/dev/x", "fstype": "ext4"}))), &[]),
        // Theirs shows another text for what is hidden.
        (of(mount("/srv/s", "present", tmpfs(json!({"opts": "mode=0711", "opts_no_log": true})))), &["opts"]),
    ];
    let base = tempfile::tempdir().expect("a folder");
    OWN.iter().for_each(|place| drop(copy(Path::new(place), base.path())));
    Beside { first: show_own_mounts, ..Beside::new(&OWN, base.path(), state) }.compare(&tasks);
}
