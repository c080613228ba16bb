//! Nodes live on: over their own reboot, killed supervisors, a stop, the workstation's reboot.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use provision::vm::process::{Process, Stat, all, wait_until};
use provision::vm::{Nodes, Outcome, Provider as _, State};

use super::{config, init, log, running, wait_for_new_start};
use crate::support::nodes::TestNodes;

#[test]
fn a_node_comes_back_from_its_own_reboot_with_its_disk_and_key() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let boot_id = nodes.ssh("a", "cat /proc/sys/kernel/random/boot_id");
    nodes.ssh("a", "echo kept > /root/file; echo data > /var/lib/etcd/file; nft add table ip t");
    for _ in 0..2 {
        let before = init(&nodes, "a");
        let begun = Instant::now();
        nodes.ssh_output("a", "shutdown -r +0");
        wait_for_new_start(&nodes, "a", before);
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}: {}", begun.elapsed(), log(&nodes, "a"));
    }
    assert_eq!(nodes.ssh("a", "cat /root/file /var/lib/etcd/file; nft list ruleset"), "kept\ndata\n", "and a new network namespace");
    assert_ne!(nodes.ssh("a", "cat /proc/sys/kernel/random/boot_id"), boot_id);
    assert_eq!(running(&nodes, "a").starts, 3);
}

#[test]
fn reboots_in_quick_succession_are_no_crashes() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    // Each within the three seconds in which a death would count as a failed boot.
    for _ in 0..5 {
        let before = init(&nodes, "a");
        nodes.ssh_output("a", "systemctl reboot");
        wait_for_new_start(&nodes, "a", before);
    }
    assert_eq!(running(&nodes, "a").starts, 6, "{}", log(&nodes, "a"));
}

#[test]
fn a_node_outlives_its_killed_nspawn_and_still_reboots() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let before = init(&nodes, "a");
    running(&nodes, "a").nspawn.expect("nspawn runs").signal(Signal::SIGKILL);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(init(&nodes, "a"), before);
    assert_eq!(nodes.provider.status()[0].state, State::Ready);
    nodes.ssh_output("a", "reboot");
    wait_for_new_start(&nodes, "a", before);
}

#[test]
fn a_killed_supervisor_is_replaced_and_adopts_the_node() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let before = running(&nodes, "a");
    before.supervisor.signal(Signal::SIGKILL);
    assert!(before.supervisor.wait_gone(Duration::from_secs(5)));
    assert_eq!(nodes.provider.status()[0].state, State::Ready);
    let again = nodes.provider.ensure(&|_| {}).expect("ensure after a kill");
    assert_eq!(again[0].outcome, Outcome::Running);
    let after = running(&nodes, "a");
    assert_ne!(after.supervisor, before.supervisor);
    assert_eq!(after.init, before.init);
    nodes.ssh_output("a", "reboot");
    wait_for_new_start(&nodes, "a", before.init.expect("it ran"));
}

#[test]
fn supervisor_and_nspawn_killed_together_leave_a_node_that_is_adopted() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let before = running(&nodes, "a");
    before.supervisor.signal(Signal::SIGKILL);
    before.nspawn.expect("nspawn runs").signal(Signal::SIGKILL);
    assert!(before.supervisor.wait_gone(Duration::from_secs(5)));
    nodes.provider.ensure(&|_| {}).expect("ensure after two kills");
    assert_eq!(init(&nodes, "a"), before.init.expect("it ran"));
}

#[test]
fn a_node_whose_init_is_killed_is_started_anew() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let before = init(&nodes, "a");
    before.signal(Signal::SIGKILL);
    wait_for_new_start(&nodes, "a", before);
}

