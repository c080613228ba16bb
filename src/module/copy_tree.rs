//! `copy` of whole folders.

use std::path::{Path, PathBuf};

use super::copy::{Bits, Copy, base_name, followed_source};
use super::file_arguments::{Draft, FileArguments, add_path_info, followed, is_directory, text};
use super::{Context, Mode, Next, Outcome, Plan, Source};
use crate::program::{File, Value};
use crate::system::{Action, Content, Digest, FileKind, Ownership, Result, System};

/// What is in a folder of the controller, by path relative to where it goes.
#[derive(Default)]
pub(super) struct Tree {
    files: Vec<(Bits, String)>,
    directories: Vec<String>,
    links: Vec<(String, String)>,
}

impl Tree {
    /// A folder of the controller.
    pub(super) fn plan(copy: &Copy, context: &Context<'_>, source: &Source<'_>) -> Result<Plan> {
        let given = copy.src.as_deref().unwrap_or_default();
        let inside = given.ends_with('/');
        let mut tree = Self::default();
        let follow = copy.local_follow.unwrap_or(true);
        let prefix = if inside { String::new() } else { base_name(source.path) };
        tree.walk(source, source.path, &prefix, follow, &mut Vec::new());
        // Always into a folder.
        let dest = format!("{}/", copy.dest.0.trim_end_matches('/'));
        let follow = copy.follow && tree.directories.is_empty();
        let mut draft = Draft::new(context.system);
        let mut last = None;
        for (bits, relative) in &tree.files {
            let placed = copy.place(&mut draft, context.mode, &format!("{dest}{}", folder_of(relative)), bits, follow)?;
            // A folder with one file is reported as that file.
            if placed.written.is_some() && tree.files.len() == 1 && tree.directories.is_empty() && tree.links.is_empty() {
                return copy.report(context, draft, placed, bits.source.clone());
            }
            if placed.written.is_some() {
                last = Some(placed.path);
            }
        }
        let folders = copy.file.with_mode(copy.directory_mode.clone());
        for relative in &tree.directories {
            let path = PathBuf::from(format!("{dest}{relative}"));
            directory(&mut draft, &path, &folders)?;
            last = Some(path);
        }
        for (target, relative) in &tree.links {
            let path = PathBuf::from(format!("{dest}{relative}"));
            link(&mut draft, &path, Path::new(target), &copy.file, copy, tree.directories.is_empty())?;
            last = Some(path);
        }
        let src = if inside { format!("{}/", source.path.trim_end_matches('/')) } else { source.path.to_owned() };
        let changed = !draft.actions.is_empty();
        let single = last.filter(|_| tree.files.len() == 1);
        finish(context, draft, single, Outcome { changed, ..Outcome::ok() }.with("dest", dest).with("src", src))
    }

    /// Files, folders and links below, in Python's order of `os.walk` (files of a folder first).
    fn walk(&mut self, source: &Source<'_>, folder: &str, relative: &str, follow: bool, parents: &mut Vec<String>) {
        let Some(File::Directory { entries, .. }) = source.below.get(folder).or((folder == source.path).then_some(source.file)) else {
            return;
        };
        parents.push(folder.to_owned());
        let mut folders = Vec::new();
        for name in entries {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            let below = if relative.is_empty() { name.to_string() } else { format!("{relative}/{name}") };
            let Some(file) = source.below.get(path.as_str()) else { continue };
            let (real, found) = if follow { followed_source(&path, source.below, file) } else { (path.clone(), file) };
            match found {
                File::Plain { sha256, size, mode, content, .. } => {
                    let content = match content {
                        Some(bytes) => Content::Inline(bytes.clone()),
                        None => Content::Digest { sha256: sha256.clone(), size: *size },
                    };
                    self.files.push((Bits { content, mode: *mode, name: name.to_string(), source: Some(path) }, below));
                }
                // A link to a folder that is being walked: a circle stays a link.
                File::Directory { .. } if !parents.contains(&real) => folders.push((real, below)),
                _ => {
                    let File::Symlink { target } = file else { continue };
                    self.links.push((target.to_string(), below));
                }
            }
        }
        for (real, below) in folders {
            self.directories.push(below.clone());
            self.walk(source, &real, &below, follow, parents);
        }
        parents.pop();
    }

