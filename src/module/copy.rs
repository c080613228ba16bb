//! `copy`: files and folders of the controller, text, or files of the node itself, to a place on the node.

use std::path::{Path, PathBuf};

use super::copy_tree::Tree;
use super::expand::expand;
use super::file_arguments::{Draft, FileArguments, add_path_info, followed, fresh, is_directory, text};
use super::stat::known;
use super::{Context, Entry, Mode, Module, Next, Outcome, PathText, Plan};
use crate::program::{Bytes, File, Value};
use crate::system::{Action, ActionOutcome, Content, Digest, Error, FileKind, Metadata, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Copy>(&["copy", "ansible.builtin.copy"]);

arguments! {
    /// Copy files, folders or a text to the node. Arguments and results as in `ansible.builtin.copy`.
    pub struct Copy {
        /// A file or folder of the controller (of the node with `remote_src`); with a slash at its end what is inside.
        src: Option<String>,
        /// The text to write; mappings and lists become JSON.
        content: Option<Value>,
        /// Where to: a folder if it ends with a slash, if `src` is a folder, or if one is there.
        dest: PathText [required],
        /// Keep the former file beside the new one.
        backup: bool [default("no")],
        /// Replace a file that is there and differs.
        force: bool [default("yes")],
        /// A command that must accept the new file, `%s` is its path.
        validate: Option<String>,
        /// Mode of folders that are made.
        directory_mode: Option<Value> [checked(super::file_arguments::check_mode)],
        /// `src` is on the node.
        remote_src: bool [default("no")],
        /// Copy what links in `src` point to, not the links. Default: yes, with `remote_src` no.
        local_follow: Option<bool>,
        /// SHA-1 that the source must have.
        checksum: Option<String>,
        /// Write through a link at `dest`, do not replace it.
        follow: bool [default("no")],
        /// A vault file is decrypted before it is sent.
        decrypt: bool [default("yes")],
        /// The name that is put behind `dest` where that is a folder.
        original_basename as "_original_basename": Option<String>,
        file: FileArguments,
    }
}

/// One file's bytes before they are written.
pub(super) struct Bits {
    pub content: Content,
    /// Of the source, for `mode: preserve`.
    pub mode: u32,
    /// Its name in a folder.
    pub name: String,
    /// `src` of the result.
    pub source: Option<String>,
}

/// Where one file went.
pub(super) struct Placed {
    pub path: PathBuf,
    /// `None` where nothing is done because `force` is off.
    pub written: Option<bool>,
    backup: Option<usize>,
    md5: Option<Value>,
    sha1: Option<Value>,
}

impl Module for Copy {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        if self.content.is_some() == self.src.as_ref().is_some_and(|src| !src.is_empty()) {
            let both = "src and content are mutually exclusive";
            return Err(Error::failed(if self.content.is_some() { both } else { "src (or content) is required" }));
        }
        if let Some(content) = &self.content {
            if self.dest.0.ends_with('/') && self.original_basename.is_none() {
                return Err(Error::failed("can not use content with a dir as dest"));
            }
            let bits = Bits {
                content: Content::Inline(Bytes(json_or_text(content)?.into_bytes().into())),
                mode: 0o600,
                name: self.original_basename.clone().unwrap_or_default(),
                source: None,
            };
            return self.one(context, bits);
        }
        if self.remote_src {
            return self.on_node(context);
        }
        let source = context.source.ok_or_else(|| Error::failed(format!("could not find src={}", self.src.as_deref().unwrap_or_default())))?;
        match followed_source(source.path, source.below, source.file) {
            (_, File::Directory { .. }) => Tree::plan(self, context, &source),
            (path, File::Plain { sha256, size, mode, content, .. }) => {
                let content = match content {
                    Some(bytes) => Content::Inline(bytes.clone()),
                    None => Content::Digest { sha256: sha256.clone(), size: *size },
                };
                let name = self.original_basename.clone().unwrap_or_else(|| base_name(source.path));
                let _ = path;
                self.one(context, Bits { content, mode: *mode, name, source: Some(source.path.to_owned()) })
            }
            (path, File::Symlink { target }) => Err(Error::failed(format!("could not find src={path}, it is a link to {target}"))),
        }
    }
}

