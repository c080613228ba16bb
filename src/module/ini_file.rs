//! `ini_file`: options and sections of an INI file.

use super::file_arguments::{Draft, FileArguments, add_path_info, followed, fresh, text};
use super::text_file::with_backup;
use super::{Context, Entry, Mode, Module, Next, Outcome, PathText, Plan, State};
use crate::system::{Action, ActionOutcome, Content, Error, FileKind, Ownership, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<IniFile>(&["ini_file", "community.general.ini_file"]);

arguments! {
    /// Keep options and sections of an INI file. Arguments and results as in `community.general.ini_file`.
    pub struct IniFile {
        /// The file.
        path: PathText [required, aliases(&["dest"])],
        /// The section; without one the option stands before the first section.
        section: Option<String>,
        /// Of several sections of this name the first in which all of these stand.
        section_has_values: Option<Vec<Condition>> [inside(<Condition as super::Arguments>::spec)],
        /// The option; without one the section itself is kept.
        option: Option<String>,
        /// Its value.
        value: Option<String>,
        /// Its values, one line each.
        values: Option<Vec<String>>,
        /// Keep the former file beside the new one.
        backup: bool [default("no")],
        /// Whether it is there.
        state: State [default("present")],
        /// The option has these values alone; else others of its lines are left.
        exclusive: bool [default("yes")],
        /// `=` without spaces around it.
        no_extra_spaces: bool [default("no")],
        /// A line that differs only in spaces around `=` is left.
        ignore_spaces: bool [default("no")],
        /// Make the file, and its folder, if it is not there.
        create: bool [default("yes")],
        /// An option may stand there without `=` and value.
        allow_no_value: bool [default("no")],
        /// A line of the option that is commented out is taken for the option.
        modify_inactive_option: bool [default("yes")],
        /// Of a link the file that it leads to is written; else a file takes the link's place.
        follow: bool [default("no")],
        file: FileArguments,
    }
    rules { mutually_exclusive(&["value", "values"]) }
}

arguments! {
    /// What a section must hold.
    pub struct Condition {
        /// An option of it.
        option: String [required],
        /// The option's value.
        value: Option<String>,
        /// One of the option's values; without any the option alone counts.
        values: Option<Vec<String>>,
    }
    rules { mutually_exclusive(&["value", "values"]) }
}

impl Condition {
    fn wanted(&self) -> Vec<String> {
        self.value.clone().map(|value| vec![value]).or_else(|| self.values.clone()).unwrap_or_default()
    }
}

impl Module for IniFile {
    fn check(&self) -> Result<()> {
        let has_values = self.value.is_some() || self.values.as_ref().is_some_and(|values| !values.is_empty());
        if self.state == State::Present && !self.allow_no_value && !has_values {
            return Err(Error::failed("Parameter 'value(s)' must be defined if state=present and allow_no_value=False."));
        }
        Ok(())
    }

    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        self.check()?;
        let (system, path) = (context.system, self.path.path());
        let check = context.mode == Mode::Check;
        let is_link = system.metadata(path)?.is_some_and(|found| found.kind == FileKind::Symlink);
        let target = if self.follow && is_link { system.canonical(path)? } else { path.to_owned() };
        let found = followed(&target, system)?;
        let lines = match &found {
            None if self.create => Vec::new(),
            None => return Err(Error::failed(format!("Destination {} does not exist!", target.display())).detail("rc", 257_i64)),
            Some(found) if found.kind == FileKind::Directory => {
                return Err(Error::failed(format!("edit {}: it is a directory", target.display())));
            }
            Some(_) => lines(&system.read(&target)?.unwrap_or_default())
                .ok_or_else(|| Error::failed(format!("edit {}: it is not UTF-8", target.display())))?,
        };
        let mut draft = Draft::new(system);
        let (content, message) = Edited::of(self, lines)?;
        let is_written = content.is_some();
        if let Some(content) = content {
            if let Some(folder) = target.parent().filter(|_| found.is_none() && !check) {
                draft.make_directories(folder, &FileArguments::none())?;
            }
            let ownership = match &found {
                _ if check => Ownership::default(),
                None => self.file.wanted(&target, &fresh(FileKind::File), system)?,
                // The file in the link's place is as the one that the link leads to.
                Some(found) if is_link && !self.follow => {
                    let wanted = self.file.wanted(&target, found, system)?;
                    Ownership {
                        mode: wanted.mode.or(Some(found.mode)),
                        owner: wanted.owner.or_else(|| Some(found.uid.to_string())),
                        group: wanted.group.or_else(|| Some(found.gid.to_string())),
                        ..wanted
                    }
                }
                Some(_) => self.file.difference(&target, system)?,
            };
            draft.push(Action::WriteFile {
                path: target.clone(),
                content: Content::from(content),
                ownership,
                backup: self.backup && found.is_some(),
                unsafe_writes: self.file.unsafe_writes,
                validate: None,
            });
        } else if found.is_some() && !check {
            draft.own(&target, &self.file)?;
        }
        let outcome = Outcome { changed: !draft.actions.is_empty(), ..Outcome::ok() }.with("msg", message).with("path", text(path));
        let predicted = add_path_info(outcome.clone(), path, if check { system } else { &draft.system })?;
        if draft.actions.is_empty() {
            return Ok(Plan::done(predicted));
        }
        let (path, keeps) = (path.to_owned(), self.backup && is_written);
        Ok(Plan::act(draft.actions, predicted).then(move |outcomes, system| {
            let kept = keeps.then(|| outcomes.last().and_then(ActionOutcome::kept).unwrap_or_default());
            Ok(Next::Done(add_path_info(with_backup(outcome, kept), &path, system)?))
        }))
    }
}

