//! What the commands on machines share: the environment of the current folder, and how to reach its nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Exit;
use crate::playbook::compile::{Options as CompileOptions, compile};
use crate::playbook::connection::Connection;
use crate::project::{Options, Project};
use crate::report;
use crate::run::reach::{self, Reached};
use crate::ssh::target::Route;
use crate::ssh::{HostKeyPolicy, Request, Surroundings, Target};
use crate::vm::{Container, Environment, Existing, Machines, NodeStatus, Options as MachineOptions, Provider, ProviderKind, providers};

/// Which environment
#[derive(Clone, Debug, Default, Args)]
pub struct Folder {
    /// The folder of provision.yaml
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// An environment with machines of its own.
pub struct Ours {
    pub machines: Machines,
    pub environment: Environment,
    pub options: MachineOptions,
}

impl Folder {
    /// The folder itself, absolute and without links: all that commands on a cluster that is there need.
    pub fn path(&self) -> PathBuf {
        let path = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        path.canonicalize().unwrap_or(path)
    }

    /// Reads the folder; the error was told.
    pub fn open(&self) -> Result<(Ours, Project), Exit> {
        if !self.folder.is_dir() {
            report::error(&format!("there is no folder `{}`", self.folder.display()), Some("name the folder that provision.yaml lies in"));
            return Err(Exit::Usage);
        }
        let built_in = Some(super::built_in::folder()?);
        let options = Options { cwd: self.folder.clone(), environment: std::env::vars().collect(), built_in, ..Options::default() };
        let (mut project, _) = Project::load(&self.folder, &options, &mut |what: &str| report::ask_secret(what));
        if report::mistakes(&project.files) {
            return Err(Exit::Mistakes);
        }
        let Some(machines) = &project.machines else {
            report::error(
                "this folder has no machines of its own",
                Some("name a file of them: `machines: vms/dev.yaml` in provision.yaml (`provision init` writes both)"),
            );
            return Err(Exit::Error);
        };
        let mut ours = Ours::new(&project.environment.name, &self.folder, machines)?;
        if machines.iter().any(|machine| machine.provider == ProviderKind::Existing) {
            let connections = connections(&mut project);
            ours.ask(&connections);
        }
        Ok((ours, project))
    }
}

/// How the inventory says that each of its hosts is reached.
pub fn connections(project: &mut Project) -> BTreeMap<Arc<str>, Connection> {
    // Variables may stand beside a playbook.
    let playbooks: Vec<PathBuf> = project.environment.playbooks.iter().map(|part| part.path.clone()).collect();
    compile(project, &playbooks, &CompileOptions::default()).connections
}

/// Tells an error of a provider.
pub fn told(error: &crate::vm::Error) -> Exit {
    report::error(&error.to_string(), error.hint.as_deref());
    Exit::Error
}

impl Ours {
    pub fn new(name: &str, folder: &Path, machines: &Machines) -> Result<Self, Exit> {
        let environment = Environment::new(name, folder).map_err(|error| told(&error))?;
        let options = MachineOptions::new().map_err(|error| {
            report::error(&format!("find this program's own file: {error}"), None);
            Exit::Error
        })?;
        Ok(Self { machines: machines.clone(), environment, options })
    }

    /// Notes where existing hosts answer; whoever is reached through another host is not asked.
    pub fn ask(&mut self, connections: &BTreeMap<Arc<str>, Connection>) {
        let surroundings = Surroundings::current();
        for machine in self.machines.iter().filter(|machine| machine.provider == ProviderKind::Existing) {
            let target =
                connections.get(machine.name.as_str()).map(|connection| Target::resolve(&reach::request(connection), &surroundings));
            if let Some(Ok(Target { route: Route::Direct, port, .. })) = target {
                self.options.asked.insert(machine.name.clone(), SocketAddr::from((machine.address, port)));
            }
        }
    }

    /// The machines of the file that are nobody's to make or remove.
    pub fn existing(&self) -> Existing {
        Existing::new(&self.machines, &self.options.asked)
    }

    /// Our containers.
    pub fn container(&self) -> Container {
        Container::new(self.environment.clone(), &self.machines, self.options.clone())
    }

    /// How to reach the nodes that are there.
    pub fn reached(&self) -> Vec<Reached> {
        let there = self.status().into_iter().filter(|node| node.in_file);
        there
            .filter_map(|node| {
                let made = node.made?;
                Some(Reached {
                    name: node.name.as_str().into(),
                    address: node.address.to_string(),
                    port: 22,
                    user: "root".to_owned(),
                    key: Some(self.environment.key()),
                    host_key: Some(made.host_key),
                })
            })
            .collect()
    }

    pub fn providers(&self) -> Vec<Box<dyn Provider>> {
        providers(&self.environment, &self.machines, &self.options)
    }

    /// What is there now.
    pub fn status(&self) -> Vec<NodeStatus> {
        self.providers().iter().flat_map(|provider| provider.status()).collect()
    }

    /// How to log in to a node: the environment's key, the host key that the node was given before its first boot.
    pub fn request(&self, name: &str) -> Option<Request> {
        let status = self.status().into_iter().find(|status| status.name.as_str() == name)?;
        let made = status.made?;
        let key = made.host_key.parse().ok()?;
        Some(Request {
            name: name.to_owned(),
            host: Some(status.address.to_string()),
            port: Some(22),
            user: Some("root".to_owned()),
            private_key: Some(self.environment.key()),
            pinned: Some(HostKeyPolicy::Pinned(vec![key])),
            ..Request::default()
        })
    }
}
