//! Hosts that are there already: nothing is made, nothing removed; they only have to answer over SSH.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::cgroup::Limits;
use super::error::{Error, Kind};
use super::machines::{Machine, Machines, NodeName, ProviderKind};
use super::preflight::Package;
use super::{Event, Node, NodeStatus, Nodes, Outcome, Provider, State, probe};

/// The machines of a file with `provider: existing`.
pub struct Existing {
    machines: Machines,
    /// As in [`super::Options`].
    asked: BTreeMap<NodeName, SocketAddr>,
}

impl Existing {
    pub fn new(machines: &Machines, asked: &BTreeMap<NodeName, SocketAddr>) -> Self {
        Self { machines: machines.of(ProviderKind::Existing), asked: asked.clone() }
    }

    fn state(&self, name: &NodeName) -> (State, Option<String>) {
        let Some(address) = self.asked.get(name) else {
            return (State::Unreachable, Some(format!("not asked: it is reached through another host; try `provision ssh {name}`")));
        };
        match probe::ssh(*address, PROBE_LIMIT) {
            probe::Answer::Ssh => (State::Ready, None),
            probe::Answer::NoSsh(why) => (State::NotReady, Some(why)),
            probe::Answer::Nothing(why) => (State::Unreachable, Some(why)),
        }
    }
}

const PROBE_LIMIT: Duration = Duration::from_secs(2);

fn node(machine: &Machine, took: Duration) -> Node {
    Node {
        name: machine.name.clone(),
        address: machine.address,
        port: 22,
        user: "root".to_owned(),
        key: None,
        host_key: None,
        limits: Limits::none("the host is as large as it is"),
        outcome: Outcome::Running,
        took,
    }
}

impl Provider for Existing {
    fn preflight(&self) -> Vec<Package> {
        Vec::new()
    }

    /// Every host that is reached directly must answer now.
    fn ensure(&self, on: &(dyn Fn(Event) + Sync)) -> Result<Vec<Node>, Error> {
        let begun = Instant::now();
        let silent: Vec<NodeStatus> =
            self.status().into_iter().filter(|status| status.state != State::Ready && self.asked.contains_key(&status.name)).collect();
        if !silent.is_empty() {
            let reasons =
                silent.iter().map(|status| format!("{} ({}): {}", status.name, status.address, status.reason.clone().unwrap_or_default()));
            return Err(Error::new(Kind::Boot, "reaching the existing hosts over SSH")
                .because(reasons.collect::<Vec<_>>().join("; "))
                .hint("see whether they are on and their addresses in the machines file are right"));
        }
        let nodes: Vec<Node> = self.machines.iter().map(|machine| node(machine, begun.elapsed())).collect();
        for node in &nodes {
            on(Event::NodeReady(node.clone()));
        }
        Ok(nodes)
    }

    /// Not ours to stop.
    fn stop(&self, _nodes: &Nodes) -> Result<(), Error> {
        Ok(())
    }

    /// Not ours to remove.
    fn destroy(&self, _nodes: &Nodes) -> Result<(), Error> {
        Ok(())
    }

    fn status(&self) -> Vec<NodeStatus> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .machines
                .iter()
                .map(|machine| {
                    scope.spawn(move || {
                        let (state, reason) = self.state(&machine.name);
                        NodeStatus { name: machine.name.clone(), address: machine.address, state, reason, in_file: true, made: None }
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        })
    }
}