/// Lines with their ends, whatever ends they had.
fn lines(bytes: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).ok()?;
    Some(text.replace("\r\n", "\n").replace('\r', "\n").split_inclusive('\n').map(str::to_owned).collect())
}

/// A line of an option.
struct Setting<'line> {
    is_comment: bool,
    value: &'line str,
}

/// The option's line, commented out or not.
fn setting<'line>(option: &str, line: &'line str) -> Option<Setting<'line>> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let (_, unindented) = indented(line);
    let commented = unindented.strip_prefix(['#', ';']).and_then(|rest| behind(option, rest));
    let (is_comment, rest) = match commented {
        Some(rest) => (true, rest),
        None => (false, behind(option, line)?),
    };
    let (_, rest) = indented(rest);
    let value = if rest.is_empty() { rest } else { indented(rest.strip_prefix('=')?).1 };
    Some(Setting { is_comment, value: value.split('\n').next().unwrap_or_default() })
}

/// Its blanks, and what is behind them.
fn indented(text: &str) -> (&str, &str) {
    text.split_at(text.len() - text.trim_start_matches([' ', '\t']).len())
}

/// What stands behind the option, which may be indented.
fn behind<'line>(option: &str, line: &'line str) -> Option<&'line str> {
    let ((least, name), (blanks, rest)) = (indented(option), indented(line));
    rest.strip_prefix(name).filter(|_| blanks.ends_with(least))
}

/// The section's lines while they are edited; where nothing names a section, those before the first one.
struct Edited<'module> {
    module: &'module IniFile,
    option: &'module str,
    lines: Vec<String>,
    /// Lines that hold what they are to hold.
    settled: Vec<bool>,
    /// Values that no line has yet.
    values: Vec<String>,
    message: Option<&'static str>,
}

impl<'module> Edited<'module> {
    /// The whole file as it is to be, `None` where it is so; and what happened.
    fn of(module: &'module IniFile, mut lines: Vec<String>) -> Result<(Option<String>, &'static str)> {
        if lines.is_empty() {
            lines.push("\n".to_owned());
        }
        let ends = lines.last().is_none_or(|last| last.ends_with('\n'));
        if let Some(last) = lines.last_mut().filter(|_| !ends) {
            last.push('\n');
        }
        let section = module.section.as_deref().filter(|section| !section.is_empty());
        let present = module.state == State::Present;
        let place = place(section, module.section_has_values.as_deref().unwrap_or_default(), &lines);
        let Some((begin, end)) = place else {
            let Some(section) = section.filter(|_| present) else {
                if present {
                    return Err(Error::failed("what section_has_values names does not stand before the first section"));
                }
                return Ok(((!ends).then(|| lines.concat()), "OK"));
            };
            let (added, message) = module.added(section);
            return Ok((Some(lines.concat() + &added), message));
        };
        let own: Vec<String> = lines.drain(begin..end).collect();
        let mut edited = Edited {
            module,
            option: module.option.as_deref().unwrap_or_default(),
            settled: vec![false; own.len()],
            lines: own,
            values: module.wanted(),
            message: None,
        };
        match (present, edited.option.is_empty()) {
            (true, false) => edited.set(),
            (true, true) => {}
            (false, false) => edited.unset(),
            (false, true) => edited.clear(),
        }
        let Edited { lines: own, message, .. } = edited;
        lines.splice(begin..begin, own);
        Ok(((message.is_some() || !ends).then(|| lines.concat()), message.unwrap_or("OK")))
    }

