//! What `--diff` shows of an action: before and after, in the words and layout of Ansible's `diff` results.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::apply::ContentSource;
use super::{Action, Content, FileKind, Ownership, Result, System};

/// Longer files are summed up, as Ansible does (`max_diff_size`), bytes.
const LONGEST: u64 = 104_448;

/// A difference to show, as Ansible's `diff` result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    pub before: String,
    pub after: String,
    pub before_header: String,
    pub after_header: String,
}

impl Diff {
    /// Two states as Ansible prints mappings: JSON, sorted keys, four spaces.
    pub fn of_states(path: &Path, before: &serde_json::Value, after: &serde_json::Value) -> Self {
        Self { before_header: header(path), after_header: header(path), ..Self::of_values(before, after) }
    }

    /// The same of what has no path.
    pub fn of_values(before: &serde_json::Value, after: &serde_json::Value) -> Self {
        Self { before: layout(before), after: layout(after), ..Self::default() }
    }
}

impl Action {
    /// What this action will change, before it is done; empty for what has no before and after (commands). Content that
    /// only the controller has is fetched through `source`.
    pub fn diffs(&self, system: &dyn System, source: &mut dyn ContentSource) -> Result<Vec<Diff>> {
        let mut diffs = Vec::new();
        match self {
            Action::WriteFile { path, content, ownership, .. } => {
                let before = match system.metadata(path)? {
                    Some(found) if matches!(found.kind, FileKind::File | FileKind::Symlink) => system.read(path)?,
                    _ => None,
                };
                let after = bytes(content, system, source)?;
                if before.as_deref() != Some(&*after) {
                    diffs.push(Diff {
                        before: before.as_deref().map(shown).unwrap_or_default(),
                        after: shown(&after),
                        before_header: header(path),
                        after_header: header(path),
                    });
                }
                diffs.extend(ownership_diff(path, ownership, true, system)?);
            }
            Action::MakeDirectory { path, ownership } => {
                diffs.push(state_diff(path, "absent", "directory"));
                diffs.extend(ownership_diff(path, ownership, false, system)?);
            }
            Action::Symlink { path, target, .. } => {
                let before = match system.read_link(path)? {
                    Some(former) => serde_json::json!({"path": path, "src": former, "state": "link"}),
                    None => serde_json::json!({"path": path, "state": state(path, system)?}),
                };
                let after = serde_json::json!({"path": path, "src": target, "state": "link"});
                diffs.push(Diff::of_states(path, &before, &after));
            }
            Action::HardLink { path, target } => {
                let before = serde_json::json!({"path": path, "state": state(path, system)?});
                let after = serde_json::json!({"path": path, "src": target, "state": "hard"});
                diffs.push(Diff::of_states(path, &before, &after));
            }
            Action::SetOwnership { path, ownership, follow } => {
                diffs.extend(ownership_diff(path, ownership, *follow, system)?);
            }
            Action::SetTimes { path, accessed, modified } => {
                let found = system.metadata(&system.canonical(path)?)?;
                let mut before = serde_json::json!({"path": path});
                let mut after = before.clone();
                for (name, new, old) in [
                    ("atime", accessed, found.as_ref().map(|found| found.accessed)),
                    ("mtime", modified, found.as_ref().map(|found| found.modified)),
                ] {
                    if let Some(new) = new {
                        before[name] = old.into();
                        after[name] = (*new).into();
                    }
                }
                diffs.push(Diff::of_states(path, &before, &after));
            }
            Action::Remove { path } => {
                let mut before = serde_json::json!({"path": path, "state": state(path, system)?});
                if before["state"] == "directory" {
                    before["path_content"] = contents(path, system)?;
                }
                let after = serde_json::json!({"path": path, "state": "absent"});
                diffs.push(Diff::of_states(path, &before, &after));
            }
            Action::SetKernelHostname { name } => diffs.push(Diff {
                before: format!("hostname = {}\n", system.kernel_hostname()?),
                after: format!("hostname = {name}\n"),
                ..Diff::default()
            }),
            Action::SetSysctl { name, value } => diffs.push(Diff {
                before: system.sysctl(name)?.map(|before| format!("{name} = {before}\n")).unwrap_or_default(),
                after: format!("{name} = {value}\n"),
                ..Diff::default()
            }),
            Action::LoadKernelModule { name, parameters } => {
                diffs.push(Diff { after: format!("{}\n", format!("{name} {parameters}").trim_end()), ..Diff::default() });
            }
            Action::UnloadKernelModule { name } => {
                diffs.push(Diff { before: format!("{name}\n"), ..Diff::default() });
            }
            Action::Run(_) | Action::Sleep { .. } | Action::Reboot { .. } => {}
        }
        Ok(diffs)
    }
}

