//! `lineinfile`: one line of a file, there or not there.

use super::octets::{check, compile, decode, encode};
use super::text_file::{self, Edit, check_validate};
use super::{Context, Entry, Module, Outcome, PathText, Plan, State};
use super::file_arguments::FileArguments;
use crate::program::Value;
use crate::system::{Error, Result};
use crate::template::regex::expand;

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Lineinfile>(&["lineinfile", "ansible.builtin.lineinfile"]);

arguments! {
    /// Keep a line in a text file. Arguments and results as in `ansible.builtin.lineinfile`; patterns are Python's, of bytes.
    pub struct Lineinfile {
        /// The file.
        path: PathText [required, aliases(&["dest", "destfile", "name"])],
        /// Whether the line is there.
        state: State [default("present")],
        /// Pattern of the line to replace (the last that matches), or of the lines to remove.
        regexp: Option<String> [aliases(&["regex"]), checked(check)],
        /// The same as a plain text.
        search_string: Option<String>,
        /// The line.
        line: Option<String> [aliases(&["value"])],
        /// Where a new line goes: behind the last match of this pattern, or `EOF`, `BOF`.
        insertafter: Option<String> [checked(check)],
        /// Where a new line goes: before the last match of this pattern, or `BOF`.
        insertbefore: Option<String> [checked(check)],
        /// Fill `\1` and `\g<name>` of the line from the match of `regexp`; without a match nothing is done.
        backrefs: bool [default("no")],
        /// Make the file, and its folder, if it is not there.
        create: bool [default("no")],
        /// Keep the former file beside the new one.
        backup: bool [default("no")],
        /// The first match counts, not the last.
        firstmatch: bool [default("no")],
        /// A command that must accept the new file, `%s` is its path.
        validate: Option<String> [checked(check_validate)],
        file: FileArguments,
    }
    rules {
        mutually_exclusive(&["insertbefore", "insertafter"]),
        mutually_exclusive(&["regexp", "search_string"]),
        mutually_exclusive(&["backrefs", "search_string"]),
        required_if("state", "present", &["line"]),
        required_if("backrefs", "True", &["regexp"]),
        required_if_any("state", "absent", &["line", "search_string", "regexp"]),
    }
}

/// Lines with their ends, bytes as letters.
type Lines = Vec<String>;

impl Module for Lineinfile {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let path = self.path.path();
        let present = self.state == State::Present;
        let former = match text_file::read(path, "Destination", self.create || !present, context.system)? {
            None if !present => return Ok(Plan::done(self.warned(Outcome::ok().with("msg", "file not present")))),
            former => former,
        };
        if present && self.backrefs && self.regexp.is_none() {
            return Err(Error::failed("regexp is required with backrefs=true"));
        }
        let before: Lines = encode(former.as_deref().unwrap_or_default()).split_inclusive('\n').map(str::to_owned).collect();
        let (after, message, found) = if present {
            let (after, message) = self.with_line(before.clone())?;
            (after, message.to_owned(), None)
        } else {
            let kept = self.without(before.clone())?;
            let found = before.len() - kept.len();
            (kept, if found > 0 { format!("{found} line(s) removed") } else { String::new() }, Some(found as i64))
        };
        let content = (after != before).then(|| decode(&after.concat()));
        let warnings = self.warned(Outcome::ok()).warnings;
        let (file, validate, backup) = (&self.file, self.validate.as_ref(), self.backup);
        Edit { path, file, validate, backup, former, content, message }.plan(context, move |message, backup| {
            let outcome = Outcome { warnings: warnings.clone(), ..Outcome::ok() };
            let outcome = if let Some(found) = found { outcome.with("found", found) } else { outcome };
            outcome.with("msg", message).with("backup", Value::text(backup.unwrap_or_default()))
        })
    }
}

impl Lineinfile {
    /// An empty pattern is in every line.
    fn warned(&self, mut outcome: Outcome) -> Outcome {
        let (what, more) = match (self.regexp.as_deref(), self.search_string.as_deref()) {
            (Some(""), _) => ("regular expression", " If this is desired, use '^' to match every line in the file and avoid this warning."),
            (_, Some("")) => ("search string", ""),
            _ => return outcome,
        };
        outcome.warnings.push(format!(
            "The {what} is an empty string, which will match every line in the file. This may have unintended consequences, such as \
             replacing the last line in the file rather than appending.{more}"
        ));
        outcome
    }

