//! `apt_repository`: a line of /etc/apt/sources.list or of a `.list` file beside it, there or not there.
//!
//! Lines that are not meant stay as they are written; Ansible writes every file anew in a form of its own.

mod sources;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::apt::{newest_error, read_lists};
use super::file_arguments::{Draft, FileArguments, followed, fresh};
use super::{Context, Entry, Module, Next, Outcome, Plan, State};
use crate::program::Value;
use crate::system::{Action, Error, FileKind, Ownership, Result, System};
use sources::{List, file_name, parse};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<AptRepository>(&["apt_repository", "ansible.builtin.apt_repository"]);

/// apt's own list, and the folder of the others.
const LIST: &str = "/etc/apt/sources.list";
const FOLDER: &str = "/etc/apt/sources.list.d";
/// The engine bounds a plan's stages, and one more takes the lines back.
const MOST_ATTEMPTS: i64 = 5;

arguments! {
    /// Keep a package source. Arguments and results as in `ansible.builtin.apt_repository`.
    pub struct AptRepository {
        /// The line: `deb [signed-by=/etc/apt/keyrings/x.asc] https://example.org/debian bookworm main`, or `ppa:owner/name`.
        repo: String [required],
        /// Whether it is there.
        state: State [default("present")],
        /// Permissions of the file that a new line goes to: octal in quotes or symbolic.
        mode: Option<Value> [checked(super::file_arguments::check_mode)],
        /// Read the package lists anew after a change; if that fails, the change is taken back.
        update_cache: bool [default("yes"), aliases(&["update-cache"])],
        /// How often that is tried (5 times at most).
        update_cache_retries: i64 [default("5")],
        /// Seconds between tries at most.
        update_cache_retry_max_delay: i64 [default("12")],
        /// Name of the file without `.list`; by default made from the line's address.
        filename: Option<String>,
        /// Nothing is fetched here.
        validate_certs: bool [default("yes")],
        /// Release of a `ppa:`; by default this machine's.
        codename: Option<String>,
        /// Nothing is needed here.
        install_python_apt: bool [default("yes")],
    }
}

/// A file that changes: what it held (`None`: there was none) and what it will hold (`None`: it goes).
struct Change {
    path: PathBuf,
    former: Option<Vec<u8>>,
    content: Option<String>,
    /// A new line goes there.
    is_new: bool,
}

impl Module for AptRepository {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        if self.repo.is_empty() {
            return Err(Error::failed("Please set argument 'repo' to a non-empty value"));
        }
        if system.executable("apt-get")?.is_none() {
            return Err(Error::failed("Module apt_repository is not supported on target.").hint("this machine has no apt-get"));
        }
        let source = self.source(system)?;
        // A file elsewhere is not apt's, but it may have the line.
        let name = file_name(&source, self.filename.as_deref());
        let elsewhere = Some(PathBuf::from(&name)).filter(|_| name.contains('/') && self.state == State::Present);
        let lists = read(elsewhere, system)?;
        let changes = match self.state {
            State::Present => self.with(&source, lists)?,
            State::Absent => without(&source, lists),
        };
        let names = |of: &dyn Fn(&Change) -> bool| -> Value {
            changes.iter().filter(|change| of(change)).map(|change| Value::text(change.path.to_string_lossy())).collect::<Vec<_>>().into()
        };
        let held_none = |change: &Change| change.former.as_ref().is_none_or(Vec::is_empty);
        let outcome = Outcome { changed: !changes.is_empty(), ..Outcome::ok() }
            .with("repo", self.repo.as_str())
            .with("sources_added", names(&held_none))
            .with("sources_removed", names(&|change| change.content.is_none()))
            .with("state", super::Choice::word(self.state));
        if changes.is_empty() {
            return Ok(Plan::done(outcome));
        }
        let mut draft = Draft::new(system);
        for change in &changes {
            if let Some(folder) = change.path.parent().filter(|_| change.former.is_none()) {
                draft.make_directories(folder, &FileArguments::none())?;
            }
            let action = self.action(change, &draft.system)?;
            draft.push(action);
        }
        let mut actions = draft.actions;
        if !self.update_cache {
            return Ok(Plan::act(actions, outcome));
        }
        actions.push(read_lists());
        let back = changes.into_iter().map(|change| restored(change.path, change.former)).collect();
        let lists = Lists { back, attempts: self.update_cache_retries.clamp(1, MOST_ATTEMPTS), longest: self.update_cache_retry_max_delay, outcome };
        Ok(Plan::act(actions, lists.outcome.clone()).then(move |outcomes, _| Ok(lists.after(1, outcomes))))
    }
}

