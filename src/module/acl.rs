//! `acl`: access control lists of files, by setfacl(1).
//!
//! The lists are read from where the kernel has them, and what setfacl would leave is worked out here: a task with nothing to do starts no
//! process, and a plan knows. Source: acl(5), setfacl(1).

use std::path::{Path, PathBuf};

use super::file_arguments::followed;
use super::{Choice, Context, Entry, Mode, Module, Next, Outcome, PathText, Plan};
use crate::program::Value;
use crate::system::{Acl as Lists, AclEntry, AclTag, Action, Command, Effect, Error, FileKind, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Acl>(&["acl", "ansible.posix.acl"]);

arguments! {
    /// Set and read access control lists. Arguments and results as in `ansible.posix.acl`.
    pub struct Acl {
        /// The file or directory.
        path: PathText [required, aliases(&["name"])],
        /// One entry in one word: `user:joe:rw`, `default:group:dev:rwx`; without the permissions where it is to be gone.
        entry: Option<String>,
        /// The user or group; none for the object's own.
        entity: String [default("")],
        /// Whom the entry is for.
        etype: Option<EntryType>,
        /// `r`, `w`, `x`; `X` is `x` of a directory, and of what somebody may execute.
        permissions: Option<String>,
        /// Whether the entry is there; `query` only reads.
        state: Wanted [default("query")],
        /// Of a link what it leads to.
        follow: bool [default("yes")],
        /// The list that a directory gives to new objects in it.
        default: bool [default("no")],
        /// Everything below too.
        recursive: bool [default("no"), aliases(&["recurse"])],
        /// Whether the mask follows the entries.
        recalculate_mask: MaskRule [default("default")],
        /// Lists of NFSv4, which are not supported.
        use_nfsv4_acls: bool [default("no"), checked(check_nfs)],
    }
}

fn check_nfs(word: &str) -> std::result::Result<(), String> {
    match super::arguments::boolean(&Value::text(word)) {
        Ok(true) => Err("lists of NFSv4 are not supported: run nfs4_setfacl with `command`".to_owned()),
        _ => Ok(()),
    }
}

choices! {
    /// Whom an entry is for.
    pub enum EntryType {
        /// A group.
        Group = "group",
        /// The most that anyone but the owner and others may do.
        Mask = "mask",
        /// All others.
        Other = "other",
        /// A user.
        User = "user",
    }
}

choices! {
    /// What is wanted of an entry.
    pub enum Wanted {
        /// It is not there.
        Absent = "absent",
        /// It is there.
        Present = "present",
        /// Nothing: the lists are read.
        Query = "query",
    }
}

choices! {
    /// When the mask is worked out anew.
    pub enum MaskRule {
        /// With each change that gives none.
        Default = "default",
        /// Always.
        Mask = "mask",
        /// Never.
        NoMask = "no_mask",
    }
}

/// The entry that a task is about, as it was given.
#[derive(Clone, Debug)]
struct Given {
    is_default: bool,
    etype: EntryType,
    entity: String,
    permissions: Option<String>,
}

/// The same with ids.
struct Change {
    tag: AclTag,
    id: Option<u32>,
    /// `None`: to be gone.
    permissions: Option<Permissions>,
}

#[derive(Clone, Copy)]
struct Permissions {
    bits: u32,
    /// `X`.
    may_execute: bool,
}

impl Module for Acl {
    fn check(&self) -> Result<()> {
        self.given().map(drop)
    }

    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let path = self.path.path();
        if followed(path, system)?.is_none() {
            return Err(Error::failed("Path not found or not accessible."));
        }
        let given = self.given()?;
        let Some(given) = given else {
            let shown = self.shown(self.default, system)?;
            return Ok(Plan::done(Outcome::ok().with("msg", "current acl").with("acl", shown)));
        };
        let present = self.state == Wanted::Present;
        let text = given.text(present);
        let change = given.change(present, system)?;
        let mut lists = Vec::new();
        for path in self.objects(system)? {
            if let Some(list) = self.changed(&path, &given, &change, system)? {
                lists.push((path, list));
            }
        }
        let outcome = Outcome { changed: !lists.is_empty(), ..Outcome::ok() };
        let outcome = outcome.with("msg", format!("{text} is {}", self.state.word()));
        let is_default = given.is_default;
        if lists.is_empty() || context.mode == Mode::Check {
            let shown = self.shown(is_default, system)?;
            let outcome = outcome.with("acl", shown);
            // What is not done is not looked for.
            let actions =
                lists.is_empty().then(Vec::new).unwrap_or_else(|| vec![Action::Run(self.command("setfacl", &text, is_default, lists))]);
            return Ok(Plan::act(actions, outcome));
        }
        let Some(program) = system.executable("setfacl")? else {
            return Err(Error::failed("Failed to find required executable \"setfacl\"").hint("install it: `package: {name: acl}`"));
        };
        let action = Action::Run(self.command(&program.to_string_lossy(), &text, is_default, lists));
        let mut after = crate::system::Overlay::new(system);
        after.absorb(&action, "this task");
        let predicted = outcome.clone().with("acl", self.shown(is_default, &after)?);
        let module = self.clone();
        Ok(Plan::act(vec![action], predicted).then(move |_, system| {
            let shown = module.shown(is_default, system)?;
            Ok(Next::Done(outcome.with("acl", shown)))
        }))
    }
}

