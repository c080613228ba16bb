//! The machines' part of a plan, told and done.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::Exit;
use super::machines::{Ours, told};
use crate::cluster::OwnVolume;
use crate::delivery::Delivery;
use crate::playbook::compile::Compiled;
use crate::report::{self, Format, entry};
use crate::run::reach::Reached;
use crate::vm::{Capacity, Change, Container, Environment, Event, Nodes, Package, Provider, ProviderKind};
use crate::vm::{NodeName, Outcome, cgroup};

/// Why nothing is said of what stands on the machines.
const LATER: &str = "known when the machines are as the file says";

/// What is to be done to machines.
pub struct Planned {
    ours: Ours,
    container: Container,
    packages: Vec<Package>,
    changes: Vec<(NodeName, Change)>,
    /// The claims whose volumes go with machines; `None`: nobody can say.
    lost: Option<Vec<OwnVolume>>,
}

impl Ours {
    /// Compares the file with what is there; changes nothing.
    pub fn plan(self) -> Result<Planned, Exit> {
        let container = self.container();
        let packages = container.preflight();
        container.check_networks().map_err(|error| told(&error))?;
        let changes = container.changes().map_err(|error| told(&error))?;
        Ok(Planned { ours: self, container, packages, changes, lost: Some(Vec::new()) })
    }
}

impl Planned {
    pub fn is_unchanged(&self) -> bool {
        self.packages.is_empty() && self.changes.iter().all(|(_, change)| *change == Change::Keep)
    }

