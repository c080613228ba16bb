//! The machines' part of a plan, told and done.

use std::sync::Mutex;
use std::time::Instant;

use super::Exit;
use super::machines::{Ours, told};
use crate::delivery::Delivery;
use crate::playbook::compile::Compiled;
use crate::report::{self, Format};
use crate::run::reach::Reached;
use crate::vm::{Change, Container, Event, Nodes, Package, Provider};
use crate::vm::{NodeName, Outcome};

/// What is to be done to machines.
pub struct Planned {
    ours: Ours,
    container: Container,
    packages: Vec<Package>,
    changes: Vec<(NodeName, Change)>,
}

impl Ours {
    /// Compares the file with what is there; changes nothing.
    pub fn plan(self) -> Result<Planned, Exit> {
        let container = self.container();
        let packages = container.preflight();
        container.check_networks().map_err(|error| told(&error))?;
        let changes = container.changes().map_err(|error| told(&error))?;
        Ok(Planned { ours: self, container, packages, changes })
    }
}

impl Planned {
    pub fn is_unchanged(&self) -> bool {
        self.packages.is_empty() && self.changes.iter().all(|(_, change)| *change == Change::Keep)
    }

    pub fn reached(&self) -> Vec<Reached> {
        self.ours.reached()
    }

    /// The plan's lines: `+`, `~`, `-/+`, `-`. `as_data`: on stdout, for `provision plan`.
    pub fn tell(&self, format: Format, compiled: &Compiled, as_data: bool) {
        if format == Format::Json {
            for package in &self.packages {
                report::data(&serde_json::json!({"event": "plan", "layer": "workstation", "package": package.name}).to_string());
            }
            for (name, change) in &self.changes {
                report::data(
                    &serde_json::json!({"event": "plan", "layer": "machines", "machine": name.as_str(), "change": change}).to_string(),
                );
            }
            return;
        }
        let line = |text: &str| if as_data { report::data(text) } else { report::line(text) };
        if self.is_unchanged() {
            return;
        }
        for (index, package) in self.packages.iter().enumerate() {
            line(&format!(
                "  {:<12} + {} (a package of this workstation; destroy leaves it)",
                if index == 0 { "workstation" } else { "" },
                package.name
            ));
        }
        for (index, (name, change)) in self.changes.iter().enumerate() {
            let machine = self.ours.machines.iter().find(|machine| machine.name == *name);
            let what = machine
                .map_or_else(String::new, |machine| format!("{}  container, {} cpus, {}", machine.address, machine.cpus, machine.memory));
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
        let counts: Vec<String> =
            compiled.programs.iter().map(|(name, program)| format!("{} plays on {name}", program.plays.len())).collect();
        line(&format!("  {:<12} {}     (fresh machines: facts are known after boot)", "hosts", counts.join(", ")));
    }

    /// Takes nodes that go out of the cluster first: their pods move, their Node objects go. What does not succeed is told and
    /// left: the machines go in any case.
    pub async fn retire(&self, delivery: &Delivery) {
        let going =
            self.changes.iter().filter(|(_, change)| matches!(change, Change::Replace(_) | Change::Remove)).map(|(name, _)| name.as_str());
        super::retire::retire(&delivery.kubeconfig, going).await;
    }

    /// Does it, and answers how to reach the nodes.
    pub fn make(self, format: Format) -> Result<Vec<Reached>, Exit> {
        let begun = Instant::now();
        if self.is_unchanged() {
            return Ok(self.reached());
        }
        if !self.packages.is_empty() {
            report::line(&format!(
                "  installing {}",
                self.packages.iter().map(|package| package.name.clone()).collect::<Vec<_>>().join(", ")
            ));
            self.container.install(&self.packages).map_err(|error| told(&error))?;
        }
        let going =
            self.changes.iter().filter(|(_, change)| matches!(change, Change::Replace(_) | Change::Remove)).map(|(name, _)| name.clone());
        let going: Vec<NodeName> = going.collect();
        if !going.is_empty() {
            self.container.destroy(&Nodes::Named(going)).map_err(|error| told(&error))?;
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
            report::line(&format!("  ✔ machines   {} ready{:>40.1} s", nodes.len(), begun.elapsed().as_secs_f64()));
        }
        Ok(self.reached())
    }
}

fn tell(format: Format, event: &Event) {
    let (what, name) = match event {
        Event::ImageBuilding { image } => ("building the base image (once, about a minute)", image.clone()),
        Event::ImageReady { image, .. } => ("base image is there", image.clone()),
        Event::NodeStarting { name } => ("starting", name.as_str().to_owned()),
        Event::NodeReady(node) => (
            match node.outcome {
                Outcome::Running => "runs",
                Outcome::Resized => "resized",
                Outcome::Started => "started",
                Outcome::Made => "made",
            },
            node.name.as_str().to_owned(),
        ),
    };
    match format {
        Format::Json => report::data(&serde_json::json!({"event": "machine", "what": what, "name": name}).to_string()),
        Format::Text => report::line(&format!("    {name}: {what}")),
    }
}
