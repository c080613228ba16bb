//! Modules: one file each, typed arguments and a pure plan over [`System`](crate::system::System).
//!
//! A new module is one file here and one word in the list below.
//!
//! A module never writes. It returns a [`Plan`]; the engine applies the actions, so check mode, diff, no_log, become and
//! the journal are the engine's and cannot be forgotten by a module.

pub mod argument_spec;
#[macro_use]
pub mod arguments;
mod copy_tree;
mod curl;
pub mod encoding;
pub mod engine;
pub mod expand;
pub mod file_arguments;
mod multipart;
mod octets;
pub mod outcome;
mod text_file;

use std::sync::OnceLock;

pub use arguments::{ArgumentError, Arguments, Choice, Field, FieldType, Kind, PathText, Raw, Rest, Rule, Spec, State};
pub use engine::{Controlled, Engine};
pub use outcome::{Diff, Next, Outcome, Plan};

use crate::program::File;
use crate::system::System;

/// What a module's plan may look at besides its arguments.
pub struct Context<'run> {
    pub system: &'run dyn System,
    pub mode: Mode,
    /// `--diff` or `diff: true`: diffs are wanted (computed by the engine from actions; a module may add its own).
    pub diff: bool,
    /// The controller's file or folder that `src` named, resolved by Ansible's search paths: its key and all entries below it.
    pub source: Option<Source<'run>>,
    /// `environment:` of the task, merged.
    pub environment: &'run [(String, String)],
    /// The inventory's name of the host that the task is for: it makes names of passing files that two hosts do not share, where both do
    /// the task on one machine.
    pub host: &'run str,
}

/// 64 hexadecimal digits for the name of a file that passes through a node: the same in a plan and its apply, another one for each
/// [`Context::host`].
pub fn passing(host: &str, of: &str) -> String {
    crate::system::describe::sha256(format!("{host}{of}").as_bytes())
}

/// A file of the controller's project.
#[derive(Clone, Copy, Debug)]
pub struct Source<'run> {
    /// Absolute path on the controller.
    pub path: &'run str,
    pub file: &'run File,
    /// For folders: every path below.
    pub below: &'run std::collections::BTreeMap<std::sync::Arc<str>, File>,
}

/// What the engine wants the plan for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Mode {
    /// `provision plan` and the first half of `up`: the overlay answers reads; unknowns are said.
    Plan,
    /// The actions will be done.
    Apply,
    /// Ansible's `--check`, as Ansible has it.
    Check,
}

/// A module of the machine.
pub trait Module: Arguments {
    /// Reads, decides, changes nothing.
    fn plan(&self, context: &Context<'_>) -> crate::system::Result<Plan>;

    /// What the rules of the declaration cannot say of the arguments. It is asked before the start where all of them are literal; the plan
    /// has to ask it too.
    fn check(&self) -> crate::system::Result<()> {
        Ok(())
    }
}

/// A module of the run: it works on variables, hosts and the flow of tasks, not on the machine.
pub trait EngineModule: Arguments {
    fn run(&self, engine: &mut dyn Engine) -> crate::system::Result<Controlled>;
}

/// One module as the registry knows it.
pub struct Entry {
    /// Short name first, then every name a playbook may write.
    pub names: &'static [&'static str],
    spec: fn() -> Spec,
    cached: OnceLock<Spec>,
    pub action: ActionKind,
    #[cfg(feature = "controller")]
    check: fn(&mut Raw) -> Result<(), Failure>,
}

