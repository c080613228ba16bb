//! `file`: files, folders, links and their ownership.

use std::path::{Path, PathBuf};

use super::file_arguments::{Draft, FileArguments, followed, is_directory, state, text, with_path_info};
use super::{Context, Entry, Mode, Module, Outcome, PathText, Plan};
use crate::program::Bytes;
use crate::system::{Action, Content, Error, FileKind, Ownership, Result, System, clock};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<File>(&["file", "ansible.builtin.file"]);

choices! {
    /// What a path shall be.
    pub enum State { Absent = "absent", Directory = "directory", File = "file", Hard = "hard", Link = "link", Touch = "touch" }
}

arguments! {
    /// Make and remove files, folders and links, set their ownership. Arguments and results as in `ansible.builtin.file`.
    pub struct File {
        /// The path.
        path: PathText [required, aliases(&["dest", "name"])],
        /// What it shall be; default: what it is, else `file` (`directory` with `recurse`).
        state: Option<State>,
        /// Set ownership of everything in the folder, too.
        recurse: bool [default("no")],
        /// Make a link whose target does not exist, or in place of a file.
        force: bool [default("no")],
        /// Set ownership of what a link points to, not of the link.
        follow: bool [default("yes")],
        /// What a link points to.
        src: Option<PathText>,
        /// `preserve`, `now`, or a time in `modification_time_format`.
        modification_time: Option<String>,
        /// How it is written: strptime(3).
        modification_time_format: String [default("%Y%m%d%H%M.%S")],
        /// `preserve`, `now`, or a time in `access_time_format`.
        access_time: Option<String>,
        /// How it is written: strptime(3).
        access_time_format: String [default("%Y%m%d%H%M.%S")],
        /// The name that is put behind `path` where that is a folder.
        original_basename as "_original_basename": Option<String>,
        file: FileArguments,
    }
}

impl Module for File {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let path = self.place(system)?;
        let former = state(&path, system)?;
        let wanted = match (self.state, former) {
            (Some(state), _) => state,
            (None, "absent") if self.recurse => State::Directory,
            (None, "absent" | "file") => State::File,
            (None, "directory") => State::Directory,
            (None, "hard") => State::Hard,
            (None, _) => State::Link,
        };
        if self.recurse && wanted != State::Directory {
            return Err(with_path_info(fails("recurse option requires state to be 'directory'", &path), system));
        }
        if self.src.is_some() && !matches!(wanted, State::Link | State::Hard) {
            return Err(with_path_info(fails("src option requires state to be 'link' or 'hard'", &path), system));
        }
        let times = self.times(wanted)?;
        let check = context.mode == Mode::Check;
        let mut job = Job { given: self, draft: Draft::new(system), times, warnings: Vec::new() };
        if check && wanted != State::Absent {
            job.warn_of_unknown_accounts()?;
        }
        // What would be made new is looked at no further: an earlier task may make its owner.
        let forgiven;
        if check && former == "absent" && matches!(wanted, State::Directory | State::Touch) {
            forgiven = self.without_unknown_accounts(system)?;
            job.given = &forgiven;
        }
        let made = match wanted {
            State::Absent => job.absent(&path, former),
            State::Directory => job.directory(&path, former),
            State::File => job.file(&path, former),
            State::Touch => job.touch(&path, former),
            State::Link => job.link(&path, former),
            State::Hard => job.hard(&path, former),
        };
        let (mut outcome, place) = made.map_err(|error| with_path_info(error, system))?;
        outcome.warnings = job.warnings;
        job.draft.finish(outcome, place, check)
    }
}

impl File {
    fn without_unknown_accounts(&self, system: &dyn System) -> Result<Self> {
        let mut given = self.clone();
        let known = |name: &str| name.parse::<u32>().is_ok();
        if let Some(owner) = &self.file.owner
            && !known(owner)
            && system.user(owner)?.is_none()
        {
            given.file.owner = None;
        }
        if let Some(group) = &self.file.group
            && !known(group)
            && system.group(group)?.is_none()
        {
            given.file.group = None;
        }
        Ok(given)
    }

