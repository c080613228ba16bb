//! A machine as it will be: reads answer as after the actions that were planned.
//!
//! Known afterwards are files we write, users by name, packages present, unit state, kernel parameters, host name.
//! After an opaque step what is absent reads as unknown (because of that step); what is present stays.
//! Not known of an object that a plan makes: times (NaN) and inode ([`FIRST_UNKNOWN_INODE`] and above); ids of users that a
//! plan makes are [`FIRST_UNKNOWN_ID`] and above.

mod absorb;
mod accounts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::paths::{Last, resolve};
use super::{
    Access, Acl, Action, Digest, Error, FactRequest, FileKind, Group, KernelModule, Metadata, Package, Result, Shadow, System, Unit,
    UnitScope, User,
};
use crate::program::Map;

/// Ids of users and groups that a plan makes start here: they are equal to themselves and nothing else is known of them.
pub const FIRST_UNKNOWN_ID: u32 = 0xf000_0000;

/// Inodes of objects that a plan makes start here.
pub const FIRST_UNKNOWN_INODE: u64 = 1 << 63;

/// Where systemd looks for unit files, strongest first.
const UNIT_FOLDERS: [&str; 5] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// The machine after what was absorbed.
pub struct Overlay<'base> {
    base: &'base dyn System,
    absorbed: Vec<(Action, String)>,
    /// Counts what was absorbed, to tell what was before the last opaque step.
    step: u64,
    opaque: Option<(u64, Arc<str>)>,
    /// By path without links.
    entries: BTreeMap<PathBuf, Entry>,
    /// By path without links.
    acls: BTreeMap<PathBuf, Acl>,
    /// By device and inode: the base's files of several names, changed through one of them.
    changed: BTreeMap<(u64, u64), Node>,
    accounts: accounts::Accounts,
    /// Version (empty: not known), or absent.
    packages: BTreeMap<String, Option<String>>,
    /// Marked as wanted by the user.
    manual: std::collections::BTreeSet<String>,
    /// dpkg's selections.
    selections: BTreeMap<String, String>,
    /// The package lists were refreshed by this.
    lists: Option<Arc<str>>,
    units: BTreeMap<String, KnownUnit>,
    sysctl: BTreeMap<PathBuf, String>,
    modules: BTreeMap<String, KernelModule>,
    hostname: Option<String>,
    rebooted: Option<Arc<str>>,
    /// What listens may have changed by this.
    network: Option<Arc<str>>,
    /// Folders below which nothing is known since a step, because of something.
    below: BTreeMap<PathBuf, Cloud>,
    /// Folders that have names since a step that are not known.
    named: BTreeMap<PathBuf, Cloud>,
}

type Cloud = (u64, Arc<str>);

#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "systemd's own names")]
struct KnownUnit {
    load_state: Option<String>,
    active_state: Option<String>,
    unit_file_state: Option<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The step that left it.
    since: u64,
    object: Object,
}

#[derive(Clone, Debug)]
enum Object {
    Absent,
    Unknown(Arc<str>),
    Node(Node),
}

#[derive(Clone, Debug)]
struct Node {
    metadata: Metadata,
    content: Bytes,
    attributes: String,
    /// Its ownership is not known, because of this.
    unsure: Option<Arc<str>>,
    /// Made by the plan: nothing of the base is below it.
    fresh: bool,
}

/// Bytes as far as they are known.
#[derive(Clone, Debug)]
enum Bytes {
    None,
    Unknown,
    Known(Arc<[u8]>),
    Sha256(Arc<str>),
    /// Those of the base's file.
    Base(PathBuf),
    Target(PathBuf),
}

/// Where an answer is to be found.
enum Found<'overlay> {
    Base,
    Absent,
    Node(&'overlay Node),
}

impl<'base> Overlay<'base> {
    pub fn new(base: &'base dyn System) -> Self {
        Self {
            base,
            absorbed: Vec::new(),
            step: 0,
            opaque: None,
            entries: BTreeMap::new(),
            acls: BTreeMap::new(),
            changed: BTreeMap::new(),
            accounts: accounts::Accounts::default(),
            packages: BTreeMap::new(),
            manual: std::collections::BTreeSet::new(),
            selections: BTreeMap::new(),
            lists: None,
            units: BTreeMap::new(),
            sysctl: BTreeMap::new(),
            modules: BTreeMap::new(),
            hostname: None,
            rebooted: None,
            network: None,
            below: BTreeMap::new(),
            named: BTreeMap::new(),
        }
    }

    /// Everything absorbed so far with its causes: another user's worker absorbs the same.
    pub fn absorbed(&self) -> &[(Action, String)] {
        &self.absorbed
    }