impl AptRepository {
    /// The line in apt's form.
    fn source(&self, system: &dyn System) -> Result<String> {
        let Some(ppa) = self.repo.strip_prefix("ppa:") else {
            let line = parse(&self.repo);
            let source = line.source.filter(|source| line.enabled && source.contains(' '));
            return source.ok_or_else(|| {
                Error::failed(format!("Invalid repository string: {}", line.read))
                    .hint("a line is `deb [signed-by=/etc/apt/keyrings/NAME.asc] https://… RELEASE COMPONENT…`")
            });
        };
        let codename = match &self.codename {
            Some(codename) => codename.clone(),
            None => codename(system)?,
        };
        // What is behind a second colon is not read, as with Ansible.
        let ppa = ppa.split(':').next().unwrap_or_default();
        let (owner, name) = ppa.split_once('/').unwrap_or((ppa, "ppa"));
        let name = name.split('/').next().unwrap_or_default();
        Ok(format!("deb https://ppa.launchpadcontent.net/{owner}/{name}/ubuntu {codename} main"))
    }

    /// The lists that change for the line to be there.
    fn with(&self, source: &str, lists: Vec<List>) -> Result<Vec<Change>> {
        let is_there = |list: &List| list.lines.iter().any(|line| line.source.as_deref() == Some(source));
        if lists.iter().any(is_there) {
            return Ok(lists.into_iter().filter_map(|list| list.enabled(source)).collect());
        }
        if self.repo.starts_with("ppa:") {
            // Its key would have to come from a key server, unasked.
            return Err(Error::failed(format!("the key of {} is not fetched here", self.repo)).hint(format!(
                "put the key below /etc/apt/keyrings with `get_url` or `copy`, and write the line: \
                 `repo: deb [signed-by=/etc/apt/keyrings/NAME.asc] {}`",
                source.trim_start_matches("deb ")
            )));
        }
        let name = file_name(source, self.filename.as_deref());
        let path = if name.contains('/') { PathBuf::from(&name) } else { Path::new(FOLDER).join(&name) };
        let list = lists.into_iter().find(|list| list.path == path);
        Ok(vec![list.unwrap_or_else(|| List::new(path)).and(source)])
    }

    fn action(&self, change: &Change, system: &dyn System) -> Result<Action> {
        let Some(content) = &change.content else { return Ok(Action::Remove { path: change.path.clone() }) };
        let path = system.canonical(&change.path)?;
        let mut ownership = Ownership::default();
        if change.is_new && self.mode.is_some() {
            let like = followed(&path, system)?.unwrap_or_else(|| fresh(FileKind::File));
            ownership = FileArguments::none().with_mode(self.mode.clone()).wanted(&path, &like, system)?;
        } else if change.former.is_none() {
            ownership.mode = Some(fresh(FileKind::File).mode);
        }
        Ok(Action::write(path, content.clone().into(), ownership))
    }
}

fn restored(path: PathBuf, former: Option<Vec<u8>>) -> Action {
    match former {
        Some(content) => Action::write(path, content.into(), Ownership::default()),
        None => Action::Remove { path },
    }
}

/// Every list of this machine, and one more.
fn read(elsewhere: Option<PathBuf>, system: &dyn System) -> Result<Vec<List>> {
    let folder = Path::new(FOLDER);
    let names = system.list(folder)?.unwrap_or_default();
    let others = names.iter().filter(|name| !name.starts_with('.')).map(|name| folder.join(name));
    let others = others.filter(|path| path.extension().is_some_and(|extension| extension == "list"));
    let mut lists = Vec::new();
    for path in [PathBuf::from(LIST)].into_iter().chain(others).chain(elsewhere) {
        if followed(&path, system)?.is_some_and(|found| found.kind == FileKind::File)
            && let Some(content) = system.read(&path)?
        {
            lists.push(List::read(path, content));
        }
    }
    Ok(lists)
}

/// The lists that change for the line to be gone: those that have it enabled.
fn without(source: &str, lists: Vec<List>) -> Vec<Change> {
    lists.into_iter().filter_map(|list| list.without(source)).collect()
}

/// `bookworm`.
fn codename(system: &dyn System) -> Result<String> {
    let release = system.read(Path::new("/etc/os-release"))?.unwrap_or_default();
    let release = String::from_utf8_lossy(&release);
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let name = name.map(|name| name.trim_matches('"').to_owned()).filter(|name| !name.is_empty());
    name.ok_or_else(|| Error::failed("/etc/os-release names no VERSION_CODENAME").hint("give `codename`"))
}

/// The package lists are read anew; if that fails for good, the files are put back.
struct Lists {
    back: Vec<Action>,
    attempts: i64,
    /// Seconds between two attempts at most.
    longest: i64,
    outcome: Outcome,
}

impl Lists {
    fn after(self, attempt: i64, outcomes: &[crate::system::ActionOutcome]) -> Next {
        let Some(error) = newest_error(outcomes) else { return Next::Done(self.outcome) };
        if attempt >= self.attempts {
            let failed = Outcome::failed(format!("Failed to update apt cache after {attempt} retries: {error}"));
            return Next::Again(Plan::act(self.back, failed));
        }
        let delay = (1 << (attempt - 1).min(16)).min(self.longest).max(1) as u64;
        let actions = vec![Action::Sleep { duration: Duration::from_secs(delay) }, read_lists()];
        Next::Again(Plan::act(actions, self.outcome.clone()).then(move |outcomes, _| Ok(self.after(attempt + 1, outcomes))))
    }
}
