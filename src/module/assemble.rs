//! `assemble`: a file from the fragments of a folder.

use std::path::Path;

use super::copy::followed_source;
use super::expand::expand;
use super::file_arguments::{Draft, FileArguments, add_path_info, followed, fresh, is_directory};
use super::text_file::{check_validate, with_backup};
use super::{Context, Entry, Mode, Module, Next, Outcome, PathText, Plan};
use crate::map;
use crate::program::{Bytes, File, Value};
use crate::system::{Action, ActionOutcome, Content, Digest, Error, FileKind, Ownership, Result};
use crate::template::regex;

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Assemble>(&["assemble", "ansible.builtin.assemble"]);

arguments! {
    /// Put a file together from fragments, in the order of their names. Arguments and results as in `ansible.builtin.assemble`.
    pub struct Assemble {
        /// The folder of the fragments.
        src: String [required],
        /// The file.
        dest: PathText [required],
        /// What stands between fragments, with escapes as `\n`.
        delimiter: Option<String>,
        /// The folder is on the node.
        remote_src: bool [default("yes")],
        /// A pattern of the names that are taken.
        regexp: Option<String> [checked(check_pattern)],
        /// Leave out names that begin with a dot.
        ignore_hidden: bool [default("no")],
        /// Keep the former file beside the new one.
        backup: bool [default("no")],
        /// A command that must accept the new file, `%s` is its path.
        validate: Option<String> [checked(check_validate)],
        /// A vault file is decrypted before it is sent.
        decrypt: bool [default("yes")],
        file: FileArguments,
    }
}

fn check_pattern(pattern: &str) -> std::result::Result<(), String> {
    regex::flagged(pattern, "").map(drop).map_err(|error| error.message)
}

impl Module for Assemble {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        if self.remote_src { self.on_node(context) } else { self.of_controller(context) }
    }
}

impl Assemble {
    fn on_node(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let shown = expand(&self.src, system, context.environment)?;
        let src = Path::new(&shown);
        match followed(src, system)? {
            None => return Err(Error::failed(format!("Source ({shown}) does not exist"))),
            Some(found) if found.kind != FileKind::Directory => {
                return Err(Error::failed(format!("Source ({shown}) is not a directory")));
            }
            Some(_) => {}
        }
        if let Some(line) = self.validate.as_ref().filter(|line| check_validate(line).is_err()) {
            return Err(Error::failed(format!("validate must contain %s: {line}")));
        }
        let mut assembled = Assembled::new(self, false);
        for name in system.list(src)?.unwrap_or_default() {
            let path = src.join(&name);
            let is_file = followed(&path, system)?.is_some_and(|found| found.kind == FileKind::File);
            if self.takes(&name)? && is_file {
                assembled.add(&system.read(&path)?.unwrap_or_default());
            }
        }
        self.write(context, Some(shown), assembled.bytes)
    }

    /// The folder is the controller's: what comes together there is copied, and told as `copy` tells it.
    fn of_controller(&self, context: &Context<'_>) -> Result<Plan> {
        let missing = || Error::failed(format!("could not find src={}", self.src));
        let source = context.source.ok_or_else(missing)?;
        let (folder, File::Directory { entries, .. }) = followed_source(source.path, source.below, source.file) else {
            return Err(Error::failed(format!("Source ({}) is not a directory", source.path)));
        };
        let mut assembled = Assembled::new(self, true);
        for name in entries {
            let path = format!("{folder}/{name}");
            let Some(file) = source.below.get(path.as_str()) else { continue };
            let (_, file) = followed_source(&path, source.below, file);
            let File::Plain { content, .. } = file else { continue };
            if self.takes(name)? {
                let content = content.as_ref().ok_or_else(|| Error::failed(format!("the content of {path} was not sent")))?;
                assembled.add(&content.0);
            }
        }
        self.write(context, None, assembled.bytes)
    }

    fn takes(&self, name: &str) -> Result<bool> {
        if self.ignore_hidden && name.starts_with('.') {
            return Ok(false);
        }
        let Some(pattern) = &self.regexp else { return Ok(true) };
        regex::matches(name, pattern, false, false, "search")
            .map_err(|error| Error::failed(format!("Invalid Regexp ({}) in \"{pattern}\"", error.message)))
    }

