//! `provision init`: the built-in environment as files of the user's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::Exit;
use crate::project::built_in::{self, BuiltIn};
use crate::report;
use crate::vm::state::Owner;

/// Write the built-in environment into a folder, to be changed: provision.yaml, vms, inventory, playbooks, charts
///
/// Nothing is overwritten. A part that has a file of your own in the place of a built-in one is left as it is, and named.
#[derive(Debug, Args)]
pub struct Init {
    /// Made where it is not there
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// What became of it.
#[derive(Debug, Default)]
struct Done {
    written: Vec<PathBuf>,
    /// Part and the files in it that are not as the built-in ones.
    kept: BTreeMap<PathBuf, Vec<PathBuf>>,
}

impl Init {
    pub fn run(self) -> Exit {
        match write(&self.folder) {
            Ok(done) => {
                self.tell(&done);
                Exit::Success
            }
            Err(error) => {
                let hint = "name a folder that you may write to and that has room: `provision init FOLDER`";
                report::error(&format!("write the built-in environment: {error:#}"), Some(hint));
                Exit::Error
            }
        }
    }

    fn tell(&self, done: &Done) {
        let place = if self.folder == Path::new(".") { "here".to_owned() } else { format!("to {}", self.folder.display()) };
        match done.written.len() {
            0 => report::line("Nothing was written: all parts are there."),
            count => report::line(&format!("Wrote {count} {} {place}.", report::plan::many(count, "file"))),
        }
        for (part, files) in &done.kept {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            report::line(&format!("Kept your own {}: not as the built-in one is {}.", part.display(), files.join(", ")));
        }
        let enter = if self.folder == Path::new(".") { String::new() } else { format!("cd {} && ", self.folder.display()) };
        report::line(&format!("Next: {enter}provision plan"));
    }
}

fn write(folder: &Path) -> Result<Done> {
    let mut parts: BTreeMap<PathBuf, Vec<BuiltIn>> = BTreeMap::new();
    for file in built_in::layout() {
        parts.entry(part(&file.path)).or_default().push(file);
    }
    let folder = std::path::absolute(folder).with_context(|| format!("find {}", folder.display()))?;
    // Of whom the folder is, or the one that it is made in.
    let owner = Owner::of(folder.ancestors().find(|above| above.exists()).unwrap_or(&folder))?;
    let mut done = Done::default();
    for (part, files) in parts {
        let own = own(&folder, &part, &files)?;
        if !own.is_empty() {
            done.kept.insert(part, own);
            continue;
        }
        for file in files {
            let path = folder.join(&file.path);
            if path.exists() {
                continue;
            }
            owner.make_folder(path.parent().unwrap_or(&folder))?;
            built_in::write(&path, &file.content, 0o644)?;
            owner.give(&path)?;
            done.written.push(file.path);
        }
    }
    Ok(done)
}

/// What a file belongs to: a folder that is read as one stays whole, the user's or ours.
fn part(path: &Path) -> PathBuf {
    let names: Vec<_> = path.components().collect();
    let depth = match names[0].as_os_str().to_str() {
        Some("charts" | "vms") => 2,
        _ => 1,
    };
    names.into_iter().take(depth).collect()
}

/// The user's own files in a part: in the place of ours and different, and in an inventory, which is read whole, all others.
fn own(folder: &Path, part: &Path, files: &[BuiltIn]) -> Result<Vec<PathBuf>> {
    let mut own = Vec::new();
    for file in files {
        let path = folder.join(&file.path);
        match fs::read(&path) {
            Ok(content) if content == file.content => {}
            Ok(_) => own.push(file.path.clone()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        }
        // `site.yml` is `site.yaml` by another name.
        let twin = file.path.with_extension("yml");
        if file.path.extension().is_some_and(|extension| extension == "yaml") && folder.join(&twin).exists() {
            own.push(twin);
        }
    }
    if part == Path::new("inventory") {
        for entry in fs::read_dir(folder.join(part)).into_iter().flatten().flatten() {
            let path = part.join(entry.file_name());
            if !files.iter().any(|file| file.path.starts_with(&path)) {
                own.push(path);
            }
        }
    }
    Ok(own)
}
