//! An archive of the version.

use std::path::{Path, PathBuf};

use super::job::{Job, Step};
use crate::module::{Mode, Next, Outcome, Plan};
use crate::program::Value;
use crate::system::{Action, Content, Digest, Error, Ownership, Result, System};

/// Endings, and git's names for what they are.
const FORMATS: [(&str, &str); 4] = [("zip", "zip"), ("gz", "tar.gz"), ("tar", "tar"), ("tgz", "tgz")];

/// Git's name for what the file is to be.
pub(super) fn format(archive: &str) -> Result<&'static str> {
    let ending = Path::new(archive).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let known = FORMATS.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format);
    known.ok_or_else(|| {
        Error::failed(format!("Unable to get file extension from archive file name : {archive}"))
            .hint("the name ends in `.zip`, `.tar`, `.tar.gz` or `.tgz`")
    })
}

impl Job {
    /// Of a checkout that is left as it is.
    pub fn archive_of_present(mut self, outcome: Outcome) -> Result<Plan> {
        if self.mode == Mode::Check {
            return Ok(Plan::done(Outcome { changed: true, ..outcome }));
        }
        self.affects(Vec::new());
        let (path, format) = self.archive_path()?;
        let predicted = outcome.clone().with("changed", Value::unknown(format!("whether {} is what it holds", path.display())));
        // Made beside it, for nothing is known of it before.
        let place = temporary(&path, format);
        let step = self.archiving(&place, format);
        let mut plan = self.stage(Vec::new(), vec![step], move |_, _, system| compared(&path, &place, outcome, system));
        plan.predicted = Outcome { changed: true, ..predicted };
        Ok(plan)
    }

    /// Of what was checked out just now.
    pub fn archive(self, outcome: Outcome, system: &dyn System) -> Result<Next> {
        let (path, format) = self.archive_path()?;
        if system.metadata(&path)?.is_none() {
            let step = self.archiving(&path, format);
            return self.again(vec![step], move |_, _, _| Ok(Next::Done(Outcome { changed: true, ..outcome })));
        }
        let place = temporary(&path, format);
        let step = self.archiving(&place, format);
        self.again(vec![step], move |_, _, system| compared(&path, &place, outcome, system))
    }

    fn archive_path(&self) -> Result<(PathBuf, &'static str)> {
        let path = self.module.archive.as_ref().map(|archive| archive.0.as_str()).unwrap_or_default();
        Ok((PathBuf::from(path), format(path)?))
    }

    fn archiving(&self, output: &Path, format: &str) -> Step {
        let (version, shown) = (&self.module.version, output.to_string_lossy());
        let label = format!("archive {version} of {} in {shown}", self.place.shown());
        let mut step = Step::new(label, ["archive", "--format", format, "--output", &shown]);
        if let Some(prefix) = &self.module.archive_prefix {
            step.word("--prefix");
            step.word(prefix.as_str());
        }
        step.word(version.as_str());
        step.failing(|_| "Failed to perform archive operation".to_owned())
    }
}

/// Beside the archive, with a name that a later run takes again.
fn temporary(path: &Path, format: &str) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".provision-{name}.{format}"))
}

/// The new archive takes the other's place only if it is another.
fn compared(path: &Path, place: &Path, outcome: Outcome, system: &dyn System) -> Result<Next> {
    let former = match system.metadata(path)? {
        Some(_) => system.digest(path, Digest::Sha256)?,
        None => None,
    };
    let differs = former != system.digest(place, Digest::Sha256)?;
    let mut actions = Vec::new();
    if differs {
        actions.push(Action::write(path, Content::Node(place.to_owned()), Ownership::default()));
    }
    actions.push(Action::Remove { path: place.to_owned() });
    Ok(Next::Again(Plan::act(actions, Outcome { changed: outcome.changed || differs, ..outcome })))
}
