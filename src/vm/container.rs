//! Nodes as system containers of this workstation: a root file system, a network namespace, a real systemd and sshd each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cgroup::Limits;
use super::change::{self, Change};
use super::environment::{DATA_FOLDER, Environment, IMAGE_FOLDER, Names};
use super::error::{Error, Kind};
use super::host::{self, Record};
use super::image::Image;
use super::machines::{Machine, Machines, NodeName, ProviderKind};
use super::node::{Config, Running};
use super::preflight::{self, Package};
use super::privilege::Privilege;
use super::process::last_lines;
use super::request::{Answer, Request};
use super::state::{Owner, remove_tree};
use super::{Event, Made, Node, NodeStatus, Nodes, Outcome, Provider, State, keys, overlap, probe};

/// What a caller may choose beyond the machines file.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program whose hidden subcommand `supervise` is [`super::supervisor::main`]: this one.
    pub program: PathBuf,
    /// Packages to put into the base beside those it has; each set is an image of its own.
    pub packages: Vec<String>,
    /// From the start of a node to sshd's first byte.
    pub boot_limit: Duration,
    /// Where the sshd of an existing host is asked whether it answers; one that is reached through another host has no place.
    pub asked: BTreeMap<NodeName, SocketAddr>,
}

impl Options {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, packages: Vec::new(), boot_limit: Duration::from_mins(1), asked: BTreeMap::new() })
    }
}

/// Remove the cached images that no node lies on, `provision cache clean`; their ids.
pub fn clean_images(options: &Options) -> Result<Vec<String>, Error> {
    if !Path::new(IMAGE_FOLDER).exists() {
        return Ok(Vec::new());
    }
    match Privilege::new(options.program.clone()).ask(&Request::CleanImages)? {
        Answer::Cleaned(removed) => Ok(removed),
        _ => Ok(Vec::new()),
    }
}

/// The container nodes of one environment.
pub struct Container {
    environment: Environment,
    names: Names,
    machines: Machines,
    options: Options,
    privilege: Privilege,
}

impl Container {
    /// Takes from the file the machines with `provider: container`.
    pub fn new(environment: Environment, machines: &Machines, options: Options) -> Self {
        Self {
            names: environment.names(),
            environment,
            machines: machines.of(ProviderKind::Container),
            privilege: Privilege::new(options.program.clone()),
            options,
        }
    }

    /// Refuse networks that another environment or this machine has. Reads only, needs no root; `ensure` asks it too.
    pub fn check_networks(&self) -> Result<(), Error> {
        overlap::check(&self.names, self.machines.networks())
    }

    /// Whether what needs root can be done; an error of the kind [`Kind::Privilege`] where sudo does not give it.
    pub fn become_root(&self) -> Result<(), Error> {
        if self.privilege.root { Ok(()) } else { self.privilege.ask(&Request::Become).map(drop) }
    }

    /// What `ensure` would do, and what left the file; probed now, in `status`' order.
    pub fn changes(&self) -> Result<Vec<(NodeName, Change)>, Error> {
        let statuses = self.status();
        statuses
            .iter()
            .map(|status| {
                let machine = self.machines.get(status.name.as_str());
                let image = machine.map(|machine| self.image(machine)).transpose()?.map(|image| image.id());
                Ok((status.name.clone(), change::change(status, machine, &image.unwrap_or_default())))
            })
            .collect()
    }

    /// What `destroy` would free, in bytes.
    pub fn disk_usage(&self, nodes: &Nodes) -> Result<u64, Error> {
        let nodes = self.chosen(nodes);
        match self.privilege.ask(&Request::Measure { names: self.names.clone(), nodes })? {
            Answer::Measured(bytes) => Ok(bytes),
            _ => Ok(0),
        }
    }

