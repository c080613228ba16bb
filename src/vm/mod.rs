//! Machines: what a provider is, and what it says about its nodes.
//!
//! A provider is idempotent and looks at the machine each time: its files are a cache, not the truth.
//! Every call blocks (a controller on tokio wraps it in `spawn_blocking`) and has a deadline of its own.

pub mod address;
pub mod capacity;
pub mod cgroup;
pub mod change;
pub mod container;
pub mod environment;
pub mod error;
pub mod existing;
pub mod host;
pub mod image;
pub mod keys;
mod link;
pub mod machines;
pub mod node;
pub mod overlap;
pub mod preflight;
pub mod privilege;
pub mod probe;
pub mod process;
pub mod request;
pub mod state;
pub mod supervisor;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use address::Network;
pub use capacity::Capacity;
pub use cgroup::{Limit, Limits};
pub use change::Change;
pub use container::{Container, Options};
pub use environment::Environment;
pub use error::{Error, Kind};
pub use existing::Existing;
pub use image::Image;
pub use machines::{Machine, Machines, NodeName, ProviderKind};
pub use preflight::Package;

/// What makes, keeps and removes the machines of one environment.
pub trait Provider: Send + Sync {
    /// Packages that this workstation lacks; empty when all is there. Changes nothing.
    fn preflight(&self) -> Vec<Package>;

    /// Bring every machine of the file to life and wait until each answers over SSH.
    ///
    /// `on` is told of each step and of each node at the moment it is ready, from several threads.
    fn ensure(&self, on: &(dyn Fn(Event) + Sync)) -> Result<Vec<Node>, Error>;

    /// Shut nodes down in order; their disks stay.
    fn stop(&self, nodes: &Nodes) -> Result<(), Error>;

    /// Remove nodes with their disks; with [`Nodes::All`] also the network, keys and settings of the environment.
    fn destroy(&self, nodes: &Nodes) -> Result<(), Error>;

    /// What is there now, probed within 3 s even when a node hangs; in the file's order,
    /// then nodes that exist without being in the file.
    fn status(&self) -> Vec<NodeStatus>;
}

/// The providers that a machines file names, each with its own machines.
pub fn providers(environment: &Environment, machines: &Machines, options: &Options) -> Vec<Box<dyn Provider>> {
    let has = |kind| machines.iter().any(|machine| machine.provider == kind);
    let mut found: Vec<Box<dyn Provider>> = Vec::new();
    if has(ProviderKind::Container) {
        found.push(Box::new(Container::new(environment.clone(), machines, options.clone())));
    }
    if has(ProviderKind::Existing) {
        found.push(Box::new(Existing::new(machines, &options.asked)));
    }
    found
}

/// Which nodes a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    All,
    /// Those alone; a name that does not exist is no error.
    Named(Vec<NodeName>),
}

/// A node that answers over SSH, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: NodeName,
    pub address: Ipv4Addr,
    pub port: u16,
    pub user: String,
    /// The private key to log in with; none where the user's own keys are meant.
    pub key: Option<PathBuf>,
    /// The host's public key as one OpenSSH line (`ssh-ed25519 AAAA…`), known before boot: pin it.
    pub host_key: Option<String>,
    /// What of `cpus` and `memory` this machine enforces.
    pub limits: Limits,
    /// Made, started or found running by this call.
    pub outcome: Outcome,
    /// From the call to the first byte of sshd.
    #[serde(skip)]
    pub took: Duration,
}

/// What `ensure` had to do for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It ran already, and was left alone.
    Running,
    /// It ran already; its cpus or memory follow the file again.
    Resized,
    Started,
    Made,
}

/// A step of `ensure`, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The base root file system is built (a minute, once).
    ImageBuilding {
        image: String,
    },
    ImageReady {
        image: String,
        took: Duration,
    },
    NodeStarting {
        name: NodeName,
    },
    NodeReady(Node),
}

/// One line of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub name: NodeName,
    pub address: Ipv4Addr,
    pub state: State,
    /// Why, where the state alone does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// False for a node that exists but stands in the file no more.
    pub in_file: bool,
    /// What the node was made with; none when absent or not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

/// What a node was made with: compare with the file to see what changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub address: Ipv4Addr,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// [`Image::id`] of the base root file system.
    pub image: String,
    /// The host's public key, one OpenSSH line.
    pub host_key: String,
}

/// The state of a node, as a user reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Never made, or destroyed.
    Absent,
    /// Its disk is there, no process of it is.
    Stopped,
    Booting,
    /// sshd answers.
    Ready,
    /// It runs and its address answers, but sshd does not.
    NotReady,
    /// It runs, or should, but its address does not answer.
    Unreachable,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Absent => "absent",
            Self::Stopped => "stopped",
            Self::Booting => "booting",
            Self::Ready => "ready",
            Self::NotReady => "not-ready",
            Self::Unreachable => "unreachable",
        })
    }
}