impl Copy {
    /// One file to one place.
    fn one(&self, context: &Context<'_>, bits: Bits) -> Result<Plan> {
        let mut draft = Draft::new(context.system);
        let source = bits.source.clone();
        let placed = self.place(&mut draft, context.mode, &self.dest.0, &bits, self.follow)?;
        if placed.written.is_none() {
            let outcome = Outcome::ok().with("dest", self.dest.0.as_str());
            return Ok(Plan::done(with_source(outcome, source)));
        }
        self.report(context, draft, placed, source)
    }

    /// `src` is on the node.
    fn on_node(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let src = expand(self.src.as_deref().unwrap_or_default(), system, context.environment)?;
        let path = PathBuf::from(&src);
        let Some(found) = followed(&path, system)? else { return Err(Error::failed(format!("Source {src} not found"))) };
        if !system.access(&path)?.read {
            return Err(Error::failed(format!("Source {src} not readable")));
        }
        match found.kind {
            FileKind::Directory => Tree::plan_on_node(self, context, &src),
            FileKind::File => {
                let name = self.original_basename.clone().unwrap_or_else(|| base_name(&src));
                let mut draft = Draft::new(system);
                let bits = Bits { content: Content::Node(path), mode: found.mode, name, source: Some(src.clone()) };
                let placed = self.place(&mut draft, context.mode, &self.dest.0, &bits, self.follow)?;
                if placed.written.is_none() {
                    let outcome = Outcome::ok().with("msg", "file already exists").with("src", src).with("dest", text(&placed.path));
                    return Ok(Plan::done(outcome));
                }
                self.report(context, draft, placed, Some(src))
            }
            _ => Err(Error::failed(format!("Cannot copy invalid source '{src}': not a file"))),
        }
    }

    /// The actions for one file; `dest` is as the user (or the folder's copy) has it.
    pub(super) fn place(&self, draft: &mut Draft<'_>, mode: Mode, dest: &str, bits: &Bits, follow: bool) -> Result<Placed> {
        let mut path = PathBuf::from(dest);
        let given_content = self.content.is_some() && self.original_basename.is_none();
        if dest.ends_with('/') {
            path.push(&bits.name);
            let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
            if followed(&folder, &draft.system)?.is_none() {
                draft.make_directories(&folder, &self.file.with_mode(self.directory_mode.clone()))?;
            }
        }
        if is_directory(&path, &draft.system)? {
            if given_content {
                return Err(Error::failed("can not use content with a dir as dest"));
            }
            path.push(&bits.name);
        }
        let there = draft.system.metadata(&path)?;
        if there.is_some() && !self.force {
            return Ok(Placed { path, written: None, backup: None, md5: None, sha1: None });
        }
        let is_link = there.as_ref().is_some_and(|found| found.kind == FileKind::Symlink);
        if is_link && follow {
            path = draft.system.canonical(&path)?;
        }
        let there = draft.system.metadata(&path)?;
        let replaced = there.as_ref().filter(|found| found.kind == FileKind::File);
        let digest = sha256(&bits.content, &draft.system)?;
        let differs = match replaced {
            Some(_) => draft.system.digest(&path, Digest::Sha256)? != Some(digest),
            None => true,
        };
        if differs && mode == Mode::Check && !self.remote_src {
            // Ansible's check mode looks no further: the folder and the owner may be what an earlier task would have made.
            draft.push(Action::write(&path, bits.content.clone(), Ownership::default()));
            return Ok(Placed { path, written: Some(true), backup: None, md5: None, sha1: None });
        }
        let wanted = self.with_mode_of(bits);
        let failed = |message: String| match known(sha1_of(&bits.content, &draft.system)) {
            Ok(Some(sha1)) => Error::failed(message).detail("checksum", sha1),
            _ => Error::failed(message),
        };
        self.verify(&bits.content, &draft.system)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if there.is_none() && followed(folder, &draft.system)?.is_none() {
            return Err(failed(format!("Destination directory {} does not exist", folder.display()))
                .hint("make it with a `file` task, or end `dest` with a slash"));
        }
        let mut backup = None;
        if differs {
            if let Some(validate) = self.validate.as_ref().filter(|validate| !validate.contains("%s")) {
                return Err(failed(format!("validate must contain %s: {validate}")));
            }
            if !draft.system.access(folder)?.write && !self.file.unsafe_writes {
                return Err(failed(format!("Destination {} not writable", folder.display())));
            }
            let keeps = self.backup && followed(&path, &draft.system)?.is_some();
            backup = keeps.then_some(draft.actions.len());
            let action = Action::WriteFile {
                path: path.clone(),
                content: bits.content.clone(),
                ownership: self.ownership(draft, &wanted, &path, replaced, bits)?,
                backup: keeps,
                unsafe_writes: self.file.unsafe_writes,
                validate: self.validate.clone(),
            };
            draft.push(action);
        } else {
            draft.own(&path, &wanted)?;
        }
        let digest_of = |algorithm| known(draft.system.digest(&path, algorithm));
        let (md5, sha1) = (digest_of(Digest::Md5)?, digest_of(Digest::Sha1)?);
        Ok(Placed { path, written: Some(differs), backup, md5: md5.filter(|_| differs || self.remote_src), sha1 })
    }

