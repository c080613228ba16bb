//! `status` looks at what is there, and is never kept waiting.

use std::fs;
use std::time::{Duration, Instant};

use provision::vm::{Nodes, Provider as _, State};

use super::{config, init};
use crate::support::nodes::{TestNodes, machines};

#[test]
fn a_hung_node_is_told_within_three_seconds() {
    let Some(nodes) = TestNodes::boot(&["a", "b"]) else {
        return;
    };
    let group = config(&nodes, "a").group().expect("its cgroup");
    let init = init(&nodes, "a");
    // Every process of the node stops: its kernel side still takes connections.
    for pid in group.processes() {
        _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGSTOP);
    }
    // It counts as booting for a while after its start.
    let begun = Instant::now();
    let states: Vec<State> = nodes.provider.status().iter().map(|status| status.state).collect();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(states, [State::Booting, State::Ready]);
    // That is over for this one.
    let made = config(&nodes, "a");
    let running = made.running().expect("it runs");
    made.write_running(&provision::vm::node::Running { started: running.started - 60, ..running }).expect("writing");
    let begun = Instant::now();
    let states: Vec<State> = nodes.provider.status().iter().map(|status| status.state).collect();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(states, [State::NotReady, State::Ready]);
    // Its link is cut.
    let link = nodes.environment.names().link(&nodes.nodes[0].name);
    provision::vm::process::run("ip", &["link", "set", &link, "down"]).expect("cutting the link");
    let begun = Instant::now();
    assert_eq!(nodes.provider.status()[0].state, State::Unreachable);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(init.alive());
    // A frozen node can be destroyed.
    nodes.provider.destroy(&Nodes::Named(vec![nodes.nodes[0].name.clone()])).expect("destroying a hung node");
    let states: Vec<State> = nodes.provider.status().iter().map(|status| status.state).collect();
    assert_eq!(states, [State::Absent, State::Ready]);
}

#[test]
fn a_node_that_left_the_file_is_listed_as_such() {
    let Some(nodes) = TestNodes::boot(&["a", "b"]) else {
        return;
    };
    let third = nodes.addresses["a"].octets()[2];
    let one = nodes.provider_for(&machines(&[&format!("10.213.{third}.0/24")], &[("a".to_owned(), [10, 213, third, 2].into())]));
    let seen: Vec<(String, bool)> = one.status().iter().map(|status| (status.name.to_string(), status.in_file)).collect();
    assert_eq!(seen, [("a".to_owned(), true), ("b".to_owned(), false)]);
    nodes.ssh("b", "head -c 3000000 /dev/urandom > /root/large; sync");
    let size = one.disk_usage(&Nodes::All).expect("measuring");
    assert!((3_000_000..100_000_000).contains(&size), "{size}");
}

#[test]
fn files_in_the_users_folder_are_the_folders_owners() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    // As under sudo: the folder is a user's, we are root.
    nodes.provider.destroy(&Nodes::All).expect("destroying");
    chown(&nodes.folder, Some(4242), Some(4243)).expect("giving the folder away");
    nodes.provider.ensure(&|_| {}).expect("making the nodes again");
    let mut folders = vec![nodes.folder.join(".provision")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let data = fs::metadata(&folder).expect("its data");
        assert_eq!((data.uid(), data.gid()), (4242, 4243), "{}", folder.display());
        for entry in fs::read_dir(&folder).expect("listing").flatten() {
            let data = entry.metadata().expect("its data");
            seen += 1;
            if data.is_dir() {
                folders.push(entry.path());
            } else {
                assert_eq!((data.uid(), data.gid()), (4242, 4243), "{}", entry.path().display());
            }
        }
    }
    assert!(seen >= 5, "keys, log and their folders: {seen}");
    // ssh refuses another user's key in our hands only when others may read it: it must still work.
    assert_eq!(nodes.provider.status()[0].state, State::Ready);
}
