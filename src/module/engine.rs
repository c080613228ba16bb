//! What modules of the run (`debug`, `set_fact`, `template`, …) may ask of the engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mode, Outcome};
use crate::program::{Bytes, Clock, Map, Tree, Value};
use crate::system::{Error, Result};

/// What a module of the run gives.
pub enum Controlled {
    Done(Outcome),
    /// Go on as a module of the machine with these arguments (`template` becomes `copy`); the outcome passes through `then`.
    Onward {
        module: &'static str,
        arguments: Map,
    },
    /// A `meta` action.
    Meta(Meta),
    /// Go on over a new connection (`wait_for_connection`).
    Reconnect {
        /// Before the first attempt.
        delay: Duration,
        timeout: Duration,
    },
}

/// `meta:` actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    Noop,
    FlushHandlers,
    ClearFacts,
    ClearHostErrors,
    RefreshInventory,
    EndHost,
    EndPlay,
    EndBatch,
    EndRole,
    ResetConnection,
}

/// Bytes of a part of a file.
pub const PART: u64 = 1 << 20;

/// A file of the node on its way to the controller.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Parcel {
    /// The playbook's folder, where a relative `dest` begins; the engine fills it in.
    pub playbook_dir: Arc<str>,
    pub dest: Arc<str>,
    pub flat: bool,
    /// The path on the node.
    pub source: Arc<str>,
    pub step: Step,
}

/// What is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Step {
    /// What is there already.
    #[default]
    Look,
    Part {
        offset: u64,
        bytes: Bytes,
    },
    /// All parts came.
    End,
}

/// The file on the controller.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fetched {
    pub path: Arc<str>,
    /// In hexadecimal; `None`: no file is there.
    pub sha1: Option<Arc<str>>,
    pub md5: Option<Arc<str>>,
}

/// The engine's side. Evaluation is in the task's scope, with the loop's variables.
pub trait Engine {
    fn evaluate(&mut self, tree: &Tree) -> Result<Value>;
    /// A bare expression given as text (`debug: var=`), from the user's own file.
    fn evaluate_expression(&mut self, expression: &str) -> Result<Value>;
    /// A condition as the user wrote it (`assert: that`).
    fn condition(&mut self, condition: &Tree) -> Result<bool>;
    /// An argument of the task as the user wrote it, not evaluated.
    fn written(&self, argument: &str) -> Option<Tree>;
    /// A variable as a user's file gave it, not evaluated; `None` for what is not from a user's file (facts, registered
    /// results): texts inside of the answer may be taken as expressions.
    fn written_variable(&self, name: &str) -> Option<Tree> {
        let _ = name;
        None
    }
    /// A variable as the task sees it, evaluated; `None`: nothing defines it. What a plan does not know is [`Value::Unknown`].
    fn variable(&mut self, name: &str) -> Result<Option<Value>>;
    /// Whether the task's result is kept: what only `register` shows need not be evaluated otherwise.
    fn is_registered(&self) -> bool {
        true
    }
    fn verbosity(&self) -> u8;
    /// A file of the controller by Ansible's search paths (`templates/`, `files/`, `vars/` of the role, then of the
    /// playbook): its absolute path there. The error names what was searched.
    fn find_source(&mut self, kind: &str, name: &str) -> Result<Arc<str>>;
    /// Its permission bits (`mode: preserve`).
    fn source_mode(&mut self, path: &str) -> Result<u32> {
        Err(crate::system::Error::failed(format!("the mode of {path} is not known here")))
    }
    /// Its bytes.
    fn source_bytes(&mut self, path: &str) -> Result<Arc<[u8]>>;
    /// A directory's files below it, recursively, paths relative to it, sorted.
    fn source_files(&mut self, path: &str) -> Result<Vec<String>>;
    /// A vars file's variables, unevaluated.
    fn vars_file(&mut self, path: &str) -> Result<Arc<crate::program::Layer>>;
    /// Puts variables at the level of `include_vars`.
    fn include_vars(&mut self, layer: Arc<crate::program::Layer>) -> Result<()>;
    /// Renders a template file with the options of the `template` module, in the task's scope with `extra` variables and what the
    /// engine knows of the file (`template_uid`, …).
    fn render_file(&mut self, path: &str, options: &crate::template::Options, extra: Map) -> Result<String>;
    /// Renders a Handlebars file (`*.hbs`).
    fn render_handlebars(&mut self, path: &str, extra: Map) -> Result<String>;
    /// Sets facts for this host (`set_fact`); `cacheable` as Ansible.
    fn set_facts(&mut self, facts: Map, cacheable: bool) -> Result<()>;
    /// Adds this host to groups, for the following plays.
    fn group_by(&mut self, group: &str, parents: &[String]) -> Result<bool>;
    /// Adds a host to the run's inventory.
    fn add_host(&mut self, name: &str, groups: &[String], variables: Map) -> Result<bool>;
    /// What the run is.
    fn mode(&self) -> Mode {
        Mode::Apply
    }
    /// The outcome of a module that only reads, on the task's machine.
    fn read(&mut self, module: &'static str, arguments: Map) -> Result<Outcome> {
        let _ = arguments;
        Err(Error::failed(format!("{module} is not done here")))
    }
    /// The bytes of a file of the task's machine from there on, at most [`PART`].
    fn part(&mut self, path: &str, offset: u64) -> Result<Bytes> {
        let _ = offset;
        Err(Error::failed(format!("{path} cannot be read here")))
    }
    /// Gives the controller a file to keep, or looks at what it has.
    fn keep(&mut self, parcel: Parcel) -> Result<Fetched> {
        Err(Error::failed(format!("{} cannot be kept here", parcel.source)))
    }
    /// The controller's clock.
    fn clock(&mut self) -> Result<Clock> {
        Err(Error::failed("there is no clock here"))
    }
    /// Stands still; `doing` is told.
    fn wait(&mut self, duration: Duration, doing: &str) -> Result<()> {
        let _ = duration;
        Err(Error::failed(format!("{doing}: not done here")))
    }
    /// Tells the person who runs this of something.
    fn warn(&mut self, message: &str) {
        let _ = message;
    }
    /// What a person types at the controller's terminal, secret without `echo`; `None`: there is none.
    fn prompt(&mut self, text: &str, echo: bool) -> Result<Option<Value>> {
        let _ = (text, echo);
        Ok(None)
    }
    /// Tells of a change; whether it is to be done now. A plan only tells.
    fn act(&mut self, sentence: String) -> Result<bool> {
        Err(Error::failed(format!("{sentence}: not done here")))
    }
    /// A temporary place on the controller is never needed; paths that `backup` makes are the node's.
    fn home(&self) -> PathBuf {
        PathBuf::from("/")
    }
}
