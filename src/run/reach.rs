//! Agents over SSH, or beside us on this machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use super::connect::{Boxed, Connect, ConnectError, Stream};
use crate::playbook::connection::{Connection, ConnectionKind};
use crate::ssh::{self, AgentBinaries, AgentStart, Connector, Link, Patience, Surroundings, Target};

/// How each host is reached, as it is known now.
pub type Connections = Arc<RwLock<BTreeMap<Arc<str>, Connection>>>;

/// A node that we made: what it was given before its first boot.
#[derive(Clone, Debug)]
pub struct Reached {
    pub name: Arc<str>,
    pub address: String,
    pub port: u16,
    pub user: String,
    pub key: Option<std::path::PathBuf>,
    /// One OpenSSH line.
    pub host_key: Option<String>,
}

impl Reached {
    /// Fills in what the inventory does not say.
    pub fn complete(
        self,
        connections: &mut BTreeMap<Arc<str>, Connection>,
        pinned: &mut BTreeMap<Arc<str>, ssh::HostKeyPolicy>,
    ) -> anyhow::Result<()> {
        let connection = connections
            .entry(Arc::clone(&self.name))
            .or_insert_with(|| Connection { name: Arc::clone(&self.name), ..Connection::default() });
        connection.address.get_or_insert(self.address);
        connection.port.get_or_insert(self.port);
        connection.user.get_or_insert(self.user);
        if connection.private_key.is_none() {
            connection.private_key = self.key;
        }
        if let Some(line) = self.host_key {
            let key = line.parse().map_err(|error| anyhow::anyhow!("read the host key of {}: {error}", self.name))?;
            pinned.insert(self.name, ssh::HostKeyPolicy::Pinned(vec![key]));
        }
        Ok(())
    }
}

/// Starts agents as the inventory says.
pub struct Reach {
    /// Hosts may be added in mid-run.
    pub connections: Connections,
    pub connector: Connector,
    pub surroundings: Surroundings,
    pub agents: AgentBinaries,
    pub patience: Patience,
    /// Keys of the machines that we made, by host.
    pub pinned: BTreeMap<Arc<str>, ssh::HostKeyPolicy>,
    /// Where each host that was reached has the agent.
    pub placed: Mutex<BTreeMap<Arc<str>, Placed>>,
}

/// A connection for the SSH client; no host key is pinned.
pub fn request(connection: &Connection) -> ssh::Request {
    ssh::Request {
        name: connection.name.to_string(),
        host: connection.address.clone(),
        port: connection.port,
        user: connection.user.clone(),
        private_key: connection.private_key.clone(),
        password: connection.password.clone(),
        arguments: connection.ssh_arguments.clone(),
        host_key_checking: connection.host_key_checking,
        pinned: None,
        timeout: connection.timeout,
    }
}

/// The agent's file on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub folder: String,
    /// Its SHA-256.
    pub name: String,
}

impl Reach {
    /// Where a host has the agent; `None` where none was started there.
    pub fn placed(&self, host: &str) -> Option<Placed> {
        self.placed.lock().ok()?.get(host).cloned()
    }

    /// Runs a program on a host, below the login user, and gives its output.
    pub async fn run(&self, host: &str, words: &[String]) -> Result<ssh::Output, ConnectError> {
        let link = match self.link(host, self.patience).await? {
            Some(link) => link,
            None => Link::Local,
        };
        let process = link.start(words).await.map_err(|error| failure(&error))?;
        process.finish(&[]).await.map_err(|error| failure(&error))
    }

    async fn reach(&self, host: &str, first: &[u8], patience: Patience) -> Result<Stream, ConnectError> {
        let Some(link) = self.link(host, patience).await? else { return local_agent(first).await };
        let start = AgentStart { arguments: &["agent", "run"], first };
        let started = ssh::bootstrap(&link, &self.agents, &start).await.map_err(|error| failure(&error))?;
        if let Some(agent) = self.agents.iter().find(|agent| agent.architecture == started.machine)
            && let Ok(mut placed) = self.placed.lock()
        {
            placed.insert(host.into(), Placed { folder: started.folder.clone(), name: agent.digest.to_string() });
        }
        let (reader, writer, ending) = started.transport.split();
        Ok(Stream { input: Box::new(writer), output: Box::new(reader), is_here: false, keeper: Box::new((link, ending)) })
    }

    /// A way to a host; `None`: it is this machine.
    async fn link(&self, host: &str, patience: Patience) -> Result<Option<Link>, ConnectError> {
        let connection = self.connections.read().ok().and_then(|connections| connections.get(host).cloned());
        let local = connection.as_ref().map_or(host == "localhost", |connection| connection.kind == ConnectionKind::Local);
        if local {
            return Ok(None);
        }
        let fallback = Connection { name: host.into(), ..Connection::default() };
        let connection = connection.unwrap_or(fallback);
        let request = ssh::Request { pinned: self.pinned.get(host).cloned(), ..request(&connection) };
        let target = Target::resolve(&request, &self.surroundings).map_err(|error| failure(&error))?;
        Link::connect(&self.connector, &target, patience).await.map(Some).map_err(|error| failure(&error))
    }
}

impl Connect for Reach {
    fn connect<'a>(&'a self, host: &'a str, first: &'a [u8]) -> Boxed<'a, Result<Stream, ConnectError>> {
        Box::pin(self.reach(host, first, self.patience))
    }

    fn connect_within<'a>(&'a self, host: &'a str, first: &'a [u8], limit: Duration) -> Boxed<'a, Result<Stream, ConnectError>> {
        Box::pin(self.reach(host, first, Patience::up_to(limit.max(self.patience.limit))))
    }

    fn try_once<'a>(&'a self, host: &'a str, first: &'a [u8]) -> Boxed<'a, Result<Stream, ConnectError>> {
        Box::pin(self.reach(host, first, Patience::NONE))
    }

    fn stand_in<'a>(&'a self, first: &'a [u8]) -> Boxed<'a, Result<Stream, ConnectError>> {
        Box::pin(local_agent(first))
    }
}

fn failure(error: &ssh::Error) -> ConnectError {
    ConnectError { message: error.to_string(), hint: error.hint.clone(), may_pass: error.may_pass() }
}

/// The agent inside of this very program, as a child: `localhost` needs no copy of it.
async fn local_agent(first: &[u8]) -> Result<Stream, ConnectError> {
    use tokio::io::AsyncWriteExt;
    let failed = |error: &dyn std::fmt::Display| ConnectError {
        message: format!("start the agent on this machine: {error}"),
        ..ConnectError::default()
    };
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut child = tokio::process::Command::new(program)
        .args(["agent", "run"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        // Its own group: a terminal's Ctrl-C goes to us, and we tell it.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&error))?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { return Err(failed(&"it has no pipes")) };
    stdin.write_all(first).await.map_err(|error| failed(&error))?;
    Ok(Stream { input: Box::new(stdin), output: Box::new(stdout), is_here: true, keeper: Box::new(child) })
}
