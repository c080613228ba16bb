//! `provision plan`: what `up` would do, and nothing of it.

use clap::Args;

use super::Exit;
use super::begin::check;
use super::foundations::Foundations;
use super::shared::Selection;
use crate::report::{self, Format};
use crate::run::Happening;
use crate::up::{self, Audience, Foundations as _, Planned};

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
        let detailed = self.detailed_exitcode;
        match Box::pin(self.steps()).await.unwrap_or_else(|exit| exit) {
            exit @ (Exit::Success | Exit::Changes | Exit::Interrupted) => exit,
            // Three answers are asked for; 2 is taken, it says that something would change.
            _ if detailed => Exit::Error,
            exit => exit,
        }
    }

    async fn steps(self) -> Result<Exit, Exit> {
        let mut checked = check(&self.selection, &[]).await?;
        checked.ask(&self.selection)?;
        let mut reader = Reader { format: Format::of(self.json) };
        let name = checked.name.clone();
        let mut foundations = Foundations { checked, format: reader.format, as_data: true };
        let wanted = foundations.plan(&mut reader).await?;
        let (complete, run) = (wanted.lacking.is_empty(), wanted.machines_run());
        let reached = wanted.machines.as_ref().map(super::making::Planned::reached).unwrap_or_default();
        foundations.leave(wanted).await;
        if !run {
            // Hosts that do not run yet cannot be planned: their facts are known after boot.
            return Ok(if self.detailed_exitcode { Exit::Changes } else { Exit::Success });
        }
        let checked = foundations.checked;
        let delivery = checked.delivery();
        let prepared = checked.prepared(reached)?;
        let (session, planned) = up::plan(prepared.inputs, prepared.sources, delivery.as_ref(), &mut reader).await;
        session.end().await;
        report::plan::told(reader.format, &name, &planned, &mut |line| report::data(line));
        Ok(self.exit(&planned, complete))
    }

    fn exit(&self, planned: &Planned, complete: bool) -> Exit {
        match Exit::of_plan(&planned.hosts) {
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

    async fn confirm(&mut self) -> bool {
        false
    }

    fn applying(&mut self, _: &Happening) {}

    fn delivering(&mut self, _: crate::delivery::Step) {}
}
