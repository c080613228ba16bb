//! What a plan does to a machine: the only ways in which anything of ours changes a node.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::acl::Acl;
use crate::program::Bytes;

/// One change. The interpreter does it; a plan only shows it. Every variant's meaning to the overlay is in
/// `system/overlay.rs`, its execution in `system/real.rs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Put this content there: temporary, sync, rename; owner, mode, ACLs, attributes of a former file are kept unless given.
    WriteFile {
        path: PathBuf,
        content: Content,
        ownership: Ownership,
        /// Copy the former file to `PATH.PID.DATE~` first.
        backup: bool,
        /// In place where a rename cannot be.
        unsafe_writes: bool,
        /// A command that must accept the new file before the rename, `%s` is its path.
        validate: Option<String>,
    },
    MakeDirectory {
        path: PathBuf,
        ownership: Ownership,
    },
    /// Symbolic link, replacing what is there (a file or link; a directory only if empty and `force`).
    Symlink {
        path: PathBuf,
        target: PathBuf,
        ownership: Ownership,
    },
    HardLink {
        path: PathBuf,
        target: PathBuf,
    },
    /// Mode, owner, group, attributes of what exists.
    SetOwnership {
        path: PathBuf,
        ownership: Ownership,
        follow: bool,
    },
    /// Access and modification times, seconds since the epoch.
    SetTimes {
        path: PathBuf,
        accessed: Option<f64>,
        modified: Option<f64>,
    },
    /// A file, link, or whole directory.
    Remove {
        path: PathBuf,
    },
    /// The running kernel's host name.
    SetKernelHostname {
        name: String,
    },
    /// A kernel parameter of the running kernel.
    SetSysctl {
        name: String,
        value: String,
    },
    LoadKernelModule {
        name: String,
        parameters: String,
    },
    UnloadKernelModule {
        name: String,
    },
    /// A program; its effect on the machine is what `effect` says.
    Run(Command),
    /// Wait until something holds, or fail: `wait_for`, `reboot`'s own waits.
    Sleep {
        duration: Duration,
    },
    /// Restart the machine; the agent suspends, the controller brings it back.
    Reboot {
        delay: Duration,
        message: String,
        command: Option<String>,
        boot_time_command: Option<String>,
        test_command: Option<String>,
        timeout: Duration,
        /// Of one attempt to connect.
        connect_timeout: Option<Duration>,
    },
}

impl Action {
    /// Put this there, and nothing more.
    pub fn write(path: impl Into<PathBuf>, content: Content, ownership: Ownership) -> Self {
        Self::WriteFile { path: path.into(), content, ownership, backup: false, unsafe_writes: false, validate: None }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Inline(Bytes(bytes.into()))
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl Ownership {
    /// The mode alone.
    pub fn mode(bits: u32) -> Self {
        Self { mode: Some(bits), ..Self::default() }
    }
}

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Content {
    Inline(Bytes),
    /// The controller's file of this SHA-256 (hex), fetched when it is written.
    Digest {
        sha256: Arc<str>,
        size: u64,
    },
    /// A file on the node itself (`remote_src`).
    Node(PathBuf),
}

/// Who owns an object and with what mode. `None` leaves as it is (a new object: the umask's and the acting user's).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// Permission bits, already resolved (symbolic modes are resolved by the plan).
    pub mode: Option<u32>,
    /// User name or uid.
    pub owner: Option<String>,
    pub group: Option<String>,
    /// `chattr` letters with an operator: `+i`.
    pub attributes: Option<String>,
    /// SELinux user, role, type, level.
    pub context: Option<[Option<String>; 4]>,
}

/// A program to run, from parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The sentence beside it: `start nginx`.
    pub label: String,
    /// Program and arguments; none is ever joined into a shell line by us.
    pub argv: Vec<String>,
    pub directory: Option<PathBuf>,
    pub stdin: Option<Bytes>,
    /// Added to the task's environment.
    pub environment: Vec<(String, String)>,
    pub umask: Option<u32>,
    pub timeout: Option<Duration>,
    /// Exit codes that are success; empty: only 0. `command` and `shell` accept all, and judge themselves.
    pub accept: Accept,
    pub effect: Effect,
    /// Taken as done again without harm if it was interrupted.
    pub repair: Option<Box<Command>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accept {
    #[default]
    Zero,
    Any,
    Codes(Vec<i32>),
}

/// What a plan knows of the machine after a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Anything may have changed: absence reads as unknown afterwards.
    #[default]
    Opaque,
    /// Nothing that reads show.
    None,
    /// Something of a name that is not known stands in this folder then.
    Named(PathBuf),
    /// What is below this folder is not known then, and nothing else changes.
    Below(PathBuf),
    /// Packages are present (name, version if known) or absent; what they bring is opaque.
    Packages {
        present: Vec<(String, Option<String>)>,
        absent: Vec<String>,
    },
    /// These packages count as wanted by the user from now on.
    PackagesManual(Vec<String>),
    /// What dpkg is to do with an installed package.
    PackageSelection {
        name: String,
        selection: String,
    },
    /// The package lists were refreshed: candidates are unknown.
    PackageLists,
    /// A unit's state, as far as given.
    Unit {
        name: String,
        active_state: Option<String>,
        unit_file_state: Option<String>,
        load_state: Option<String>,
    },
    /// Unit files were read again.
    UnitsReloaded,
    /// A user as it is then; `None`: gone, from every group too.
    User {
        name: String,
        account: Option<Box<Account>>,
    },
    /// A group; `gid` where it is chosen, else it is kept, or the machine chooses.
    Group {
        name: String,
        present: bool,
        gid: Option<u32>,
    },
    /// Objects have these access control lists then.
    Acls(Vec<(PathBuf, Acl)>),
    /// What these actions would leave, though a program does it.
    Leaves(Vec<Action>),
    /// Something stands at these paths, and not more is known.
    Unsure(Vec<PathBuf>),
    All(Vec<Effect>),
}

impl Command {
    /// A command with its sentence.
    pub fn new<I, S>(label: impl Into<String>, argv: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self {
            label: label.into(),
            argv: argv.into_iter().map(Into::into).collect(),
            directory: None,
            stdin: None,
            environment: Vec::new(),
            umask: None,
            timeout: None,
            accept: Accept::Zero,
            effect: Effect::Opaque,
            repair: None,
        }
    }

    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }
}

/// What an action gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActionOutcome {
    /// Of a command: exit status (minus the signal where one ended it, as Python and Ansible have it).
    pub rc: Option<i32>,
    pub stdout: Bytes,
    pub stderr: Bytes,
    /// Seconds since the epoch.
    pub started: f64,
    pub ended: f64,
    /// Path of the backup of a former file.
    pub backup: Option<PathBuf>,
}

impl ActionOutcome {
    /// The backup's path as results have it.
    pub fn kept(&self) -> Option<String> {
        self.backup.as_ref().map(|path| path.to_string_lossy().into_owned())
    }
}
