//! A machine that its file changes, and one whose key is another than it was made with.

use std::fs;

use super::Folder;
use super::entries::agree;

/// When each node's kernel of its own began.
fn boots(folder: &Folder) -> [String; 2] {
    ["control", "worker-1"].map(|node| folder.expect(0, &["ssh", node, "--", "cat /proc/sys/kernel/random/boot_id"]).0)
}

/// The worker's line of a plan that is not empty; `up` then does what the plan says, entry by entry, and nothing is left to do.
#[track_caller]
fn followed(folder: &Folder) -> String {
    let (text, _) = folder.expect(2, &["plan", "--detailed-exitcode"]);
    let (plan, _) = folder.expect(2, &["plan", "--json", "--detailed-exitcode"]);
    let (up, _) = folder.expect(0, &["up", "--yes", "--json"]);
    agree(&plan, &up);
    folder.expect(0, &["plan", "--detailed-exitcode"]);
    let changed: Vec<&str> = text.lines().filter(|line| ["  ~ ", "-/+ ", "  + ", "  - "].iter().any(|sign| line.contains(sign))).collect();
    assert!(changed.len() == 1 && text.contains("= control "), "{text}");
    changed[0].split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_machine_follows_its_file_in_place_or_anew_and_a_changed_key_is_refused_with_the_way_out() {
    let Some(folder) = Folder::new() else { return };
    let network = &folder.network;
    folder.expect(0, &["up", "--yes"]);
    let first = boots(&folder);
    let file = fs::read_to_string(folder.path().join("vms/dev.yaml")).expect("readable");

    // In place: nothing starts anew.
    let larger = file.replace("count: 1,", "count: 1, memory: 768MiB,");
    folder.write("vms/dev.yaml", &larger);
    assert_eq!(followed(&folder), format!("~ worker-1 {network}.3 container, 1 cpu, 768 MiB memory 512 MiB → 768 MiB"));
    assert_eq!(boots(&folder), first);
    let limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true";
    assert_eq!(folder.expect(0, &["ssh", "worker-1", "--", limit]).0.trim(), (768_u64 << 20).to_string());

    // Anew: the other one only hears of it.
    folder.expect(0, &["ssh", "worker-1", "--", "touch /root/of-the-first"]);
    folder.write("vms/dev.yaml", &larger.replace(&format!("{network}.3"), &format!("{network}.9")));
    assert_eq!(followed(&folder), format!("-/+ worker-1 {network}.9 container, 1 cpu, 768 MiB address {network}.3 → {network}.9"));
    let second = boots(&folder);
    assert!(second[0] == first[0] && second[1] != first[1], "{first:?} {second:?}");
    assert_eq!(folder.expect(0, &["ssh", "worker-1", "--", "ls /root; cat /etc/note"]).0, "worker-1 seen by worker-1\n");
    let (known, _) = folder.expect(0, &["ssh", "control", "--", "getent hosts worker-1"]);
    assert_eq!(known.split_whitespace().next(), Some(&*format!("{network}.9")));

    the_way_out_of_another_key(&folder);
}

fn the_way_out_of_another_key(folder: &Folder) {
    let another = "cd /etc/ssh; rm ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key; systemctl restart ssh";
    folder.expect(0, &["ssh", "worker-1", "--", another]);
    let (said, refused) = folder.expect(255, &["ssh", "worker-1", "--", "echo inside"]);
    assert_eq!(said, "");
    assert!(refused.contains("which is not the one it was made with\nhint: "), "{refused}");
    assert!(refused.contains("run `provision destroy worker-1`, then `provision up`"), "{refused}");
    let (_, up) = folder.expect(4, &["up", "--yes"]);
    assert!(up.contains("run `provision destroy worker-1`, then `provision up`"), "{up}");
    // Which it is.
    folder.expect(0, &["destroy", "--yes", "worker-1"]);
    folder.expect(0, &["up", "--yes"]);
    assert_eq!(folder.expect(0, &["ssh", "worker-1", "--", "echo inside"]).0, "inside\n");
}
