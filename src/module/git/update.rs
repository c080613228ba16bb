//! What the remote has, into a checkout that is there.

use std::path::PathBuf;

use super::job::{Job, Refs, Said, Step};
use crate::module::file_arguments::text;
use crate::module::{Next, Plan};
use crate::system::checkout::Checkout;
use crate::system::{Accept, Action, Command, Ownership, Result, System};

impl Job {
    /// Git's own files go elsewhere first.
    pub fn apart(mut self, to: PathBuf, checkout: Checkout) -> Result<Plan> {
        let from = std::mem::replace(&mut self.place.folder, to.clone());
        self.changed = true;
        self.notes = self.notes.with("git_dir_before", text(&from)).with("git_dir_now", text(&to));
        self.affects(Vec::new());
        let (from_text, to_text) = (text(&from), text(&to));
        let mut moving = Command::new(format!("move {from_text} to {to_text}"), ["mv", "--", &from_text, &to_text]);
        moving.effect = self.effect.clone();
        moving.accept = Accept::Zero;
        let link = self.place.dest.join(".git");
        let actions = vec![Action::Run(moving), Action::write(link, format!("gitdir: {to_text}").into(), Ownership::default())];
        Ok(self.stage(actions, Vec::new(), move |job, _, system| {
            let module = job.module.clone();
            let plan = module.with(&checkout, job, system)?;
            Ok(if plan.actions.is_empty() { Next::Done(plan.predicted) } else { Next::Again(plan) })
        }))
    }

    pub fn bring_up_to_date(mut self, is_touched: bool, system: &dyn System) -> Result<Plan> {
        self.affects(Vec::new());
        let mut steps = Vec::new();
        if is_touched {
            let dest = self.place.shown();
            steps.push(Step::new(format!("drop the local changes in {dest}"), ["reset", "--hard", "HEAD"]));
            self.notes = self.notes.with("msg", format!("Local modifications exist in the destination: {dest}"));
            self.changed = true;
        }
        let (repo, remote) = (self.repo.clone(), self.module.remote.clone());
        if self.url_changed {
            let label = format!("let {remote} of {} be {repo}", self.place.shown());
            let message = format!("set a new url {repo} for {remote}");
            let step = Step::new(label, ["remote", "set-url", &remote, &repo]);
            steps.push(step.failing(move |said| format!("Failed to {message}: {} {}", said.stdout, said.stderr)));
        }
        self.notes = self.notes.with("remote_url_changed", self.url_changed);
        if self.depth().is_some() && self.module.version != "HEAD" && self.module.refspec.is_none() {
            // What is fetched is what the version is.
            steps.push(self.list(format!("fetch {} from {repo}, if it has it", self.module.version), &repo));
            return Ok(self.stage(Vec::new(), steps, |mut job, said, system| {
                job.refs = said.last().map(|said| Refs::of(&said.stdout));
                let step = job.fetching(system)?;
                job.again(vec![step], |job, _, system| job.switch(system))
            }));
        }
        steps.push(self.fetching(system)?);
        Ok(self.stage(Vec::new(), steps, |job, _, system| job.switch(system)))
    }

    fn fetching(&self, system: &dyn System) -> Result<Step> {
        let (module, remote) = (&self.module, self.module.remote.as_str());
        let step = Step::new(format!("fetch from {}", self.repo), ["fetch"]);
        let mut step = step.failing(|said: &Said| format!("Failed to download remote objects and refs: {} {}", said.stdout, said.stderr));
        let mut wanted = match self.depth() {
            Some(_) => self.shallow(system)?,
            None => Vec::new(),
        };
        if let Some(depth) = self.depth().filter(|_| !wanted.is_empty()) {
            step.word("--depth");
            step.word(depth);
        } else {
            if module.bare {
                wanted = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"].map(str::to_owned).to_vec();
            } else {
                step.word("--tags");
            }
            wanted.extend(module.refspec.clone());
        }
        if module.force {
            step.word("--force");
        }
        step.word(remote);
        for name in wanted {
            step.word(name);
        }
        Ok(step)
    }

    /// The fewest names that bring the version; none: it can only come with everything.
    fn shallow(&self, system: &dyn System) -> Result<Vec<String>> {
        let (version, remote) = (&self.module.version, &self.module.remote);
        if let Some(refspec) = &self.module.refspec {
            return Ok(vec![refspec.clone()]);
        }
        let current = self.place.branch(remote, system)?;
        if version == "HEAD" {
            return Ok(current.into_iter().collect());
        }
        let refs = self.refs.as_ref();
        if refs.is_some_and(|refs| refs.branch(version).is_some()) {
            let mut wanted = Vec::new();
            if current.as_ref() != Some(version) {
                wanted.push(format!("+refs/heads/{version}:refs/heads/{version}"));
            }
            wanted.push(format!("+refs/heads/{version}:refs/remotes/{remote}/{version}"));
            return Ok(wanted);
        }
        let is_tag = refs.is_some_and(|refs| refs.tag(version).is_some());
        Ok(if is_tag { vec![format!("+refs/tags/{version}:refs/tags/{version}")] } else { Vec::new() })
    }
}
