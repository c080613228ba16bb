//! `deb`: package files, here or from a server.

use super::command::{environment, text};
use super::{Apt, Progress, version};
use crate::module::{Next, Outcome, Plan};
use crate::program::Value;
use crate::system::{Action, ActionOutcome, Command, Effect, Error, Result, System};

/// Where apt's own downloader puts a file from a server; removed after the installation.
const FETCHED: &str = "/var/cache/apt/archives/provision-";

impl Apt {
    /// First the files are fetched and asked who they are, then apt installs those that are not there.
    pub(super) fn files(&self, files: &str, progress: Progress, system: &dyn System) -> Result<Plan> {
        if self.state != super::State::Present {
            return Err(Error::failed("deb only supports state=present"));
        }
        let mut actions = Vec::new();
        let (mut paths, mut fetched) = (Vec::new(), Vec::new());
        for file in files.split(',').map(str::trim).filter(|file| !file.is_empty()) {
            if file.contains("://") {
                let name = file.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty()).unwrap_or("package.deb");
                let path = format!("{FETCHED}{name}");
                let mut command = Command::new(format!("fetch {file}"), ["/usr/lib/apt/apt-helper", "download-file", file, &path]).effect(Effect::None);
                command.environment = environment();
                actions.push(Action::Run(command));
                fetched.push(path.clone());
                paths.push(path);
            } else {
                // A file that an earlier task brings may not be there yet in a plan: that read is unknown by itself.
                if system.metadata(std::path::Path::new(file))?.is_none() {
                    return Err(Error::failed(format!("Unable to install package: {file} is not there")));
                }
                paths.push(file.to_owned());
            }
        }
        for path in &paths {
            let words = ["dpkg-deb", "--show", "--showformat=${Package} ${Version} ${Architecture}\\n", path];
            let mut command = Command::new(format!("read which package {path} is"), words).effect(Effect::None);
            command.environment = environment();
            actions.push(Action::Run(command));
        }
        let mut predicted = progress.on(Outcome::changed());
        for name in ["changed", "stdout"] {
            predicted.result.insert(name.into(), Value::unknown("what the package file holds"));
        }
        let apt = self.clone();
        let mut plan = Plan::act(actions, predicted).then(move |outcomes, system| apt.after_asking(&paths, &fetched, progress, outcomes, system));
        plan.always = true;
        Ok(plan)
    }

    fn after_asking(&self, paths: &[String], fetched: &[String], progress: Progress, outcomes: &[ActionOutcome], system: &dyn System) -> Result<Next> {
        let answers = &outcomes[outcomes.len().saturating_sub(paths.len())..];
        let (mut wanted, mut present) = (Vec::new(), Vec::new());
        for (path, answer) in paths.iter().zip(answers) {
            let answer = text(&answer.stdout);
            let mut words = answer.split_whitespace();
            let (Some(name), Some(new)) = (words.next(), words.next()) else {
                return Err(Error::failed(format!("Unable to install package: {path} says nothing of itself")));
            };
            let installed = system.package(name)?;
            if installed.is_some_and(|installed| version::compare(&installed.version, new) == std::cmp::Ordering::Equal) {
                continue;
            }
            present.push((name.to_owned(), Some(new.to_owned())));
            wanted.push(if path.starts_with('/') { path.clone() } else { format!("./{path}") });
        }
        let mut actions = Vec::new();
        if !wanted.is_empty() {
            let names: Vec<String> = present.iter().map(|(name, _)| name.clone()).collect();
            let label = format!("install {} from {}", super::command::listed(&names), super::command::listed(&wanted));
            let mut options = self.install_options();
            if self.force {
                options.push("--allow-downgrades");
            }
            let command = self.apt_get(label, &options, &["install"], &wanted).effect(Effect::Packages { present, absent: Vec::new() });
            actions.extend(self.guarded(command, system)?);
        }
        actions.extend(fetched.iter().map(|path| Action::Remove { path: path.into() }));
        let outcome = Outcome { changed: !wanted.is_empty(), ..Outcome::ok() };
        if actions.is_empty() {
            return Ok(Next::Done(progress.on(outcome.with("stdout", "").with("stderr", ""))));
        }
        Ok(Next::Again(self.acting(actions, progress.on(outcome))))
    }
}
