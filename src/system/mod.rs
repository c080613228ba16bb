//! The machine as modules see it: typed reads here, actions in [`action`], and their interpreters:
//! [`real`], [`overlay`] (plans), [`fake`] (tests).

pub mod account;
pub mod acl;
pub mod action;
pub mod apply;
pub mod archive;
pub mod checkout;
pub mod clock;
pub mod describe;
pub mod diff;
pub mod error;
pub mod fake;
pub mod names;
pub mod overlay;
pub mod paths;
pub mod real;
pub mod traceless;
pub mod words;

pub use account::{Account, Memberships, Shadow};
pub use acl::{Acl, AclEntry, AclTag};
pub use action::{Accept, Action, ActionOutcome, Command, Content, Effect, Ownership};
pub use apply::{Applier, Cancel, Child, ContentSource, NoContent, Stream, Watch};
pub use diff::Diff;
pub use error::{Error, ErrorKind, Result};
pub use overlay::Overlay;
pub use real::Real;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Typed reads. There is no raw command here: what a module may know is what a plan can predict.
///
/// In a plan the overlay answers: known after planned actions are files we write, users by name, packages present,
/// unit state, sysctl, mounts, host name; what cannot be known is [`ErrorKind::Unknown`], which passes through `?`.
pub trait System {
    /// The object itself, a symlink not followed; `None` where nothing is.
    fn metadata(&self, path: &Path) -> Result<Option<Metadata>>;
    /// The whole content of a regular file (symlinks followed); `None` where nothing is.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>>;
    /// Digest in lowercase hex of a regular file's content (symlinks followed).
    fn digest(&self, path: &Path, algorithm: Digest) -> Result<Option<String>>;
    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>>;
    /// Names in a directory, sorted; `None` where nothing is.
    fn list(&self, path: &Path) -> Result<Option<Vec<String>>>;
    /// Symlinks and `..` resolved as far as the path exists.
    fn canonical(&self, path: &Path) -> Result<PathBuf>;
    /// Whether the acting user may read, write, execute: access(2).
    fn access(&self, path: &Path) -> Result<Access>;
    /// `lsattr`'s letters; empty where the file system has none.
    fn attributes(&self, path: &Path) -> Result<String>;
    /// The access control lists (symlinks followed); where an object has none, what its mode says.
    fn acl(&self, path: &Path) -> Result<Acl>;
    /// ext4's inode generation, what `lsattr -v` prints; `None` where the file system has none.
    fn generation(&self, path: &Path) -> Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }
    /// The SELinux context `user:role:type:level`; `None` where SELinux is not in use.
    fn security_context(&self, path: &Path) -> Result<Option<String>> {
        let _ = path;
        Ok(None)
    }
    /// What `file --mime-type --mime-encoding` says: type and character set; `None` without that program.
    fn mime(&self, path: &Path) -> Result<Option<(String, String)>> {
        let _ = path;
        Ok(None)
    }

    /// What an archive holds, and what its folder has not of it.
    fn archive(&self, question: &archive::Question) -> Result<archive::Archive>;

    /// What git says of a checkout, without the network.
    fn checkout(&self, question: &checkout::Question) -> Result<checkout::Checkout>;

    fn user(&self, name_or_uid: &str) -> Result<Option<User>>;
    fn group(&self, name_or_gid: &str) -> Result<Option<Group>>;
    /// Every user of /etc/passwd, in its order.
    fn users(&self) -> Result<Vec<User>>;
    /// Every group of /etc/group, in its order.
    fn groups(&self) -> Result<Vec<Group>>;
    /// The user's line of /etc/shadow; `None` where there is none, or this user may not read it.
    fn shadow(&self, name: &str) -> Result<Option<Shadow>>;
    /// What getent(1) says: exit status and output.
    fn name_service(&self, database: &str, key: Option<&str>, service: Option<&str>) -> Result<(i32, String)>;
    /// The user who acts.
    fn whoami(&self) -> Result<User>;
    /// The acting user's environment variable.
    fn environment(&self, name: &str) -> Option<String>;
    /// An executable found on the acting user's PATH, then in the usual folders.
    fn executable(&self, name: &str) -> Result<Option<PathBuf>>;

    fn kernel_hostname(&self) -> Result<String>;
    /// A kernel parameter by dotted or slashed name, as /proc/sys shows it, trimmed.
    fn sysctl(&self, name: &str) -> Result<Option<String>>;
    /// A kernel module loaded, or built in.
    fn kernel_module(&self, name: &str) -> Result<KernelModule>;
    /// The installed Debian package.
    fn package(&self, name: &str) -> Result<Option<Package>>;
    /// What the package lists offer (`apt-cache policy`); `None`: no such package.
    fn package_candidate(&self, name: &str) -> Result<Option<String>>;
    /// The same with a release preferred (`apt-get -t`).
    fn package_candidate_of(&self, name: &str, release: &str) -> Result<Option<String>> {
        let _ = release;
        self.package_candidate(name)
    }
    /// Every version that could be installed, newest first.
    fn package_versions(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.package_candidate(name)?.into_iter().collect())
    }
    /// Every package name that is installed or could be, sorted.
    fn package_names(&self) -> Result<Vec<String>>;
    /// Every installed package by its name: [`package_facts`](crate::module::package_facts).
    fn inventory(&self) -> Result<crate::program::Map>;
    /// Installed packages that provide a virtual one.
    fn package_providers(&self, name: &str) -> Result<Vec<String>>;
    /// Whether the package lists know the name only as something that others provide.
    fn package_is_virtual(&self, name: &str) -> Result<bool> {
        let _ = name;
        Ok(false)
    }
    /// Whether a removed package left configuration files, or an installation of it stopped half way.
    fn package_residue(&self, name: &str) -> Result<bool>;
    /// These candidates will be asked for: the real machine asks for them at once.
    fn expect_candidates(&self, names: &[&str], release: Option<&str>) -> Result<()> {
        let _ = (names, release);
        Ok(())
    }
    /// Every installed package that `apt-get upgrade` (or dist-upgrade) would change.
    fn upgradable(&self, dist: bool) -> Result<Vec<String>>;
    /// A systemd unit.
    fn unit(&self, name: &str, scope: UnitScope) -> Result<Unit>;
    /// Every service by its name, with `name`, `state`, `status` and `source`: [`service_facts`](crate::module::service_facts).
    fn services(&self) -> Result<crate::program::Map>;
    /// `systemd`, `sysvinit`, …: what process 1 is.
    fn init(&self) -> Result<String>;

    /// One attempt to connect to a TCP port (host name resolved).
    fn connects(&self, host: &str, port: u16, timeout: Duration) -> Result<bool>;
    /// One attempt to connect and read until the pattern shows or the timeout passes.
    fn port_says(&self, host: &str, port: u16, pattern: &str, timeout: Duration) -> Result<bool>;
    /// Established connections to a local port (state drained), remote addresses.
    fn connections(&self, host: &str, port: u16) -> Result<Vec<String>>;
    /// Identifies this boot: /proc/sys/kernel/random/boot_id.
    fn boot_id(&self) -> Result<String>;
    fn now(&self) -> SystemTime;
    /// Waits; a no-op in plans and fakes (time is theirs).
    fn sleep(&self, duration: Duration) -> Result<()>;
    /// Whether reads can still change by waiting (false in plans and fakes: waiting is pointless).
    fn is_live(&self) -> bool;
    /// Facts of a subset, with the `ansible_` prefix; see `module/setup.rs`.
    fn facts(&self, request: &FactRequest) -> Result<crate::program::Map>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    /// The digest of bytes, lowercase hex.
    pub fn of(self, bytes: &[u8]) -> String {
        use sha2::Digest as _;
        match self {
            Digest::Md5 => hex::encode(md5::Md5::digest(bytes)),
            Digest::Sha1 => hex::encode(sha1::Sha1::digest(bytes)),
            Digest::Sha224 => hex::encode(sha2::Sha224::digest(bytes)),
            Digest::Sha256 => hex::encode(sha2::Sha256::digest(bytes)),
            Digest::Sha384 => hex::encode(sha2::Sha384::digest(bytes)),
            Digest::Sha512 => hex::encode(sha2::Sha512::digest(bytes)),
        }
    }
}

