//! Arguments that modules of files share: mode, owner, group, SELinux context, attributes; and what they change.

use std::path::{Path, PathBuf};

use super::{Outcome, Plan};
use crate::program::Value;
use crate::system::overlay::{FIRST_UNKNOWN_ID, Overlay, attributes_after};
use crate::system::{Action, Error, FileKind, Metadata, Ownership, Result, System};

/// Attribute letters that chattr(1) may not set: they say how the file system stores the file.
const FIXED_ATTRIBUTES: &str = "eEhINXZ";
/// The umask that symbolic modes without `ugoa` and new objects obey.
const UMASK: u32 = 0o022;

arguments! {
    /// File attributes.
    pub struct FileArguments {
        /// Permissions: octal in quotes (`'0644'`) or symbolic (`u=rwX,g-w`).
        mode: Option<Value> [checked(check_mode)],
        /// User name or uid.
        owner: Option<String>,
        /// Group name or gid.
        group: Option<String>,
        /// SELinux user; `_default` for the policy's.
        seuser: Option<String>,
        /// SELinux role.
        serole: Option<String>,
        /// SELinux type.
        setype: Option<String>,
        /// SELinux level.
        selevel: Option<String>,
        /// Attributes as chattr(1) takes them: `+i`, `-a`, `=i`.
        attributes: Option<String> [aliases(&["attr"])],
        /// Write in place where an atomic replacement is not possible.
        unsafe_writes: bool [default("no")],
    }
}

impl FileArguments {
    /// None given: what is made gets the umask's mode and the acting user.
    pub fn none() -> Self {
        Self {
            mode: None,
            owner: None,
            group: None,
            seuser: None,
            serole: None,
            setype: None,
            selevel: None,
            attributes: None,
            unsafe_writes: false,
        }
    }

    /// What has to change so that the object (a link itself, not what it points to) is as wanted.
    pub fn difference(&self, path: &Path, system: &dyn System) -> Result<Ownership> {
        let Some(found) = system.metadata(path)? else {
            return Err(Error::failed(format!("set {}: nothing is there", path.display())));
        };
        let mut change = self.wanted(path, &found, system)?;
        // On Linux a link has no mode of its own.
        change.mode = change.mode.filter(|mode| *mode != found.mode && found.kind != FileKind::Symlink);
        if let Some(owner) = &change.owner
            && uid(owner, path, system)? == found.uid
        {
            change.owner = None;
        }
        if let Some(group) = &change.group
            && gid(group, path, system)? == found.gid
        {
            change.group = None;
        }
        if let Some(wanted) = &change.attributes {
            let letters = |text: &str| {
                let mut letters: Vec<char> = text.chars().filter(|letter| !FIXED_ATTRIBUTES.contains(*letter)).collect();
                letters.sort_unstable();
                letters
            };
            let before = system.attributes(path)?;
            if letters(&attributes_after(&before, wanted)) == letters(&before) {
                change.attributes = None;
            }
        }
        Ok(change)
    }

    /// Everything that is given, for an object that will be `like` this; names are looked up so that mistakes show now.
    pub fn wanted(&self, path: &Path, like: &Metadata, system: &dyn System) -> Result<Ownership> {
        if let Some(owner) = &self.owner {
            uid(owner, path, system)?;
        }
        if let Some(group) = &self.group {
            gid(group, path, system)?;
        }
        Ok(Ownership {
            mode: self.mode.as_ref().map(|mode| resolve_mode(mode, path, like)).transpose()?,
            owner: self.owner.clone(),
            group: self.group.clone(),
            attributes: self.attributes.clone().filter(|attributes| !matches!(attributes.as_str(), "" | "+" | "-" | "=")),
            context: self.context(path, system)?,
        })
    }

    /// The same with another mode (`directory_mode`).
    #[must_use]
    pub fn with_mode(&self, mode: Option<Value>) -> Self {
        Self { mode, ..self.clone() }
    }

    /// The parts of the SELinux context that differ; `None` without SELinux, as Ansible ignores them there.
    fn context(&self, path: &Path, system: &dyn System) -> Result<Option<[Option<String>; 4]>> {
        let given = [&self.seuser, &self.serole, &self.setype, &self.selevel];
        if given.iter().all(|part| part.is_none()) {
            return Ok(None);
        }
        let Some(found) = system.security_context(path)? else { return Ok(None) };
        let found: Vec<&str> = found.splitn(4, ':').collect();
        let parts = [0, 1, 2, 3].map(|index| {
            let wanted = given[index].as_ref().filter(|wanted| *wanted != "_default");
            wanted.filter(|wanted| found.get(index) != Some(&wanted.as_str())).cloned()
        });
        Ok(parts.iter().any(Option::is_some).then_some(parts))
    }
}