    /// `mode: preserve` is the source's.
    fn with_mode_of(&self, bits: &Bits) -> FileArguments {
        match &self.file.mode {
            Some(mode) if mode.as_str() == Some("preserve") => self.file.with_mode(Some(Value::Int(i64::from(bits.mode)))),
            _ => self.file.clone(),
        }
    }

    /// A former file keeps what is not given; a copy on the node takes the source's mode and the acting user there, as
    /// Ansible's does.
    fn ownership(&self, draft: &Draft<'_>, wanted: &FileArguments, path: &Path, replaced: Option<&Metadata>, bits: &Bits) -> Result<Ownership> {
        let Some(found) = replaced else { return wanted.wanted(path, &fresh(FileKind::File), &draft.system) };
        if !self.remote_src {
            return wanted.difference(path, &draft.system);
        }
        let like = Metadata { mode: bits.mode, ..found.clone() };
        let mut ownership = wanted.wanted(path, &like, &draft.system)?;
        let acting = draft.system.whoami()?;
        ownership.mode = Some(ownership.mode.unwrap_or(bits.mode)).filter(|mode| *mode != found.mode);
        if found.uid != acting.uid {
            ownership.owner.get_or_insert(acting.uid.to_string());
        }
        if found.gid != acting.gid {
            ownership.group.get_or_insert(acting.gid.to_string());
        }
        Ok(ownership)
    }

    /// Against `checksum:`, as far as the bytes are here: SHA-1 as Ansible has it, or SHA-256.
    fn verify(&self, content: &Content, system: &dyn System) -> Result<()> {
        let Some(expected) = &self.checksum else { return Ok(()) };
        let algorithm = if expected.len() == 64 { Digest::Sha256 } else { Digest::Sha1 };
        let actual = match content {
            Content::Inline(bytes) => Some(algorithm.of(&bytes.0)),
            Content::Digest { sha256, .. } if algorithm == Digest::Sha256 => Some(sha256.to_string()),
            Content::Digest { .. } => None,
            Content::Node(path) => system.digest(path, algorithm)?,
        };
        match actual {
            Some(actual) if actual != *expected => Err(mismatch(&actual, expected)),
            _ => Ok(()),
        }
    }