/// lstat(2) of an object. In a plan's answer times NaN and inodes from
/// [`overlay::FIRST_UNKNOWN_INODE`] are not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    pub kind: FileKind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    pub links: u64,
    pub inode: u64,
    pub device: u64,
    /// Device numbers of a special file.
    pub rdev: u64,
    pub blocks: u64,
    pub block_size: u64,
    /// Seconds since the epoch.
    pub accessed: f64,
    pub modified: f64,
    pub changed: f64,
    /// Seconds since the epoch, where the file system has it.
    pub born: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    Block,
    Character,
    Fifo,
    Socket,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub gecos: String,
    pub home: PathBuf,
    pub shell: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub gid: u32,
    /// Users whose group it is besides their primary one, by name.
    pub members: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelModule {
    Absent,
    Loaded,
    BuiltIn,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// `1:2.36-9+deb12u1`.
    pub version: String,
    /// What dpkg is to do with it: `install`, `hold`, `deinstall`, `purge` (dpkg(1), "Package selection states").
    pub selection: String,
    /// Marked as installed automatically.
    pub automatic: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UnitScope {
    #[default]
    System,
    User,
    Global,
}

/// A systemd unit's state, with the names `systemctl show` has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// `loaded`, `not-found`, `masked`, …
    pub load_state: String,
    /// `active`, `inactive`, `failed`, `activating`, …
    pub active_state: String,
    /// `enabled`, `disabled`, `static`, `masked`, … ; empty where there is no unit file.
    pub unit_file_state: String,
    /// All properties that `systemctl show` prints, in its order.
    pub properties: Vec<(String, String)>,
}

/// What `setup` gathers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactRequest {
    /// `all`, `min`, `!hardware`, …
    pub subset: Vec<String>,
    /// Shell patterns of names.
    pub filter: Vec<String>,
    /// Folder of local facts.
    pub fact_path: Option<PathBuf>,
    pub timeout: Duration,
}
