//! `provision up`: plan, ask, do it.

use std::time::Instant;

use clap::Args;

use super::Exit;
use super::begin::check;
use super::foundations::Foundations;
use super::shared::Selection;
use crate::delivery::{Delivery, Step, page};
use crate::project::Environment;
use crate::report::{self, Format, Story};
use crate::run::Happening;
use crate::run::prepare::Prepared;
use crate::run::session::Results;
use crate::up::{self, Audience, Ended, Outcome, Planned};

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
        Box::pin(self.steps()).await.unwrap_or_else(|exit| exit)
    }

    async fn steps(self) -> Result<Exit, Exit> {
        let begun = Instant::now();
        if self.selection.check {
            report::error(
                "`up` has no check mode: machines and releases could not take part in it",
                Some("run `provision plan`, or `provision playbook --check FILE…`"),
            );
            return Err(Exit::Usage);
        }
        let mut checked = check(&self.selection, &[]).await?; // every mistake of every file, at once
        checked.ask(&self.selection)?;
        let format = Format::of(self.json);
        let mut user = User {
            name: checked.name.clone(),
            format,
            yes: self.yes,
            story: Story::new(format, self.selection.verbose).brief(),
            built_in: Some(checked.project.environment.clone()),
            hosts: None,
        };
        let ended = Box::pin(up::up(Foundations { checked, format, as_data: false }, &mut user)).await?;
        Ok(user.end(ended, begun))
    }
}

/// Who sits before it, or `--yes`.
struct User {
    name: String,
    format: Format,
    yes: bool,
    story: Story,
    /// What may have parts that are built in, until they were told.
    built_in: Option<Environment>,
    /// When the hosts' apply began.
    hosts: Option<Instant>,
}

impl User {
    /// Says how it ended, and what to type next.
    fn end(&mut self, ended: Ended, begun: Instant) -> Exit {
        let Ended { outcome, machines, delivery } = ended;
        let delivery = delivery.as_ref();
        match outcome {
            Outcome::Unchanged => Exit::Success,
            Outcome::Refused(planned) => {
                report::error(
                    "nothing was changed: the plan does not end well",
                    Some(if planned.hosts.is_good() {
                        "mend what it shows of the release"
                    } else {
                        "mend what it shows, or leave hosts out with --limit"
                    }),
                );
                match Exit::of_plan(&planned.hosts) {
                    Exit::Success => Exit::Error,
                    exit => exit,
                }
            }
            Outcome::NotConfirmed => Exit::NotConfirmed,
            Outcome::Applied { results, delivered } => {
                if Exit::of(&results) == Exit::Success {
                    self.hosts_done();
                }
                self.story.recap(&results);
                match delivered {
                    Some(Err(failure)) => {
                        report::error(&failure.message, failure.hint.as_deref());
                        return Exit::Error;
                    }
                    Some(Ok(objects)) => self.summary(machines, objects, delivery, begun),
                    None if Exit::of(&results) == Exit::Success => self.summary(machines, 0, delivery, begun),
                    None => self.stopped(&results),
                }
                Exit::of(&results)
            }
            Outcome::Interrupted(results) => {
                self.story.recap(&results);
                report::error(
                    "interrupted while the cluster was waited for or its releases written",
                    Some("run `provision up` again: it completes what is there"),
                );
                Exit::Interrupted
            }
        }
    }

    /// Who stopped, and what to do.
    fn stopped(&self, results: &Results) {
        let of =
            |good: bool| -> Vec<&str> { results.iter().filter(|(_, result)| result.is_good() == good).map(|(name, _)| &**name).collect() };
        if self.format == Format::Text {
            report::line("");
            report::line(&report::failure::sentence(&of(false), &of(true)));
        }
    }

