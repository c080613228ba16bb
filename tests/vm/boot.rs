//! What a node is like after its boot, and how fast it gets there.

use std::io::Write as _;
use std::time::{Duration, Instant};

use provision::vm::machines::Memory;
use provision::vm::{Change, Kind, Limit, Nodes, Outcome, Provider as _};

use super::{config, init};
use crate::support::nodes::{TestNodes, machines};

#[test]
fn nodes_boot_and_know_each_other() {
    let Some(nodes) = TestNodes::boot(&["a", "b"]) else {
        return;
    };
    assert!(nodes.nodes.iter().all(|node| node.outcome == Outcome::Made));
    assert_eq!(nodes.ssh("a", "hostname"), "a\n");
    assert_eq!(nodes.ssh("b", "systemctl is-system-running --wait"), "running\n");
    assert_eq!(nodes.ssh("a", "getent hosts b").split_whitespace().next(), Some(nodes.addresses["b"].to_string().as_str()));
    for file in ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"] {
        assert_ne!(nodes.ssh("a", &format!("cat {file}")), nodes.ssh("b", &format!("cat {file}")), "{file}");
    }
    nodes.ssh("a", "bash -c 'exec 3<>/dev/tcp/b/22; head -c 4 <&3'");
}

#[test]
fn a_node_is_a_machine_that_can_hold_a_kubernetes_node() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let facts = nodes.ssh(
        "a",
        "command -v python3; cat /etc/machine-id | wc -c; stat -fc %T /var/lib/containerd /var/lib/kubelet /var/lib/etcd /; \
         stat -c '%a %U' / /root /root/.ssh /root/.ssh/authorized_keys /etc/ssh/ssh_host_ed25519_key; \
         cat /proc/self/mountinfo | grep ' /var/lib/kubelet ' | grep -c shared:; \
         sysctl -qw net.ipv4.ip_forward=1 && cat /proc/sys/net/ipv4/ip_forward; \
         mkdir /tmp/l /tmp/u /tmp/w /var/lib/containerd/l /var/lib/containerd/u /var/lib/containerd/w /var/lib/containerd/m; \
         mount -t overlay o -o lowerdir=/var/lib/containerd/l,upperdir=/var/lib/containerd/u,workdir=/var/lib/containerd/w /var/lib/containerd/m && echo overlay; \
         systemctl --failed --plain --no-legend | wc -l",
    );
    let (head, rest) = facts.split_once('\n').expect("lines");
    assert_eq!(head, "33", "no python, and a machine id");
    let lines: Vec<&str> = rest.lines().collect();
    assert!(lines[..3].iter().all(|kind| *kind != "overlayfs" && *kind != "overlay") && lines[3].starts_with("overlay"), "{lines:?}");
    assert_eq!(lines[4..], ["755 root", "700 root", "700 root", "600 root", "600 root", "1", "1", "overlay", "0"]);
}

/// Its clock is this machine's.
#[test]
fn a_node_cannot_set_this_machines_clock() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let said = nodes.ssh("a", "date --set=@$(date +%s) 2>&1 >/dev/null; true");
    assert_eq!(said, "date: cannot set date: Operation not permitted\n");
    assert_eq!(nodes.ssh("a", "systemctl --failed --plain --no-legend | wc -l"), "0\n");
}

#[test]
fn a_script_of_init_d_without_a_unit_is_a_service() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let script = "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: old\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop:\n### END INIT INFO\ntouch /run/old\n";
    nodes.ssh("a", &format!("printf '{script}' > /etc/init.d/old && chmod 755 /etc/init.d/old"));
    assert_eq!(
        nodes.ssh("a", "systemctl daemon-reload; systemctl start old && ls /run/old; systemctl show -p SourcePath old"),
        "/run/old\nSourcePath=/etc/init.d/old\n"
    );
    assert_eq!(nodes.ssh("a", "systemctl show -p SourcePath ssh"), "SourcePath=\n");
}

/// The base skips at boot what there is none of.
#[test]
fn file_systems_and_kernel_settings_that_a_user_wrote_are_there_after_a_boot() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    assert_eq!(nodes.ssh("a", "systemctl show -p ConditionResult systemd-sysctl"), "ConditionResult=no\n");
    nodes.ssh("a", "echo net.ipv4.ip_default_ttl=77 >> /etc/sysctl.conf; echo 'tmpfs /mnt tmpfs size=1M 0 0' >> /etc/fstab");
    nodes.provider.stop(&Nodes::All).expect("it stops");
    nodes.provider.ensure(&|_| {}).expect("it starts");
    assert_eq!(nodes.ssh("a", "cat /proc/sys/net/ipv4/ip_default_ttl; findmnt -no FSTYPE /mnt"), "77\ntmpfs\n");
    nodes.ssh("a", "truncate -s 0 /etc/sysctl.conf; echo net.ipv4.ip_default_ttl=78 > /etc/sysctl.d/10-ttl.conf");
    nodes.provider.stop(&Nodes::All).expect("it stops");
    nodes.provider.ensure(&|_| {}).expect("it starts");
    assert_eq!(nodes.ssh("a", "cat /proc/sys/net/ipv4/ip_default_ttl"), "78\n");
}

