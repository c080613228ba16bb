//! `provision plan`: what `up` would do, and nothing of it.

use clap::Args;

use super::Exit;
use super::artifacts::Lacking;
use super::begin::check;
use super::shared::Selection;
use super::workstation::Workstation;
use crate::report::{self, Format};
use crate::run::Happening;
use crate::up::{self, Audience, Planned};

/// Say what `up` would do, and change nothing
///
/// `~` is a change, `?` may become one (because of what is known only after another step), `!` fails, `=` was run because
/// it reads.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    selection: Selection,
    /// One line of JSON for each entry, on stdout
    #[arg(long)]
    json: bool,
    /// Exit with 0 only if it is proven that nothing would change, 2 if something would or may, 1 on failure
    #[arg(long)]
    detailed_exitcode: bool,
}

impl Plan {
    pub async fn run(self) -> Exit {
        self.steps().await.unwrap_or_else(|exit| exit)
    }

    async fn steps(self) -> Result<Exit, Exit> {
        let checked = check(&self.selection, &[]).await?;
        let mut reader = Reader { format: Format::of(self.json) };
        let name = checked.name.clone();
        let machines = checked.ours()?.map(super::machines::Ours::plan).transpose()?;
        if let Some(machines) = machines.as_ref().filter(|machines| !machines.packages().is_empty()) {
            machines.tell_packages(reader.format, true);
            // To look at packages takes root too: where that would be asked for, the names must do.
            if super::root::is_ready(machines.container()) {
                let workstation =
                    Workstation::plan(&checked, machines.environment(), machines.packages(), reader.format, &mut reader).await?;
                workstation.tell(reader.format, true);
                workstation.end().await;
            }
        }
        super::built_in::tell(reader.format, &checked.project.environment, true);
        let lacking = Lacking::of(&checked.store, &checked.needed()).await?;
        lacking.tell(reader.format, true);
        if let Some(machines) = &machines {
            machines.tell(reader.format, &checked.compiled, checked.delivery().as_ref(), true);
            if !machines.is_unchanged() {
                // Hosts that do not run yet cannot be planned: their facts are known after boot.
                return Ok(if self.detailed_exitcode { Exit::Changes } else { Exit::Success });
            }
        }
        let reached = machines.map(|machines| machines.reached()).unwrap_or_default();
        let delivery = checked.delivery();
        let prepared = checked.prepared(reached)?;
        let (session, planned) = up::plan(prepared.inputs, prepared.sources, delivery.as_ref(), &mut reader).await;
        session.end().await;
        report::plan::told(reader.format, &name, &planned, &mut |line| report::data(line));
        Ok(self.exit(&planned, lacking.is_empty()))
    }

    fn exit(&self, planned: &Planned, complete: bool) -> Exit {
        match Exit::of_plan(&planned.hosts) {
            // 2 is taken: it says that something would change.
            Exit::Failed if self.detailed_exitcode => Exit::Error,
            Exit::Success if !planned.is_good() => Exit::Error,
            Exit::Success if self.detailed_exitcode && !(planned.proves_no_change() && complete) => Exit::Changes,
            exit => exit,
        }
    }
}

/// Only reads: says who is waited for.
struct Reader {
    format: Format,
}

impl Audience for Reader {
    fn planning(&mut self, happening: &Happening) {
        report::plan::planning(self.format, happening);
    }

    fn planned(&mut self, _: &Planned) {}

    async fn confirm(&mut self, _: &Planned) -> bool {
        false
    }

    fn applying(&mut self, _: &Happening) {}

    fn delivering(&mut self, _: crate::delivery::Step) {}
}
