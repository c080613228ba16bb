//! One run over many hosts: an agent each, the order between them, answers to what they ask, their results.
//!
//! [`start`] connects to every host and sends its program; [`Run::finished`] waits until all have planned (or run);
//! [`Run::apply`] lets them do what they planned, in the same sessions.

mod about;
pub mod connect;
mod coordinator;
mod fetch;
mod found;
mod host;
mod hostvars;
mod lookup;
mod order;
mod password;
mod patience;
pub mod plan;
pub mod prepare;
pub mod reach;
pub mod session;
mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

pub use connect::{Connect, ConnectError, Stream};

pub use crate::agent::frame::RunMode;
use crate::agent::frame::{Event, FoundFiles, Hello, Missed, RunIdentity, Summary};
use crate::program::{Bytes, Map, Program, Value};

/// What a run needs. Nothing here is read from disk but contents, when an agent asks for one.
pub struct Inputs {
    /// In inventory order.
    pub programs: Vec<(Arc<str>, Program)>,
    pub contents: HashMap<Arc<str>, Contents>,
    /// Where files of nodes may be kept here.
    pub destinations: Arc<[crate::playbook::fetch::Destination]>,
    /// Where passwords may be kept here.
    pub passwords: Arc<[crate::playbook::fetch::Destination]>,
    /// What tasks on the controller name there.
    pub namings: Arc<[crate::playbook::found::Naming]>,
    /// What of the controller lookups may ask for: [`crate::playbook::Compiled::of_controller`].
    pub of_controller: Arc<BTreeSet<Arc<str>>>,
    pub connector: Arc<dyn Connect>,
    pub mode: RunMode,
    /// The environment's name, part of the journal's.
    pub environment: Arc<str>,
    pub identity: RunIdentity,
    pub journal_key: Bytes,
    pub become_password: Option<Value>,
    /// `ansible_become_password` of single hosts: it beats the one above.
    pub become_passwords: BTreeMap<Arc<str>, Value>,
    /// Asks the person at the terminal; `None`: nobody is there.
    pub ask: Option<crate::ssh::Ask>,
    /// Hosts connected to at once while they begin.
    pub forks: usize,
    /// Inventory variables and magic of every host of the inventory, for `hostvars` of hosts outside of the run.
    pub inventory: BTreeMap<Arc<str>, HostVariables>,
    /// Compiles anew when hosts or groups are added in mid-run.
    pub recompile: Option<Box<dyn Recompile>>,
}

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub enum Contents {
    File(PathBuf),
    /// Opened from a vault: never on a disk.
    Memory(Bytes),
}

/// What `hostvars` of a host shows before the run adds to it.
#[derive(Clone, Debug, Default)]
pub struct HostVariables {
    /// In plays of each folder of playbooks, lowest precedence first.
    pub in_folders: Vec<Vec<crate::program::Layer>>,
    pub magic: Map,
}

/// Changes of the inventory in mid-run.
pub trait Recompile: Send {
    /// `false`: the host was there with these groups and variables.
    fn add_host(&mut self, name: &str, groups: &[Arc<str>], variables: &Map) -> bool;
    fn group_by(&mut self, host: &str, group: &str, parents: &[Arc<str>]) -> bool;
    /// Reads the inventory's sources again; what was added stays.
    fn refresh(&mut self) -> Result<(), String>;
    /// Forgets what was added and read since the run began.
    fn restart(&mut self);
    /// Has these files of variables read again, where their text is another one.
    fn forget(&mut self, paths: &BTreeSet<Arc<str>>);
    /// Everything as it is now.
    fn again(&mut self) -> Result<Again, String>;
    /// Files of the controller as they are now, by their absolute paths; what is not there is left out.
    fn read(&mut self, wanted: &Missed) -> Result<(FoundFiles, HashMap<Arc<str>, Contents>), String>;
}

/// A run's inventory and programs after a change.
pub struct Again {
    pub programs: Vec<(Arc<str>, Program)>,
    pub inventory: BTreeMap<Arc<str>, HostVariables>,
    /// As [`Inputs::become_passwords`].
    pub become_passwords: BTreeMap<Arc<str>, Value>,
    /// As [`Inputs::contents`].
    pub contents: HashMap<Arc<str>, Contents>,
}

/// What happens, in the order in which it is known here.
#[derive(Clone, Debug)]
pub enum Happening {
    Connecting {
        host: Arc<str>,
    },
    Connected {
        host: Arc<str>,
        hello: Hello,
    },
    /// The agent was not there and was pushed.
    Waiting {
        host: Arc<str>,
        holder: RunIdentity,
        doing: Arc<str>,
    },
    Event {
        host: Arc<str>,
        event: Event,
    },
    Restarting {
        host: Arc<str>,
    },
    Returned {
        host: Arc<str>,
        seconds: f64,
    },
    /// The host is through with its plan or run.
    Finished {
        host: Arc<str>,
        result: HostResult,
    },
}

/// How a host ended.
#[derive(Clone, Debug, Default)]
pub struct HostResult {
    pub summary: Summary,
    /// Could not be reached, or was lost.
    pub unreachable: Option<Failure>,
}

impl HostResult {
    pub fn is_good(&self) -> bool {
        self.unreachable.is_none() && !self.summary.failed && !self.summary.cancelled && self.summary.reason.is_none()
    }
}

/// A sentence, and what to type next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub hint: Option<String>,
}

/// A run in progress.
pub struct Run {
    commands: mpsc::UnboundedSender<coordinator::Command>,
    task: tokio::task::JoinHandle<()>,
}

/// Connects and begins. `happenings` hears everything; a slow listener slows nothing.
pub fn start(inputs: Inputs, happenings: mpsc::UnboundedSender<Happening>) -> Run {
    let (commands, receiver) = mpsc::unbounded_channel();
    let task = tokio::spawn(coordinator::Coordinator::new(inputs, happenings, receiver).run());
    Run { commands, task }
}

/// A handle that cancels from elsewhere (a signal).
#[derive(Clone)]
pub struct Canceller(mpsc::UnboundedSender<coordinator::Command>);

impl Canceller {
    pub fn cancel(&self) {
        // A run that is over needs no cancel.
        let _ = self.0.send(coordinator::Command::Cancel);
    }
}

impl Run {
    pub fn canceller(&self) -> Canceller {
        Canceller(self.commands.clone())
    }

    /// Every host's result, once all are through with what they were told.
    pub async fn finished(&self) -> BTreeMap<Arc<str>, HostResult> {
        let (answer, answered) = oneshot::channel();
        if self.commands.send(coordinator::Command::Finished(answer)).is_err() {
            return BTreeMap::new();
        }
        answered.await.unwrap_or_default()
    }

    /// After a plan: every host does what it planned.
    pub fn apply(&self) {
        let _ = self.commands.send(coordinator::Command::Apply);
    }

    /// Ends all sessions.
    pub async fn end(self) {
        let _ = self.commands.send(coordinator::Command::End);
        let _ = self.task.await;
    }
}
