//! The calls of git, one after the other, and what to do by what each says.

use super::{Git, Place};
use crate::module::curl::mask;
use crate::module::{Mode, Next, Outcome, Plan};
use crate::program::Value;
use crate::system::checkout::Question;
use crate::system::{Accept, Action, ActionOutcome, Command, Effect, Error, Result, System};

/// One task on the way.
pub(super) struct Job {
    pub module: Git,
    pub place: Place,
    program: String,
    /// The address as git is given it.
    pub repo: String,
    pub mode: Mode,
    pub environment: Vec<(String, String)>,
    pub umask: Option<u32>,
    /// The commit that stood there.
    pub before: Option<String>,
    pub url_changed: bool,
    /// Something else than the commit changes.
    pub changed: bool,
    /// More fields of the result, and warnings.
    pub notes: Outcome,
    /// Git's calls have a folder to be in.
    pub is_there: bool,
    pub effect: Effect,
    pub refs: Option<Refs>,
}

/// A call of git.
pub(super) struct Step {
    label: String,
    words: Vec<String>,
    /// Where it is not 0, and that is no error.
    accepted: bool,
    failing: Box<dyn FnOnce(&Said) -> String + Send>,
}

/// What it gave.
pub(super) struct Said {
    pub rc: i32,
    pub stdout: String,
    pub stderr: String,
}

/// What `git ls-remote` lists: hash and name.
pub(super) struct Refs(Vec<(String, String)>);

impl Refs {
    pub fn of(text: &str) -> Self {
        let pair = |line: &str| line.split_once('\t').map(|(hash, name)| (hash.to_owned(), name.trim().to_owned()));
        Self(text.lines().filter_map(pair).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(_, known)| known == name).map(|(hash, _)| hash.as_str())
    }

    pub fn branch(&self, name: &str) -> Option<&str> {
        self.get(&format!("refs/heads/{name}"))
    }

    /// The commit of a tag, whether it is an object of its own or not.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.get(&format!("refs/tags/{name}^{{}}")).or_else(|| self.get(&format!("refs/tags/{name}")))
    }
}

impl Step {
    pub fn new<const N: usize>(label: impl Into<String>, words: [&str; N]) -> Self {
        Self {
            label: label.into(),
            words: words.map(str::to_owned).to_vec(),
            accepted: false,
            failing: Box::new(|said| said.stderr.trim_end().to_owned()),
        }
    }

    #[must_use]
    pub fn failing(mut self, message: impl FnOnce(&Said) -> String + Send + 'static) -> Self {
        self.failing = Box::new(message);
        self
    }

    /// An exit status that is not 0 is an answer too.
    #[must_use]
    pub fn accepting(self) -> Self {
        Self { accepted: true, ..self }
    }

    pub fn word(&mut self, word: impl Into<String>) {
        self.words.push(word.into());
    }
}

impl Job {
    pub fn new(module: Git, place: Place, program: String, repo: String, mode: Mode) -> Self {
        Self {
            module,
            place,
            program,
            repo,
            mode,
            environment: Vec::new(),
            umask: None,
            before: None,
            url_changed: false,
            changed: false,
            notes: Outcome::ok(),
            is_there: false,
            effect: Effect::None,
            refs: None,
        }
    }

    pub fn program(&self) -> &str {
        &self.program
    }

    pub fn question(&self) -> Question {
        Question {
            program: self.program.clone(),
            folder: self.place.dest.clone(),
            remote: self.module.remote.clone(),
            bare: self.module.bare,
            environment: self.environment.clone(),
        }
    }

    /// The notes so far as a result.
    pub fn outcome(&self) -> Outcome {
        self.notes.clone()
    }

    /// What a plan knows of the result.
    fn predicted(&self) -> Outcome {
        let unknown = || Value::unknown(format!("what {} has", mask(&self.repo)));
        let outcome = Outcome { changed: true, ..self.outcome() }.with("before", self.before.clone());
        let after = if self.before.is_none() && self.module.is_hash() { Value::text(self.module.version.as_str()) } else { unknown() };
        let outcome = outcome.with("after", after);
        match &self.before {
            Some(_) => {
                let outcome = outcome.with("remote_url_changed", self.url_changed);
                if self.changed || self.url_changed { outcome } else { outcome.with("changed", unknown()) }
            }
            None => outcome,
        }
    }

    pub fn depth(&self) -> Option<String> {
        self.module.depth.filter(|depth| *depth != 0).map(|depth| depth.to_string())
    }

    /// No password of the address.
    pub fn hidden(&self, text: &str) -> String {
        text.replace(&self.repo, &mask(&self.repo))
    }

    fn command(&self, step: &Step) -> Command {
        let words = std::iter::once(self.program.clone()).chain(step.words.iter().cloned());
        let mut command = Command::new(self.hidden(&step.label), words).effect(self.effect.clone());
        command.accept = Accept::Any;
        command.environment.clone_from(&self.environment);
        command.umask = self.umask;
        command.directory = self.is_there.then(|| self.place.dest.clone());
        command
    }