#[test]
fn python_is_there_only_where_it_is_asked_for() {
    let Some(nodes) = TestNodes::boot_with_python(&["a"]) else {
        return;
    };
    assert!(nodes.ssh("a", "python3 --version").starts_with("Python 3.11"));
}

#[test]
fn a_second_ensure_changes_nothing() {
    let Some(nodes) = TestNodes::boot(&["a", "b"]) else {
        return;
    };
    let listing = "find /etc /root /usr -xdev -printf '%p %C@\\n' | sort | sha256sum";
    let before = (init(&nodes, "a"), nodes.ssh("a", listing));
    let begun = Instant::now();
    let again = nodes.provider.ensure(&|_| {}).expect("a second ensure");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(again.iter().all(|node| node.outcome == Outcome::Running), "{again:?}");
    assert_eq!((init(&nodes, "a"), nodes.ssh("a", listing)), before);
    assert_eq!(again[0].host_key, nodes.nodes[0].host_key);
}

#[test]
fn a_size_follows_the_file_without_a_restart_and_an_address_is_refused() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    assert_eq!(nodes.nodes[0].limits.memory, Limit::Enforced);
    assert_eq!(nodes.nodes[0].limits.cpu, Limit::Enforced);
    // As the kernel has it: of a period of 100 ms in version 1, and of version 2's own.
    let quota = nodes.ssh("a", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max");
    assert_eq!(quota.trim(), (u64::from(config(&nodes, "a").cpus) * 100_000).to_string());
    let before = init(&nodes, "a");
    let third = nodes.addresses["a"].octets()[2];
    let file = |last, memory| {
        let mut declared =
            crate::support::nodes::declared(&[&format!("10.213.{third}.0/24")], &[("a".to_owned(), [10, 213, third, last].into())]);
        declared.machines[0].own.memory = Some(memory);
        provision::vm::Machines::check(&declared).expect("machines without mistakes")
    };
    let changes = |last, memory| nodes.provider_for(&file(last, memory)).changes().expect("changes").remove(0).1;
    assert_eq!(changes(2, Memory(1 << 30)), Change::Keep);
    assert_eq!(changes(2, Memory(3 << 29)), Change::Resize(vec!["memory 1 GiB → 1.5 GiB".to_owned()]));
    let larger = nodes.provider_for(&file(2, Memory(3 << 29))).ensure(&|_| {}).expect("a larger node");
    assert_eq!(larger[0].outcome, Outcome::Resized);
    assert_eq!(init(&nodes, "a"), before);
    assert_eq!(config(&nodes, "a").memory, 3 << 29);
    let limit = nodes.ssh("a", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true");
    assert_eq!(limit.trim(), (3u64 << 29).to_string());
    let error = nodes.provider_for(&file(9, Memory(3 << 29))).ensure(&|_| {}).expect_err("another address");
    assert_eq!(error.kind, Kind::Changed);
    assert_eq!(error.to_string(), format!("keeping a: its address was 10.213.{third}.2 and is 10.213.{third}.9 in the machines file"));
    assert_eq!(error.hint.as_deref(), Some("run `provision destroy a` first: it is made anew then"));
}

#[test]
fn a_new_machine_is_known_to_the_others_and_restarts_none() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let before = init(&nodes, "a");
    nodes.ssh("a", "echo 10.9.9.9 mine >> /etc/hosts");
    let third = nodes.addresses["a"].octets()[2];
    let two = machines(
        &[&format!("10.213.{third}.0/24")],
        &[("a".to_owned(), [10, 213, third, 2].into()), ("b".to_owned(), [10, 213, third, 3].into())],
    );
    let outcomes: Vec<Outcome> = nodes.provider_for(&two).ensure(&|_| {}).expect("two nodes").iter().map(|node| node.outcome).collect();
    assert_eq!(outcomes, [Outcome::Running, Outcome::Made]);
    assert_eq!(init(&nodes, "a"), before);
    let hosts = nodes.ssh("a", "cat /etc/hosts");
    assert!(hosts.contains(&format!("10.213.{third}.3 b\n")) && hosts.contains("10.9.9.9 mine\n"), "{hosts}");
}

#[test]
#[ignore = "a measurement"]
fn boot_times() {
    for names in [&["a"][..], &["a", "b", "c"]].repeat(5) {
        let Some(nodes) = TestNodes::boot(names) else {
            return;
        };
        let made = nodes.nodes.iter().map(|node| node.took).max();
        nodes.provider.stop(&Nodes::All).expect("stopping");
        let time = |work: &dyn Fn()| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        };
        let started = time(&|| drop(nodes.provider.ensure(&|_| {}).expect("starting")));
        let again = time(&|| drop(nodes.provider.ensure(&|_| {}).expect("again")));
        let status = time(&|| drop(nodes.provider.status()));
        let stopped = time(&|| nodes.provider.stop(&Nodes::All).expect("stopping"));
        let destroyed = time(&|| nodes.provider.destroy(&Nodes::All).expect("destroying"));
        let line = format!(
            "{} nodes: made {made:.0?} started {started:.0?} again {again:.0?} status {status:.0?} stopped {stopped:.0?} destroyed {destroyed:.0?}\n",
            names.len()
        );
        _ = std::io::stderr().write_all(line.as_bytes());
    }
}
