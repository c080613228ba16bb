//! `provision destroy`: remove machines and all that belongs to them.

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;

use clap::Args;

use super::Exit;
use super::machines::{Folder, Ours, told};
use crate::cluster::{OwnVolume, kubeconfig};
use crate::project::Project;
use crate::report::{self, entry};
use crate::run::prepare::journal_key_path;
use crate::vm::{Environment, NodeName, Nodes, Provider, ProviderKind, State, preflight};

/// Remove machines, their disks and their network; downloads and images stay cached
#[derive(Debug, Args)]
pub struct Destroy {
    /// Only these machines
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Tell what goes, and at the end what is gone, as JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folder: Folder,
}

impl Destroy {
    pub async fn run(self) -> Exit {
        let (ours, project) = match self.folder.open() {
            Ok(opened) => opened,
            Err(exit) => return exit,
        };
        let provider = ours.container();
        let there: Vec<_> = provider.status().into_iter().filter(|node| node.state != State::Absent).collect();
        let containers = ours.machines.of(ProviderKind::Container);
        let mut named = Vec::new();
        for name in &self.nodes {
            match NodeName::try_from(name.as_str()) {
                Ok(known) if there.iter().any(|node| node.name == known) || containers.get(name).is_some() => named.push(known),
                Ok(known) if ours.machines.get(known.as_str()).is_some() => {
                    let hint = "take it out of the machines file, and it is no part of this environment any more";
                    report::error(&format!("{known} was there before (`provider: existing`): it is not ours to destroy"), Some(hint));
                    return Exit::Usage;
                }
                _ => {
                    let names = there.iter().map(|node| &node.name).chain(containers.iter().map(|machine| &machine.name));
                    let hint = crate::source::suggest(name, names.map(NodeName::as_str))
                        .map_or_else(|| "`provision status` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
                    report::error(&format!("there is no machine `{name}` in {}", ours.environment.name), Some(&hint));
                    return Exit::Usage;
                }
            }
        }
        let all = named.is_empty();
        let going: Vec<&str> = there.iter().filter(|node| all || named.contains(&node.name)).map(|node| node.name.as_str()).collect();
        let nodes = if all { Nodes::All } else { Nodes::Named(named) };
        if going.is_empty() {
            // What a dead run may have left (a network without nodes) goes without a question: nobody uses it.
            if let Err(error) = provider.destroy(&nodes) {
                return told(&error);
            }
            report::line(&format!("Nothing of {} is on this machine.", ours.environment.name));
            if all {
                forget(&ours, &project);
                name_packages(&ours.environment);
            }
            return Exit::Success;
        }
        if let Err(exit) = super::root::ready(&provider, "Removing machines") {
            return exit;
        }
        let size = provider.disk_usage(&nodes).unwrap_or_default();
        let what = if all { " their disks and network" } else { " their disks" };
        let kubeconfig = kubeconfig::path(&ours.environment.folder);
        let volumes = super::retire::volumes(&kubeconfig, &going).await;
        report::line(&format!("  - {},{what} ({:.1} MB)", going.join(", "), size as f64 / 1e6));
        if let Some(line) = super::retire::lost(&going, volumes.as_deref()) {
            report::line(&format!("    {line}"));
        }
        if self.json {
            tell_plan(&going, volumes.as_deref());
        }
        if !self.yes && !confirmed(&format!("Destroy {}? [y/N] ", ours.environment.name)) {
            report::error("not confirmed: nothing was changed", Some("answer y, or give --yes where nobody can answer"));
            return Exit::NotConfirmed;
        }
        let begun = std::time::Instant::now();
        if !all {
            super::retire::retire(&kubeconfig, going.iter().copied()).await;
        }
        if let Err(error) = provider.destroy(&nodes) {
            return told(&error);
        }
        if all {
            forget(&ours, &project);
        }
        let rest = if all { format!(" Nothing of {} is left on this machine.", ours.environment.name) } else { String::new() };
        report::line(&format!("Gone in {:.1} s.{rest}", begun.elapsed().as_secs_f64()));
        if self.json {
            let machines = going.iter().map(|name| entry::machine_changed(name, "removed"));
            machines.chain(volumes.iter().flatten().map(entry::volume_gone)).for_each(|line| report::data(&line.to_string()));
        }
        if all {
            name_packages(&ours.environment);
        }
        Exit::Success
    }
}

/// The same as JSON lines.
fn tell_plan(going: &[&str], volumes: Option<&[OwnVolume]>) {
    going.iter().for_each(|name| report::data(&entry::machine_removed(name).to_string()));
    entry::volumes(volumes).iter().for_each(|line| report::data(&line.to_string()));
}

/// Removes what we know of machines that are gone. A cluster on existing hosts stays, and so does the way to it; the key of the
/// journals stays as long as there are hosts with journals.
fn forget(ours: &Ours, project: &Project) {
    let containers = ours.machines.of(ProviderKind::Container);
    let is_gone = |host: &Arc<str>| containers.get(host).is_some();
    let folder = &ours.environment.folder;
    if project.inventory.select_all(["control_plane"]).hosts.first().is_none_or(is_gone) {
        let _ = std::fs::remove_file(kubeconfig::path(folder));
    }
    if project.inventory.hosts.keys().all(|host| is_gone(host) || **host == *"localhost") {
        let _ = std::fs::remove_file(journal_key_path(folder));
    }
    let _ = std::fs::remove_file(ours.environment.known_hosts());
    ours.environment.leave_folder();
}

/// What `up` had to install here stays: somebody else may use it by now.
fn name_packages(environment: &Environment) {
    let packages: Vec<String> = preflight::noted(environment).into_iter().collect();
    if !packages.is_empty() {
        report::line(&format!("Left on this workstation, installed for it by `up`: {}.", packages.join(", ")));
        report::line(&format!("hint: `sudo apt-get remove {}` removes them", packages.join(" ")));
    }
    preflight::forget(environment);
}

/// Asks on the terminal; without one the answer is no.
fn confirmed(question: &str) -> bool {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return false;
    }
    report::ask(question);
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