    /// The machine as it is.
    pub fn base(&self) -> &'base dyn System {
        self.base
    }

    /// `None` is known, or unknown because of the last opaque step.
    fn absence<T>(&self) -> Result<Option<T>> {
        match &self.opaque {
            Some((_, cause)) => Err(Error::unknown(Arc::clone(cause))),
            None => Ok(None),
        }
    }

    /// What the base answers; its absence may be unknown.
    fn based<T>(&self, answer: Result<Option<T>>) -> Result<Option<T>> {
        match answer? {
            Some(value) => Ok(Some(value)),
            None => self.absence(),
        }
    }

    fn resolved(&self, path: &Path, last: Last) -> Result<PathBuf> {
        if !path.is_absolute() {
            return self.base.canonical(path);
        }
        resolve(path, last, &mut |link| match self.find(link)? {
            Found::Base => self.base.read_link(link),
            Found::Absent => Ok(None),
            Found::Node(node) => Ok(node.target()),
        })
    }

    /// Whether the base would follow links of its own from here, where the plan's links lead in a circle.
    fn is_circle(&self, path: &Path) -> Result<bool> {
        Ok(!self.entries.is_empty() && self.base.read_link(path)?.is_some())
    }

    /// `path` is without links.
    fn find(&self, path: &Path) -> Result<Found<'_>> {
        // Only what was done below such a folder later is known.
        let cloud = path.ancestors().skip(1).filter_map(|above| Some((above, self.below.get(above)?))).max_by_key(|(_, (step, _))| *step);
        for (depth, ancestor) in path.ancestors().enumerate() {
            let Some(entry) = self.entries.get(ancestor) else { continue };
            if let Some((folder, (step, cause))) = cloud
                && (entry.since <= *step || !ancestor.starts_with(folder))
            {
                return Err(Error::unknown(Arc::clone(cause)));
            }
            let absent = || match &self.opaque {
                Some((step, cause)) if *step >= entry.since => Err(Error::unknown(Arc::clone(cause))),
                _ => Ok(Found::Absent),
            };
            return match &entry.object {
                Object::Absent => absent(),
                Object::Unknown(cause) => Err(Error::unknown(Arc::clone(cause))),
                Object::Node(node) if depth == 0 => Ok(Found::Node(node)),
                // Below a file there is nothing, whatever was there.
                Object::Node(node) if node.fresh || node.metadata.kind == FileKind::File => absent(),
                Object::Node(_) => continue,
            };
        }
        if let Some((_, (_, cause))) = cloud {
            return Err(Error::unknown(Arc::clone(cause)));
        }
        Ok(self.changed_elsewhere(path).map_or(Found::Base, Found::Node))
    }

    /// The base's file at `path`, if it was changed through another name of it.
    fn changed_elsewhere(&self, path: &Path) -> Option<&Node> {
        if self.changed.is_empty() {
            return None;
        }
        let found = self.base.metadata(path).ok()??;
        self.changed.get(&(found.device, found.inode)).filter(|node| node.metadata.kind == found.kind)
    }

    fn unit_file(&self, name: &str) -> Option<PathBuf> {
        let names = [name.to_owned(), format!("{name}.service")];
        let paths = UNIT_FOLDERS.iter().flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name)));
        paths.into_iter().find(|path| matches!(self.entries.get(path), Some(Entry { object: Object::Node(_), .. })))
    }
}

impl Node {
    fn target(&self) -> Option<PathBuf> {
        match &self.content {
            Bytes::Target(target) => Some(target.clone()),
            _ => None,
        }
    }
}

