//! Packages that the provider needs on this workstation: a play of ours on localhost, planned, applied, journalled and told as any
//! other.

use std::time::Instant;

use super::Exit;
use super::begin::Checked;
use crate::playbook::again::Again;
use crate::playbook::compile::{Options as CompileOptions, compile};
use crate::project::{Options, Project};
use crate::report::{self, Format, Story};
use crate::run::prepare::{Prepared, prepare};
use crate::run::session::Session;
use crate::up::{self, Audience, Planned};
use crate::vm::{Environment, Package, preflight};

/// Below the built-in layout: build.rs puts src/vm/workstation.yaml there.
const FOLDER: &str = "workstation";
const PLAY: &str = "play.yaml";

/// The play, planned; its session waits for the word.
pub struct Workstation {
    environment: Environment,
    packages: Vec<String>,
    session: Session,
    planned: Planned,
    story: Story,
}

impl Workstation {
    /// Plans it: reads, as root.
    pub async fn plan(
        checked: &Checked,
        environment: &Environment,
        packages: &[Package],
        format: Format,
        audience: &mut impl Audience,
    ) -> Result<Self, Exit> {
        let packages: Vec<String> = packages.iter().map(|package| package.name.clone()).collect();
        let prepared = prepared(checked, &packages)?;
        let mut story = Story::new(format, 0).brief();
        story.begin(&prepared);
        let (session, planned) = up::plan(prepared.inputs, prepared.sources, None, audience).await;
        story.planned(&planned.hosts);
        Ok(Self { environment: environment.clone(), packages, session, planned, story })
    }

    /// The plan's lines. `as_data`: on stdout, for `provision plan`.
    pub fn tell(&self, format: Format, as_data: bool) {
        report::plan::items(format, &self.planned, &mut |line| report::planned(as_data, line));
    }

    /// Ends the session without an apply.
    pub async fn end(self) {
        self.session.end().await;
    }

    /// Does it, in the session that planned it.
    pub async fn apply(mut self, format: Format) -> Result<(), Exit> {
        let begun = Instant::now();
        if !self.planned.is_good() {
            self.end().await;
            report::error("nothing was changed: the packages of this workstation cannot be installed", Some("mend what the plan shows"));
            return Err(Exit::Failed);
        }
        let before = preflight::installed();
        // Written ahead: what a run that is killed now has installed is named too.
        self.note(self.packages.clone())?;
        self.session.apply();
        let story = &mut self.story;
        let results = self.session.finished(&mut |happening| story.tell(happening)).await;
        self.story.recap(&results);
        self.note(preflight::installed().difference(&before).cloned())?;
        let names = self.packages.join(", ");
        self.session.end().await;
        match Exit::of(&results) {
            Exit::Success => {}
            exit => {
                report::error(
                    &format!("install {names} on this workstation"),
                    Some(&format!("run `sudo apt-get install {}` and see what it says", names.replace(',', ""))),
                );
                return Err(exit);
            }
        }
        report::live::clear();
        if format == Format::Json {
            self.packages.iter().for_each(|package| report::data(&report::entry::package_installed(package).to_string()));
        } else {
            report::line(&format!("  ✔ {:<10} {:<44} {:>6.1} s", "packages", format!("{names} installed"), begun.elapsed().as_secs_f64()));
        }
        Ok(())
    }

    fn note(&self, packages: impl IntoIterator<Item = String>) -> Result<(), Exit> {
        preflight::note(&self.environment, packages).map_err(|error| {
            report::error(&format!("{error:#}"), Some("see to it that you may write beside provision.yaml, and that there is room"));
            Exit::Error
        })
    }
}

/// The play for localhost, with nothing of the user's settings but the password for become.
fn prepared(checked: &Checked, packages: &[String]) -> Result<Prepared, Exit> {
    let built_in = super::built_in::folder()?;
    let folder = built_in.join(FOLDER);
    let options = Options {
        inventory: vec!["localhost,".to_owned()],
        playbooks: vec![PLAY.to_owned()],
        extra_vars: vec![serde_json::json!({ "workstation_packages": packages }).to_string()],
        built_in: Some(built_in),
        ..Options::default()
    };
    let (mut project, _) = Project::load(&folder, &options, &mut |_| None);
    let files = vec![folder.join(PLAY)];
    let settings = CompileOptions { forks: 1, ..CompileOptions::default() };
    let compiled = compile(&mut project, &files, &settings);
    if report::mistakes(&project.files) {
        return Err(Exit::Error);
    }
    let again = Again::new(project, files, settings);
    prepare(&checked.name, &checked.folder, compiled, checked.become_password.clone(), 1, again, Vec::new(), None).map_err(|error| {
        report::error(&format!("{error:#}"), None);
        Exit::Error
    })
}
