//! What commands that work on hosts begin with: the folder, checked; programs for hosts; ways to reach them.

use std::path::PathBuf;

use super::Exit;
use super::machines::Ours;
use super::shared::Selection;
use crate::playbook::again::Again;
use crate::playbook::compile::{Compiled, Options, compile};
use crate::program::Value;
use crate::project::Project;
use crate::report;
use crate::run::prepare::{Prepared, prepare};
use crate::run::reach::Reached;

/// Everything read and checked, without a mistake; nothing touched.
pub struct Checked {
    pub folder: PathBuf,
    pub project: Project,
    pub playbooks: Vec<PathBuf>,
    /// As the command line named them.
    pub written: Vec<String>,
    pub options: Options,
    pub compiled: Compiled,
    /// The environment's name, or the folder's where playbooks are named on the command line.
    pub name: String,
    become_password: Option<Value>,
}

/// Reads and checks everything. Mistakes are shown.
pub fn check(selection: &Selection, playbooks: &[String]) -> Result<Checked, Exit> {
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let (mut project, _) = Project::load(&folder, &selection.project_options(playbooks), &mut |what: &str| report::ask_secret(what));
    let files: Vec<PathBuf> = project.environment.playbooks.iter().map(|part| part.path.clone()).collect();
    let options = selection.compile_options();
    let compiled = compile(&mut project, &files, &options);
    if report::mistakes(&project.files) {
        return Err(Exit::Mistakes);
    }
    if files.is_empty() && project.machines.is_none() {
        report::error("there is no playbook here", Some("write playbooks/site.yaml, or name one in provision.yaml"));
        return Err(Exit::Mistakes);
    }
    let name = if playbooks.is_empty() {
        project.environment.name.clone()
    } else {
        folder.file_name().map_or_else(|| "playbook".to_owned(), |name| name.to_string_lossy().into_owned())
    };
    let become_password = selection.become_password().map_err(|message| {
        report::error(&message, None);
        Exit::NotConfirmed
    })?;
    Ok(Checked { folder, project, playbooks: files, written: playbooks.to_vec(), options, compiled, name, become_password })
}

impl Checked {
    /// The machines that are ours, where the folder has any.
    pub fn ours(&self) -> Result<Option<Ours>, Exit> {
        match &self.project.machines {
            Some(machines) => Ours::new(&self.project.environment.name, &self.folder, machines).map(Some),
            None => Ok(None),
        }
    }

    /// A run that may begin; `reached` are the nodes that we made, by name.
    pub fn prepared(self, reached: Vec<Reached>) -> Result<Prepared, Exit> {
        let Self { folder, project, playbooks, options, compiled, name, become_password, .. } = self;
        let forks = options.forks;
        prepare(&name, &folder, compiled, become_password, forks, Again::new(project, playbooks, options), reached).map_err(|error| {
            report::error(&format!("{error:#}"), None);
            Exit::Error
        })
    }
}