impl System for Overlay<'_> {
    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        let path = self.resolved(path, Last::Kept)?;
        match self.find(&path)? {
            Found::Base => self.based(self.base.metadata(&path)),
            Found::Absent => Ok(None),
            Found::Node(node) => match &node.unsure {
                Some(cause) => Err(Error::unknown(Arc::clone(cause))),
                None => Ok(Some(node.metadata.clone())),
            },
        }
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let path = self.resolved(path, Last::Followed)?;
        match self.find(&path)? {
            Found::Base if self.is_circle(&path)? => Err(circle("read", &path)),
            Found::Base => self.based(self.base.read(&path)),
            Found::Absent => Ok(None),
            Found::Node(node) => match &node.content {
                Bytes::Known(bytes) => Ok(Some(bytes.to_vec())),
                Bytes::Base(former) => self.base.read(former),
                Bytes::Sha256(_) | Bytes::Unknown => Err(Error::unknown(format!("the new content of {}", path.display()))),
                Bytes::None | Bytes::Target(_) => Err(Error::failed(format!("read {}: Is a directory (os error 21)", path.display()))),
            },
        }
    }

    fn digest(&self, path: &Path, algorithm: Digest) -> Result<Option<String>> {
        let resolved = self.resolved(path, Last::Followed)?;
        match self.find(&resolved)? {
            Found::Base if self.is_circle(&resolved)? => Err(circle("read", &resolved)),
            Found::Base => self.based(self.base.digest(&resolved, algorithm)),
            Found::Absent => Ok(None),
            Found::Node(node) => match (&node.content, algorithm) {
                (Bytes::Sha256(sha256), Digest::Sha256) => Ok(Some(sha256.to_string())),
                (Bytes::Base(former), _) => self.base.digest(former, algorithm),
                _ => Ok(self.read(&resolved)?.map(|bytes| algorithm.of(&bytes))),
            },
        }
    }

    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>> {
        let path = self.resolved(path, Last::Kept)?;
        match self.find(&path)? {
            Found::Base => match self.base.read_link(&path)? {
                Some(target) => Ok(Some(target)),
                None if self.base.metadata(&path)?.is_some() => Ok(None),
                None => self.absence(),
            },
            Found::Absent => Ok(None),
            Found::Node(node) => Ok(node.target()),
        }
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>> {
        let path = self.resolved(path, Last::Followed)?;
        let mut names = match self.find(&path)? {
            Found::Absent => return Ok(None),
            Found::Base if self.is_circle(&path)? => return Err(circle("list", &path)),
            Found::Node(node) if node.metadata.kind != FileKind::Directory => return Ok(None),
            Found::Node(node) if node.fresh => Vec::new(),
            Found::Base | Found::Node(_) => match self.based(self.base.list(&path))? {
                Some(names) => names,
                None => return Ok(None),
            },
        };
        // A list says what is not there, too.
        if let Some((step, cause)) = &self.opaque
            && self.entries.get(&path).is_none_or(|entry| entry.since <= *step)
        {
            return Err(Error::unknown(Arc::clone(cause)));
        }
        for clouds in [&self.below, &self.named] {
            if let Some((step, cause)) = clouds.get(&path)
                && self.entries.get(&path).is_none_or(|entry| entry.since <= *step)
            {
                return Err(Error::unknown(Arc::clone(cause)));
            }
        }
        for (below, entry) in self.entries.iter().filter(|(below, _)| below.parent() == Some(&path)) {
            let Some(name) = below.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
            names.retain(|known| *known != name);
            if !matches!(entry.object, Object::Absent) {
                names.push(name);
            }
        }
        names.sort();
        Ok(Some(names))
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf> {
        self.resolved(path, Last::Followed)
    }

    fn access(&self, path: &Path) -> Result<Access> {
        let resolved = self.resolved(path, Last::Followed)?;
        let Found::Node(node) = self.find(&resolved)? else {
            return match self.metadata(&resolved)? {
                Some(_) => self.base.access(&resolved),
                None => Ok(Access::default()),
            };
        };
        let user = self.whoami()?;
        let metadata = &node.metadata;
        let any = |bits: u32| metadata.mode & bits != 0;
        if user.uid == 0 {
            return Ok(Access { read: true, write: true, execute: metadata.kind == FileKind::Directory || any(0o111) });
        }
        let shift = if user.uid == metadata.uid {
            6
        } else if user.gid == metadata.gid {
            3
        } else {
            0
        };
        Ok(Access { read: any(4 << shift), write: any(2 << shift), execute: any(1 << shift) })
    }

    fn attributes(&self, path: &Path) -> Result<String> {
        let resolved = self.resolved(path, Last::Kept)?;
        match self.find(&resolved)? {
            Found::Base => self.base.attributes(&resolved),
            Found::Absent => Ok(String::new()),
            Found::Node(node) => Ok(node.attributes.clone()),
        }
    }

    fn acl(&self, path: &Path) -> Result<Acl> {
        let resolved = self.resolved(path, Last::Followed)?;
        let known = match (self.acls.get(&resolved), self.find(&resolved)?) {
            (Some(known), _) => known.clone(),
            (None, Found::Base) => return self.base.acl(&resolved),
            (None, Found::Node(node)) if !node.fresh => self.base.acl(&resolved)?,
            // What its folder gives to new objects is not modelled.
            (None, _) => match resolved.parent().map(|folder| self.acl(folder)).transpose()? {
                Some(folder) if !folder.default.is_empty() => {
                    return Err(Error::unknown(format!("the access control list of the new {}", path.display())));
                }
                _ => Acl::default(),
            },
        };
        let found = self.metadata(&resolved)?;
        let mode = found.ok_or_else(|| Error::failed(format!("{}: nothing is there", path.display())))?.mode;
        Ok(if known.access.is_empty() { Acl::of_mode(mode) } else { known.with_mode(mode) })
    }

    fn generation(&self, path: &Path) -> Result<Option<u64>> {
        let resolved = self.resolved(path, Last::Kept)?;
        match self.find(&resolved)? {
            Found::Base => self.base.generation(&resolved),
            Found::Absent | Found::Node(_) => Ok(None),
        }
    }

    fn security_context(&self, path: &Path) -> Result<Option<String>> {
        let resolved = self.resolved(path, Last::Kept)?;
        match self.find(&resolved)? {
            Found::Base => self.base.security_context(&resolved),
            Found::Absent => Ok(None),
            // The folder's policy decides; whether there is SELinux at all is the base's to say.
            Found::Node(_) => match self.base.security_context(Path::new("/"))? {
                Some(_) => Err(Error::unknown(format!("the SELinux context of {}", path.display()))),
                None => Ok(None),
            },
        }
    }

    fn mime(&self, path: &Path) -> Result<Option<(String, String)>> {
        let resolved = self.resolved(path, Last::Kept)?;
        match self.find(&resolved)? {
            Found::Base => self.base.mime(&resolved),
            Found::Absent => Ok(None),
            Found::Node(_) => Err(Error::unknown(format!("the new content of {}", path.display()))),
        }
    }

    fn archive(&self, question: &super::archive::Question) -> Result<super::archive::Archive> {
        use super::archive::{Question, Source};
        let mut asked: Question = question.clone();
        if let Source::Node(path) = &question.source {
            let path = self.resolved(path, Last::Followed)?;
            if let Found::Node(node) = self.find(&path)? {
                asked.source = match &node.content {
                    Bytes::Known(bytes) => Source::Bytes(crate::program::Bytes(Arc::clone(bytes))),
                    Bytes::Base(former) => Source::Node(former.clone()),
                    _ => return Err(Error::unknown(format!("the new content of {}", path.display()))),
                };
            }
        }
        let Some(folder) = &question.folder else { return self.base.archive(&asked) };
        let folder = self.resolved(folder, Last::Followed)?;
        let within = |path: &&PathBuf| path.starts_with(&folder) && **path != folder;
        let unsure = |cause: &Arc<str>| Err(Error::unknown(Arc::clone(cause)));
        if let Some((_, cause)) = self.below.get(&folder) {
            return unsure(cause);
        }
        if self.entries.keys().any(|path| within(&path)) {
            return Err(Error::unknown(format!("the new files in {}", folder.display())));
        }
        let fresh = matches!(self.find(&folder)?, Found::Node(node) if node.fresh);
        if fresh {
            // All of it is missing there, unless something unknown brings it.
            asked.folder = None;
            let mut archive = self.base.archive(&asked)?;
            let missing = |name: &String| format!("tar: {name}: Warning: Cannot stat: No such file or directory");
            archive.differences = archive.members.iter().map(|member| missing(&member.name)).collect();
            return Ok(archive);
        }
        asked.folder = Some(folder);
        let archive = self.base.archive(&asked)?;
        match &self.opaque {
            Some((_, cause)) if !archive.differences.is_empty() => unsure(cause),
            _ => Ok(archive),
        }
    }

    fn checkout(&self, question: &super::checkout::Question) -> Result<super::checkout::Checkout> {
        let folder = self.resolved(&question.folder, Last::Followed)?;
        // What is not known of the folder's files is not known of the checkout.
        let cloud = self.below.iter().find(|(below, _)| folder.starts_with(below) || below.starts_with(&folder));
        if let Some((_, (_, cause))) = cloud {
            return Err(Error::unknown(Arc::clone(cause)));
        }
        match self.entries.keys().find(|path| path.starts_with(&folder) && **path != folder) {
            Some(path) => Err(Error::unknown(format!("{} is changed before", path.display()))),
            None => self.base.checkout(&super::checkout::Question { folder, ..question.clone() }),
        }
    }

    fn user(&self, name_or_uid: &str) -> Result<Option<User>> {
        self.user_by(name_or_uid)
    }

    fn group(&self, name_or_gid: &str) -> Result<Option<Group>> {
        self.group_by(name_or_gid)
    }

    fn users(&self) -> Result<Vec<User>> {
        self.all_users()
    }

    fn groups(&self) -> Result<Vec<Group>> {
        self.all_groups()
    }

    fn shadow(&self, name: &str) -> Result<Option<Shadow>> {
        self.shadow_of(name)
    }

    fn name_service(&self, database: &str, key: Option<&str>, service: Option<&str>) -> Result<(i32, String)> {
        self.name_service_of(database, key, service)
    }

    fn whoami(&self) -> Result<User> {
        self.base.whoami()
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.base.environment(name)
    }

    fn executable(&self, name: &str) -> Result<Option<PathBuf>> {
        let path = self.environment("PATH").unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
        let candidates: Vec<PathBuf> =
            if name.starts_with('/') { vec![name.into()] } else { path.split(':').map(|folder| Path::new(folder).join(name)).collect() };
        for candidate in candidates {
            if let Some(Entry { object: Object::Node(node), .. }) = self.entries.get(&candidate)
                && node.metadata.mode & 0o111 != 0
            {
                return Ok(Some(candidate));
            }
        }
        let found = self.based(self.base.executable(name))?;
        match &found {
            Some(path) if self.metadata(path)?.is_none() => Ok(None),
            _ => Ok(found),
        }
    }

    fn kernel_hostname(&self) -> Result<String> {
        match &self.hostname {
            Some(name) => Ok(name.clone()),
            None => self.base.kernel_hostname(),
        }
    }

    fn sysctl(&self, name: &str) -> Result<Option<String>> {
        match self.sysctl.get(&super::real::sysctl_path(name)) {
            Some(value) => Ok(Some(value.clone())),
            None => self.based(self.base.sysctl(name)),
        }
    }

    fn kernel_module(&self, name: &str) -> Result<KernelModule> {
        if let Some(known) = self.modules.get(&name.replace('-', "_")) {
            return Ok(*known);
        }
        match self.base.kernel_module(name)? {
            KernelModule::Absent => Ok(self.absence()?.unwrap_or(KernelModule::Absent)),
            other => Ok(other),
        }
    }

    fn package(&self, name: &str) -> Result<Option<Package>> {
        match self.packages.get(name) {
            Some(None) => Ok(None),
            Some(Some(version)) => {
                let former = self.base.package(name)?;
                let version = if version.is_empty() {
                    former.as_ref().map(|former| former.version.clone()).unwrap_or_default()
                } else {
                    version.clone()
                };
                let selected = self.selections.get(name).cloned().or_else(|| former.map(|former| former.selection));
                Ok(Some(Package { version, selection: selected.unwrap_or_else(|| "install".to_owned()), automatic: false }))
            }
            None => {
                let mut package = self.based(self.base.package(name))?;
                if let Some(package) = package.as_mut().filter(|_| self.manual.contains(name)) {
                    package.automatic = false;
                }
                if let (Some(package), Some(selection)) = (&mut package, self.selections.get(name)) {
                    package.selection.clone_from(selection);
                }
                Ok(package)
            }
        }
    }

    fn package_candidate(&self, name: &str) -> Result<Option<String>> {
        match &self.lists {
            Some(cause) => Err(Error::unknown(Arc::clone(cause))),
            None => self.based(self.base.package_candidate(name)),
        }
    }

    fn package_candidate_of(&self, name: &str, release: &str) -> Result<Option<String>> {
        match &self.lists {
            Some(cause) => Err(Error::unknown(Arc::clone(cause))),
            None => self.based(self.base.package_candidate_of(name, release)),
        }
    }

    fn package_versions(&self, name: &str) -> Result<Vec<String>> {
        match &self.lists {
            Some(cause) => Err(Error::unknown(Arc::clone(cause))),
            None => self.base.package_versions(name),
        }
    }

    fn package_names(&self) -> Result<Vec<String>> {
        match self.lists.as_ref().or(self.opaque.as_ref().map(|(_, cause)| cause)) {
            Some(cause) => Err(Error::unknown(Arc::clone(cause))),
            None => self.base.package_names(),
        }
    }

    fn inventory(&self) -> Result<Map> {
        if let Some(cause) = self.opaque.as_ref().map(|(_, cause)| cause).or(self.lists.as_ref()) {
            return Err(Error::unknown(Arc::clone(cause)));
        }
        match self.packages.keys().next() {
            Some(name) => Err(Error::unknown(format!("{name} is installed or removed before"))),
            None => self.base.inventory(),
        }
    }

    fn package_providers(&self, name: &str) -> Result<Vec<String>> {
        let mut providers = self.base.package_providers(name)?;
        providers.retain(|provider| self.packages.get(provider) != Some(&None));
        if providers.is_empty() {
            return Ok(self.absence()?.unwrap_or_default());
        }
        Ok(providers)
    }

    fn package_is_virtual(&self, name: &str) -> Result<bool> {
        match &self.lists {
            Some(cause) => Err(Error::unknown(Arc::clone(cause))),
            None => self.base.package_is_virtual(name),
        }
    }

    fn package_residue(&self, name: &str) -> Result<bool> {
        match self.packages.get(name) {
            Some(_) => Ok(false),
            None => self.base.package_residue(name),
        }
    }

    fn expect_candidates(&self, names: &[&str], release: Option<&str>) -> Result<()> {
        match &self.lists {
            Some(_) => Ok(()),
            None => self.base.expect_candidates(names, release),
        }
    }

    fn upgradable(&self, dist: bool) -> Result<Vec<String>> {
        if let Some(cause) = self.lists.as_ref().or(self.opaque.as_ref().map(|(_, cause)| cause)) {
            return Err(Error::unknown(Arc::clone(cause)));
        }
        let mut names = self.base.upgradable(dist)?;
        names.retain(|name| !self.packages.contains_key(name));
        Ok(names)
    }

    fn unit(&self, name: &str, scope: UnitScope) -> Result<Unit> {
        let mut unit = self.base.unit(name, scope)?;
        let key = match scope {
            UnitScope::System => name.to_owned(),
            UnitScope::User => format!("user:{name}"),
            UnitScope::Global => format!("global:{name}"),
        };
        let known = self.units.get(&key).cloned().unwrap_or_default();
        if unit.load_state == "not-found" && known.load_state.is_none() {
            let Some(file) = self.unit_file(name) else {
                return self.absence::<Unit>().map(|_| unit);
            };
            let installs = match self.read(&file) {
                Ok(Some(text)) => String::from_utf8_lossy(&text).lines().any(|line| line.trim() == "[Install]"),
                Ok(None) => false,
                Err(error) => return Err(error),
            };
            // What systemd says of a unit without a file does not hold for the file to come.
            unit.properties.retain(|(name, _)| name != "LoadError");
            unit.load_state = "loaded".into();
            unit.active_state = "inactive".into();
            unit.unit_file_state = if installs { "disabled" } else { "static" }.into();
        }
        for (value, place) in [
            (known.load_state, &mut unit.load_state),
            (known.active_state, &mut unit.active_state),
            (known.unit_file_state, &mut unit.unit_file_state),
        ] {
            if let Some(value) = value {
                *place = value;
            }
        }
        let states = [("LoadState", &unit.load_state), ("ActiveState", &unit.active_state), ("UnitFileState", &unit.unit_file_state)];
        for (property, value) in states {
            if let Some(shown) = unit.properties.iter_mut().find(|(name, _)| name == property) {
                shown.1.clone_from(value);
            }
        }
        Ok(unit)
    }

    fn init(&self) -> Result<String> {
        self.base.init()
    }

    fn connects(&self, host: &str, port: u16, timeout: Duration) -> Result<bool> {
        self.network()?;
        self.base.connects(host, port, timeout)
    }

    fn port_says(&self, host: &str, port: u16, pattern: &str, timeout: Duration) -> Result<bool> {
        self.network()?;
        self.base.port_says(host, port, pattern, timeout)
    }

    fn connections(&self, host: &str, port: u16) -> Result<Vec<String>> {
        self.network()?;
        self.base.connections(host, port)
    }

    fn boot_id(&self) -> Result<String> {
        match &self.rebooted {
            Some(cause) => Err(Error::unknown(Arc::clone(cause))),
            None => self.base.boot_id(),
        }
    }

    fn now(&self) -> SystemTime {
        self.base.now()
    }

    fn sleep(&self, _duration: Duration) -> Result<()> {
        Ok(())
    }

    fn is_live(&self) -> bool {
        false
    }

    fn services(&self) -> Result<Map> {
        if let Some((_, cause)) = &self.opaque {
            return Err(Error::unknown(Arc::clone(cause)));
        }
        if let Some(name) = self.units.keys().next() {
            return Err(Error::unknown(format!("{name} is changed before")));
        }
        let is_unit = |path: &&PathBuf| UNIT_FOLDERS.iter().any(|folder| path.starts_with(folder)) || path.starts_with("/etc/init.d");
        match self.entries.keys().find(is_unit) {
            Some(path) => Err(Error::unknown(format!("{} is changed before", path.display()))),
            None => self.base.services(),
        }
    }

    fn facts(&self, request: &FactRequest) -> Result<Map> {
        let mut facts = self.base.facts(request)?;
        if let Some(name) = &self.hostname {
            let short = name.split('.').next().unwrap_or(name);
            for (fact, value) in [("ansible_nodename", name.as_str()), ("ansible_hostname", short)] {
                if let Some(known) = facts.get_mut(fact) {
                    *known = value.into();
                }
            }
            if let Some(known) = facts.get_mut("ansible_fqdn") {
                *known = crate::program::Value::unknown(format!("the new host name {name}"));
            }
        }
        Ok(facts)
    }
}

impl Overlay<'_> {
    fn network(&self) -> Result<()> {
        match &self.network {
            Some(cause) => Err(Error::unknown(Arc::clone(cause))),
            None => Ok(()),
        }
    }
}

