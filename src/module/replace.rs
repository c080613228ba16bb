//! `replace`: every match of a pattern in a file.

use super::encoding::Encoding;
use super::file_arguments::FileArguments;
use super::text_file::{self, Edit, check_validate, with_backup};
use super::{Context, Entry, Module, Outcome, PathText, Plan};
use crate::system::{Error, Result};
use crate::template::regex;

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Replace>(&["replace", "ansible.builtin.replace"]);

arguments! {
    /// Replace all matches of a pattern in a text file. Arguments and results as in `ansible.builtin.replace`; patterns are
    /// Python's, `^` and `$` stand at every line's ends.
    pub struct Replace {
        /// The file.
        path: PathText [required, aliases(&["dest", "destfile", "name"])],
        /// The pattern.
        regexp: String [required, checked(check_lines)],
        /// What stands there instead, with `\1` and `\g<name>`.
        replace: String [default("")],
        /// Only what is behind the match of this pattern; `.` matches line ends too.
        after: Option<String> [checked(check_whole)],
        /// Only what is before the match of this pattern; `.` matches line ends too.
        before: Option<String> [checked(check_whole)],
        /// Keep the former file beside the new one.
        backup: bool [default("no")],
        /// A command that must accept the new file, `%s` is its path.
        validate: Option<String> [checked(check_validate)],
        /// How the file is encoded.
        encoding: String [default("utf-8"), checked(super::encoding::check)],
        file: FileArguments,
    }
}

fn check_lines(pattern: &str) -> std::result::Result<(), String> {
    regex::flagged(pattern, "m").map(drop).map_err(|error| error.message)
}

fn check_whole(pattern: &str) -> std::result::Result<(), String> {
    regex::flagged(pattern, "s").map(drop).map_err(|error| error.message)
}

impl Module for Replace {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let path = self.path.path();
        let encoding = Encoding::of(&self.encoding)?;
        let former = text_file::read(path, "Path", false, context.system)?.unwrap_or_default();
        let text = encoding.decode(&former).map_err(|error| Error::failed(format!("read {}: {error}", path.display())))?;
        let (start, end) = match self.section(&text)? {
            Section::Part(start, end) => (start, end),
            Section::Missing(pattern) => {
                let message = format!("Pattern for before/after params did not match the given file: {pattern}");
                return Ok(Plan::done(Outcome::ok().with("rc", 0_i64).with("msg", message)));
            }
        };
        let section = &text[start..end];
        let (new, count) = regex::substitute(&self.regexp, "m", &self.replace, section, 0)
            .map_err(|error| Error::failed(format!("Unable to process replace due to error: {}", error.message)))?;
        let (content, message) = if count > 0 && new != section {
            let new = [&text[..start], &new, &text[end..]].concat();
            let bytes = encoding.encode(&new).map_err(|error| Error::failed(format!("write {}: {error}", path.display())))?;
            (Some(bytes), format!("{count} replacements made"))
        } else {
            (None, String::new())
        };
        let (file, validate, backup) = (&self.file, self.validate.as_ref(), self.backup);
        Edit { path, file, validate, backup, former: Some(former), content, message }.plan(context, |message, backup| {
            with_backup(Outcome::ok().with("rc", 0_i64).with("msg", message), backup)
        })
    }
}

/// Where replacements are made.
enum Section {
    Part(usize, usize),
    /// The pattern of `after` and `before` is nowhere.
    Missing(String),
}

impl Replace {
    fn section(&self, text: &str) -> Result<Section> {
        let given = |pattern: &Option<String>| pattern.clone().filter(|pattern| !pattern.is_empty());
        let pattern = match (given(&self.after), given(&self.before)) {
            (Some(after), Some(before)) => format!("{after}(?P<subsection>.*?){before}"),
            (Some(after), None) => format!("{after}(?P<subsection>.*)"),
            (None, Some(before)) => format!("(?P<subsection>.*){before}"),
            (None, None) => return Ok(Section::Part(0, text.len())),
        };
        let regex = regex::flagged(&pattern, "s").map_err(|error| Error::failed(error.message))?;
        let found = regex.captures(text).map_err(|error| Error::failed(format!("match {pattern}: {error}")))?;
        let found = found.and_then(|captures| captures.name("subsection").map(|found| (found.start(), found.end())));
        Ok(found.map_or(Section::Missing(pattern), |(start, end)| Section::Part(start, end)))
    }
}
