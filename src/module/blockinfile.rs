//! `blockinfile`: lines between two markers of a file.

use super::file_arguments::FileArguments;
use super::octets::{check, compile, decode, encode};
use super::text_file::{self, Edit, check_validate, with_backup};
use super::{Context, Entry, Module, Outcome, PathText, Plan, State};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Blockinfile>(&["blockinfile", "ansible.builtin.blockinfile"]);

arguments! {
    /// Keep a block of lines, between marker lines, in a text file. Arguments and results as in `ansible.builtin.blockinfile`;
    /// patterns are Python's, of bytes.
    pub struct Blockinfile {
        /// The file.
        path: PathText [required, aliases(&["dest", "destfile", "name"])],
        /// Whether the block is there.
        state: State [default("present")],
        /// The marker lines; `{mark}` becomes `marker_begin` and `marker_end`.
        marker: String [default("# {mark} ANSIBLE MANAGED BLOCK")],
        /// What stands between the markers; empty: the block is removed.
        block: String [default(""), aliases(&["content"])],
        /// Where a new block goes: behind the last match of this pattern, or `EOF`.
        insertafter: Option<String> [checked(check)],
        /// Where a new block goes: before the last match of this pattern, or `BOF`.
        insertbefore: Option<String> [checked(check)],
        /// Make the file, and its folder, if it is not there.
        create: bool [default("no")],
        /// Keep the former file beside the new one.
        backup: bool [default("no")],
        /// A command that must accept the new file, `%s` is its path.
        validate: Option<String> [checked(check_validate)],
        /// What `{mark}` is in the first marker.
        marker_begin: String [default("BEGIN")],
        /// What `{mark}` is in the last marker.
        marker_end: String [default("END")],
        /// An empty line behind the block, where it does not end the file.
        append_newline: bool [default("no")],
        /// An empty line before the block, where it does not begin the file.
        prepend_newline: bool [default("no")],
        file: FileArguments,
    }
    rules { mutually_exclusive(&["insertbefore", "insertafter"]) }
}

impl Module for Blockinfile {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let path = self.path.path();
        let present = self.state == State::Present;
        let former = text_file::read(path, "Path", self.create, context.system)?;
        if former.is_none() && !present {
            return Ok(Plan::done(Outcome::ok().with("msg", format!("File {} not present", path.display()))));
        }
        let before = encode(former.as_deref().unwrap_or_default());
        let block = self.block_lines();
        let after = decode(&self.rewritten(&before, &block)?);
        let message = match &former {
            Some(former) if *former == after => "",
            None => "File created",
            Some(_) if block.is_empty() => "Block removed",
            Some(_) => "Block inserted",
        };
        let content = (former.as_ref() != Some(&after)).then_some(after);
        let (file, validate, backup, message) = (&self.file, self.validate.as_ref(), self.backup, message.to_owned());
        Edit { path, file, validate, backup, former, content, message }
            .plan(context, |message, backup| with_backup(Outcome::ok().with("msg", message), backup))
    }
}

impl Blockinfile {
    fn marker(&self, mark: &str) -> String {
        encode(self.marker.replace("{mark}", mark).as_bytes()) + "\n"
    }

    /// The block with its markers; nothing where it is not to be there.
    fn block_lines(&self) -> Vec<String> {
        if self.state == State::Absent || self.block.is_empty() {
            return Vec::new();
        }
        let end = if self.block.ends_with('\n') { "" } else { "\n" };
        let block = encode(format!("{}{end}", self.block).as_bytes());
        let mut lines = vec![self.marker(&self.marker_begin)];
        lines.extend(split(&block));
        lines.push(self.marker(&self.marker_end));
        lines
    }

    fn rewritten(&self, before: &str, block: &[String]) -> Result<String> {
        let mut lines = split(before);
        let (begin, end) = (self.marker(&self.marker_begin), self.marker(&self.marker_end));
        let last = |marker: &str| lines.iter().rposition(|line| line == marker);
        let mut at = match (last(&begin), last(&end)) {
            (Some(one), Some(other)) => {
                let (first, last) = (one.min(other), one.max(other));
                lines.drain(first..=last);
                first
            }
            _ => self.place(before, &lines)?,
        };
        if let Some(above) = at.checked_sub(1).and_then(|above| lines.get_mut(above))
            && !above.ends_with('\n')
        {
            above.push('\n');
        }
        let present = self.state == State::Present;
        if self.prepend_newline && present && at != 0 && lines[at - 1] != "\n" {
            lines.insert(at, "\n".to_owned());
            at += 1;
        }
        lines.splice(at..at, block.iter().cloned());
        let below = at + block.len();
        if self.append_newline && present && lines.get(below).is_some_and(|line| line != "\n") {
            lines.insert(below, "\n".to_owned());
        }
        Ok(lines.concat())
    }

    /// Before which line a new block goes.
    fn place(&self, before: &str, lines: &[String]) -> Result<usize> {
        let pattern = match (self.insertafter.as_deref(), self.insertbefore.as_deref()) {
            (Some(after), _) if after != "EOF" => after,
            (None, Some("BOF")) => return Ok(0),
            (None, Some(before)) => before,
            _ => return Ok(lines.len()),
        };
        let failed = |error: fancy_regex::Error| Error::failed(format!("match {pattern}: {error}"));
        let regex = compile(pattern)?;
        let behind = self.insertafter.is_some();
        let found = if is_multiline(pattern) {
            let found = regex.find(before).map_err(failed)?;
            found.map(|found| before[..if behind { found.end() } else { found.start() }].matches('\n').count())
        } else {
            let mut last = None;
            for (index, line) in lines.iter().enumerate() {
                if regex.is_match(line.as_str()).map_err(failed)? {
                    last = Some(index);
                }
            }
            last
        };
        // A match at the very end leaves no line to stand behind.
        Ok(found.map_or(lines.len(), |found| found + usize::from(behind)).min(lines.len()))
    }
}

/// Whether the pattern begins with flags that hold `m`: it is then matched against the whole file.
fn is_multiline(pattern: &str) -> bool {
    pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')')).is_some_and(|(flags, _)| {
        flags.contains('m') && flags.bytes().all(|flag| flag.is_ascii_alphabetic())
    })
}

/// Lines with their ends: `\n`, `\r`, `\r\n`, as Python splits bytes.
fn split(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        let end = at + if rest[at..].starts_with("\r\n") { 2 } else { 1 };
        lines.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}