    /// What this workstation lacks for them.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    pub fn environment(&self) -> &Environment {
        &self.ours.environment
    }

    pub fn container(&self) -> &Container {
        &self.container
    }

    pub fn reached(&self) -> Vec<Reached> {
        self.ours.reached()
    }

    /// Nodes that are not there yet or not any more: what was confirmed for them needs no second question.
    pub fn fresh(&self) -> Vec<Arc<str>> {
        let fresh = self.changes.iter().filter(|(_, change)| matches!(change, Change::Make | Change::Replace(_)));
        fresh.map(|(name, _)| name.as_str().into()).collect()
    }

    /// Nodes whose disks go.
    fn going(&self) -> Vec<&str> {
        let going = self.changes.iter().filter(|(_, change)| matches!(change, Change::Replace(_) | Change::Remove));
        going.map(|(name, _)| name.as_str()).collect()
    }

    /// Asks the cluster what would be lost with them.
    pub async fn see_volumes(&mut self, kubeconfig: &Path) {
        let going = self.going();
        if !going.is_empty() {
            self.lost = super::retire::volumes(kubeconfig, &going).await;
        }
    }

    /// What this workstation cannot hold nodes to, and cannot give them.
    fn notes(&self) -> Vec<String> {
        let starts = self.changes.iter().any(|(_, change)| !matches!(change, Change::Keep | Change::Remove));
        if !starts {
            return Vec::new();
        }
        let containers = self.ours.machines.iter().filter(|machine| machine.provider == ProviderKind::Container);
        let made = self.fresh().len() as u64;
        [cgroup::predicted().notes(), Capacity::read().notes(containers, made)].concat()
    }

    /// The plan's first lines: what is to be installed on this workstation.
    pub fn tell_packages(&self, format: Format, as_data: bool) {
        for (index, package) in self.packages.iter().enumerate() {
            let Package { name, purpose, .. } = package;
            if format == Format::Json {
                report::data(&entry::package(name).to_string());
                continue;
            }
            let head = if index == 0 { "workstation" } else { "" };
            let text = format!("  {head:<12} + {name:<22} a package: {purpose}; `destroy` leaves it");
            report::planned(as_data, &text);
        }
    }

    /// The plan's lines: `+`, `~`, `-/+`, `-`. `as_data`: on stdout, for `provision plan`.
    pub fn tell(&self, format: Format, compiled: &Compiled, delivery: Option<&Delivery>, as_data: bool) {
        if self.is_unchanged() {
            return;
        }
        let line = |text: &str| report::planned(as_data, text);
        let above = delivery.map(|delivery| delivery.unknown(LATER.to_owned()));
        if format == Format::Json {
            let machines = self.changes.iter().filter_map(|(name, change)| entry::machine(name.as_str(), change));
            let hosts = compiled.programs.iter().map(|(name, _)| entry::host_unknown(name, LATER));
            let above = above.iter().flat_map(report::delivery::plan_json);
            self.notes()
                .iter()
                .for_each(|note| report::data(&serde_json::json!({"event": "note", "layer": "machines", "note": note}).to_string()));
            machines
                .chain(entry::volumes(self.lost.as_deref()))
                .chain(hosts)
                .chain(above)
                .for_each(|entry| report::data(&entry.to_string()));
            return;
        }
        for (index, (name, change)) in self.changes.iter().enumerate() {
            let machine = self.ours.machines.iter().find(|machine| machine.name == *name);
            let what = machine.map_or_else(String::new, |machine| {
                format!(
                    "{}  container, {} {}, {}",
                    machine.address,
                    machine.cpus,
                    report::plan::many(machine.cpus as usize, "cpu"),
                    machine.memory
                )
            });
            let (sign, why) = match change {
                Change::Make => ("+", String::new()),
                Change::Start => ("~", "start".to_owned()),
                Change::Resize(differences) => ("~", differences.join(", ")),
                Change::Replace(differences) => ("-/+", differences.join(", ")),
                Change::Remove => ("-", "not in the file any more".to_owned()),
                Change::Keep => ("=", String::new()),
            };
            line(format!("  {:<12} {sign} {:<12} {what}  {why}", if index == 0 { "machines" } else { "" }, name.as_str()).trim_end());
        }
        super::retire::lost(&self.going(), self.lost.as_deref()).iter().for_each(|text| line(&format!("  {:<12} {text}", "")));
        self.notes().iter().for_each(|note| line(&format!("  {:<12} ({note})", "")));
        let counts: Vec<String> = compiled
            .programs
            .iter()
            .map(|(name, program)| format!("{} {} on {name}", program.plays.len(), report::plan::many(program.plays.len(), "play")))
            .collect();
        line(&format!("  {:<12} {}     (planned when the machines are as the file says)", "hosts", counts.join(", ")));
        above.iter().flat_map(report::delivery::plan_text).for_each(|text| line(&text));
    }

    /// Takes nodes that go out of the cluster first: their pods move, their Node objects go. What does not succeed is told and
    /// left: the machines go in any case.
    pub async fn retire(&self, delivery: &Delivery) {
        super::retire::retire(&delivery.kubeconfig, self.going().into_iter()).await;
    }

    /// Does it, and answers how to reach the nodes.
    pub fn make(self, format: Format) -> Result<Vec<Reached>, Exit> {
        let begun = Instant::now();
        if self.is_unchanged() {
            return Ok(self.reached());
        }
        // Who is to be there already is asked before anything is made.
        self.ours.existing().ensure(&|_| {}).map_err(|error| told(&error))?;
        let going: Vec<NodeName> = self.going().into_iter().filter_map(|name| NodeName::try_from(name).ok()).collect();
        if !going.is_empty() {
            self.container.destroy(&Nodes::Named(going)).map_err(|error| told(&error))?;
            if format == Format::Json {
                let removed = self.changes.iter().filter(|(_, change)| *change == Change::Remove);
                removed.for_each(|(name, _)| report::data(&entry::machine_changed(name.as_str(), "removed").to_string()));
                self.lost.iter().flatten().for_each(|volume| report::data(&entry::volume_gone(volume).to_string()));
            }
        }
        let told_of = Mutex::new(());
        let nodes = self
            .container
            .ensure(&|event| {
                let _one_at_a_time = told_of.lock();
                tell(format, &event);
            })
            .map_err(|error| told(&error))?;
        if format == Format::Text {
            report::live::clear();
            report::line(&format!("  ✔ machines   {} ready{:>40.1} s", nodes.len(), begun.elapsed().as_secs_f64()));
        }
        Ok(self.reached())
    }
}

fn tell(format: Format, event: &Event) {
    let (what, name) = match event {
        Event::ImageBuilding { image } => ("building the base image (once, about a minute)", image.as_str()),
        Event::ImageReady { image, .. } => ("base image is there", image.as_str()),
        Event::NodeStarting { name } => ("starting", name.as_str()),
        Event::NodeReady(node) => {
            let outcome = match node.outcome {
                Outcome::Running => "runs",
                Outcome::Resized => "resized",
                Outcome::Started => "started",
                Outcome::Made => "made",
            };
            if format == Format::Json && node.outcome != Outcome::Running {
                report::data(&entry::machine_changed(node.name.as_str(), outcome).to_string());
                return;
            }
            (outcome, node.name.as_str())
        }
    };
    match format {
        Format::Json => report::data(&serde_json::json!({"event": "machine", "what": what, "name": name}).to_string()),
        Format::Text if report::live::is_shown() => report::live::show("machines", &format!("{name}: {what}")),
        Format::Text => report::line(&format!("    {name}: {what}")),
    }
}
