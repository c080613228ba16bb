//! What a case file says about a machine: the keys under `system:`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::system::archive::{self, Format};
use crate::system::{Acl, AclEntry, AclTag, Error, Result};

/// `None` (YAML's null) says: looked for, not there. A name that is not written at all is not scripted.
type Maybe<T> = BTreeMap<String, Option<T>>;

/// The machine of a case. Files and accounts are a closed world: what is not listed is not there. Everything else fails
/// loudly when it is read and not scripted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// `/etc/hostname: "debian\n"` or `{content, mode, owner, group, modified, accessed, attributes}`.
    pub files: BTreeMap<String, FileScript>,
    /// `/srv: {mode: '0700'}`; parents of everything listed are there anyway.
    pub directories: Maybe<Details>,
    /// `/etc/localtime: /usr/share/zoneinfo/UTC`.
    pub links: BTreeMap<String, LinkScript>,
    /// `/dev/log: socket`: block, character, fifo, socket.
    pub special: BTreeMap<String, String>,
    /// `/x: 'text/plain; charset=us-ascii'`: what the program `file` says.
    pub mime: BTreeMap<String, String>,
    /// `/x: ['user:5:rw-', 'mask::r--', 'default:user::rwx']`: entries beside those that the mode makes, by ids.
    pub acls: BTreeMap<String, Vec<String>>,
    /// `/x.tgz: {format: gzip, members: [{name: a}]}`; the controller's is `controller`. What of it is not in the folder differs.
    pub archives: BTreeMap<String, ArchiveScript>,
    /// `/srv/app: {head: 5f…, url: 'https://…'}`: what git says.
    pub checkouts: BTreeMap<String, crate::system::checkout::Checkout>,
    /// Paths whose reading is denied.
    pub denied: Vec<String>,
    /// `bob: {uid: 1000}`; root is always there.
    pub users: BTreeMap<String, UserScript>,
    /// `adm: 4` or `{gid, members}`; root is always there.
    pub groups: BTreeMap<String, GroupScript>,
    /// `passwd bob: [0, "bob:x:1000:1000::/home/bob:/bin/sh\n"]`: what getent says, by its words.
    pub name_service: BTreeMap<String, (i32, String)>,
    /// The acting user's name.
    pub whoami: Option<String>,
    pub environment: BTreeMap<String, String>,
    /// `lsattr: /usr/bin/lsattr`.
    pub executables: Maybe<String>,
    /// `nginx: '1.22.1-9'` or `{version, selection, automatic}`.
    pub packages: Maybe<PackageScript>,
    /// `nginx: '1.22.1-9'`; with a release preferred: `nginx@bookworm-backports: '1.26'`.
    pub candidates: Maybe<String>,
    /// All that could be installed, newest first; default: the candidate.
    pub versions: BTreeMap<String, Vec<String>>,
    /// `{nginx: [{name: nginx, version: '1.22', source: apt}]}`: every installed package.
    pub inventory: Option<serde_json::Map<String, serde_json::Value>>,
    /// Installed packages by the virtual ones they provide.
    pub providers: BTreeMap<String, Vec<String>>,
    /// Names that only others provide.
    pub virtual_packages: Vec<String>,
    /// Removed packages that left configuration files.
    pub residue: Vec<String>,
    pub upgradable: Option<Vec<String>>,
    pub dist_upgradable: Option<Vec<String>>,
    /// `nginx.service: {active_state: active, unit_file_state: enabled}`; `user:x.service`, `global:x.service`.
    pub units: Maybe<UnitScript>,
    pub init: Option<String>,
    /// `{ssh.service: {name: ssh.service, state: running, status: enabled, source: systemd}}`.
    pub services: Option<serde_json::Map<String, serde_json::Value>>,
    pub sysctl: Maybe<String>,
    /// `br_netfilter: loaded`, `absent`, `built-in`.
    pub modules: BTreeMap<String, String>,
    pub kernel_hostname: Option<String>,
    /// `localhost:80: true`, or the text that the port says.
    pub ports: BTreeMap<String, PortScript>,
    /// `localhost:80: [10.0.0.1]`.
    pub connections: BTreeMap<String, Vec<String>>,
    pub boot_id: Option<String>,
    /// Seconds since the epoch; default 1700000000.
    pub now: Option<f64>,
    pub facts: Option<serde_json::Map<String, serde_json::Value>>,
    /// What commands give, by their sentence or their words joined by spaces. One whose effect is opaque has to be here.
    pub commands: BTreeMap<String, CommandScript>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum FileScript {
    Text(String),
    Full(FileDetails),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileDetails {
    pub content: String,
    /// Instead of `content`, for bytes that are no text.
    pub hex: Option<String>,
    pub mode: Option<String>,
    pub owner: Option<String>,
    pub group: Option<String>,
    pub modified: Option<f64>,
    pub accessed: Option<f64>,
    pub attributes: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Details {
    pub mode: Option<String>,
    pub owner: Option<String>,
    pub group: Option<String>,
    pub modified: Option<f64>,
    pub accessed: Option<f64>,
    pub attributes: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum LinkScript {
    Target(String),
    Full { target: String, owner: Option<String>, group: Option<String> },
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserScript {
    pub uid: u32,
    /// Default: the uid's number.
    pub gid: Option<u32>,
    pub gecos: String,
    /// Default `/home/NAME`.
    pub home: Option<String>,
    /// Default `/bin/sh`.
    pub shell: Option<String>,
    /// Of /etc/shadow; without it there is no line.
    pub password: Option<String>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub warn: Option<i64>,
    pub inactive: Option<i64>,
    pub expires: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum GroupScript {
    Gid(u32),
    Full { gid: u32, members: Vec<String> },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PackageScript {
    Version(String),
    Full {
        version: String,
        /// Default `install`.
        #[serde(default)]
        selection: Option<String>,
        #[serde(default)]
        automatic: bool,
    },
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnitScript {
    /// Default `loaded`.
    pub load_state: Option<String>,
    /// Default `inactive`.
    pub active_state: Option<String>,
    /// Default `disabled`.
    pub unit_file_state: Option<String>,
    pub properties: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PortScript {
    Open(bool),
    Says(String),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandScript {
    pub rc: i32,
    pub stdout: String,
    pub stderr: String,
    /// Files that are there afterwards.
    pub files: BTreeMap<String, FileScript>,
    /// Paths that are gone afterwards.
    pub removes: Vec<String>,
    pub packages: Maybe<PackageScript>,
    pub units: Maybe<UnitScript>,
    pub candidates: Maybe<String>,
    pub upgradable: Option<Vec<String>>,
    pub dist_upgradable: Option<Vec<String>>,
    pub modules: BTreeMap<String, String>,
    pub sysctl: Maybe<String>,
    /// It reads this on stdin, else the case fails.
    pub stdin: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveScript {
    /// `zip`, `gzip`, `tar`.
    pub format: String,
    pub members: Vec<MemberScript>,
    /// More lines of `tar --diff`.
    pub differences: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemberScript {
    pub name: String,
    /// Of a zip's: what it holds.
    pub content: Option<String>,
    pub mode: Option<String>,
    pub modified: i64,
}

impl ArchiveScript {
    pub fn format(&self) -> Result<Format> {
        let formats = [Format::Zip, Format::Gzip, Format::Tar];
        let found = formats.into_iter().find(|format| format!("{format:?}").eq_ignore_ascii_case(&self.format));
        found.ok_or_else(|| Error::failed(format!("{:?} is no format of an archive", self.format)))
    }
}

impl MemberScript {
    pub fn details(&self) -> Option<archive::Details> {
        let content = self.content.as_ref()?;
        let mut sum = flate2::Crc::new();
        sum.update(content.as_bytes());
        let mode = self.mode.as_deref().and_then(|text| mode(text).ok());
        Some(archive::Details { is_link: false, mode, size: content.len() as u64, modified: self.modified, crc32: sum.sum() })
    }
}

impl Script {
    pub fn from_value(value: serde_json::Value) -> Result<Self> {
        serde_json::from_value(value).map_err(|error| Error::failed(format!("read the case's `system`: {error}")))
    }
}

/// The lists with these entries.
pub fn acl(mut acl: Acl, entries: &[String]) -> Result<Acl> {
    for written in entries {
        let (list, entry) = match written.strip_prefix("default:") {
            Some(entry) => (&mut acl.default, entry),
            None => (&mut acl.access, written.as_str()),
        };
        let parts: Vec<&str> = entry.split(':').collect();
        let [tag, id, letters] = parts[..] else { return Err(Error::failed(format!("{written:?} is no entry of a list"))) };
        let id: Option<u32> = id.parse().ok();
        let tag = match (tag, id) {
            ("user", None) => AclTag::Owner,
            ("user", Some(_)) => AclTag::User,
            ("group", None) => AclTag::OwningGroup,
            ("group", Some(_)) => AclTag::Group,
            ("mask", _) => AclTag::Mask,
            _ => AclTag::Others,
        };
        let permissions =
            [('r', 4), ('w', 2), ('x', 1)].into_iter().filter(|(letter, _)| letters.contains(*letter)).map(|(_, bit)| bit).sum();
        list.retain(|known| (known.tag, known.id) != (tag, id));
        list.push(AclEntry { tag, id, permissions });
        list.sort_unstable();
    }
    Ok(acl)
}

/// `'0644'` as bits.
pub fn mode(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8).map_err(|_| Error::failed(format!("{text:?} is no octal mode")))
}
