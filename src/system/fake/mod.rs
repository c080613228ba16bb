//! A machine that exists only in memory, from a case file: answers what was scripted, does actions to itself.
//!
//! Real code, not a mock: a second plan on it shows whether a module is idempotent. A read that was not scripted fails loudly.

mod act;
mod files;
mod script;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use files::{Kind, Node};
pub use script::Script;

use super::{
    Access, Acl, Digest, Error, FactRequest, FileKind, Group, KernelModule, Metadata, Package, Result, Shadow, System, Unit, UnitScope,
    User,
};
use crate::program::{Map, Value};
use script::{CommandScript, GroupScript, PackageScript, PortScript, UnitScript};

const NOW: f64 = 1_700_000_000.0;

/// The machine.
#[derive(Clone, Debug)]
pub struct Fake {
    script: Script,
    /// By absolute path without links.
    nodes: BTreeMap<PathBuf, Node>,
    users: Vec<User>,
    groups: Vec<Group>,
    shadows: BTreeMap<String, Shadow>,
    /// Contents of the controller's files, by SHA-256.
    contents: BTreeMap<String, Arc<[u8]>>,
    acls: BTreeMap<PathBuf, Acl>,
    next_inode: u64,
    /// Seconds since the epoch; every action takes one.
    now: f64,
}

impl Fake {
    /// From the value of a case's `system:`.
    pub fn from_value(value: serde_json::Value) -> Result<Self> {
        Self::new(Script::from_value(value)?)
    }

    pub fn new(script: Script) -> Result<Self> {
        let mut fake = Self {
            nodes: BTreeMap::new(),
            users: vec![User {
                name: "root".into(),
                uid: 0,
                gid: 0,
                gecos: "root".into(),
                home: "/root".into(),
                shell: "/bin/bash".into(),
            }],
            groups: vec![Group { name: "root".into(), gid: 0, members: Vec::new() }],
            shadows: BTreeMap::new(),
            contents: BTreeMap::new(),
            acls: BTreeMap::new(),
            next_inode: 1,
            now: script.now.unwrap_or(NOW),
            script: script.clone(),
        };
        for (name, user) in &script.users {
            fake.users.retain(|known| known.name != *name);
            fake.users.push(User {
                name: name.clone(),
                uid: user.uid,
                gid: user.gid.unwrap_or(user.uid),
                gecos: user.gecos.clone(),
                home: user.home.clone().unwrap_or_else(|| format!("/home/{name}")).into(),
                shell: user.shell.as_deref().unwrap_or("/bin/sh").into(),
            });
            if let Some(password) = user.password.clone() {
                let days = |given: Option<i64>| given.unwrap_or(-1);
                let (min, max, warn) = (days(user.min), days(user.max), days(user.warn));
                let (inactive, expires) = (days(user.inactive), days(user.expires));
                fake.shadows.insert(name.clone(), Shadow { password, min, max, warn, inactive, expires });
            }
        }
        for (name, group) in &script.groups {
            fake.groups.retain(|known| known.name != *name);
            let (gid, members) = match group.clone() {
                GroupScript::Gid(gid) => (gid, Vec::new()),
                GroupScript::Full { gid, members } => (gid, members),
            };
            fake.groups.push(Group { name: name.clone(), gid, members });
        }
        fake.lay_out(&script)?;
        for (path, entries) in &script.acls {
            let acl = script::acl(fake.acl(Path::new(path))?, entries)?;
            fake.acls.insert(path.into(), acl);
        }
        Ok(fake)
    }

    /// Adds a file of the controller that a [`super::Content::Digest`] may name; answers its SHA-256.
    pub fn add_content(&mut self, bytes: &[u8]) -> String {
        let sha256 = super::describe::sha256(bytes);
        self.contents.insert(sha256.clone(), bytes.into());
        sha256
    }

    /// Every object, by path.
    pub fn nodes(&self) -> &BTreeMap<PathBuf, Node> {
        &self.nodes
    }

    fn unit_key(name: &str, scope: UnitScope) -> String {
        match scope {
            UnitScope::System => name.to_owned(),
            UnitScope::User => format!("user:{name}"),
            UnitScope::Global => format!("global:{name}"),
        }
    }
}

/// The loud failure.
fn unscripted<T>(what: &str, key: &str, name: &str) -> Result<T> {
    Err(Error::failed(format!("the case does not script {what} `{name}`: add `{key}: {{{name}: …}}` under `system` (null: not there)")))
}