    /// A folder of the node.
    pub(super) fn plan_on_node(copy: &Copy, context: &Context<'_>, src: &str) -> Result<Plan> {
        let mut draft = Draft::new(context.system);
        let folders = copy.file.with_mode(copy.directory_mode.clone());
        let mut dest = PathBuf::from(&copy.dest.0);
        if copy.dest.0.ends_with('/') && followed(&dest, &draft.system)?.is_none() {
            draft.make_directories(&dest, &folders)?;
        }
        if is_directory(&dest, &draft.system)? {
            // Of `a/` there is no name: the folder itself, with a slash.
            dest.push(if src.ends_with('/') { String::new() } else { base_name(src) });
        }
        let target = if src.ends_with('/') { PathBuf::from(&copy.dest.0) } else { PathBuf::from(&copy.dest.0).join(base_name(src)) };
        if let Some(above) = target.parent()
            && followed(above, &draft.system)?.is_none()
        {
            draft.make_directories(above, &FileArguments { mode: None, ..folders.clone() })?;
        }
        let owner = FileArguments { owner: copy.file.owner.clone(), group: copy.file.group.clone(), ..folders.with_mode(None) };
        copy_on_node(&mut draft, Path::new(src), &target, copy.local_follow.unwrap_or(false), &owner)?;
        if followed(&dest, &draft.system)?.is_some() {
            let wanted = match &copy.file.mode {
                Some(mode) if mode.as_str() == Some("preserve") => {
                    let found = followed(Path::new(src), &draft.system)?;
                    copy.file.with_mode(found.map(|found| Value::Int(i64::from(found.mode))))
                }
                _ => copy.file.clone(),
            };
            draft.own(&dest, &wanted)?;
        }
        let changed = !draft.actions.is_empty();
        let outcome = Outcome { changed, ..Outcome::ok() }
            .with("dest", text(&dest))
            .with("src", src)
            .with("md5sum", Value::Null)
            .with("checksum", Value::Null);
        finish(context, draft, Some(dest), outcome)
    }
}

fn finish(context: &Context<'_>, draft: Draft<'_>, path: Option<PathBuf>, outcome: Outcome) -> Result<Plan> {
    let info = move |outcome: Outcome, system: &dyn System| match &path {
        Some(path) => add_path_info(outcome.with("dest", text(path)), path, system),
        None => Ok(outcome),
    };
    let predicted =
        if context.mode == Mode::Check { info(outcome.clone(), draft.system.base())? } else { info(outcome.clone(), &draft.system)? };
    if draft.actions.is_empty() {
        return Ok(Plan::done(predicted));
    }
    Ok(Plan::act(draft.actions, predicted).then(move |_, system| Ok(Next::Done(info(outcome, system)?))))
}

/// The folder part with its slash, or nothing.
fn folder_of(relative: &str) -> &str {
    relative.rfind('/').map_or("", |index| &relative[..=index])
}

fn directory(draft: &mut Draft<'_>, path: &Path, wanted: &FileArguments) -> Result<()> {
    if is_directory(path, &draft.system)? {
        let real = draft.system.canonical(path)?;
        return draft.own(&real, wanted);
    }
    draft.make_directories(path, wanted)
}

fn link(draft: &mut Draft<'_>, path: &Path, target: &Path, wanted: &FileArguments, copy: &Copy, follow: bool) -> Result<()> {
    if draft.system.read_link(path)?.as_deref() != Some(target) {
        draft.push(Action::Symlink { path: path.to_owned(), target: target.to_owned(), ownership: Ownership::default() });
    }
    let preserve = copy.file.mode.as_ref().is_some_and(|mode| mode.as_str() == Some("preserve"));
    let wanted = if preserve { wanted.with_mode(None) } else { wanted.clone() };
    if !follow {
        return draft.own(path, &wanted);
    }
    let real = draft.system.canonical(path)?;
    if draft.system.metadata(&real)?.is_some() { draft.own(&real, &wanted) } else { Ok(()) }
}

/// What is missing or differs is copied with the source's mode; owner and group are set everywhere if they are given.
fn copy_on_node(draft: &mut Draft<'_>, from: &Path, to: &Path, follow: bool, owner: &FileArguments) -> Result<()> {
    let from_mode = followed(from, &draft.system)?.map(|found| found.mode);
    if followed(to, &draft.system)?.is_none() {
        let mut ownership = owner.wanted(to, &super::file_arguments::fresh(FileKind::Directory), &draft.system)?;
        ownership.mode = from_mode;
        draft.push(Action::MakeDirectory { path: to.to_owned(), ownership });
    } else {
        draft.own(to, owner)?;
    }
    for name in draft.system.list(from)?.unwrap_or_default() {
        let (source, place) = (from.join(&name), to.join(&name));
        let Some(found) = draft.system.metadata(&source)? else { continue };
        let found = if found.kind == FileKind::Symlink && follow { followed(&source, &draft.system)?.unwrap_or(found) } else { found };
        match found.kind {
            FileKind::Directory => copy_on_node(draft, &source, &place, follow, owner)?,
            FileKind::Symlink => {
                let target = draft.system.read_link(&source)?.unwrap_or_default();
                if draft.system.read_link(&place)?.as_deref() != Some(&target) {
                    draft.push(Action::Symlink { path: place.clone(), target, ownership: Ownership::default() });
                }
                draft.own(&place, owner)?;
            }
            _ => {
                let digest = draft.system.digest(&source, Digest::Sha256)?;
                let there = followed(&place, &draft.system)?;
                if there.is_none() || draft.system.digest(&place, Digest::Sha256)? != digest {
                    let mut ownership = match &there {
                        None => owner.wanted(&place, &super::file_arguments::fresh(FileKind::File), &draft.system)?,
                        Some(_) => owner.difference(&place, &draft.system)?,
                    };
                    ownership.mode = Some(found.mode);
                    draft.push(Action::WriteFile {
                        path: place,
                        content: Content::Node(source),
                        ownership,
                        backup: false,
                        unsafe_writes: false,
                        validate: None,
                    });
                } else {
                    draft.own(&place, owner)?;
                }
            }
        }
    }
    Ok(())
}