    /// These calls, then the rest. A call that fails is the task's end.
    pub fn stage(
        self,
        mut first: Vec<Action>,
        steps: Vec<Step>,
        then: impl FnOnce(Self, Vec<Said>, &dyn System) -> Result<Next> + Send + 'static,
    ) -> Plan {
        let skipped = first.len();
        first.extend(steps.iter().map(|step| Action::Run(self.command(step))));
        let always = self.effect == Effect::None;
        let mut plan = Plan::act(first, self.predicted()).then(move |outcomes, system| {
            let mut all = Vec::new();
            for (step, outcome) in steps.into_iter().zip(outcomes.iter().skip(skipped)) {
                let said = self.said(outcome);
                if said.rc != 0 && !step.accepted {
                    let words: Vec<String> = step.words.iter().map(|word| self.hidden(word)).collect();
                    let message = self.hidden(&(step.failing)(&said));
                    let error = Error::failed(message).detail("cmd", format!("{} {}", self.program, words.join(" ")));
                    return Err(error.detail("rc", i64::from(said.rc)).output(&said.stdout, &said.stderr));
                }
                all.push(said);
            }
            then(self, all, system)
        });
        plan.always = always;
        plan
    }

    fn said(&self, outcome: &ActionOutcome) -> Said {
        let text = |bytes: &crate::program::Bytes| self.hidden(&String::from_utf8_lossy(&bytes.0));
        Said { rc: outcome.rc.unwrap_or(-1), stdout: text(&outcome.stdout), stderr: text(&outcome.stderr) }
    }

    pub fn again(
        self,
        steps: Vec<Step>,
        then: impl FnOnce(Self, Vec<Said>, &dyn System) -> Result<Next> + Send + 'static,
    ) -> Result<Next> {
        Ok(Next::Again(self.stage(Vec::new(), steps, then)))
    }

    /// Which of the remote's names the version is.
    pub fn list(&self, label: String, remote: &str) -> Step {
        let version = &self.module.version;
        let mut step = Step::new(label, ["ls-remote", "--", remote]);
        if version != "HEAD" {
            for name in [format!("refs/heads/{version}"), format!("refs/tags/{version}"), format!("refs/tags/{version}^{{}}")] {
                step.word(name);
            }
            return step;
        }
        step.word("HEAD");
        step
    }

    /// Only tells the commit that the remote has: check mode, and where nothing is to be cloned.
    pub fn look(self, system: &dyn System) -> Result<Plan> {
        let there = self.before.is_some();
        let remote = if there { self.module.remote.clone() } else { self.repo.clone() };
        let mut name = "HEAD".to_owned();
        let mut step = self.list(format!("ask {} for its branches and tags", self.repo), &remote);
        if there && self.module.version == "HEAD" {
            let branch = self.place.branch(&self.module.remote, system)?.unwrap_or_else(|| "None".to_owned());
            name = format!("refs/heads/{branch}");
            step = Step::new(step.label, ["ls-remote", "--", &remote, &name]);
        }
        Ok(self.stage(Vec::new(), vec![step], move |job, said, _| {
            let refs = Refs::of(&said[0].stdout);
            let version = &job.module.version;
            let known = if version == "HEAD" { refs.get(&name) } else { refs.branch(version).or_else(|| refs.tag(version)) };
            let after = match known {
                Some(hash) => hash.to_owned(),
                // It may be a hash, of which a remote says nothing.
                None if version != "HEAD" => version.clone(),
                None => {
                    let error = Error::failed(format!("Could not determine remote revision for {version}"))
                        .hint(format!("`git ls-remote {}` lists what is there", mask(&job.repo)));
                    return Err(error.detail("rc", 0_i64).output(&said[0].stdout, &said[0].stderr));
                }
            };
            let mut outcome = job.outcome();
            outcome.changed = job.url_changed || job.before.as_ref() != Some(&after);
            outcome = outcome.with("before", job.before.clone());
            if job.before.is_some() {
                outcome = outcome.with("remote_url_changed", job.url_changed);
            }
            Ok(Next::Done(outcome.with("after", after)))
        }))
    }

    /// What stands there afterwards is the repository's to say.
    pub fn affects(&mut self, made: Vec<Action>) {
        let mut effects = vec![Effect::Leaves(made), Effect::Below(self.place.dest.clone())];
        if !self.place.folder.starts_with(&self.place.dest) {
            effects.push(Effect::Unsure(vec![self.place.folder.clone()]));
        }
        effects.extend(self.module.separate_git_dir.as_ref().map(|folder| Effect::Unsure(vec![folder.path().to_owned()])));
        effects.extend(self.module.archive.as_ref().map(|archive| Effect::Unsure(vec![archive.path().to_owned()])));
        self.effect = Effect::All(effects);
    }
}