fn circle(doing: &str, path: &Path) -> Error {
    Error::failed(format!("{doing} {}: Too many levels of symbolic links (os error 40)", path.display()))
}

/// Attribute letters after `+ai`, `-i`, `=e` (or `e`).
pub(crate) fn attributes_after(before: &str, wanted: &str) -> String {
    let (operator, letters) = match wanted.chars().next() {
        Some(operator @ ('+' | '-' | '=')) => (operator, &wanted[1..]),
        _ => ('=', wanted),
    };
    match operator {
        '+' => before.chars().chain(letters.chars().filter(|letter| !before.contains(*letter))).collect(),
        '-' => before.chars().filter(|letter| !letters.contains(*letter)).collect(),
        _ => letters.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Bytes as Content;
    use crate::system::fake::Fake;
    use crate::system::{Command, Content as From, Effect, Ownership};

    fn fake() -> Fake {
        let script = serde_json::json!({
            "files": {"/etc/a": "a", "/d/x": "x"},
            "packages": {"here": "1", "gone": null, "nginx": null}, "candidates": {"nginx": "2", "other": null},
            "units": {"a.service": {"active_state": "inactive"}, "new.service": null, "other.service": null},
            "upgradable": ["here", "nginx"], "sysctl": {"net.ipv4.ip_forward": "0", "no.such": null},
            "modules": {"overlay": "absent"}, "kernel_hostname": "old", "boot_id": "b", "ports": {"h:1": true},
            "facts": {"ansible_hostname": "old", "ansible_fqdn": "old.lan", "ansible_nodename": "old"},
            "executables": {"tool": null},
        });
        Fake::from_value(script).expect("is a machine")
    }

    fn write(path: &str, text: &str, mode: Option<u32>) -> Action {
        Action::WriteFile {
            path: path.into(),
            content: From::Inline(Content(text.as_bytes().into())),
            ownership: Ownership { mode, ..Ownership::default() },
            backup: false,
            unsafe_writes: false,
            validate: None,
        }
    }

    fn run(effect: Effect) -> Action {
        Action::Run(Command::new("make", ["make"]).effect(effect))
    }

    fn cause<T: std::fmt::Debug>(answer: Result<T>) -> String {
        answer.expect_err("is not known").unknown_cause().expect("is an unknown").to_string()
    }

    #[test]
    fn after_an_opaque_step_absence_is_unknown_and_presence_stays() {
        let fake = fake();
        let mut overlay = Overlay::new(&fake);
        overlay.absorb(&Action::Remove { path: "/d".into() }, "remove d");
        assert_eq!(overlay.metadata(Path::new("/d/x")).expect("is known"), None);
        overlay.absorb(&run(Effect::Opaque), "build it");
        for answer in [overlay.metadata(Path::new("/none")), overlay.metadata(Path::new("/d/x"))] {
            assert_eq!(cause(answer), "build it");
        }
        assert_eq!(cause(overlay.package("gone")), "build it");
        assert_eq!(cause(overlay.user("bob")), "build it");
        assert_eq!(cause(overlay.unit("new.service", UnitScope::System)), "build it");
        assert_eq!(cause(overlay.sysctl("no.such")), "build it");
        assert_eq!(cause(overlay.kernel_module("overlay")), "build it");
        assert_eq!(cause(overlay.list(Path::new("/etc"))), "build it");
        assert_eq!(cause(overlay.connects("h", 1, Duration::ZERO)), "build it");
        assert_eq!(overlay.read(Path::new("/etc/a")).expect("is known"), Some(b"a".to_vec()));
        assert!(overlay.package("here").expect("is known").is_some());
        // What is planned after it is known again.
        overlay.absorb(&write("/none", "now", Some(0o600)), "write it");
        overlay.absorb(&Action::Remove { path: "/etc/a".into() }, "remove a");
        assert_eq!(overlay.read(Path::new("/none")).expect("is known"), Some(b"now".to_vec()));
        assert_eq!(overlay.metadata(Path::new("/etc/a")).expect("is known"), None);
        // Content is known, ownership that was not given is what an unknown former file has.
        assert_eq!(cause(overlay.metadata(Path::new("/none"))), "write it");
    }

    #[test]
    fn packages_are_present_with_what_they_bring_unknown() {
        let fake = fake();
        let mut overlay = Overlay::new(&fake);
        overlay.absorb(&run(Effect::Packages { present: vec![("nginx".into(), None)], absent: vec!["here".into()] }), "install nginx");
        assert_eq!(overlay.package("nginx").expect("is known").map(|package| package.version).as_deref(), Some("2"));
        assert_eq!(overlay.package("here").expect("is known"), None);
        assert_eq!(cause(overlay.inventory()), "install nginx");
        assert_eq!(cause(overlay.unit("new.service", UnitScope::System)), "install nginx");
        overlay.absorb(&run(Effect::PackageLists), "update");
        assert_eq!(cause(overlay.package_candidate("nginx")), "update");
        assert_eq!(cause(overlay.upgradable(false)), "update");
    }

    #[test]
    fn units_accounts_kernel_and_name_are_as_planned() {
        let fake = fake();
        let mut overlay = Overlay::new(&fake);
        let started =
            Effect::Unit { name: "a.service".into(), active_state: Some("active".into()), unit_file_state: None, load_state: None };
        for action in [
            run(started),
            write("/etc/systemd/system/new.service", "[Service]\n[Install]\n", None),
            run(Effect::User { name: "bob".into(), account: Some(Box::default()) }),
            write("/usr/local/bin/tool", "#!/bin/sh", Some(0o755)),
            Action::SetSysctl { name: "net/ipv4/ip_forward".into(), value: "1".into() },
            Action::LoadKernelModule { name: "overlay".into(), parameters: String::new() },
            Action::SetKernelHostname { name: "new.lan".into() },
        ] {
            overlay.absorb(&action, "the plan");
        }
        let unit = overlay.unit("a.service", UnitScope::System).expect("is known");
        assert_eq!((unit.active_state.as_str(), unit.unit_file_state.as_str()), ("active", "disabled"));
        assert!(unit.properties.contains(&("ActiveState".into(), "active".into())));
        let new = overlay.unit("new.service", UnitScope::System).expect("is known");
        assert_eq!((new.load_state.as_str(), new.unit_file_state.as_str()), ("loaded", "disabled"));
        assert_eq!(overlay.unit("other.service", UnitScope::System).expect("is known").load_state, "not-found");
        let bob = overlay.user("bob").expect("is known").expect("is there");
        assert!(bob.uid >= FIRST_UNKNOWN_ID);
        assert_eq!(overlay.user(&bob.uid.to_string()).expect("is known").map(|user| user.name).as_deref(), Some("bob"));
        assert_eq!(overlay.executable("tool").expect("is known"), Some("/usr/local/bin/tool".into()));
        assert_eq!(overlay.sysctl("net.ipv4.ip_forward").expect("is known").as_deref(), Some("1"));
        assert_eq!(overlay.kernel_module("overlay").expect("is known"), KernelModule::Loaded);
        assert_eq!(overlay.kernel_hostname().expect("is known"), "new.lan");
        let facts = overlay.facts(&FactRequest::default()).expect("is known");
        assert_eq!(facts.get("ansible_hostname").and_then(crate::program::Value::as_str), Some("new"));
        assert!(facts.get("ansible_fqdn").is_some_and(|fact| fact.first_unknown().is_some()));
    }

    #[test]
    fn a_reboot_makes_everything_that_was_not_there_unknown() {
        let fake = fake();
        let mut overlay = Overlay::new(&fake);
        let reboot = Action::Reboot {
            delay: Duration::ZERO,
            message: String::new(),
            command: None,
            boot_time_command: None,
            test_command: None,
            timeout: Duration::ZERO,
            connect_timeout: None,
        };
        overlay.absorb(&reboot, "reboot");
        assert_eq!(cause(overlay.boot_id()), "reboot");
        assert_eq!(cause(overlay.kernel_module("overlay")), "reboot");
    }

    #[test]
    fn another_overlay_is_the_same_after_the_same_actions() {
        let fake = fake();
        let mut overlay = Overlay::new(&fake);
        overlay.absorb(&write("/etc/b", "b", None), "one");
        overlay.absorb(&run(Effect::Opaque), "two");
        let sent = rmp_serde::to_vec(overlay.absorbed()).expect("can be sent");
        let received: Vec<(Action, String)> = rmp_serde::from_slice(&sent).expect("can be read");
        let mut other = Overlay::new(&fake);
        for (action, cause) in &received {
            other.absorb(action, cause);
        }
        assert_eq!(other.read(Path::new("/etc/b")).expect("is known"), Some(b"b".to_vec()));
        assert_eq!(cause(other.metadata(Path::new("/none"))), "two");
    }
}
