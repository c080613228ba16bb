//! Container nodes, for real: all of these tests need root.

mod boot;
pub mod destroy;
mod forwarding;
mod image;
mod network;
mod overlap;
mod status;
mod survival;

use std::time::Duration;

use provision::vm::node::{Config, Running};
use provision::vm::process::{Process, wait_until};

use crate::support::nodes::TestNodes;

/// The record that a node was made with.
fn config(nodes: &TestNodes, name: &str) -> Config {
    Config::read(&nodes.environment.names(), &name.try_into().expect("a name")).expect("the node was made")
}

fn running(nodes: &TestNodes, name: &str) -> Running {
    config(nodes, name).running().expect("the node was started")
}

fn init(nodes: &TestNodes, name: &str) -> Process {
    config(nodes, name).init().expect("the node runs")
}

/// Wait until a node's systemd is another one than `before` and sshd answers again.
fn wait_for_new_start(nodes: &TestNodes, name: &str, before: Process) {
    let again = wait_until(Duration::from_secs(30), Duration::from_millis(20), || {
        config(nodes, name).init().is_some_and(|init| init != before) && nodes.ssh_output(name, "true").status.success()
    });
    assert!(again, "{name} did not start anew: {}", log(nodes, name));
}

fn log(nodes: &TestNodes, name: &str) -> String {
    std::fs::read_to_string(config(nodes, name).log).unwrap_or_default()
}
