//! `provision ssh` and `provision ssh-config`: a shell on a node, and the same for other tools.

use clap::Args;

use super::Exit;
use super::machines::{Folder, Ours, connections};
use crate::playbook::connection::ConnectionKind;
use crate::project::Project;
use crate::report;
use crate::run::reach;
use crate::ssh::{Connector, Keyring, Patience, Request, Surroundings, Target};
use crate::vm::ProviderKind;

/// Open a shell on a node, or run a command there; the exit status is the command's (255: ours)
#[derive(Debug, Args)]
pub struct Ssh {
    /// The node
    #[arg(value_name = "NODE")]
    node: String,
    /// The command, after --
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    folder: Folder,
}

/// Print sections for ~/.ssh/config, so that ssh, scp and editors reach the nodes too
#[derive(Debug, Args)]
pub struct SshConfig {
    #[command(flatten)]
    folder: Folder,
}

/// ssh's own failures.
const OURS: u8 = 255;

impl Ssh {
    pub async fn run(self) -> u8 {
        let Ok((ours, mut project)) = self.folder.open() else { return OURS };
        // Whom we did not make is reached as the inventory says.
        let Some(request) = ours.request(&self.node).or_else(|| listed(&mut project, &ours, &self.node)) else {
            let names: Vec<String> = project.inventory.hosts.keys().map(ToString::to_string).collect();
            let hint = match crate::source::suggest(&self.node, names.iter().map(String::as_str)) {
                Some(near) if near != self.node => format!("did you mean `{near}`?"),
                _ => "run `provision up` to make it, `provision status` to see what is there".to_owned(),
            };
            report::error(&format!("there is no node `{}`", self.node), Some(&hint));
            return OURS;
        };
        let entered = async {
            let target = Target::resolve(&request, &Surroundings::current())?;
            let connection = Connector::new(Keyring::new(super::person::person())).connect(&target, Patience::USUAL).await?;
            super::ssh::ssh(&connection, &self.command).await
        };
        match entered.await {
            Ok(status) => status,
            Err(error) => {
                report::error(&error.to_string(), error.hint.as_deref());
                OURS
            }
        }
    }
}

/// A host of the inventory that is no container of ours.
fn listed(project: &mut Project, ours: &Ours, name: &str) -> Option<Request> {
    let container = ours.machines.get(name).is_some_and(|machine| machine.provider == ProviderKind::Container);
    if container || !project.inventory.hosts.contains_key(name) {
        return None;
    }
    let connection = connections(project).remove(name)?;
    (connection.kind == ConnectionKind::Ssh).then(|| reach::request(&connection))
}

impl SshConfig {
    pub fn run(self) -> Exit {
        let (ours, mut project) = match self.folder.open() {
            Ok(opened) => opened,
            Err(exit) => return exit,
        };
        let surroundings = Surroundings::current();
        let mut known = String::new();
        let mut targets = Vec::new();
        for machine in &ours.machines {
            let name = machine.name.as_str();
            let Some(request) = ours.request(name).or_else(|| listed(&mut project, &ours, name)) else { continue };
            match Target::resolve(&request, &surroundings) {
                Ok(target) => {
                    known.push_str(&super::ssh::known_hosts_line(&target));
                    targets.push(target);
                }
                Err(error) => {
                    report::error(&error.to_string(), error.hint.as_deref());
                    return Exit::Error;
                }
            }
        }
        if targets.is_empty() {
            report::error(&format!("no machine of {} is there", ours.environment.name), Some("run `provision up` to make them"));
            return Exit::Error;
        }
        let file = ours.environment.known_hosts();
        if let Err(error) = std::fs::write(&file, known) {
            report::error(&format!("write {}: {error}", file.display()), None);
            return Exit::Error;
        }
        for target in &targets {
            report::data(super::ssh::ssh_config(target, Some(&file)).trim_end());
        }
        Exit::Success
    }
}
