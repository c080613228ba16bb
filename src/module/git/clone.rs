//! A checkout that is not there yet.

use super::job::{Job, Refs, Step};
use super::place::Place;
use crate::module::file_arguments::{Draft, FileArguments};
use crate::module::Plan;
use crate::system::{Error, Result, System};

impl Job {
    pub fn clone_repository(mut self, system: &dyn System) -> Result<Plan> {
        let dest = self.place.dest.clone();
        let occupied = match system.metadata(&dest)? {
            Some(_) => system.list(&dest)?.is_none_or(|names| !names.is_empty()),
            None => false,
        };
        if occupied {
            let message = format!("fatal: destination path '{}' already exists and is not an empty directory.", self.place.shown());
            return Err(Error::failed(message).hint("name another `dest`, or take away what is there"));
        }
        let mut draft = Draft::new(system);
        if let Some(parent) = dest.parent() {
            draft.make_directories(parent, &FileArguments::none())?;
        }
        let parents = draft.actions.len();
        draft.make_directories(&dest, &FileArguments::none())?;
        let mut parts = draft.actions;
        self.affects(parts.split_off(parents));
        let step = self.list(format!("clone {} to {}, if it has {}", self.repo, self.place.shown(), self.module.version), &self.repo);
        Ok(self.stage(parts, vec![step], |mut job, said, _| {
            let refs = Refs::of(&said[0].stdout);
            let named = refs.branch(&job.module.version).or_else(|| refs.tag(&job.module.version)).is_some();
            let step = job.cloning(named);
            job.refs = Some(refs);
            job.again(vec![step], |mut job, _, system| {
                job.is_there = true;
                job.place = Place::of(job.place.dest, job.module.bare, system)?;
                let steps = job.completing();
                if steps.is_empty() { job.switch(system) } else { job.again(steps, |job, _, system| job.switch(system)) }
            })
        }))
    }

    fn cloning(&mut self, named: bool) -> Step {
        let module = &self.module;
        let mut step = Step::new(format!("clone {} to {}", self.repo, self.place.shown()), ["clone"]);
        if module.bare {
            step.word("--bare");
        } else {
            step.word("--origin");
            step.word(module.remote.as_str());
        }
        let mut branch = named && module.single_branch;
        if let Some(depth) = self.depth() {
            let head = module.version == "HEAD" || module.refspec.is_some();
            if head || named {
                step.word("--depth");
                step.word(depth);
                branch |= !head;
            } else {
                self.notes.warnings.push(
                    "Ignoring depth argument. Shallow clones are only available for HEAD, branches, tags or in combination with refspec.".to_owned(),
                );
            }
        }
        if module.single_branch {
            step.word("--single-branch");
        }
        if branch {
            step.word("--branch");
            step.word(module.version.as_str());
        }
        for (option, value) in [("--reference", &module.reference), ("--separate-git-dir", &module.separate_git_dir.as_ref().map(|path| path.0.clone()))] {
            if let Some(value) = value {
                step.word(format!("{option}={value}"));
            }
        }
        step.word("--");
        step.word(self.repo.as_str());
        step.word(self.place.shown());
        step
    }

    /// What a fresh clone has not yet.
    fn completing(&self) -> Vec<Step> {
        let (module, mut steps) = (&self.module, Vec::new());
        if module.bare && module.remote != "origin" {
            steps.push(Step::new("name the remote", ["remote", "add", &module.remote, &self.repo]));
        }
        if let Some(refspec) = &module.refspec {
            let mut step = Step::new(format!("fetch {refspec} from {}", self.repo), ["fetch"]);
            if let Some(depth) = self.depth() {
                step.word("--depth");
                step.word(depth);
            }
            step.word(module.remote.as_str());
            step.word(refspec.as_str());
            steps.push(step);
        }
        steps
    }
}