    pub(super) fn report(&self, context: &Context<'_>, draft: Draft<'_>, placed: Placed, source: Option<String>) -> Result<Plan> {
        let check = context.mode == Mode::Check;
        let changed = !draft.actions.is_empty();
        let Placed { path, written, backup, md5, sha1 } = placed;
        if check && written == Some(true) && !self.remote_src {
            // Ansible's has looked at the machine no further than at the difference.
            return Ok(Plan::act(draft.actions, Outcome::changed()));
        }
        // On the node all is one module; from the controller an unchanged file is `file`'s to report.
        let written = written == Some(true) || self.remote_src;
        let result = move |path: &Path, md5: Option<Value>, sha1: Option<Value>| {
            let mut outcome = Outcome { changed, ..Outcome::ok() }.with("dest", text(path));
            if written {
                outcome = with_source(outcome, source.clone()).with("md5sum", md5);
            } else {
                outcome = outcome.with("path", text(path));
            }
            outcome.with("checksum", sha1)
        };
        let predicted = result(&path, md5, sha1);
        let predicted = add_path_info(predicted, &path, if check { draft.system.base() } else { &draft.system })?;
        if draft.actions.is_empty() {
            return Ok(Plan::done(predicted));
        }
        let expected = self.checksum.clone().filter(|_| written);
        Ok(Plan::act(draft.actions, predicted).then(move |outcomes, system| {
            let sha1 = system.digest(&path, Digest::Sha1)?;
            if let (Some(expected), Some(actual)) = (&expected, &sha1)
                && expected.len() == 40
                && expected != actual
            {
                return Err(mismatch(actual, expected));
            }
            let md5 = if written { system.digest(&path, Digest::Md5)?.map(Value::from) } else { None };
            let outcome = with_backup(result(&path, md5, sha1.map(Value::from)), backup, outcomes);
            Ok(Next::Done(add_path_info(outcome, &path, system)?))
        }))
    }
}

fn mismatch(actual: &str, expected: &str) -> Error {
    Error::failed("Copied file does not match the expected checksum. Transfer failed.")
        .detail("checksum", actual)
        .detail("expected_checksum", expected)
}

fn with_source(outcome: Outcome, source: Option<String>) -> Outcome {
    match source {
        Some(source) => outcome.with("src", source),
        None => outcome,
    }
}

fn with_backup(outcome: Outcome, index: Option<usize>, outcomes: &[ActionOutcome]) -> Outcome {
    match index.and_then(|index| outcomes.get(index)).and_then(|outcome| outcome.backup.as_deref()) {
        Some(backup) => outcome.with("backup_file", text(backup)),
        None => outcome,
    }
}

fn sha1_of(content: &Content, system: &dyn System) -> Result<Option<String>> {
    match content {
        Content::Inline(bytes) => Ok(Some(Digest::Sha1.of(&bytes.0))),
        Content::Digest { .. } => Ok(None),
        Content::Node(path) => system.digest(path, Digest::Sha1),
    }
}

pub(super) fn sha256(content: &Content, system: &dyn System) -> Result<String> {
    match content {
        Content::Inline(bytes) => Ok(Digest::Sha256.of(&bytes.0)),
        Content::Digest { sha256, .. } => Ok(sha256.to_string()),
        Content::Node(path) => {
            let digest = system.digest(path, Digest::Sha256)?;
            digest.ok_or_else(|| Error::failed(format!("Source {} not found", path.display())))
        }
    }
}

pub(super) fn base_name(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

/// Links among the controller's files, as far as they were sent along.
pub(super) fn followed_source<'run>(
    path: &str,
    below: &'run std::collections::BTreeMap<std::sync::Arc<str>, File>,
    file: &'run File,
) -> (String, &'run File) {
    let (mut path, mut file) = (PathBuf::from(path), file);
    for _ in 0..40 {
        let File::Symlink { target } = file else { break };
        let next = plain(&path.parent().unwrap_or(Path::new("/")).join(&**target));
        let Some(found) = next.to_str().and_then(|next| below.get(next)) else { break };
        (path, file) = (next, found);
    }
    (text(&path), file)
}

/// `..` and `.` taken out by name: the controller's files are known by their paths only.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            std::path::Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Texts as they are, containers as Python's `json.dumps` writes them.
fn json_or_text(value: &Value) -> Result<String> {
    match value {
        Value::List(_) | Value::Tuple(_) | Value::Map(_) => Ok(python_json(&value.to_json(true))),
        other => super::arguments::text(other).map_err(Error::failed),
    }
}

pub(super) fn python_json(value: &serde_json::Value) -> String {
    use serde_json::Value as Json;
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(name, value)| format!("{}: {}", python_json(&Json::String(name.clone())), python_json(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::String(_) => {
            let mut ascii = String::new();
            for letter in value.to_string().chars() {
                if letter.is_ascii() {
                    ascii.push(letter);
                } else {
                    ascii.extend(letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
                }
            }
            ascii
        }
        other => other.to_string(),
    }
}