    /// The image of a machine, with the packages of the options.
    pub fn image(&self, machine: &Machine) -> Result<Image, Error> {
        let extra: Vec<&str> = self.options.packages.iter().map(String::as_str).collect();
        Image::named(&machine.image).map(|image| image.with_packages(&extra)).ok_or_else(|| {
            Error::new(Kind::Image, format!("finding the image `{}` of {}", machine.image, machine.name))
                .hint(format!("known: {}", Image::NAMES.join(", ")))
        })
    }

    /// Lines of /etc/hosts for every machine of the file.
    fn hosts(&self) -> String {
        let lines: Vec<String> = self.machines.iter().map(|machine| format!("{} {}\n", machine.address, machine.name)).collect();
        lines.concat()
    }

    fn config(&self, machine: &Machine, owner: Owner) -> Result<Config, Error> {
        let image = self.image(machine)?;
        let network = machine.network.ok_or_else(|| Error::new(Kind::Machine, format!("finding the network of {}", machine.name)))?;
        Ok(Config {
            names: self.names.clone(),
            name: machine.name.clone(),
            address: machine.address,
            network,
            cpus: machine.cpus,
            memory: machine.memory.0,
            image: image.id(),
            image_folder: image.folder(),
            host_key: String::new(),
            log: self.environment.log(&machine.name),
            owner,
        })
    }

    /// An address or image cannot change below a node that has a cluster's data on it.
    fn refuse_changed(&self, wanted: &[Config]) -> Result<(), Error> {
        for want in wanted {
            let Some(made) = Config::read(&self.names, &want.name) else {
                continue;
            };
            let change = |what: &str, was: &dyn std::fmt::Display, is: &dyn std::fmt::Display| {
                Err(Error::new(Kind::Changed, format!("keeping {}", want.name))
                    .because(format!("its {what} was {was} and is {is} in the machines file"))
                    .hint(format!("run `provision destroy {}` first: it is made anew then", want.name)))
            };
            if made.address != want.address {
                return change("address", &made.address, &want.address);
            }
            if made.image != want.image {
                return change("image", &made.image, &want.image);
            }
        }
        Ok(())
    }

    fn build_images(&self, on: &(dyn Fn(Event) + Sync)) -> Result<(), Error> {
        let mut images: Vec<Image> = Vec::new();
        for machine in &self.machines {
            let image = self.image(machine)?;
            if !images.contains(&image) && !image.is_built() {
                images.push(image);
            }
        }
        for image in images {
            let begun = Instant::now();
            on(Event::ImageBuilding { image: image.name.clone() });
            self.privilege.ask(&Request::BuildImage(image.clone()))?;
            on(Event::ImageReady { image: image.name, took: begun.elapsed() });
        }
        Ok(())
    }

    /// Everything runs as it should: then nobody needs root. The masquerade alone cannot be seen without root.
    fn all_is_well(&self, record: &Record, wanted: &[Config]) -> Option<Vec<(Config, Outcome)>> {
        if self.privilege.root || Record::read(&self.names).as_ref() != Some(record) || !host::is_up(&self.names, &record.networks) {
            return None;
        }
        wanted
            .iter()
            .map(|want| {
                let made = Config::read(&self.names, &want.name)?;
                let same = made == Config { host_key: made.host_key.clone(), ..want.clone() };
                (same && made.init().is_some() && made.supervised()).then_some((made, Outcome::Running))
            })
            .collect()
    }

