//! From compiled playbooks to a run's inputs: connections, contents, keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::reach::{Connections, Reach, Reached};
use super::{Contents, HostVariables, Inputs, Recompile};
use crate::agent::frame::{FoundFiles, Missed, RunIdentity, RunMode};
use crate::playbook::again::Again;
use crate::playbook::compile::{Compiled, PlaySummary, Variables};
use crate::playbook::file::Content;
use crate::program::{Bytes, Map, Value};
use crate::ssh::{AgentBinaries, Ask, Connector, Keyring, Patience, Surroundings};

/// A run that may begin.
pub struct Prepared {
    pub inputs: Inputs,
    /// The way to every host, for what is no play.
    pub reach: Arc<Reach>,
    pub plays: Vec<PlaySummary>,
    /// File names by [`crate::program::Span::file`].
    pub sources: Vec<Arc<str>>,
}

/// `folder` is where `.provision/` lies; `ask` asks the person for passphrases of keys.
#[expect(clippy::too_many_arguments, reason = "each is another part of a run")]
pub fn prepare(
    environment: &str,
    folder: &Path,
    compiled: Compiled,
    become_password: Option<Value>,
    forks: usize,
    again: Again,
    reached: Vec<Reached>,
    ask: Option<Ask>,
) -> Result<Prepared> {
    let sources = compiled.programs.values().next().map(|program| program.sources.clone()).unwrap_or_default();
    let contents = contents(&compiled);
    let needs_agent = compiled.connections.values().any(|connection| connection.kind != crate::playbook::connection::ConnectionKind::Local);
    let agents = match AgentBinaries::find() {
        Ok(agents) => agents,
        Err(error) if needs_agent => {
            return Err(anyhow::anyhow!("{error}{}", error.hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default()));
        }
        Err(_) => AgentBinaries::none(),
    };
    let become_passwords = become_passwords(&compiled);
    let mut known = compiled.connections.clone();
    let mut pinned = BTreeMap::new();
    for node in reached.clone() {
        node.complete(&mut known, &mut pinned)?;
    }
    let connections: Connections = Arc::new(RwLock::new(known));
    let reach = Arc::new(Reach {
        connections: Arc::clone(&connections),
        connector: Connector::new(Keyring::new(ask.clone())),
        surroundings: Surroundings::current(),
        agents,
        patience: Patience::USUAL,
        pinned,
        placed: std::sync::Mutex::default(),
    });
    let inputs = Inputs {
        contents,
        destinations: compiled.destinations.into(),
        passwords: compiled.passwords.into(),
        namings: compiled.namings.into(),
        of_controller: Arc::new(compiled.of_controller),
        connector: Arc::clone(&reach) as _,
        mode: RunMode::Apply,
        environment: environment.into(),
        identity: identity(),
        journal_key: journal_key(folder)?,
        become_password,
        become_passwords,
        ask,
        forks,
        inventory: inventory(compiled.variables),
        recompile: Some(Box::new(Anew { again, connections, reached })),
        programs: compiled.programs.into_iter().collect(),
    };
    Ok(Prepared { inputs, reach, plays: compiled.plays, sources })
}

/// Compiles anew; hosts that are new can be reached then.
struct Anew {
    again: Again,
    connections: Connections,
    /// Nodes that we made: no source of the inventory says how they are reached.
    reached: Vec<Reached>,
}

impl Recompile for Anew {
    fn add_host(&mut self, name: &str, groups: &[Arc<str>], variables: &Map) -> bool {
        self.again.add_host(name, groups, variables)
    }

    fn group_by(&mut self, host: &str, group: &str, parents: &[Arc<str>]) -> bool {
        self.again.group_by(host, group, parents)
    }

    fn refresh(&mut self) -> Result<(), String> {
        self.again.refresh()
    }

    fn restart(&mut self) {
        self.again.restart();
    }

    fn forget(&mut self, paths: &BTreeSet<Arc<str>>) {
        self.again.forget(paths);
    }

    fn read(&mut self, wanted: &Missed) -> Result<(FoundFiles, HashMap<Arc<str>, Contents>), String> {
        let (files, vars, contents) = self.again.read(&wanted.files, &wanted.vars)?;
        Ok((FoundFiles { files, vars }, contents_of(&contents)))
    }

    fn again(&mut self) -> Result<super::Again, String> {
        let compiled = self.again.compile()?;
        let (become_passwords, contents) = (become_passwords(&compiled), contents(&compiled));
        let mut known = compiled.connections;
        for node in self.reached.clone() {
            node.complete(&mut known, &mut BTreeMap::new()).map_err(|error| format!("{error:#}"))?;
        }
        if let Ok(mut connections) = self.connections.write() {
            *connections = known;
        }
        let (programs, inventory) = (compiled.programs.into_iter().collect(), inventory(compiled.variables));
        Ok(super::Again { programs, inventory, become_passwords, contents })
    }
}

fn contents(compiled: &Compiled) -> HashMap<Arc<str>, Contents> {
    contents_of(&compiled.contents)
}

fn contents_of(contents: &HashMap<Arc<str>, Content>) -> HashMap<Arc<str>, Contents> {
    let contents = contents.iter().map(|(digest, content)| {
        let contents = match content {
            Content::Path(path) => Contents::File(path.clone()),
            Content::Secret(bytes) => Contents::Memory(Bytes(Arc::clone(bytes))),
        };
        (Arc::clone(digest), contents)
    });
    contents.collect()
}

/// Of hosts that have one of their own.
fn become_passwords(compiled: &Compiled) -> BTreeMap<Arc<str>, Value> {
    let passwords = compiled.connections.iter().filter_map(|(name, connection)| {
        let password = connection.become_password.clone()?;
        Some((Arc::clone(name), Value::Text(password.with_secrecy(true))))
    });
    passwords.collect()
}

fn inventory(variables: BTreeMap<Arc<str>, Variables>) -> BTreeMap<Arc<str>, HostVariables> {
    let of_host = |variables: Variables| HostVariables { in_folders: variables.in_folders, magic: variables.magic };
    variables.into_iter().map(|(host, variables)| (host, of_host(variables))).collect()
}

/// Who runs: for the one who comes second.
fn identity() -> RunIdentity {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| format!("uid {}", nix::unistd::getuid()));
    let machine = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    RunIdentity {
        id: format!("{machine}-{}-{since}", std::process::id()).into(),
        who: format!("{user}@{machine}, process {}", std::process::id()).into(),
        since,
    }
}

/// Where the key of the journals' digests lies.
pub fn journal_key_path(folder: &Path) -> PathBuf {
    folder.join(".provision").join("journal.key")
}

/// 32 random bytes, made once.
fn journal_key(folder: &Path) -> Result<Bytes> {
    let path = journal_key_path(folder);
    if let Ok(key) = fs::read(&path)
        && key.len() == 32
    {
        return Ok(Bytes(key.into()));
    }
    let mut key = [0; 32];
    fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).context("read /dev/urandom")?;
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("write {}", path.display()))?;
    file.write_all(&key).with_context(|| format!("write {}", path.display()))?;
    give_to_owner(folder, parent)?;
    give_to_owner(folder, &path)?;
    Ok(Bytes(key.as_slice().into()))
}

/// Nothing in a user's folder ends up root's.
fn give_to_owner(folder: &Path, path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let owner = fs::metadata(folder).with_context(|| format!("read {}", folder.display()))?;
    if nix::unistd::geteuid().is_root() && owner.uid() != 0 {
        std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
            .with_context(|| format!("give {} to its folder's owner", path.display()))?;
    }
    Ok(())
}