    fn summary(&self, machines: usize, objects: usize, delivery: Option<&Delivery>, begun: Instant) {
        let (elapsed, changes) = (begun.elapsed(), self.story.changes());
        let url = delivery.and_then(|delivery| page(&delivery.releases));
        let kubeconfig = delivery.map(|delivery| delivery.kubeconfig.display().to_string());
        if self.format == Format::Json {
            let line = serde_json::json!({
                "event": "done", "milliseconds": elapsed.as_millis() as u64, "machines": machines, "host_changes": changes, "objects": objects, "url": url, "kubeconfig": kubeconfig,
            });
            report::data(&line.to_string());
            return;
        }
        let counted = |count: usize, word: &str| format!("{count} {}", report::plan::many(count, word));
        let mut parts = vec![counted(changes, "host change")];
        if machines > 0 {
            parts.insert(0, counted(machines, "machine"));
        }
        if objects > 0 {
            parts.push(counted(objects, "object"));
        }
        report::line(&format!("Done in {}: {}.", duration(elapsed), parts.join(", ")));
        report::line("");
        if let Some(url) = url {
            report::line(&format!("  page        {url}"));
        }
        if let Some(kubeconfig) = kubeconfig {
            let here = std::env::current_dir().unwrap_or_default();
            let short = std::path::Path::new(&kubeconfig).strip_prefix(&here).map_or(kubeconfig.clone(), |path| path.display().to_string());
            report::line(&format!("  kubeconfig  {short:<30} (provision kubectl get nodes)"));
        }
        report::line("  again       provision up                   changes nothing");
        if machines > 0 {
            report::line("  gone        provision destroy");
        }
    }

    /// The hosts' layer is done, if it began.
    fn hosts_done(&mut self) {
        if let Some(begun) = self.hosts.take() {
            self.story.settle();
            let changes = self.story.changes();
            self.layer("hosts", &format!("{changes} {}", report::plan::many(changes, "change")), begun.elapsed());
        }
    }

    /// A layer is done.
    fn layer(&self, name: &str, what: &str, elapsed: std::time::Duration) {
        report::live::clear();
        if self.format == Format::Text {
            report::line(&format!("  ✔ {name:<10} {what:<44} {:>6.1} s", elapsed.as_secs_f64()));
        }
    }
}

/// `8.4 s`, `1 min 38 s`.
fn duration(elapsed: std::time::Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    if seconds < 60.0 { format!("{seconds:.1} s") } else { format!("{} min {} s", elapsed.as_secs() / 60, elapsed.as_secs() % 60) }
}

impl Audience for User {
    fn begins(&mut self, prepared: &Prepared) {
        self.story.begin(prepared);
    }

    fn planning(&mut self, happening: &Happening) {
        report::plan::planning(self.format, happening);
    }

    fn planned(&mut self, planned: &Planned) {
        if self.format == Format::Text
            && !planned.proves_no_change()
            && let Some(environment) = self.built_in.take()
        {
            super::built_in::tell(self.format, &environment, false);
        }
        report::plan::told(self.format, &self.name, planned, &mut |line| report::line(line));
        self.story.planned(&planned.hosts);
    }

    async fn confirm(&mut self) -> bool {
        self.built_in = None; // told with what is asked about
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
        self.hosts.get_or_insert_with(Instant::now);
        self.story.tell(happening);
    }

    fn delivering(&mut self, step: Step) {
        self.hosts_done();
        if self.format == Format::Json {
            report::data(&report::delivery::json(&step).to_string());
            return;
        }
        match step {
            Step::Waiting { condition, reason } if report::live::is_shown() => {
                report::live::show("cluster", &format!("{condition}: {reason}"));
            }
            Step::Waiting { condition, reason } => report::line(&format!("    {condition}: {reason}")),
            Step::Holds { condition, elapsed } => self.layer("cluster", &condition, elapsed),
            Step::Object { change, .. } => report::line(&format!("    {change}")),
            Step::Released { release, revision, changed, objects, elapsed } => {
                self.layer("release", &format!("{release} revision {revision}: {changed} of {objects} objects written"), elapsed);
            }
        }
    }
}
