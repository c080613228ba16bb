//! `provision up`: plan, ask, do it.

use clap::Args;

use super::Exit;
use super::begin::{Checked, check};
use super::shared::Selection;
use crate::report::{self, Format, Story};
use crate::run::Happening;
use crate::run::reach::Reached;
use crate::run::plan::Plan;
use crate::up::{self, Audience, Outcome};

/// Bring everything to what the folder says; a second time changes nothing
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    selection: Selection,
    /// Apply without asking
    #[arg(short, long)]
    yes: bool,
    /// One line of JSON for each entry of the plan and each event, on stdout
    #[arg(long)]
    json: bool,
}

impl Up {
    pub async fn run(self) -> Exit {
        let checked = match check(&self.selection, &[]) {
            Ok(checked) => checked,
            Err(exit) => return exit,
        };
        let format = Format::of(self.json);
        let mut user = User { name: checked.name.clone(), format, yes: self.yes, story: Story::new(format, self.selection.verbose) };
        let reached = match self.machines(&checked, &mut user).await {
            Ok(reached) => reached,
            Err(exit) => return exit,
        };
        let prepared = match checked.prepared(reached) {
            Ok(prepared) => prepared,
            Err(exit) => return exit,
        };
        user.story.begin(&prepared);
        let outcome = up::up(prepared, &mut user).await;
        match outcome {
            Outcome::Unchanged(_) => Exit::Success,
            Outcome::Refused(plan) => {
                report::error("nothing was changed: the plan does not end well", Some("mend what it shows, or leave hosts out with --limit"));
                Exit::of_plan(&plan)
            }
            Outcome::NotConfirmed(_) => Exit::NotConfirmed,
            Outcome::Applied(_, results) => {
                user.story.recap(&results);
                Exit::of(&results)
            }
        }
    }
}

impl Up {
    /// Brings the machines to life, after a question where there is anything to do: with it what follows on the fresh
    /// machines is confirmed too. Answers how to reach them.
    async fn machines(&self, checked: &Checked, user: &mut User) -> Result<Vec<Reached>, Exit> {
        let Some(ours) = checked.ours()? else { return Ok(Vec::new()) };
        let planned = ours.plan()?;
        if !planned.is_unchanged() {
            planned.tell(user.format, &checked.compiled, false);
            if !user.confirm().await {
                return Err(Exit::NotConfirmed);
            }
            user.yes = true;
        }
        let format = user.format;
        tokio::task::spawn_blocking(move || planned.make(format)).await.unwrap_or(Err(Exit::Error))
    }
}

/// Who sits before it, or `--yes`.
struct User {
    name: String,
    format: Format,
    yes: bool,
    story: Story,
}

impl Audience for User {
    fn planning(&mut self, happening: &Happening) {
        report::plan::planning(self.format, happening);
    }

    fn planned(&mut self, plan: &Plan) {
        match self.format {
            Format::Json => report::plan::json(plan),
            Format::Text => report::plan::text(&self.name, plan).iter().for_each(|line| report::line(line)),
        }
    }

    async fn confirm(&mut self) -> bool {
        if self.yes {
            return true;
        }
        let answer = report::confirm("Apply? [y/N] ").await;
        if answer.is_none() {
            report::error("not applied: there is no terminal to ask on", Some("give --yes"));
        }
        answer.unwrap_or(false)
    }

    fn applying(&mut self, happening: &Happening) {
        self.story.tell(happening);
    }
}
