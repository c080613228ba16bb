//! What hosts stand on, for [`up::up`]: packages of this workstation, artifacts in the cache, machines that answer.

use std::sync::Arc;

use super::artifacts::Lacking;
use super::begin::Checked;
use super::making::Planned;
use super::workstation::Workstation;
use super::{Exit, built_in, root};
use crate::report::Format;
use crate::up::{self, Audience, Standing};

/// A folder's foundations.
pub struct Foundations {
    pub checked: Checked,
    pub format: Format,
    /// The plan is what was asked for: it goes to stdout, and nobody is asked for root.
    pub as_data: bool,
}

/// What is to be done to them, told.
pub struct Wanted {
    pub lacking: Lacking,
    pub machines: Option<Planned>,
    workstation: Option<Workstation>,
}

impl Wanted {
    /// Machines that run as the file says.
    pub fn machines_run(&self) -> bool {
        self.machines.as_ref().is_none_or(Planned::is_unchanged)
    }
}

impl up::Wanted for Wanted {
    fn is_empty(&self) -> bool {
        self.lacking.is_empty() && self.machines_run()
    }

    fn fresh(&self) -> Vec<Arc<str>> {
        self.machines.as_ref().map(Planned::fresh).unwrap_or_default()
    }
}

impl Foundations {
    /// The play for packages that this workstation lacks. To look at packages takes root too: where a plan would have to ask for it,
    /// the names must do.
    async fn workstation(&self, machines: &Planned, audience: &mut impl Audience) -> Result<Option<Workstation>, Exit> {
        machines.tell_packages(self.format, self.as_data);
        if self.as_data && !root::is_ready(machines.container()) {
            return Ok(None);
        }
        root::ready(machines.container(), "Looking at the packages of this workstation")?;
        let planned = Workstation::plan(&self.checked, machines.environment(), machines.packages(), self.format, audience).await?;
        planned.tell(self.format, self.as_data);
        Ok(Some(planned))
    }
}

impl up::Foundations for Foundations {
    type Wanted = Wanted;
    type Stop = Exit;

    async fn plan(&mut self, audience: &mut impl Audience) -> Result<Wanted, Exit> {
        let lacking = Lacking::of(&self.checked.store, &self.checked.needed()).await?;
        let mut machines = self.checked.ours()?.map(super::machines::Ours::plan).transpose()?;
        if let Some((machines, delivery)) = machines.as_mut().zip(self.checked.delivery()) {
            machines.see_volumes(&delivery.kubeconfig).await;
        }
        let workstation = match machines.as_ref().filter(|machines| !machines.packages().is_empty()) {
            Some(machines) => self.workstation(machines, audience).await?,
            None => None,
        };
        let wanted = Wanted { lacking, machines, workstation };
        // A text that says `No changes` says nothing else.
        if self.as_data || self.format == Format::Json || !up::Wanted::is_empty(&wanted) {
            built_in::tell(self.format, &self.checked.project.environment, self.as_data);
        }
        wanted.lacking.tell(self.format, self.as_data);
        if let Some(machines) = &wanted.machines {
            machines.tell(self.format, &self.checked.compiled, self.checked.delivery().as_ref(), self.as_data);
        }
        Ok(wanted)
    }

    async fn leave(&mut self, wanted: Wanted) {
        if let Some(workstation) = wanted.workstation {
            workstation.end().await; // its session, without an apply
        }
    }

    async fn make(mut self, wanted: Wanted) -> Result<Standing, Exit> {
        let format = self.format;
        let (complete, run) = (wanted.lacking.is_empty(), wanted.machines_run());
        let Wanted { lacking, machines, workstation } = wanted;
        if let Some(machines) = machines.as_ref().filter(|_| !run) {
            root::ready(machines.container(), "Making machines")?;
        }
        if let Some(workstation) = workstation {
            workstation.apply(format).await?;
        }
        let delivery = self.checked.delivery();
        let make = async {
            let Some(machines) = machines else { return Ok(Vec::new()) };
            if let Some(delivery) = &delivery {
                machines.retire(delivery).await;
            }
            tokio::task::spawn_blocking(move || machines.make(format)).await.unwrap_or(Err(Exit::Error))
        };
        let fetch = async { if complete { Ok(()) } else { lacking.fetch(&self.checked.store, format).await } };
        let (reached, fetched) = tokio::join!(make, fetch);
        fetched?;
        let reached = reached?;
        if !complete {
            self.checked.again().await?; // programs name what the cache holds by now
        }
        let (machines, delivery) = (reached.len(), self.checked.delivery());
        Ok(Standing { prepared: self.checked.prepared(reached)?, delivery, machines })
    }
}
