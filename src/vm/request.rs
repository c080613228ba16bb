//! What is asked of root, as data, and the doing of it.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::Outcome;
use super::environment::{Environment, Names};
use super::error::Error;
use super::host::{self, Record};
use super::image::{self, Image};
use super::machines::NodeName;
use super::node::{self, Config};
use super::process::run;
use super::{overlap, state};

/// One piece of work for root.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Nothing but to be root.
    Become,
    BuildImage(Image),
    /// Remove the images that no node lies on.
    CleanImages,
    /// How much the disks of nodes take.
    Measure {
        names: Names,
        nodes: Vec<NodeName>,
    },
    /// Make network and nodes and start their supervisors; does not wait for sshd.
    Ensure {
        record: Record,
        nodes: Vec<Config>,
    },
    /// Shut nodes down in order.
    Stop {
        names: Names,
        nodes: Vec<NodeName>,
    },
    /// Remove nodes; with `all` the environment too.
    Destroy {
        environment: Environment,
        nodes: Vec<NodeName>,
        all: bool,
    },
}

/// What root answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Done,
    /// What was removed.
    Cleaned(Vec<String>),
    /// Bytes on this machine's disk.
    Measured(u64),
    /// For each node of the request, in its order.
    Ensured(Vec<(Config, Outcome)>),
}

impl Request {
    /// A lowercase phrase for errors.
    pub fn sentence(&self) -> String {
        let list = |nodes: &[NodeName]| nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::Become => String::new(),
            Self::BuildImage(image) => format!("building the base image {}", image.name),
            Self::CleanImages => "removing cached base images".to_owned(),
            Self::Measure { nodes, .. } => format!("measuring the disks of {}", list(nodes)),
            Self::Ensure { nodes, .. } => format!("starting {}", list(&nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>())),
            Self::Stop { nodes, .. } => format!("stopping {}", list(nodes)),
            Self::Destroy { environment, all: true, .. } => format!("destroying {}", environment.name),
            Self::Destroy { nodes, .. } => format!("destroying {}", list(nodes)),
        }
    }

    /// Do it. The caller is root.
    pub fn perform(&self) -> Result<Answer, Error> {
        let done = |result: Result<()>| result.map(|()| Answer::Done);
        let result = match self {
            Self::Become => return Ok(Answer::Done),
            Self::BuildImage(image) => return image.build().map(|()| Answer::Done),
            Self::CleanImages => image::clean().map(Answer::Cleaned),
            Self::Measure { names, nodes } => measure(names, nodes).map(Answer::Measured),
            Self::Ensure { record, nodes } => ensure(record, nodes),
            Self::Stop { names, nodes } => done(stop(names, nodes)),
            Self::Destroy { environment, nodes, all } => done(destroy(environment, nodes, *all)),
        };
        result.map_err(|error| Error::from(error.context(self.sentence())))
    }
}

fn ensure(record: &Record, nodes: &[Config]) -> Result<Answer> {
    let names = record.environment.names();
    {
        let _lock = host::lock()?;
        overlap::check(&names, &record.networks)?;
        let former = Record::read(&names);
        std::fs::create_dir_all(names.data_folder().join("nodes")).with_context(|| format!("making {}", names.data_folder().display()))?;
        if former.as_ref() != Some(record) {
            state::write(&Record::path(&names), record)?;
        }
        host::ensure(&names, &record.networks)?;
    }
    let ensured = each(nodes, |wanted| {
        let (config, outcome) = match Config::read(&names, &wanted.name) {
            None => (node::make(wanted.clone(), &record.hosts, &record.authorized_key)?, Outcome::Made),
            Some(present) => adopt(present, wanted, record)?,
        };
        Ok((config, outcome))
    })?;
    supervise(&ensured.iter().map(|(config, _)| config).filter(|config| !config.supervised()).collect::<Vec<_>>())?;
    Ok(Answer::Ensured(ensured))
}

fn adopt(present: Config, wanted: &Config, record: &Record) -> Result<(Config, Outcome)> {
    node::refresh(&present, &record.hosts, &record.authorized_key)?;
    let config = Config { host_key: present.host_key.clone(), ..wanted.clone() };
    let mut outcome = if present.init().is_some() { Outcome::Running } else { Outcome::Started };
    if config != present {
        config.write()?;
        if outcome == Outcome::Running {
            let limits = config.group()?.create(config.cpus, config.memory)?;
            if let Some(running) = config.running() {
                config.write_running(&node::Running { limits, ..running })?;
            }
            outcome = Outcome::Resized;
        }
    }
    Ok((config, outcome))
}