    fn write(&self, context: &Context<'_>, src: Option<String>, bytes: Vec<u8>) -> Result<Plan> {
        let check = context.mode == Mode::Check;
        let path = self.dest.path();
        if is_directory(path, context.system)? {
            return Err(Error::failed(format!("attempted to take checksum of directory: {}", self.dest.0)));
        }
        let (sha1, md5) = (Digest::Sha1.of(&bytes), Digest::Md5.of(&bytes));
        let mut draft = Draft::new(context.system);
        let there = followed(path, context.system)?.is_some();
        let writes = !there || context.system.digest(path, Digest::Sha256)? != Some(Digest::Sha256.of(&bytes));
        if writes {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !there && !check && followed(folder, context.system)?.is_none() {
                return Err(Error::failed(format!("Destination directory {} does not exist", folder.display()))
                    .hint("make it with a `file` task"));
            }
            let ownership = match (check, there) {
                (true, _) => Ownership::default(),
                (false, true) => self.file.difference(path, context.system)?,
                (false, false) => self.file.wanted(path, &fresh(FileKind::File), context.system)?,
            };
            draft.push(Action::WriteFile {
                path: path.to_owned(),
                content: Content::Inline(Bytes(bytes.into())),
                ownership,
                backup: self.backup && there,
                unsafe_writes: self.file.unsafe_writes,
                validate: self.validate.clone(),
            });
        } else {
            draft.own(path, &self.file)?;
        }
        let changed = !draft.actions.is_empty();
        let on_node = src.is_some();
        let mut outcome = Outcome { changed, ..Outcome::ok() };
        if let Some(src) = src {
            outcome = outcome.with("src", src).with("msg", "OK");
        }
        let outcome = outcome.with("dest", self.dest.0.as_str()).with("checksum", sha1).with("md5sum", md5);
        let predicted = add_path_info(outcome.clone(), path, if check { draft.system.base() } else { &draft.system })?;
        if !changed {
            return Ok(Plan::done(predicted));
        }
        let (path, validates) = (path.to_owned(), self.validate.is_some() && writes && on_node);
        Ok(Plan::act(draft.actions, predicted).then(move |outcomes, system| {
            let mut outcome = with_backup(outcome, outcomes.first().and_then(ActionOutcome::kept));
            if let Some(done) = outcomes.first().filter(|_| validates) {
                let said = |bytes: &Bytes| Value::text(String::from_utf8_lossy(&bytes.0));
                let validation = map! { "rc" => i64::from(done.rc.unwrap_or_default()), "stdout" => said(&done.stdout), "stderr" => said(&done.stderr) };
                outcome = outcome.with("validation", validation);
            }
            Ok(Next::Done(add_path_info(outcome, &path, system)?))
        }))
    }
}

/// Fragments one behind the other.
struct Assembled {
    bytes: Vec<u8>,
    delimiter: Vec<u8>,
    /// Ansible ends a delimiter on the controller with a newline even where it has one.
    always_ends: bool,
    begun: bool,
    /// The last fragment ended with a newline.
    ended: bool,
}

impl Assembled {
    fn new(assemble: &Assemble, always_ends: bool) -> Self {
        let delimiter = assemble.delimiter.as_deref().map(unescaped).unwrap_or_default();
        Self { bytes: Vec::new(), delimiter, always_ends, begun: false, ended: true }
    }

    fn add(&mut self, fragment: &[u8]) {
        if self.begun {
            // Fragments never run together.
            if !self.ended {
                self.bytes.push(b'\n');
            }
            if !self.delimiter.is_empty() {
                self.bytes.extend_from_slice(&self.delimiter);
                if self.always_ends || !self.delimiter.ends_with(b"\n") {
                    self.bytes.push(b'\n');
                }
            }
        }
        self.bytes.extend_from_slice(fragment);
        self.begun = true;
        self.ended = fragment.ends_with(b"\n");
    }
}

/// Python's `codecs.escape_decode`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut push = |letter: char| bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        if letter != '\\' {
            push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => push('\n'),
            Some('r') => push('\r'),
            Some('t') => push('\t'),
            Some('a') => push('\x07'),
            Some('b') => push('\x08'),
            Some('f') => push('\x0c'),
            Some('v') => push('\x0b'),
            Some('\n') => {}
            Some(plain @ ('\\' | '\'' | '"')) => push(plain),
            Some('x') => {
                let digits: String = std::iter::from_fn(|| letters.next_if(char::is_ascii_hexdigit)).take(2).collect();
                bytes.extend(u8::from_str_radix(&digits, 16).ok());
            }
            Some(first) if first.is_digit(8) => {
                let mut digits = String::from(first);
                while digits.len() < 3 && letters.peek().is_some_and(|digit| digit.is_digit(8)) {
                    digits.extend(letters.next());
                }
                bytes.extend(u32::from_str_radix(&digits, 8).ok().map(|number| (number & 0xff) as u8));
            }
            Some(other) => {
                push('\\');
                push(other);
            }
            None => push('\\'),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_pythons() {
        for (text, wanted) in [("--\\n", "--\n".as_bytes()), ("\\x41\\101\\q\\\\", b"AA\\q\\"), ("é\\t", "é\t".as_bytes()), ("\\0", b"\0")] {
            assert_eq!(unescaped(text), wanted, "{text}");
        }
    }
}
