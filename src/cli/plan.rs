//! `provision plan`: what `up` would do, and nothing of it.

use clap::Args;

use super::Exit;
use super::begin::check;
use super::shared::Selection;
use crate::report::{self, Format};
use crate::run::Happening;
use crate::run::plan::Plan as Planned;
use crate::up::{self, Audience};

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
        let checked = match check(&self.selection, &[]) {
            Ok(checked) => checked,
            Err(exit) => return exit,
        };
        let mut reader = Reader { format: Format::of(self.json) };
        let name = checked.name.clone();
        let machines = match checked.ours().and_then(|ours| ours.map(|ours| ours.plan()).transpose()) {
            Ok(machines) => machines,
            Err(exit) => return exit,
        };
        if let Some(machines) = &machines {
            machines.tell(reader.format, &checked.compiled, true);
            if !machines.is_unchanged() {
                // Hosts that do not run yet cannot be planned: their facts are known after boot.
                return if self.detailed_exitcode { Exit::Changes } else { Exit::Success };
            }
        }
        let reached = machines.map(|machines| machines.reached()).unwrap_or_default();
        let prepared = match checked.prepared(reached) {
            Ok(prepared) => prepared,
            Err(exit) => return exit,
        };
        let (session, plan) = up::plan(prepared.inputs, &mut reader).await;
        session.end().await;
        match reader.format {
            Format::Json => report::plan::json(&plan),
            Format::Text => report::plan::text(&name, &plan).iter().for_each(|line| report::data(line)),
        }
        self.exit(&plan)
    }

    fn exit(&self, plan: &Planned) -> Exit {
        match Exit::of_plan(plan) {
            // 2 is taken: it says that something would change.
            Exit::Failed if self.detailed_exitcode => Exit::Error,
            Exit::Success if self.detailed_exitcode && !plan.proves_no_change() => Exit::Changes,
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
}