fn uid(owner: &str, path: &Path, system: &dyn System) -> Result<u32> {
    if let Ok(uid) = owner.parse() {
        return Ok(uid);
    }
    let found = system.user(owner)?.map(|user| user.uid);
    found.ok_or_else(|| Error::failed(format!("chown failed: failed to look up user {owner}")).detail("path", text(path)))
}

fn gid(group: &str, path: &Path, system: &dyn System) -> Result<u32> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let found = system.group(group)?.map(|group| group.gid);
    found.ok_or_else(|| Error::failed(format!("chgrp failed: failed to look up group {group}")).detail("path", text(path)))
}

/// The bits that a `mode` means for this object: an integer is the bits, a text is octal or symbolic.
pub fn resolve_mode(mode: &Value, path: &Path, like: &Metadata) -> Result<u32> {
    let bad = |message: &str, details: String| Error::failed(message).detail("path", text(path)).detail("details", details);
    let bits = match mode {
        Value::Int(bits) => {
            u32::try_from(*bits).map_err(|_| bad("mode must be in octal or symbolic form", format!("{bits} is negative")))?
        }
        other => {
            let given = super::arguments::text(other).map_err(Error::failed)?;
            match octal(&given) {
                Some(bits) => bits,
                None => symbolic(&given, like).map_err(|details| bad("mode must be in octal or symbolic form", details))?,
            }
        }
    };
    if bits > 0o7777 {
        return Err(bad("Invalid mode supplied, only permission info is allowed", format!("{bits:o}")));
    }
    Ok(bits)
}

/// Whether a text is a mode for any object; `preserve` is one to some modules.
pub fn check_mode(given: &str) -> std::result::Result<(), String> {
    if given == "preserve" {
        return Ok(());
    }
    match octal(given) {
        Some(bits) if bits > 0o7777 => Err(format!("only permissions can be set, not {bits:o}")),
        Some(_) => Ok(()),
        None => symbolic(given, &fresh(FileKind::File))
            .map(drop)
            .map_err(|_| format!("'{given}' is neither octal ('0644') nor symbolic (u=rw,go=r)")),
    }
}

/// Python's `int(text, 8)`.
fn octal(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.strip_prefix("0o").or_else(|| text.strip_prefix("0O")).unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| u32::from_str_radix(digits, 8).ok()).flatten()
}

/// chmod(1)'s `u=rwX,g-w,o=u`.
fn symbolic(given: &str, like: &Metadata) -> Result<u32, String> {
    let bad = || format!("bad symbolic permission for mode: {given}");
    let mut mode = like.mode;
    for clause in given.split(',') {
        // Without an operator nothing is changed: `mode: ''` leaves what is there.
        let start = clause.find(['+', '-', '=']).unwrap_or(clause.len());
        let (who, rest) = clause.split_at(start);
        let use_umask = who.is_empty();
        let who = if who.is_empty() || who == "a" { "ugo" } else { who };
        if who.chars().any(|letter| !"ugo".contains(letter)) {
            return Err(bad());
        }
        let mut rest = rest;
        while let Some(operator) = rest.chars().next() {
            let after = &rest[1..];
            let end = after.find(['+', '-', '=']).unwrap_or(after.len());
            let letters = &after[..end];
            if letters.chars().any(|letter| !"rwxXstugo".contains(letter)) {
                return Err(bad());
            }
            for user in who.chars() {
                let bits = letters.chars().fold(0, |bits, letter| bits | permission(user, letter, mode, like.kind, use_umask));
                let mask = match user {
                    'u' => 0o4700,
                    'g' => 0o2070,
                    _ => 0o1007,
                };
                mode = match operator {
                    '+' => mode | bits,
                    '-' => mode & !bits,
                    _ => (mode & !mask) | bits,
                };
            }
            rest = &after[end..];
        }
    }
    Ok(mode)
}

