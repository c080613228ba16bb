//! `provision playbook`: run Ansible playbooks on hosts that are there.

use std::path::PathBuf;

use clap::Args;

use super::Exit;
use super::artifacts::Lacking;
use super::begin::{Checked, check};
use super::shared::Selection;
use crate::playbook::list::{Lists, list};
use crate::report::{self, Format, Story};
use crate::run::prepare::Prepared;
use crate::run::session::Session;

/// Run playbooks on hosts that are there
#[derive(Debug, Args)]
pub struct Playbook {
    /// Playbooks, in order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    selection: Selection,
    /// One line of JSON for each event, on stdout
    #[arg(long)]
    json: bool,
    /// Only look for mistakes
    #[arg(long)]
    syntax_check: bool,
    /// List the tasks that would run
    #[arg(long)]
    list_tasks: bool,
    /// List all tags
    #[arg(long)]
    list_tags: bool,
    /// List the hosts of each play
    #[arg(long)]
    list_hosts: bool,
    /// As with Ansible; facts are kept for one run only, so there is nothing to clear
    #[arg(long)]
    flush_cache: bool,
}

impl Playbook {
    pub async fn run(self) -> Exit {
        let mut checked = match check(&self.selection, &self.files).await {
            Ok(checked) => checked,
            Err(exit) => return exit,
        };
        if self.syntax_check {
            return Exit::Success;
        }
        let lists = Lists { hosts: self.list_hosts, tasks: self.list_tasks, tags: self.list_tags };
        if lists != Lists::default() {
            let names: Vec<(PathBuf, String)> = checked.playbooks.iter().cloned().zip(checked.written.iter().cloned()).collect();
            report::data(list(&checked.compiled, &names, &checked.options.settings, lists).trim_end());
            return Exit::Success;
        }
        if let Err(exit) = checked.ask(&self.selection) {
            return exit;
        }
        if self.flush_cache && self.selection.verbose > 0 {
            report::line("--flush-cache: nothing to clear, facts are kept for one run only");
        }
        if let Err(exit) = fetched(&mut checked, Format::of(self.json)).await {
            return exit;
        }
        let reached = match checked.ours() {
            Ok(ours) => ours.map(|ours| ours.reached()).unwrap_or_default(),
            Err(exit) => return exit,
        };
        match checked.prepared(reached) {
            Ok(prepared) => drive(prepared, Story::new(Format::of(self.json), self.selection.verbose)).await,
            Err(exit) => exit,
        }
    }
}

/// Gets the artifacts that the playbooks name.
async fn fetched(checked: &mut Checked, format: Format) -> Result<(), Exit> {
    let lacking = Lacking::of(&checked.store, &checked.needed()).await?;
    if lacking.is_empty() {
        return Ok(());
    }
    lacking.tell(format, false);
    lacking.fetch(&checked.store, format).await?;
    checked.again().await
}

/// Runs to the end, telling the story; Ctrl-C ends what goes on and is told.
async fn drive(prepared: Prepared, mut story: Story) -> Exit {
    story.begin(&prepared);
    let mut session = Session::begin(prepared.inputs);
    let results = session.finished(&mut |happening| story.tell(happening)).await;
    session.end().await;
    story.recap(&results);
    Exit::of(&results)
}