    /// The lines with the line, and what was done; the order of the questions is Ansible's.
    fn with_line(&self, mut lines: Lines) -> Result<(Lines, &'static str)> {
        let line = encode(self.line.as_deref().unwrap_or_default().as_bytes());
        let (before, after) = (self.insertbefore.as_deref(), self.insertafter.as_deref());
        let after = if before.is_none() && after.is_none() { Some("EOF") } else { after };
        let replaced = self.replaced(&lines, &line)?;
        let is_match = replaced.is_some();
        let (mut same, mut place) = (replaced, None);
        if !is_match {
            (same, place) = self.places(&lines, &line, before, after)?;
        }
        let ended = |line: String| if line.ends_with('\n') { line } else { line + "\n" };
        if let Some((index, new)) = same {
            let new = ended(new);
            if lines[index] == new {
                return Ok((lines, ""));
            }
            lines[index] = new;
            return Ok((lines, "line replaced"));
        }
        if self.backrefs {
            return Ok((lines, ""));
        }
        let new = format!("{line}\n");
        match place {
            _ if before == Some("BOF") || after == Some("BOF") => lines.insert(0, new),
            Some(index) if after != Some("EOF") => {
                // Where the line stands at the place already, nothing is to do.
                let neighbour = if index == lines.len() { index - 1 } else { index };
                if after.is_some_and(|after| !after.is_empty()) && trimmed(&lines[neighbour]) == line {
                    return Ok((lines, ""));
                }
                lines.insert(index, new);
            }
            _ => {
                if lines.last().is_some_and(|last| !last.ends_with(['\n', '\r'])) {
                    lines.push("\n".to_owned());
                }
                lines.push(new);
            }
        }
        Ok((lines, "line added"))
    }

    /// The line that `regexp` or `search_string` finds, and what it becomes.
    fn replaced(&self, lines: &Lines, line: &str) -> Result<Option<(usize, String)>> {
        let failed = |error: String| Error::failed(format!("fill the line from the match: {error}"));
        let mut found = None;
        if let Some(pattern) = &self.regexp {
            let regex = compile(pattern)?;
            let names: Vec<&str> = regex.capture_names().flatten().collect();
            for (index, current) in lines.iter().enumerate() {
                let Some(captures) = regex.captures(current.as_str()).map_err(|error| failed(error.to_string()))? else { continue };
                found = Some((index, captures));
                if self.firstmatch {
                    break;
                }
            }
            let Some((index, captures)) = found else { return Ok(None) };
            let mut new = line.to_owned();
            if self.backrefs {
                new.clear();
                expand(line, &captures, &names, &mut new).map_err(|error| failed(error.message))?;
            }
            return Ok(Some((index, new)));
        }
        let Some(text) = self.search_string.as_ref().map(|text| encode(text.as_bytes())) else { return Ok(None) };
        let mut holding = lines.iter().enumerate().filter(|(_, current)| current.contains(&text)).map(|(index, _)| index);
        let index = if self.firstmatch { holding.next() } else { holding.next_back() };
        Ok(index.map(|index| (index, line.to_owned())))
    }

    /// Where the very line stands, and where a new one would go.
    fn places(&self, lines: &Lines, line: &str, before: Option<&str>, after: Option<&str>) -> Result<(Option<(usize, String)>, Option<usize>)> {
        let pattern = match (after, before) {
            (Some(after), _) if !matches!(after, "BOF" | "EOF") => Some(compile(after)?),
            (_, Some(before)) if before != "BOF" => Some(compile(before)?),
            _ => None,
        };
        let (mut same, mut place) = (None, None);
        for (index, current) in lines.iter().enumerate() {
            if trimmed(current) == line {
                same = Some((index, line.to_owned()));
            } else if let Some(pattern) = &pattern
                && pattern.is_match(current.as_str()).map_err(|error| Error::failed(error.to_string()))?
            {
                if after.is_some_and(|after| !after.is_empty()) {
                    place = Some(index + 1);
                } else if before.is_some_and(|before| !before.is_empty()) {
                    place = Some(index);
                }
                if self.firstmatch {
                    break;
                }
            }
        }
        Ok((same, place))
    }

    /// The lines that stay.
    fn without(&self, lines: Lines) -> Result<Lines> {
        let regex = self.regexp.as_deref().map(compile).transpose()?;
        let text = self.search_string.as_ref().map(|text| encode(text.as_bytes()));
        let line = encode(self.line.as_deref().unwrap_or_default().as_bytes());
        let mut kept = Vec::new();
        for current in lines {
            let goes = match (&regex, &text) {
                (Some(regex), _) => regex.is_match(current.as_str()).map_err(|error| Error::failed(error.to_string()))?,
                (None, Some(text)) => current.contains(text),
                (None, None) => trimmed(&current) == line,
            };
            if !goes {
                kept.push(current);
            }
        }
        Ok(kept)
    }
}

fn trimmed(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}