impl System for Fake {
    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        let resolved = self.resolve(path, super::paths::Last::Kept)?;
        Ok(self.nodes.get(&resolved).map(|node| self.describe_node(&resolved, node)))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let resolved = self.resolve(path, super::paths::Last::Followed)?;
        if self.script.denied.iter().any(|denied| Path::new(denied) == resolved) {
            let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
            return Err(Error::io(format_args!("read {}", path.display()), &denied));
        }
        match self.nodes.get(&resolved).map(|node| &node.kind) {
            None => Ok(None),
            Some(Kind::File(bytes)) => Ok(Some(bytes.to_vec())),
            Some(_) => Err(Error::failed(format!("read {}: Is a directory (os error 21)", path.display()))),
        }
    }

    fn digest(&self, path: &Path, algorithm: Digest) -> Result<Option<String>> {
        Ok(self.read(path)?.map(|bytes| algorithm.of(&bytes)))
    }

    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>> {
        let resolved = self.resolve(path, super::paths::Last::Kept)?;
        Ok(self.nodes.get(&resolved).and_then(|node| match &node.kind {
            Kind::Symlink(target) => Some(target.clone()),
            _ => None,
        }))
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>> {
        let resolved = self.resolve(path, super::paths::Last::Followed)?;
        if !self.nodes.get(&resolved).is_some_and(|node| node.kind == Kind::Directory) {
            return Ok(None);
        }
        let names = self.nodes.keys().filter(|below| below.parent() == Some(&resolved));
        Ok(Some(names.filter_map(|below| below.file_name()).map(|name| name.to_string_lossy().into_owned()).collect()))
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf> {
        self.resolve(path, super::paths::Last::Followed)
    }

    fn access(&self, path: &Path) -> Result<Access> {
        let resolved = self.canonical(path)?;
        let Some(node) = self.nodes.get(&resolved) else { return Ok(Access::default()) };
        let user = self.whoami()?;
        let directory = node.kind == Kind::Directory;
        let any = |bit: u32| node.mode & bit != 0;
        if user.uid == 0 {
            return Ok(Access { read: true, write: true, execute: directory || any(0o111) });
        }
        let shift = if user.uid == node.uid {
            6
        } else if user.gid == node.gid {
            3
        } else {
            0
        };
        Ok(Access { read: any(4 << shift), write: any(2 << shift), execute: any(1 << shift) })
    }

    fn attributes(&self, path: &Path) -> Result<String> {
        let resolved = self.resolve(path, super::paths::Last::Kept)?;
        Ok(self.nodes.get(&resolved).map(|node| node.attributes.clone()).unwrap_or_default())
    }

    fn acl(&self, path: &Path) -> Result<Acl> {
        let resolved = self.resolve(path, super::paths::Last::Followed)?;
        let node = self.nodes.get(&resolved).ok_or_else(|| Error::failed(format!("{}: nothing is there", path.display())))?;
        Ok(self.acls.get(&resolved).cloned().map_or_else(|| Acl::of_mode(node.mode), |acl| acl.with_mode(node.mode)))
    }

    fn mime(&self, path: &Path) -> Result<Option<(String, String)>> {
        let scripted = path.to_str().and_then(|path| self.script.mime.get(path));
        Ok(scripted.and_then(|text| text.split_once("; charset=")).map(|(kind, charset)| (kind.to_owned(), charset.to_owned())))
    }

    fn archive(&self, question: &super::archive::Question) -> Result<super::archive::Archive> {
        use super::archive::{Archive, Member, Source};
        let key = match &question.source {
            Source::Node(path) => path.to_string_lossy().into_owned(),
            Source::Bytes(_) => "controller".to_owned(),
        };
        let Some(script) = self.script.archives.get(&key) else { return unscripted("the archive", "archives", &key) };
        let members: Vec<Member> =
            script.members.iter().map(|member| Member { name: member.name.clone(), details: member.details() }).collect();
        let folder = question.folder.as_deref().unwrap_or(Path::new("/"));
        let missing = members.iter().filter(|member| !self.nodes.contains_key(&folder.join(member.name.trim_end_matches('/'))));
        let missing = missing.map(|member| format!("tar: {}: Warning: Cannot stat: No such file or directory", member.name));
        let differences = missing.chain(script.differences.iter().cloned()).collect();
        Ok(Archive { format: script.format()?, members, differences })
    }

    fn checkout(&self, question: &super::checkout::Question) -> Result<super::checkout::Checkout> {
        let folder = question.folder.to_string_lossy();
        let known = self.script.checkouts.get(&*folder).cloned();
        known.map_or_else(|| unscripted("the checkout", "checkouts", &folder), Ok)
    }

    fn user(&self, name_or_uid: &str) -> Result<Option<User>> {
        let by_name = self.users.iter().find(|user| user.name == name_or_uid);
        Ok(by_name.or_else(|| self.users.iter().find(|user| user.uid.to_string() == name_or_uid)).cloned())
    }

    fn group(&self, name_or_gid: &str) -> Result<Option<Group>> {
        let by_name = self.groups.iter().find(|group| group.name == name_or_gid);
        Ok(by_name.or_else(|| self.groups.iter().find(|group| group.gid.to_string() == name_or_gid)).cloned())
    }

    fn users(&self) -> Result<Vec<User>> {
        Ok(self.users.clone())
    }

    fn groups(&self) -> Result<Vec<Group>> {
        Ok(self.groups.clone())
    }

    fn shadow(&self, name: &str) -> Result<Option<Shadow>> {
        Ok(self.shadows.get(name).cloned())
    }

    fn name_service(&self, database: &str, key: Option<&str>, service: Option<&str>) -> Result<(i32, String)> {
        let words: Vec<&str> = [Some(database), key, service].into_iter().flatten().collect();
        match self.script.name_service.get(&words.join(" ")) {
            Some(answer) => Ok(answer.clone()),
            None => unscripted("what getent says of", "name_service", &words.join(" ")),
        }
    }

    fn whoami(&self) -> Result<User> {
        let name = self.script.whoami.as_deref().unwrap_or("root");
        self.user(name)?.ok_or_else(|| Error::failed(format!("the case's `whoami` is no user of it: {name}")))
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.script.environment.get(name).cloned()
    }

    fn executable(&self, name: &str) -> Result<Option<PathBuf>> {
        if name.starts_with('/') {
            return Ok(self.nodes.contains_key(Path::new(name)).then(|| PathBuf::from(name)));
        }
        match self.script.executables.get(name) {
            Some(path) => Ok(path.as_ref().map(PathBuf::from)),
            None => unscripted("the executable", "executables", name),
        }
    }

    fn kernel_hostname(&self) -> Result<String> {
        self.script.kernel_hostname.clone().ok_or_else(|| Error::failed("the case does not script `kernel_hostname`"))
    }

    fn sysctl(&self, name: &str) -> Result<Option<String>> {
        match self.script.sysctl.get(&sysctl_key(name)) {
            Some(value) => Ok(value.clone()),
            None => unscripted("the kernel parameter", "sysctl", name),
        }
    }

    fn kernel_module(&self, name: &str) -> Result<KernelModule> {
        match self.script.modules.get(&name.replace('-', "_")).map(String::as_str) {
            Some("loaded") => Ok(KernelModule::Loaded),
            Some("built-in") => Ok(KernelModule::BuiltIn),
            Some("absent") => Ok(KernelModule::Absent),
            Some(other) => Err(Error::failed(format!("{other:?} is none of loaded, built-in, absent"))),
            None => unscripted("the kernel module", "modules", name),
        }
    }

    fn package(&self, name: &str) -> Result<Option<Package>> {
        match self.script.packages.get(name) {
            Some(package) => Ok(package.as_ref().map(|package| match package.clone() {
                PackageScript::Version(version) => Package { version, selection: "install".into(), automatic: false },
                PackageScript::Full { version, selection, automatic } => {
                    Package { version, selection: selection.unwrap_or_else(|| "install".into()), automatic }
                }
            })),
            None => unscripted("the package", "packages", name),
        }
    }

    fn package_candidate(&self, name: &str) -> Result<Option<String>> {
        match self.script.candidates.get(name) {
            Some(version) => Ok(version.clone()),
            None => unscripted("the package candidate", "candidates", name),
        }
    }

    fn package_candidate_of(&self, name: &str, release: &str) -> Result<Option<String>> {
        self.package_candidate(&format!("{name}@{release}"))
    }

    fn package_versions(&self, name: &str) -> Result<Vec<String>> {
        match self.script.versions.get(name) {
            Some(versions) => Ok(versions.clone()),
            None => Ok(self.package_candidate(name)?.into_iter().collect()),
        }
    }

    fn package_names(&self) -> Result<Vec<String>> {
        let there = self.script.packages.iter().filter(|(_, package)| package.is_some()).map(|(name, _)| name);
        let mut names: Vec<String> = there.chain(self.script.candidates.keys()).filter(|name| !name.contains('@')).cloned().collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn inventory(&self) -> Result<Map> {
        let inventory = self.script.inventory.clone().ok_or_else(|| Error::failed("the case does not script `inventory`"))?;
        Ok(Value::from(serde_json::Value::Object(inventory)).as_map().cloned().unwrap_or_default())
    }

    fn package_providers(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.script.providers.get(name).cloned().unwrap_or_default())
    }

    fn package_is_virtual(&self, name: &str) -> Result<bool> {
        Ok(self.script.virtual_packages.iter().any(|known| known == name))
    }

    fn package_residue(&self, name: &str) -> Result<bool> {
        Ok(self.script.residue.iter().any(|left| left == name))
    }

    fn upgradable(&self, dist: bool) -> Result<Vec<String>> {
        let (list, name) = if dist { (&self.script.dist_upgradable, "dist_upgradable") } else { (&self.script.upgradable, "upgradable") };
        list.clone().ok_or_else(|| Error::failed(format!("the case does not script `{name}`")))
    }

    fn unit(&self, name: &str, scope: UnitScope) -> Result<Unit> {
        let key = Self::unit_key(name, scope);
        match self.script.units.get(&key) {
            Some(Some(unit)) => Ok(unit_of(&key, unit)),
            Some(None) => Ok(Unit {
                load_state: "not-found".into(),
                active_state: "inactive".into(),
                unit_file_state: String::new(),
                properties: [("Id", name), ("LoadState", "not-found"), ("ActiveState", "inactive"), ("SubState", "dead")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .to_vec(),
            }),
            None => unscripted("the unit", "units", &key),
        }
    }

    fn init(&self) -> Result<String> {
        self.script.init.clone().ok_or_else(|| Error::failed("the case does not script `init`"))
    }

    fn connects(&self, host: &str, port: u16, _timeout: Duration) -> Result<bool> {
        match self.script.ports.get(&format!("{host}:{port}")) {
            Some(PortScript::Open(open)) => Ok(*open),
            Some(PortScript::Says(_)) => Ok(true),
            None => unscripted("the port", "ports", &format!("{host}:{port}")),
        }
    }

    fn port_says(&self, host: &str, port: u16, pattern: &str, _timeout: Duration) -> Result<bool> {
        match self.script.ports.get(&format!("{host}:{port}")) {
            Some(PortScript::Says(text)) => {
                let pattern = fancy_regex::Regex::new(pattern).map_err(|error| Error::failed(error.to_string()))?;
                pattern.is_match(text).map_err(|error| Error::failed(error.to_string()))
            }
            Some(PortScript::Open(_)) => Ok(false),
            None => unscripted("the port", "ports", &format!("{host}:{port}")),
        }
    }

    fn connections(&self, host: &str, port: u16) -> Result<Vec<String>> {
        match self.script.connections.get(&format!("{host}:{port}")) {
            Some(list) => Ok(list.clone()),
            None => unscripted("the connections of", "connections", &format!("{host}:{port}")),
        }
    }

    fn boot_id(&self) -> Result<String> {
        self.script.boot_id.clone().ok_or_else(|| Error::failed("the case does not script `boot_id`"))
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(self.now)
    }

    fn sleep(&self, _duration: Duration) -> Result<()> {
        Ok(())
    }

    fn is_live(&self) -> bool {
        false
    }

    fn services(&self) -> Result<Map> {
        let services = self.script.services.clone().ok_or_else(|| Error::failed("the case does not script `services`"))?;
        Ok(Value::from(serde_json::Value::Object(services)).as_map().cloned().unwrap_or_default())
    }

    fn facts(&self, _request: &FactRequest) -> Result<Map> {
        let facts = self.script.facts.clone().ok_or_else(|| Error::failed("the case does not script `facts`"))?;
        Ok(Value::from(serde_json::Value::Object(facts)).as_map().cloned().unwrap_or_default())
    }
}

fn unit_of(key: &str, script: &UnitScript) -> Unit {
    let load_state = script.load_state.clone().unwrap_or_else(|| "loaded".into());
    let active_state = script.active_state.clone().unwrap_or_else(|| "inactive".into());
    let unit_file_state = script.unit_file_state.clone().unwrap_or_else(|| "disabled".into());
    let mut properties = vec![
        ("Id".to_owned(), key.rsplit(':').next().unwrap_or(key).to_owned()),
        ("LoadState".to_owned(), load_state.clone()),
        ("ActiveState".to_owned(), active_state.clone()),
        ("UnitFileState".to_owned(), unit_file_state.clone()),
    ];
    for (name, value) in &script.properties {
        properties.retain(|(known, _)| known != name);
        properties.push((name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    Unit { load_state, active_state, unit_file_state, properties }
}

/// One spelling for a parameter's name.
fn sysctl_key(name: &str) -> String {
    let path = super::real::sysctl_path(name);
    let relative = path.strip_prefix("/proc/sys").unwrap_or(&path);
    relative
        .to_string_lossy()
        .chars()
        .map(|letter| match letter {
            '/' => '.',
            '.' => '/',
            other => other,
        })
        .collect()
}

impl CommandScript {
    fn is_for(key: &str, command: &super::Command) -> bool {
        key == command.label || key == command.argv.join(" ")
    }
}

fn file_kind(word: &str) -> Result<FileKind> {
    Ok(match word {
        "block" => FileKind::Block,
        "character" => FileKind::Character,
        "fifo" => FileKind::Fifo,
        "socket" => FileKind::Socket,
        other => return Err(Error::failed(format!("{other:?} is none of block, character, fifo, socket"))),
    })
}