/// How the engine calls it.
pub enum ActionKind {
    System(fn(&mut Raw, &Context<'_>) -> Result<Plan, Failure>),
    Engine(fn(&mut Raw, &mut dyn Engine) -> Result<Controlled, Failure>),
}

/// Bad arguments, or a plan that could not be made.
#[derive(Debug)]
pub enum Failure {
    Arguments(ArgumentError),
    System(crate::system::Error),
}

impl Entry {
    pub const fn system<M: Module>(names: &'static [&'static str]) -> Self {
        Self {
            names,
            spec: M::spec,
            cached: OnceLock::new(),
            action: ActionKind::System(|raw, context| {
                known(raw, |_| false)?;
                M::construct(raw).map_err(Failure::Arguments)?.plan(context).map_err(Failure::System)
            }),
            #[cfg(feature = "controller")]
            check: |raw| M::construct(raw).map_err(Failure::Arguments)?.check().map_err(Failure::System),
        }
    }

    pub const fn engine<M: EngineModule>(names: &'static [&'static str]) -> Self {
        Self {
            names,
            spec: M::spec,
            cached: OnceLock::new(),
            action: ActionKind::Engine(|raw, engine| {
                let spec = M::spec();
                known(raw, |name| spec.field(name).is_none_or(|field| field.expression || field.kind == Kind::Raw))?;
                M::construct(raw).map_err(Failure::Arguments)?.run(engine).map_err(Failure::System)
            }),
            #[cfg(feature = "controller")]
            check: |_| Ok(()),
        }
    }

    /// Argument names, kinds, choices, rules and documentation.
    pub fn spec(&self) -> &Spec {
        self.cached.get_or_init(self.spec)
    }

    /// What is wrong with arguments that are all known, beyond what their declaration says.
    #[cfg(feature = "controller")]
    pub fn check(&self, mut arguments: Raw) -> Option<crate::system::Error> {
        match (self.check)(&mut arguments) {
            Err(Failure::System(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether a task with it is done without the host's machine: modules of the run, but those that read or write there.
    pub fn is_of_the_run(&self) -> bool {
        matches!(self.action, ActionKind::Engine(_)) && !matches!(self.name(), "fetch" | "template" | "wait_for_connection")
    }

    /// The canonical short name.
    pub fn name(&self) -> &'static str {
        self.names[0]
    }
}

/// An argument that a plan cannot know makes the whole task unknown, unless the module only passes it on.
fn known(raw: &Raw, passed_on: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let unknown = raw.iter().filter(|(name, _)| !passed_on(&name.text())).find_map(|(_, value)| value.first_unknown());
    unknown.map_or(Ok(()), |cause| Err(Failure::System(crate::system::Error::unknown(std::sync::Arc::clone(cause)))))
}

/// Declares the files and the registry.
macro_rules! modules {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// Every module, by file name.
        pub static MODULES: &[&Entry] = &[$(&$name::MODULE),*];
    };
}

modules! {
    acl
    add_host
    alternatives
    apache2_module
    apt
    apt_key
    apt_repository
    artifact
    assemble
    assert
    async_status
    authorized_key
    blockinfile
    command
    copy
    cron
    deb822_repository
    debconf
    debug
    dpkg_selections
    fail
    fetch
    file
    find
    get_url
    getent
    git
    group
    group_by
    hostname
    include_vars
    ini_file
    known_hosts
    lineinfile
    locale_gen
    meta
    modprobe
    mount
    package
    package_facts
    pause
    ping
    pip
    raw
    reboot
    replace
    script
    service
    service_facts
    set_fact
    set_stats
    setup
    shell
    slurp
    stat
    sysctl
    systemd
    tempfile
    template
    timezone
    unarchive
    uri
    user
    validate_argument_spec
    wait_for
    wait_for_connection
}

/// The module of a name as a playbook writes it: `copy`, `ansible.builtin.copy`, `ansible.legacy.copy`.
pub fn find(name: &str) -> Option<&'static Entry> {
    let short = name.strip_prefix("ansible.legacy.").or_else(|| name.strip_prefix("ansible.builtin."));
    MODULES
        .iter()
        .copied()
        .find(|entry| entry.names.contains(&name) || short.is_some_and(|short| entry.names.contains(&short) && !short.contains('.')))
}