impl Acl {
    /// The entry, where one is given; what does not go together is refused, in Ansible's order and words.
    fn given(&self) -> Result<Option<Given>> {
        let fail = |message: String| Err(Error::failed(message));
        let word = self.state.word();
        let (is_query, is_absent) = (self.state == Wanted::Query, self.state == Wanted::Absent);
        if self.use_nfsv4_acls {
            return Err(Error::failed("lists of NFSv4 are not supported").hint("run nfs4_setfacl with `command`"));
        }
        if is_query && self.recursive {
            return fail("'recursive' MUST NOT be set when 'state=query'.".to_owned());
        }
        if is_query && self.recalculate_mask != MaskRule::Default {
            return fail("'recalculate_mask' MUST NOT be set to 'mask' or 'no_mask' when 'state=query'.".to_owned());
        }
        let has_permissions = self.permissions.as_ref().is_some_and(|permissions| !permissions.is_empty());
        let Some(entry) = self.entry.as_deref().filter(|entry| !entry.is_empty()) else {
            if is_absent && has_permissions {
                return fail("'permissions' MUST NOT be set when 'state=absent'.".to_owned());
            }
            if is_absent && self.entity.is_empty() {
                return fail("'entity' MUST be set when 'state=absent'.".to_owned());
            }
            if is_query {
                return Ok(None);
            }
            let Some(etype) = self.etype else { return fail(format!("'etype' MUST be set when 'state={word}'.")) };
            if !is_absent && !has_permissions {
                return Err(Error::failed("an entry needs `permissions` when it is to be present").hint("`-` gives none"));
            }
            let permissions = self.permissions.clone().filter(|_| !is_absent);
            return checked(Given { is_default: self.default, etype, entity: self.entity.clone(), permissions });
        };
        if self.etype.is_some() || !self.entity.is_empty() || has_permissions {
            return fail("'entry' MUST NOT be set when 'entity', 'etype' or 'permissions' are set.".to_owned());
        }
        let colons = entry.matches(':').count();
        match self.state {
            Wanted::Present if !matches!(colons, 2 | 3) => {
                return fail("'entry' MUST have 3 or 4 sections divided by ':' when 'state=present'.".to_owned());
            }
            Wanted::Absent if !matches!(colons, 1 | 2) => {
                return fail("'entry' MUST have 2 or 3 sections divided by ':' when 'state=absent'.".to_owned());
            }
            Wanted::Query => return fail("'entry' MUST NOT be set when 'state=query'.".to_owned()),
            _ => {}
        }
        let mut parts: Vec<&str> = entry.split(':').collect();
        let is_default = entry.to_lowercase().starts_with('d');
        if is_default {
            parts.remove(0);
        }
        let wrong = || Error::failed(format!("`{entry}` is no entry of a list")).hint("as in `user:joe:rw` or `default:group:dev:rwx`");
        let (kind, entity, permissions) = match parts[..] {
            [kind, entity] => (kind, entity, None),
            [kind, entity, permissions] => (kind, entity, Some(permissions)),
            _ => return Err(wrong()),
        };
        let etype = match kind.to_lowercase().chars().next() {
            Some('u') => EntryType::User,
            Some('g') => EntryType::Group,
            Some('m') => EntryType::Mask,
            Some('o') => EntryType::Other,
            _ => return Err(wrong()),
        };
        if !is_absent && permissions.is_none_or(str::is_empty) {
            return Err(wrong());
        }
        let permissions = permissions.filter(|_| !is_absent).map(str::to_owned);
        checked(Given { is_default: is_default || self.default, etype, entity: entity.to_owned(), permissions })
    }