    /// The option's line as the module takes lines for it.
    fn taken<'line>(&self, line: &'line str) -> Option<Setting<'line>> {
        setting(self.option, line).filter(|found| self.module.modify_inactive_option || !found.is_comment)
    }

    fn update(&mut self, index: usize, new: String) {
        let is_same = match (setting(self.option, &self.lines[index]), setting(self.option, &new)) {
            (Some(former), Some(new)) if self.module.ignore_spaces && !former.is_comment => former.value == new.value,
            _ => self.lines[index] == new,
        };
        if !is_same {
            self.lines[index] = new;
            self.message = Some("option changed");
        }
        self.settled[index] = true;
    }

    fn set(&mut self) {
        let module = self.module;
        let bare = format!("{}\n", self.option);
        let mut has_bare = false;
        // Lines that have one of the values.
        for index in 0..self.lines.len() {
            let Some(value) = self.taken(&self.lines[index]).map(|found| found.value.to_owned()) else { continue };
            if let Some(at) = self.values.iter().position(|wanted| *wanted == value) {
                let is_bare = value.is_empty() && module.allow_no_value;
                has_bare |= is_bare;
                self.update(index, if is_bare { bare.clone() } else { module.line(self.option, &value) });
                self.values.remove(at);
            } else if self.values.is_empty() && module.allow_no_value {
                self.update(index, bare.clone());
                has_bare = true;
                break;
            }
        }
        // Other lines of the option take the values that are left; what is too much goes.
        if module.exclusive && !module.allow_no_value {
            for index in 0..self.lines.len() {
                if !self.values.is_empty() && !self.settled[index] && self.taken(&self.lines[index]).is_some() {
                    let value = self.values.remove(0);
                    self.update(index, module.line(self.option, &value));
                }
            }
            for index in (0..self.lines.len()).rev() {
                if !self.settled[index] && self.taken(&self.lines[index]).is_some() {
                    self.lines.remove(index);
                    self.settled.remove(index);
                    self.message = Some("option changed");
                }
            }
        }
        let new: Vec<String> = match self.values.as_slice() {
            [] if module.allow_no_value && !has_bare => vec![bare],
            values => values.iter().map(|value| module.line(self.option, value)).collect(),
        };
        if !new.is_empty() {
            let is_empty = |line: &str| matches!(line.trim_start_matches([' ', '\t']).chars().next(), None | Some('\n' | '#' | ';'));
            let last = self.lines.iter().rposition(|line| !is_empty(line)).map_or(0, |last| last + 1);
            self.lines.splice(last..last, new);
            self.message = Some("option added");
        }
    }

    fn unset(&mut self) {
        let (count, option, module) = (self.lines.len(), self.option, self.module);
        let values = &self.values;
        self.lines.retain(|line| {
            let active = setting(option, line).filter(|found| !found.is_comment);
            !active.is_some_and(|found| module.exclusive || values.iter().any(|value| value == found.value))
        });
        if self.lines.len() != count {
            self.message = Some("option changed");
        }
    }

    fn clear(&mut self) {
        if !self.lines.is_empty() {
            self.lines.clear();
            self.message = Some("section removed");
        }
    }
}

/// Where the section begins (with its header) and ends.
fn place(section: Option<&str>, conditions: &[Condition], lines: &[String]) -> Option<(usize, usize)> {
    let end = |begin: usize| lines[begin..].iter().position(|line| line.starts_with('[')).map_or(lines.len(), |at| begin + at);
    let holds = |lines: &[String]| {
        conditions.iter().all(|condition| {
            let wanted = condition.wanted();
            let mut found = lines.iter().filter_map(|line| setting(&condition.option, line));
            found.any(|found| wanted.is_empty() || wanted.iter().any(|value| value == found.value))
        })
    };
    let Some(name) = section.map(str::trim) else {
        let end = end(0);
        return holds(&lines[..end]).then_some((0, end));
    };
    let is_header = |line: &str| {
        let rest = line.strip_prefix('[').and_then(|rest| rest.trim_start().strip_prefix(name));
        rest.is_some_and(|rest| rest.trim_start().starts_with(']'))
    };
    let begins = lines.iter().enumerate().filter(|(_, line)| is_header(line)).map(|(index, _)| index);
    begins.map(|begin| (begin, end(begin + 1))).find(|(begin, end)| holds(&lines[*begin..*end]))
}

impl IniFile {
    /// Each value once.
    fn wanted(&self) -> Vec<String> {
        let given = self.value.clone().map(|value| vec![value]).or_else(|| self.values.clone()).unwrap_or_default();
        let mut values: Vec<String> = Vec::new();
        for value in given {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    fn line(&self, option: &str, value: &str) -> String {
        if self.no_extra_spaces { format!("{option}={value}\n") } else { format!("{option} = {value}\n") }
    }

    /// A section that is not there yet, with its option and what it must hold.
    fn added(&self, section: &str) -> (String, &'static str) {
        let mut added = format!("[{section}]\n");
        let mut values = self.wanted();
        let option = self.option.as_deref().unwrap_or_default();
        for condition in self.section_has_values.iter().flatten() {
            let required = condition.wanted();
            if condition.option == option {
                let more = required.into_iter().filter(|value| !self.exclusive && !values.contains(value)).collect::<Vec<_>>();
                values.extend(more);
            } else if !required.is_empty() {
                added.extend(required.iter().map(|value| self.line(&condition.option, value)));
            } else if self.allow_no_value {
                added += &format!("{}\n", condition.option);
            }
        }
        let bare = (values.is_empty() && self.allow_no_value).then(|| format!("{option}\n"));
        if option.is_empty() || (values.is_empty() && bare.is_none()) {
            return (added, "only section added");
        }
        added.extend(values.iter().map(|value| self.line(option, value)).chain(bare));
        (added, "section and option added")
    }
}