#[test]
fn a_stopped_node_keeps_its_disk_and_a_powered_off_one_stays_off() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    nodes.ssh("a", "echo kept > /root/file");
    nodes.provider.stop(&Nodes::All).expect("stopping");
    assert_eq!(nodes.provider.status()[0].state, State::Stopped);
    assert!(!config(&nodes, "a").supervised());
    let started = nodes.provider.ensure(&|_| {}).expect("starting");
    assert_eq!((started[0].outcome, &started[0].host_key), (Outcome::Started, &nodes.nodes[0].host_key));
    assert_eq!(nodes.ssh("a", "cat /root/file"), "kept\n");
    nodes.ssh_output("a", "poweroff");
    let off = wait_until(Duration::from_secs(10), Duration::from_millis(20), || nodes.provider.status()[0].state == State::Stopped);
    assert!(off, "{:?} {}", nodes.provider.status(), log(&nodes, "a"));
    nodes.provider.ensure(&|_| {}).expect("starting again");
}

/// As near as a test comes to it: everything that lives only in memory is gone, and the boot id is another.
#[test]
fn after_the_workstations_reboot_the_same_nodes_come_back() {
    let Some(nodes) = TestNodes::boot(&["a", "b"]) else {
        return;
    };
    nodes.ssh("a", "echo kept > /root/file; sync");
    let names = nodes.environment.names();
    for name in ["a", "b"] {
        let config = config(&nodes, name);
        let running = running(&nodes, name);
        running.supervisor.signal(Signal::SIGKILL);
        running.supervisor.wait_gone(Duration::from_secs(5));
        provision::vm::node::clear(&config).expect("ending the node");
        config.write_running(&provision::vm::node::Running { boot_id: "another".to_owned(), ..running }).expect("writing");
    }
    provision::vm::host::remove(&names).expect("removing the network");
    let states: Vec<State> = nodes.provider.status().iter().map(|status| status.state).collect();
    assert_eq!(states, [State::Stopped, State::Stopped]);
    let back = nodes.provider.ensure(&|_| {}).expect("ensure after the reboot");
    let keys = |nodes: &[provision::vm::Node]| nodes.iter().map(|node| node.host_key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&back), keys(&nodes.nodes));
    assert_eq!(nodes.ssh("a", "cat /root/file"), "kept\n");
}

#[test]
fn a_lost_state_folder_is_made_again_and_the_new_key_let_in() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    std::fs::remove_dir_all(nodes.folder.join(".provision")).expect("removing the state folder");
    nodes.provider.ensure(&|_| {}).expect("ensure without its state");
    assert_eq!(nodes.ssh("a", "hostname"), "a\n");
}

/// The makers of nodes die at any moment: the next `ensure` ends in the same state.
#[test]
fn killed_anywhere_the_next_ensure_mends_it() {
    let Some(nodes) = TestNodes::boot_alone(&["a", "b"]) else {
        return;
    };
    let id = nodes.environment.id();
    let me = std::process::id().cast_signed();
    for round in 0..10 {
        if round % 2 == 0 {
            nodes.provider.destroy(&Nodes::All).expect("destroying");
        } else {
            nodes.provider.stop(&Nodes::All).expect("stopping");
        }
        std::thread::scope(|scope| {
            scope.spawn(|| nodes.provider.ensure(&|_| {}).map(drop));
            std::thread::sleep(Duration::from_millis(8 + 17 * round));
            for pid in all() {
                let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                let asked = Stat::of(pid).is_some_and(|stat| stat.parent == me) && command.contains("supervise request");
                if asked || (command.contains("supervise") && command.contains(&id)) {
                    Process::of(pid).inspect(|process| process.signal(Signal::SIGKILL));
                }
            }
        });
        let mended = nodes.provider.ensure(&|_| {});
        assert!(mended.is_ok(), "round {round}: {mended:?}");
        let keys: Vec<String> = mended.into_iter().flatten().filter_map(|node| node.host_key).collect();
        assert_eq!(keys.len(), 2);
        for (name, key) in ["a", "b"].iter().zip(keys) {
            let config = config(&nodes, name);
            assert_eq!(config.host_key, key);
            assert!(config.supervised() && config.init().is_some());
            let scan = provision::vm::process::run("ssh-keyscan", &["-t", "ed25519", &config.address.to_string()]);
            assert!(scan.expect("scanning").contains(key.split(' ').nth(1).expect("a key")), "round {round}: {name}");
        }
    }
}