    /// The object, and with `recursive` those below it; links below are left.
    fn objects(&self, system: &dyn System) -> Result<Vec<PathBuf>> {
        let path = self.path.path();
        let is_link = system.metadata(path)?.is_some_and(|found| found.kind == FileKind::Symlink);
        if !self.recursive {
            return Ok(vec![path.to_owned()]);
        }
        if is_link && !self.follow {
            return Ok(Vec::new());
        }
        let mut objects = vec![path.to_owned()];
        let mut next = 0;
        while let Some(object) = objects.get(next).cloned() {
            next += 1;
            let kind = if object == path { followed(&object, system)? } else { system.metadata(&object)? }.map(|found| found.kind);
            if kind != Some(FileKind::Directory) {
                continue;
            }
            for name in system.list(&object)?.unwrap_or_default() {
                let below = object.join(name);
                if system.metadata(&below)?.is_some_and(|found| found.kind != FileKind::Symlink) {
                    objects.push(below);
                }
            }
        }
        Ok(objects)
    }

    /// The object's lists after the change, where that is another one.
    fn changed(&self, path: &Path, given: &Given, change: &Change, system: &dyn System) -> Result<Option<Lists>> {
        let before = system.acl(path)?;
        let is_directory = followed(path, system)?.is_some_and(|found| found.kind == FileKind::Directory);
        let mut after = before.clone();
        if given.is_default {
            if !is_directory {
                let message = format!("{}: Only directories can have default ACLs", path.display());
                return if self.recursive || change.permissions.is_none() { Ok(None) } else { Err(Error::failed(message)) };
            }
            if change.permissions.is_some() {
                // The first entry brings those that every list has.
                for entry in before.access.iter().filter(|entry| matches!(entry.tag, AclTag::Owner | AclTag::OwningGroup | AclTag::Others))
                {
                    if !after.default.iter().any(|known| known.tag == entry.tag) {
                        after.default.push(*entry);
                    }
                }
            }
        }
        let list = if given.is_default { &mut after.default } else { &mut after.access };
        let may_be_executed = is_directory || list.iter().any(|entry| entry.permissions & 1 != 0);
        list.retain(|entry| (entry.tag, entry.id) != (change.tag, change.id));
        if let Some(permissions) = change.permissions {
            let bits = permissions.bits | u32::from(permissions.may_execute && may_be_executed);
            list.push(AclEntry { tag: change.tag, id: change.id, permissions: bits });
        }
        list.sort_unstable();
        self.recalculate(list, change.tag);
        let base = [AclTag::Owner, AclTag::OwningGroup, AclTag::Others];
        let has = |tag: AclTag| list.iter().any(|entry| entry.tag == tag);
        let is_whole = base.into_iter().all(has) && (has(AclTag::Mask) || !(has(AclTag::User) || has(AclTag::Group)));
        if !list.is_empty() && !is_whole {
            return Err(Error::failed(format!(
                "change the access control list of {}: an entry that every such list has would be gone",
                path.display()
            ))
            .hint("owner, owning group and others always have one, and with further users or groups the mask"));
        }
        Ok((after != before).then_some(after))
    }

    /// The mask as what it masks together.
    fn recalculate(&self, list: &mut Vec<AclEntry>, changed: AclTag) {
        let is_masked = |entry: &AclEntry| matches!(entry.tag, AclTag::User | AclTag::OwningGroup | AclTag::Group);
        let has_mask = list.iter().any(|entry| entry.tag == AclTag::Mask);
        let needs_mask = list.iter().any(|entry| matches!(entry.tag, AclTag::User | AclTag::Group));
        let wanted = match self.recalculate_mask {
            MaskRule::Mask => true,
            MaskRule::Default => changed != AclTag::Mask,
            MaskRule::NoMask => !has_mask && changed != AclTag::Mask,
        };
        if wanted && (has_mask || needs_mask) {
            let permissions = list.iter().filter(|entry| is_masked(entry)).fold(0, |bits, entry| bits | entry.permissions);
            list.retain(|entry| entry.tag != AclTag::Mask);
            list.push(AclEntry { tag: AclTag::Mask, id: None, permissions });
            list.sort_unstable();
        }
    }

    fn command(&self, program: &str, text: &str, is_default: bool, lists: Vec<(PathBuf, Lists)>) -> Command {
        let present = self.state == Wanted::Present;
        let mut words = vec![program];
        words.extend(is_default.then_some("-d"));
        words.extend([if present { "-m" } else { "-x" }, text]);
        words.extend(self.recursive.then_some("--recursive"));
        words.extend(match self.recalculate_mask {
            MaskRule::Default => None,
            MaskRule::Mask => Some("--mask"),
            MaskRule::NoMask => Some("--no-mask"),
        });
        words.extend((!self.follow).then_some("--physical"));
        words.push(&self.path.0);
        let label =
            if present { format!("give {} the entry {text}", self.path.0) } else { format!("take the entry {text} from {}", self.path.0) };
        Command::new(label, words).effect(Effect::Acls(lists))
    }