/// All bytes of a content.
fn bytes(content: &Content, system: &dyn System, source: &mut dyn ContentSource) -> Result<Vec<u8>> {
    Ok(match content {
        Content::Inline(bytes) => bytes.0.to_vec(),
        Content::Digest { sha256, size } if *size > LONGEST => format!("(file of {size} bytes, sha256 {sha256})\n").into_bytes(),
        Content::Digest { sha256, .. } => {
            let mut bytes = Vec::new();
            source.fetch(sha256, &mut bytes)?;
            bytes
        }
        Content::Node(path) => system.read(path)?.unwrap_or_default(),
    })
}

/// The text, or one line about what is no text or too long.
fn shown(bytes: &[u8]) -> String {
    let about = |what: &str| format!("({what} of {} bytes, sha256 {})\n", bytes.len(), super::describe::sha256(bytes));
    if bytes.contains(&0) {
        return about("binary file");
    }
    if bytes.len() as u64 > LONGEST {
        return about("file");
    }
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| about("binary file"))
}

/// The ownership that changes, `None` where nothing does or nothing was there before (all of it is new then).
fn ownership_diff(path: &Path, wanted: &Ownership, follow: bool, system: &dyn System) -> Result<Option<Diff>> {
    let object = if follow { system.canonical(path)? } else { path.to_owned() };
    let Some(found) = system.metadata(&object)? else { return Ok(None) };
    let mut before = serde_json::json!({"path": path});
    let mut after = before.clone();
    if let Some(mode) = wanted.mode
        && mode != found.mode
    {
        before["mode"] = format!("{:04o}", found.mode).into();
        after["mode"] = format!("{mode:04o}").into();
    }
    if let Some(owner) = &wanted.owner {
        let uid = system.user(owner)?.map(|user| user.uid);
        if uid != Some(found.uid) {
            before["owner"] = found.uid.into();
            after["owner"] = uid.map_or_else(|| owner.as_str().into(), Into::into);
        }
    }
    if let Some(group) = &wanted.group {
        let gid = system.group(group)?.map(|group| group.gid);
        if gid != Some(found.gid) {
            before["group"] = found.gid.into();
            after["group"] = gid.map_or_else(|| group.as_str().into(), Into::into);
        }
    }
    if let Some(attributes) = &wanted.attributes {
        before["attributes"] = system.attributes(&object)?.into();
        after["attributes"] = attributes.as_str().into();
    }
    Ok((before != after).then(|| Diff::of_states(path, &before, &after)))
}

fn state_diff(path: &Path, before: &str, after: &str) -> Diff {
    let of = |state: &str| serde_json::json!({"path": path, "state": state});
    Diff::of_states(path, &of(before), &of(after))
}

/// Ansible's word for what is there.
fn state(path: &Path, system: &dyn System) -> Result<&'static str> {
    Ok(match system.metadata(path)? {
        None => "absent",
        Some(found) => match found.kind {
            FileKind::Directory => "directory",
            FileKind::Symlink => "link",
            _ if found.links > 1 => "hard",
            _ => "file",
        },
    })
}

/// Everything below a folder that is removed, as Ansible's `path_content`.
fn contents(path: &Path, system: &dyn System) -> Result<serde_json::Value> {
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    let mut rest = vec![path.to_owned()];
    while let Some(folder) = rest.pop() {
        for name in system.list(&folder)?.unwrap_or_default() {
            let below = folder.join(name);
            if system.metadata(&below)?.is_some_and(|found| found.kind == FileKind::Directory) {
                directories.push(below.clone());
                rest.push(below);
            } else {
                files.push(below);
            }
        }
    }
    files.sort();
    directories.sort();
    Ok(serde_json::json!({"directories": directories, "files": files}))
}

fn header(path: &Path) -> String {
    path.display().to_string()
}

fn layout(value: &serde_json::Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    // Writing to memory; a failure would leave an empty text.
    if sorted.serialize(&mut serializer).is_err() {
        text.clear();
    }
    String::from_utf8_lossy(&text).into_owned() + "\n"
}