    /// A file that is named inside of an existing folder, where Ansible puts it there.
    fn place(&self, system: &dyn System) -> Result<PathBuf> {
        let path = self.path.path();
        if !matches!(self.state, Some(State::Link | State::Absent)) && is_directory(path, system)? {
            let source = self.src.as_ref().and_then(|src| src.path().file_name().map(|name| name.to_string_lossy().into_owned()));
            if let Some(name) = self.original_basename.clone().or(source) {
                return Ok(path.join(name));
            }
        }
        Ok(path.to_owned())
    }

    fn times(&self, wanted: State) -> Result<Times> {
        let default = if wanted == State::Touch { "now" } else { "preserve" };
        let time = |given: &Option<String>, format: &str| match given.as_deref().unwrap_or(default) {
            "preserve" => Ok(Time::Preserve),
            "now" => Ok(Time::Now),
            text => clock::parse(text, format).map(|seconds| Time::At(seconds as f64)).ok_or_else(|| {
                Error::failed(format!("Error while obtaining timestamp for time {text} using format {format}"))
            }),
        };
        Ok(Times {
            accessed: time(&self.access_time, &self.access_time_format)?,
            modified: time(&self.modification_time, &self.modification_time_format)?,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Time {
    Preserve,
    Now,
    At(f64),
}

#[derive(Clone, Copy, Debug)]
struct Times {
    accessed: Time,
    modified: Time,
}

fn fails(message: &str, path: &Path) -> Error {
    Error::failed(message).detail("path", text(path))
}

/// One planning: the result, and the path whose fields belong to it.
type Made = (Outcome, PathBuf);

struct Job<'given, 'system> {
    given: &'given File,
    draft: Draft<'system>,
    times: Times,
    warnings: Vec<String>,
}

impl Job<'_, '_> {
    fn warn_of_unknown_accounts(&mut self) -> Result<()> {
        let system = &self.draft.system;
        if let Some(owner) = &self.given.file.owner
            && system.user(owner)?.is_none()
        {
            let what = if owner.parse::<u32>().is_ok() { "user with uid" } else { "user" };
            self.warnings.push(format!("failed to look up {what} {owner}. Create user up to this point in real play"));
        }
        if let Some(group) = &self.given.file.group
            && system.group(group)?.is_none()
        {
            let what = if group.parse::<u32>().is_ok() { "group with gid" } else { "group" };
            self.warnings.push(format!("failed to look up {what} {group}. Create group up to this point in real play"));
        }
        Ok(())
    }

    /// The object whose ownership is set: what a link points to, if links are followed.
    fn target(&self, path: &Path) -> Result<PathBuf> {
        let is_link = state(path, &self.draft.system)? == "link";
        if self.given.follow && is_link { self.draft.system.canonical(path) } else { Ok(path.to_owned()) }
    }

    /// Ownership, then times.
    fn own(&mut self, path: &Path) -> Result<()> {
        self.draft.own(path, &self.given.file)?;
        self.touch_times(path)
    }

    /// utime(2) follows links.
    fn touch_times(&mut self, path: &Path) -> Result<()> {
        let Times { accessed, modified } = self.times;
        if accessed == Time::Preserve && modified == Time::Preserve {
            return Ok(());
        }
        let Some(found) = followed(path, &self.draft.system)? else {
            return Err(fails("Error while updating modification or access time: No such file or directory", path));
        };
        let now = self.draft.system.now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let seconds = |time, former: f64| match time {
            Time::Preserve => None,
            Time::Now => Some(now),
            #[expect(clippy::float_cmp, reason = "the same second is the same number; NaN (not known) is none")]
            Time::At(seconds) => (seconds != former).then_some(seconds),
        };
        let (accessed, modified) = (seconds(accessed, found.accessed), seconds(modified, found.modified));
        if accessed.is_some() || modified.is_some() {
            self.draft.push(Action::SetTimes { path: path.to_owned(), accessed, modified });
        }
        Ok(())
    }

    fn absent(&mut self, path: &Path, former: &str) -> Result<Made> {
        if former != "absent" {
            self.draft.push(Action::Remove { path: path.to_owned() });
        }
        Ok((Outcome::ok().with("path", text(path)).with("state", "absent"), path.to_owned()))
    }

    /// The path and its state, with `follow` those of what a link points to.
    fn followed<'former>(&self, path: &Path, former: &'former str) -> Result<(PathBuf, &'former str)> {
        if !self.given.follow || former != "link" {
            return Ok((path.to_owned(), former));
        }
        let target = self.draft.system.canonical(path)?;
        let former = state(&target, &self.draft.system)?;
        Ok((target, former))
    }

    fn directory(&mut self, path: &Path, former: &str) -> Result<Made> {
        let (path, former) = self.followed(path, former)?;
        match former {
            "absent" => {
                self.draft.make_directories(&path, &self.given.file)?;
                self.touch_times(&path)?;
            }
            "directory" => {
                self.own(&path)?;
                if self.given.recurse {
                    self.recurse(&path, &mut vec![path.clone()])?;
                }
            }
            other => return Err(fails(&format!("{} already exists as a {other}", path.display()), &path)),
        }
        Ok((Outcome::ok().with("path", text(&path)), path))
    }

    /// Everything below; links themselves, and with `follow` what they point to.
    fn recurse(&mut self, folder: &Path, walked: &mut Vec<PathBuf>) -> Result<()> {
        let names = self.draft.system.list(folder)?.unwrap_or_default();
        for name in names {
            let below = folder.join(name);
            self.own(&below)?;
            match self.draft.system.metadata(&below)?.map(|found| found.kind) {
                Some(FileKind::Directory) => self.recurse(&below, walked)?,
                Some(FileKind::Symlink) if self.given.follow => {
                    let target = self.draft.system.canonical(&below)?;
                    let Some(found) = self.draft.system.metadata(&target)? else { continue };
                    if found.kind == FileKind::Directory && !walked.contains(&target) && !walked.iter().any(|known| target.starts_with(known)) {
                        walked.push(target.clone());
                        self.recurse(&target, walked)?;
                    }
                    self.own(&target)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, former: &str) -> Result<Made> {
        let (path, former) = self.followed(path, former)?;
        if !matches!(former, "file" | "hard") {
            let message = format!("file ({}) is {former}, cannot continue", path.display());
            let error = fails(&message, &path).detail("state", former);
            return Err(if former == "absent" { error.hint("`state: touch` makes an empty file, `copy` one with content") } else { error });
        }
        self.own(&path)?;
        Ok((Outcome::ok().with("path", text(&path)), path))
    }

    fn touch(&mut self, path: &Path, former: &str) -> Result<Made> {
        let outcome = Outcome::ok().with("dest", text(path));
        if former != "absent" {
            let target = self.target(path)?;
            self.own(&target)?;
            return Ok((outcome, path.to_owned()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !is_directory(folder, &self.draft.system)? {
            return Err(fails("Error, could not touch target.", path).hint(format!("{} is no directory", folder.display())));
        }
        let ownership = self.given.file.wanted(path, &super::file_arguments::fresh(FileKind::File), &self.draft.system)?;
        self.draft.push(Action::WriteFile {
            path: path.to_owned(),
            content: Content::Inline(Bytes::default()),
            ownership,
            backup: false,
            unsafe_writes: false,
            validate: None,
        });
        // A new file has the times of now.
        let at = |time| matches!(time, Time::At(_));
        if at(self.times.accessed) || at(self.times.modified) {
            self.touch_times(path)?;
        }
        Ok((outcome, path.to_owned()))
    }

    fn link(&mut self, path: &Path, former: &str) -> Result<Made> {
        let system = &self.draft.system;
        let target = match &self.given.src {
            Some(src) => Some(src.path().to_owned()),
            None if self.given.follow && followed(path, system)?.is_some() => {
                Some(system.read_link(path)?.ok_or_else(|| fails("src is required for creating new symlinks", path))?)
            }
            None => None,
        };
        let outcome = Outcome::ok().with("dest", text(path)).with("src", target.as_deref().map(text));
        let error = |message: String| fails(&message, path).detail("src", target.as_deref().map(text));
        if let Some(target) = target.as_deref().filter(|_| !self.given.force) {
            let from = if former == "directory" { path } else { path.parent().unwrap_or(Path::new("/")) };
            if followed(&from.join(target), system)?.is_none() {
                let absolute = from.join(target);
                return Err(error(format!(
                    "src file does not exist, use 'force=yes' if you really want to create the link: {}",
                    absolute.display()
                )));
            }
        }
        match former {
            "directory" if !self.given.force => {
                return Err(fails(&format!("refusing to convert from {former} to symlink for {}", path.display()), path));
            }
            "directory" if !system.list(path)?.unwrap_or_default().is_empty() => {
                return Err(fails(&format!("the directory {} is not empty, refusing to convert it", path.display()), path));
            }
            "file" | "hard" if !self.given.force => {
                return Err(fails(&format!("refusing to convert from {former} to symlink for {}", path.display()), path));
            }
            _ => {}
        }
        if former == "link" {
            if let Some(target) = target.filter(|target| system.read_link(path).ok().flatten().as_ref() != Some(target)) {
                self.draft.push(Action::Symlink { path: path.to_owned(), target, ownership: Ownership::default() });
            }
        } else {
            let target = target.ok_or_else(|| Error::failed("src is required for creating new symlinks"))?;
            self.draft.push(Action::Symlink { path: path.to_owned(), target, ownership: Ownership::default() });
        }
        let object = self.target(path)?;
        if self.given.follow && self.draft.system.metadata(&object)?.is_none() {
            self.warnings.push(
                "Cannot set fs attributes on a non-existent symlink target. follow should be set to False to avoid this.".to_owned(),
            );
        } else {
            self.own(&object)?;
        }
        Ok((outcome, path.to_owned()))
    }

    fn hard(&mut self, path: &Path, former: &str) -> Result<Made> {
        let system = &self.draft.system;
        let source = self.given.src.as_ref().map(|src| src.path().to_owned());
        let outcome = Outcome::ok().with("dest", text(path)).with("src", source.as_deref().map(text));
        let error = |message: &str| Error::failed(message).detail("dest", text(path)).detail("src", source.as_deref().map(text));
        if former != "hard" && source.is_none() {
            return Err(Error::failed("src is required for creating new hardlinks"));
        }
        if let Some(source) = &source
            && followed(source, system)?.is_none()
        {
            return Err(error("src does not exist"));
        }
        let inode = |path: &Path| Ok::<_, Error>(followed(path, system)?.map(|found| (found.device, found.inode)));
        let links = match (former, &source) {
            (_, None) => false,
            ("absent", Some(_)) => true,
            ("link", Some(source)) => system.read_link(path)?.as_ref() != Some(source),
            ("hard", Some(source)) => inode(path)? != inode(source)?,
            ("directory", Some(source)) if inode(path)? == inode(source)? => return Ok((outcome, path.to_owned())),
            (_, Some(_)) => true,
        };
        if links && !self.given.force {
            match former {
                "hard" => return Err(error("Cannot link, different hard link exists at destination")),
                "file" => return Err(error("Cannot link, file exists at destination")),
                "directory" => return Err(error("Cannot link: different hard link exists at destination")),
                _ => {}
            }
        }
        if let Some(source) = source.filter(|_| links) {
            // link(2) would link the link; Ansible goes one step.
            let step = if former == "absent" && self.given.follow { system.read_link(&source)? } else { None };
            let target = step.map_or_else(|| source.clone(), |step| source.parent().unwrap_or(Path::new("/")).join(step));
            self.draft.push(Action::HardLink { path: path.to_owned(), target });
        }
        let object = self.target(path)?;
        self.own(&object)?;
        Ok((outcome, path.to_owned()))
    }
}