/// Start the supervisors of nodes, detached: each in a session of its own, with the node's log as its output.
fn supervise(configs: &[&Config]) -> Result<()> {
    if configs.is_empty() {
        return Ok(());
    }
    for config in configs {
        if let Some(folder) = config.log.parent() {
            config.owner.make_folder(folder)?;
        }
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(&config.log)
            .with_context(|| format!("opening {}", config.log.display()))?;
        config.owner.give(&config.log)?;
        // A record of the one before says nothing about the one to come.
        if config.init().is_none() {
            _ = std::fs::remove_file(config.folder().join("running.json"));
        }
    }
    let begun = Command::new("/proc/self/exe")
        .arg0("provision")
        .args(["supervise", "run"])
        .args(configs.iter().map(|config| config.path()))
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .context("starting the supervisors")?;
    if begun.status.success() { Ok(()) } else { bail!(String::from_utf8_lossy(&begun.stderr).trim().to_owned()) }
}

fn measure(names: &Names, nodes: &[NodeName]) -> Result<u64> {
    let folders = nodes.iter().map(|node| names.node_folder(node)).filter(|folder| folder.exists());
    folders
        .map(|folder| {
            // A running node makes and removes files meanwhile: du then says so and ends with 1.
            let text = run("sh", &["-c", "du -s --block-size=1 --one-file-system \"$0\" 2>&- || true", &folder.to_string_lossy()])?;
            let size = text.split_whitespace().next().unwrap_or_default();
            size.parse::<u64>().with_context(|| format!("measuring {}", folder.display()))
        })
        .sum()
}

fn stop(names: &Names, nodes: &[NodeName]) -> Result<()> {
    let configs: Vec<Config> = nodes.iter().filter_map(|name| Config::read(names, name)).collect();
    each(&configs, |config| {
        if let Some(supervisor) = config.supervisor() {
            supervisor.signal(Signal::SIGTERM);
            if !supervisor.wait_gone(STOP_LIMIT + Duration::from_secs(15)) {
                supervisor.signal(Signal::SIGKILL);
            }
        }
        node::shut_down(config, STOP_LIMIT)?;
        node::clear(config)
    })
    .map(drop)
}

/// How long an orderly shutdown may take; systemd in our base waits 5 s for what ignores SIGTERM.
pub const STOP_LIMIT: Duration = Duration::from_secs(20);

fn destroy(environment: &Environment, nodes: &[NodeName], all: bool) -> Result<()> {
    let names = environment.names();
    let lock = host::lock()?;
    let chosen = if all { host::nodes(&names) } else { nodes.to_vec() };
    let (configs, unfinished): (Vec<_>, Vec<_>) =
        chosen.into_iter().map(|name| Config::read(&names, &name).ok_or(name)).partition(Result::is_ok);
    _ = each(&configs.into_iter().flatten().collect::<Vec<_>>(), node::destroy)?;
    // Making it was cut off before its record was written: there is only a folder.
    for name in unfinished.into_iter().filter_map(Result::err) {
        state::remove_tree(&names.node_folder(&name))?;
    }
    if all {
        host::remove(&names)?;
        state::remove_tree(&names.data_folder())?;
        for folder in ["propagate", "unix-export", "locks", "."].map(|part| PathBuf::from("/run/systemd/nspawn").join(part)) {
            // Only when empty, and then of no use to anyone.
            _ = std::fs::remove_dir(folder);
        }
        host::forget(lock)?;
    }
    Ok(())
}

/// The same for each node, in parallel; results in order, or all errors in one.
fn each<T: Send>(configs: &[Config], work: impl Fn(&Config) -> Result<T> + Sync) -> Result<Vec<T>> {
    let results: Vec<Result<T>> = std::thread::scope(|scope| {
        let threads: Vec<_> = configs.iter().map(|config| scope.spawn(|| work(config))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))).collect()
    });
    let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let errors: Vec<String> = bad.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if errors.is_empty() { Ok(good.into_iter().flatten().collect()) } else { bail!(errors.join("; ")) }
}