    /// The lists as getfacl(1) prints them.
    fn shown(&self, is_default: bool, system: &dyn System) -> Result<Value> {
        let path = self.path.path();
        let is_link = system.metadata(path)?.is_some_and(|found| found.kind == FileKind::Symlink);
        if is_link && !self.follow {
            return Ok(Value::list(Vec::new()));
        }
        let mut lines: Vec<String> = Vec::new();
        for object in self.objects(system)? {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            let lists = system.acl(&object)?;
            if is_default {
                show(&lists.default, "", &mut lines, system)?;
            } else {
                show(&lists.access, "", &mut lines, system)?;
                show(&lists.default, "default:", &mut lines, system)?;
            }
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        Ok(lines.into())
    }
}

fn letters(bits: u32) -> String {
    [(4, 'r'), (2, 'w'), (1, 'x')].into_iter().map(|(bit, letter)| if bits & bit == 0 { '-' } else { letter }).collect()
}

fn show(list: &[AclEntry], prefix: &str, lines: &mut Vec<String>, system: &dyn System) -> Result<()> {
    let mask = list.iter().find(|entry| entry.tag == AclTag::Mask).map_or(7, |entry| entry.permissions);
    for entry in list {
        let number = entry.id.map(|id| id.to_string()).unwrap_or_default();
        let (kind, name) = match entry.tag {
            AclTag::Owner => ("user", None),
            AclTag::User => ("user", system.user(&number)?.map(|user| user.name)),
            AclTag::OwningGroup => ("group", None),
            AclTag::Group => ("group", system.group(&number)?.map(|group| group.name)),
            AclTag::Mask => ("mask", None),
            AclTag::Others => ("other", None),
        };
        let is_masked = matches!(entry.tag, AclTag::User | AclTag::OwningGroup | AclTag::Group) && entry.permissions & !mask != 0;
        let effective = if is_masked { format!("\t#effective:{}", letters(entry.permissions & mask)) } else { String::new() };
        lines.push(format!("{prefix}{kind}:{}:{}{effective}", name.unwrap_or(number), letters(entry.permissions)));
    }
    Ok(())
}

/// With permissions that can be read, and an entity where there may be one.
fn checked(given: Given) -> Result<Option<Given>> {
    if let Some(text) = &given.permissions {
        permissions(text)
            .ok_or_else(|| Error::failed(format!("`{text}` are no permissions")).hint("each of r, w and x once, or X, or -"))?;
    }
    if matches!(given.etype, EntryType::Mask | EntryType::Other) && !given.entity.is_empty() {
        return Err(Error::failed(format!("an entry for `{}` has no entity, found `{}`", given.etype.word(), given.entity)));
    }
    Ok(Some(given))
}

/// `rw`, `r-x`, `rX`, `6`.
fn permissions(text: &str) -> Option<Permissions> {
    if let Ok(bits) = u32::from_str_radix(text, 8) {
        return (bits <= 7).then_some(Permissions { bits, may_execute: false });
    }
    let mut found = Permissions { bits: 0, may_execute: false };
    for letter in text.chars() {
        let bit = match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            'X' if !found.may_execute => {
                found.may_execute = true;
                continue;
            }
            '-' => continue,
            _ => return None,
        };
        if found.bits & bit != 0 {
            return None;
        }
        found.bits |= bit;
    }
    Some(found)
}

impl Given {
    fn text(&self, present: bool) -> String {
        let name = format!("{}:{}", self.etype.word(), self.entity);
        match self.permissions.as_deref().filter(|_| present) {
            Some(permissions) => format!("{name}:{permissions}"),
            None => name,
        }
    }

    fn change(&self, present: bool, system: &dyn System) -> Result<Change> {
        let unknown =
            |what: &str| Error::failed(format!("there is no {what} {}", self.entity)).hint(format!("make it first, with a `{what}` task"));
        let number = self.entity.parse::<u32>();
        let (tag, id) = match (self.etype, &number) {
            (EntryType::User, _) if self.entity.is_empty() => (AclTag::Owner, None),
            (EntryType::Group, _) if self.entity.is_empty() => (AclTag::OwningGroup, None),
            (EntryType::User, Ok(id)) => (AclTag::User, Some(*id)),
            (EntryType::Group, Ok(id)) => (AclTag::Group, Some(*id)),
            (EntryType::User, Err(_)) => (AclTag::User, Some(system.user(&self.entity)?.ok_or_else(|| unknown("user"))?.uid)),
            (EntryType::Group, Err(_)) => (AclTag::Group, Some(system.group(&self.entity)?.ok_or_else(|| unknown("group"))?.gid)),
            (EntryType::Mask, _) => (AclTag::Mask, None),
            (EntryType::Other, _) => (AclTag::Others, None),
        };
        let permissions = self.permissions.as_deref().filter(|_| present).and_then(permissions);
        Ok(Change { tag, id, permissions })
    }
}
