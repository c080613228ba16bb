//! A firewall of this machine that drops all that is forwarded: an environment is let through while it is up.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use provision::vm::Environment;
use provision::vm::environment::DATA_FOLDER;
use provision::vm::host::{ensure, remove};
use provision::vm::process::run;

use crate::support::nodes::root_or_skip;

/// Does this with a network and mounts of its own.
fn apart(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces");
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none).expect("mounts of its own");
            // Links and records of this network, not of the machine's.
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none).expect("its links");
            std::fs::create_dir_all(DATA_FOLDER).expect("a folder");
            mount(Some("tmpfs"), DATA_FOLDER, Some("tmpfs"), MsFlags::empty(), none).expect("its records");
            work();
        });
        thread.join().expect("it ends well");
    });
}

/// Rules of the chain that what is forwarded goes through.
fn forward() -> Vec<String> {
    run("iptables", &["-S", "FORWARD"]).expect("iptables").lines().map(str::to_owned).collect()
}

#[test]
fn a_firewall_that_drops_what_is_forwarded_lets_an_environment_through_while_it_is_up() {
    if !root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let names = Environment::new(&format!("t-{}-wall", std::process::id()), folder.path()).expect("an environment").names();
    let networks = ["10.219.7.0/24".parse().expect("a network")];
    let (bridge, ours) = (names.bridge(), "-m comment --comment provision -j ACCEPT");
    apart(|| {
        // No firewall: none is made.
        ensure(&names, &networks).expect("a network");
        let tables = || run("nft", &["list", "tables"]).expect("nft");
        assert_eq!(tables().trim(), format!("table ip {}", names.table()));
        remove(&names).expect("removed");
        assert_eq!(tables(), "");

        // One that lets all through needs no word of ours.
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        run("iptables", &words("-A FORWARD -i docker0 -j DROP")).expect("iptables");
        ensure(&names, &networks).expect("a network");
        assert_eq!(forward(), ["-P FORWARD ACCEPT", "-A FORWARD -i docker0 -j DROP"]);

        // One that does not: before its own rules, once.
        run("iptables", &words("-P FORWARD DROP")).expect("iptables");
        for _ in 0..2 {
            ensure(&names, &networks).expect("a network");
            let mut rules = forward();
            rules[1..3].sort();
            let [inward, outward] = ["-i", "-o"].map(|side| format!("-A FORWARD {side} {bridge} {ours}"));
            assert_eq!(rules, ["-P FORWARD DROP", &inward, &outward, "-A FORWARD -i docker0 -j DROP"]);
        }
        remove(&names).expect("removed");
        assert_eq!(forward(), ["-P FORWARD DROP", "-A FORWARD -i docker0 -j DROP"]);
    });
}