fn permission(user: char, letter: char, mode: u32, kind: FileKind, use_umask: bool) -> u32 {
    let shift = match user {
        'u' => 6,
        'g' => 3,
        _ => 0,
    };
    let allowed = if use_umask { !UMASK } else { !0 };
    match letter {
        'r' => (4 << shift) & allowed,
        'w' => (2 << shift) & allowed,
        'x' => (1 << shift) & allowed,
        'X' if kind == FileKind::Directory || mode & 0o111 != 0 => 1 << shift,
        's' if user == 'u' => 0o4000,
        's' if user == 'g' => 0o2000,
        't' if user == 'o' => 0o1000,
        'u' => ((mode >> 6) & 7) << shift,
        'g' => ((mode >> 3) & 7) << shift,
        'o' => (mode & 7) << shift,
        _ => 0,
    }
}

/// A new object before its ownership is set.
pub fn fresh(kind: FileKind) -> Metadata {
    let mode = if kind == FileKind::Directory { 0o777 & !UMASK } else { 0o666 & !UMASK };
    Metadata {
        kind,
        mode,
        uid: 0,
        gid: 0,
        size: 0,
        links: 1,
        inode: 0,
        device: 0,
        rdev: 0,
        blocks: 0,
        block_size: 4096,
        accessed: 0.0,
        modified: 0.0,
        changed: 0.0,
        born: None,
    }
}

/// Ansible's word for what is there.
pub fn state(path: &Path, system: &dyn System) -> Result<&'static str> {
    Ok(match system.metadata(path)? {
        None => "absent",
        Some(found) => match found.kind {
            FileKind::Symlink => "link",
            FileKind::Directory => "directory",
            _ if found.links > 1 => "hard",
            _ => "file",
        },
    })
}

/// What the path leads to, links followed.
pub fn followed(path: &Path, system: &dyn System) -> Result<Option<Metadata>> {
    system.metadata(&system.canonical(path)?)
}

pub fn is_directory(path: &Path, system: &dyn System) -> Result<bool> {
    Ok(followed(path, system)?.is_some_and(|found| found.kind == FileKind::Directory))
}

pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Adds what Ansible adds to every result that names a file: uid, gid, owner, group, mode, state, size.
pub fn add_path_info(mut outcome: Outcome, path: &Path, system: &dyn System) -> Result<Outcome> {
    if followed(path, system)?.is_none() {
        return Ok(outcome);
    }
    let Some(found) = system.metadata(path)? else { return Ok(outcome) };
    let id =
        |id: u32, what: &str| if id >= FIRST_UNKNOWN_ID { Value::unknown(format!("the new {what}'s id")) } else { i64::from(id).into() };
    let user = system.user(&found.uid.to_string())?.filter(|user| user.uid == found.uid);
    let group = system.group(&found.gid.to_string())?.filter(|group| group.gid == found.gid);
    outcome = outcome
        .with("uid", id(found.uid, "user"))
        .with("gid", id(found.gid, "group"))
        .with("owner", user.map_or_else(|| found.uid.to_string(), |user| user.name))
        .with("group", group.map_or_else(|| found.gid.to_string(), |group| group.name))
        .with("mode", format!("0{:03o}", found.mode))
        .with("state", state(path, system)?);
    if let Some(context) = system.security_context(path)? {
        outcome = outcome.with("secontext", context);
    }
    let size = if found.kind == FileKind::Directory && found.inode >= crate::system::overlay::FIRST_UNKNOWN_INODE {
        Value::unknown("the size of a new directory")
    } else {
        Value::Int(found.size as i64)
    };
    Ok(outcome.with("size", size))
}

/// A failure that names a file has the file's fields too.
pub fn with_path_info(mut error: Error, system: &dyn System) -> Error {
    let named = error.details.get("path").or_else(|| error.details.get("dest")).and_then(Value::as_str).map(PathBuf::from);
    if let Some(path) = named
        && error.unknown_cause().is_none()
        && let Ok(outcome) = add_path_info(Outcome::ok(), &path, system)
    {
        error.details.extend(outcome.result);
    }
    error
}

/// Collects actions; each is planned on the machine as the ones before it leave it.
pub struct Draft<'system> {
    pub system: Overlay<'system>,
    pub actions: Vec<Action>,
}

impl<'system> Draft<'system> {
    pub fn new(system: &'system dyn System) -> Self {
        Self { system: Overlay::new(system), actions: Vec::new() }
    }