    /// Wait until sshd of a node answers; a supervisor that gave up ends the wait at once.
    fn await_ready(&self, config: Config, outcome: Outcome, begun: Instant) -> Result<Node, Error> {
        let address = SocketAddr::from((config.address, 22));
        let mut patience = ATTEMPT;
        loop {
            let asked = Instant::now();
            let answer = probe::ssh(address, patience);
            // Each connection costs the node an sshd: on a machine that is slow for a while, short attempts would be all that it does.
            if matches!(answer, probe::Answer::NoSsh(_)) && asked.elapsed() >= patience {
                patience = (patience * 2).min(LONGEST_ATTEMPT);
            }
            if answer == probe::Answer::Ssh {
                let limits = config.running().map_or_else(|| Limits::none("the node's supervisor has no record"), |running| running.limits);
                return Ok(Node {
                    name: config.name,
                    address: config.address,
                    port: 22,
                    user: "root".to_owned(),
                    key: Some(self.environment.key()),
                    host_key: Some(config.host_key),
                    limits,
                    outcome,
                    took: begun.elapsed(),
                });
            }
            let failed = |cause: String| {
                let log = std::fs::read(&config.log).unwrap_or_default();
                Error::new(Kind::Boot, format!("booting {}", config.name))
                    .because(cause)
                    .because(format!("its log ends:\n{}", last_lines(&String::from_utf8_lossy(&log), 12)))
                    .hint(format!("see {}, then run `provision up` again", config.log.display()))
            };
            if !config.supervised() {
                let why = config.running().and_then(|running| running.failure);
                return Err(failed(why.unwrap_or_else(|| "its supervisor ended".to_owned())));
            }
            if begun.elapsed() > self.options.boot_limit {
                let (probe::Answer::NoSsh(why) | probe::Answer::Nothing(why)) = answer else {
                    continue;
                };
                return Err(failed(format!("sshd at {} did not answer within {:.0?}: {why}", config.address, self.options.boot_limit)));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// State of one node that may or may not be in the file; `limit` bounds the probe.
    fn node_status(&self, name: &NodeName, machine: Option<&Machine>, limit: Duration) -> Option<NodeStatus> {
        let made = Config::read(&self.names, name);
        let address = made.as_ref().map(|made| made.address).or(machine.map(|machine| machine.address))?;
        let (state, reason) = made.as_ref().map_or((State::Absent, None), |made| live_state(made, limit));
        Some(NodeStatus {
            name: name.clone(),
            address,
            state,
            reason,
            in_file: machine.is_some(),
            made: made.map(|made| Made {
                address: made.address,
                cpus: made.cpus,
                memory: made.memory,
                image: made.image,
                host_key: made.host_key,
            }),
        })
    }
}

/// How long after its start a node that does not answer yet counts as booting.
const BOOTING: Duration = Duration::from_secs(20);

fn live_state(made: &Config, limit: Duration) -> (State, Option<String>) {
    let running = made.running();
    if made.init().is_none() {
        return match running.and_then(|running| running.failure) {
            _ if made.supervised() => (State::Booting, None),
            failure => (State::Stopped, failure),
        };
    }
    let young = |running: &Running| std::time::UNIX_EPOCH + Duration::from_secs(running.started) + BOOTING > std::time::SystemTime::now();
    match probe::ssh(SocketAddr::from((made.address, 22)), limit) {
        probe::Answer::Ssh => (State::Ready, None),
        probe::Answer::NoSsh(why) | probe::Answer::Nothing(why) if running.as_ref().is_some_and(young) => (State::Booting, Some(why)),
        probe::Answer::NoSsh(why) => (State::NotReady, Some(why)),
        probe::Answer::Nothing(why) => (State::Unreachable, Some(why)),
    }
}

impl Provider for Container {
    fn preflight(&self) -> Vec<Package> {
        if self.machines.iter().next().is_none() { Vec::new() } else { preflight::missing() }
    }

    fn ensure(&self, on: &(dyn Fn(Event) + Sync)) -> Result<Vec<Node>, Error> {
        if self.machines.iter().next().is_none() {
            return Ok(Vec::new());
        }
        self.check_networks()?;
        let owner = Owner::of(&self.environment.folder)?;
        let wanted = self.machines.iter().map(|machine| self.config(machine, owner)).collect::<Result<Vec<_>, _>>()?;
        self.refuse_changed(&wanted)?;
        self.build_images(on)?;
        // Building the base may take longer than a node has for its boot.
        let begun = Instant::now();
        let key = self.environment.key();
        owner.make_folder(&self.environment.state_folder().join("logs"))?;
        let authorized_key = keys::ensure(&key, &format!("provision {}", self.names.id))?;
        owner.give(&key)?;
        owner.give(&key.with_added_extension("pub"))?;
        let record = Record {
            environment: self.environment.clone(),
            networks: self.machines.networks().to_vec(),
            hosts: self.hosts(),
            authorized_key,
        };
        let ensured = match self.all_is_well(&record, &wanted) {
            Some(ensured) => ensured,
            None => match self.privilege.ask(&Request::Ensure { record, nodes: wanted })? {
                Answer::Ensured(ensured) => ensured,
                _ => Vec::new(),
            },
        };
        let results: Vec<Result<Node, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = ensured
                .into_iter()
                .map(|(config, outcome)| {
                    scope.spawn(move || {
                        if outcome != Outcome::Running {
                            on(Event::NodeStarting { name: config.name.clone() });
                        }
                        let node = self.await_ready(config, outcome, begun)?;
                        on(Event::NodeReady(node.clone()));
                        Ok(node)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread.join().unwrap_or_else(|_| Err(Error::new(Kind::Boot, "waiting for a node").because("a thread panicked")))
                })
                .collect()
        });
        all_or_every_error(results)
    }

    fn stop(&self, nodes: &Nodes) -> Result<(), Error> {
        let nodes = self.chosen(nodes);
        if nodes.is_empty() {
            return Ok(());
        }
        self.privilege.ask(&Request::Stop { names: self.names.clone(), nodes }).map(drop)
    }

    fn destroy(&self, nodes: &Nodes) -> Result<(), Error> {
        let all = *nodes == Nodes::All;
        if self.names.data_folder().exists() || (all && Path::new(DATA_FOLDER).exists()) {
            let request = Request::Destroy { environment: self.environment.clone(), nodes: self.chosen(nodes), all };
            self.privilege.ask(&request)?;
        }
        for node in self.chosen(nodes) {
            _ = std::fs::remove_file(self.environment.log(&node));
        }
        if all {
            remove_tree(&self.environment.state_folder().join("logs"))?;
            _ = std::fs::remove_file(self.environment.key());
            _ = std::fs::remove_file(self.environment.key().with_added_extension("pub"));
            self.environment.leave_folder();
        }
        Ok(())
    }

    fn status(&self) -> Vec<NodeStatus> {
        let mut nodes: Vec<(NodeName, Option<&Machine>)> =
            self.machines.iter().map(|machine| (machine.name.clone(), Some(machine))).collect();
        for name in host::nodes(&self.names) {
            if self.machines.get(name.as_str()).is_none() {
                nodes.push((name, None));
            }
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                nodes.iter().map(|(name, machine)| scope.spawn(move || self.node_status(name, *machine, PROBE_LIMIT))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
        })
    }
}

/// Leaves a second of the 3 s for all else.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

impl Container {
    /// The nodes meant, as far as they exist.
    fn chosen(&self, nodes: &Nodes) -> Vec<NodeName> {
        let present = host::nodes(&self.names);
        match nodes {
            Nodes::All => present,
            Nodes::Named(names) => names.iter().filter(|name| present.contains(name)).cloned().collect(),
        }
    }
}

fn all_or_every_error(results: Vec<Result<Node, Error>>) -> Result<Vec<Node>, Error> {
    let (nodes, errors): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let mut errors = errors.into_iter().filter_map(Result::err);
    match errors.next() {
        None => Ok(nodes.into_iter().flatten().collect()),
        Some(mut first) => {
            first.causes.extend(errors.map(|error| format!("and {error}")));
            Err(first)
        }
    }
}

/// One probe while a node boots: short, since the first packet to a link that is not up yet is lost,
/// and TCP sends it again only after a second.
const ATTEMPT: Duration = Duration::from_millis(60);

/// One probe of a node whose sshd took the connection and did not say a word so far.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(4);