    pub fn push(&mut self, action: Action) {
        self.system.absorb(&action, "this task");
        self.actions.push(action);
    }

    /// Sets what differs, of the object itself.
    pub fn own(&mut self, path: &Path, wanted: &FileArguments) -> Result<()> {
        let ownership = wanted.difference(path, &self.system)?;
        if ownership != Ownership::default() {
            self.push(Action::SetOwnership { path: path.to_owned(), ownership, follow: false });
        }
        Ok(())
    }

    /// Makes a directory and those above it that are not there, all with this ownership.
    pub fn make_directories(&mut self, path: &Path, wanted: &FileArguments) -> Result<()> {
        let mut missing = Vec::new();
        // `a/b/.` is `a/b`: what is above it starts there.
        let path: &Path = &path.components().collect::<PathBuf>();
        for folder in path.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
            match followed(folder, &self.system)? {
                Some(found) if found.kind == FileKind::Directory => break,
                Some(_) => return Err(creating(missing.last().copied().unwrap_or(folder), path, "[Errno 20] Not a directory")),
                None if self.system.metadata(folder)?.is_some() => return Err(creating(folder, path, "[Errno 17] File exists")),
                None => missing.push(folder),
            }
        }
        for folder in missing.into_iter().rev() {
            let ownership = wanted.wanted(folder, &fresh(FileKind::Directory), &self.system)?;
            self.push(Action::MakeDirectory { path: folder.to_owned(), ownership });
        }
        Ok(())
    }

    /// The plan: unchanged without actions. `outcome` is the result without the path's own fields, which are read after the
    /// actions (as predicted, and again when they are done); `check` reads them from the machine as it is, as Ansible's check
    /// mode does.
    pub fn finish(self, outcome: Outcome, path: PathBuf, check: bool) -> Result<Plan> {
        let outcome = Outcome { changed: outcome.changed || !self.actions.is_empty(), ..outcome };
        let predicted = if check {
            // Under the overlay of one plan there may be more than the machine has; `base` is what was given.
            add_path_info(outcome.clone(), &path, self.system.base())?
        } else {
            add_path_info(outcome.clone(), &path, &self.system)?
        };
        if self.actions.is_empty() {
            return Ok(Plan::done(predicted));
        }
        Ok(Plan::act(self.actions, predicted).then(move |_, system| Ok(super::Next::Done(add_path_info(outcome, &path, system)?))))
    }
}

fn creating(folder: &Path, path: &Path, why: &str) -> Error {
    let folder = text(folder);
    Error::failed(format!("There was an issue creating {folder} as requested: {why}: b'{folder}'")).detail("path", text(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(given: &str, kind: FileKind, mode: u32) -> Result<u32> {
        resolve_mode(&Value::text(given), Path::new("/x"), &Metadata { mode, ..fresh(kind) })
    }

    #[test]
    fn symbolic_modes_mean_what_chmod_means() {
        for (given, kind, before, after) in [
            ("0644", FileKind::File, 0o777, 0o644),
            ("644", FileKind::File, 0o777, 0o644),
            ("0o2755", FileKind::File, 0, 0o2755),
            ("u=rwX,g=rX,o=", FileKind::Directory, 0o777, 0o750),
            ("u=rwX,g=rX,o=", FileKind::File, 0o666, 0o640),
            ("u=rwX,g=rX,o=", FileKind::File, 0o100, 0o750),
            ("a+x", FileKind::File, 0o644, 0o755),
            ("+w", FileKind::File, 0o444, 0o644),
            ("g=u,o-rwx", FileKind::File, 0o744, 0o770),
            ("u+s,g+s,o+t", FileKind::File, 0o755, 0o7755),
            ("ug=rw+x", FileKind::File, 0o007, 0o777),
            ("", FileKind::File, 0o640, 0o640),
            ("u", FileKind::File, 0o640, 0o640),
        ] {
            assert_eq!(bits(given, kind, before).ok(), Some(after), "{given} of {before:o}");
            assert_eq!(check_mode(given), Ok(()), "{given}");
        }
        for given in ["rw", "z+x", "u+q", "99", "0999", "rw-r--r--", "u=rwx,g=z", "u=rw, g=r", "17777"] {
            assert!(bits(given, FileKind::File, 0).is_err(), "{given}");
            assert!(check_mode(given).is_err(), "{given}");
        }
    }
}
