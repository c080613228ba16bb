//! Jinja2 for everything in a playbook, Handlebars for files that end in `.hbs`.
//!
//! `jinja` parses with minijinja's parser and evaluates over [`crate::program::Value`]. It never does I/O: names,
//! other hosts' variables and lookups come from a [`Scope`].

mod arguments;
pub mod crypt;
mod depth;
pub mod error;
mod evaluate;
mod filters;
mod format;
mod functions;
pub mod handlebars;
pub mod jinja;
pub mod lookups;
mod methods;
mod operators;
mod python;
pub mod reads;
mod render;
mod suggest;
mod syntax;
mod tests;
mod versions;

use std::sync::Arc;

pub use error::{Error, ErrorKind, Result};
pub use filters::numbers::bytes_of;
pub use filters::random::chosen;
pub use filters::regex;
pub use syntax::Options;

pub use crate::program::Clock;
use crate::program::{Map, Template, Tree, Value, Zone};

/// What an evaluation reads. The implementation records what was read: that one record is the origin of `why`,
/// of secrecy, of unknowns and of dependencies between hosts.
pub trait Scope {
    /// The variable as it stands now, unevaluated if a user's file gave it: `None` where no such variable is.
    /// A [`Tree::Literal`] holding [`Value::Unknown`] is a variable that a plan cannot know.
    fn variable(&self, name: &str) -> Result<Option<Arc<Tree>>>;

    /// All names, for `vars`, for lookups by pattern and for suggestions.
    fn names(&self) -> Vec<Arc<str>>;

    /// A variable of another host (`hostvars[host][name]`), evaluated in that host's scope.
    fn host_variable(&self, host: &str, name: &str) -> Result<Option<Value>>;

    /// All variables of another host, evaluated: for `hostvars[host]` used as a whole.
    fn host_variables(&self, host: &str) -> Result<Map>;

    /// The hosts of `hostvars`.
    fn hosts(&self) -> Vec<Arc<str>>;

    /// A lookup plugin (short name: `file`, `env`, …) for its evaluated terms and options. Answers the list of results,
    /// before `lookup` joins them with commas and `query` returns them as they are.
    fn lookup(&self, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>>;

    /// The text of a template file that `{% include %}`, `{% import %}` or `{% extends %}` names: `None` where it is not found.
    fn template_source(&self, name: &str) -> Result<Option<Template>> {
        Err(Error::failed(format!("template '{name}' cannot be read here: includes work in template files only")))
    }

    /// The controller's answer to a test on a path: `exists`, `file`, `directory`, `link`, `link_exists`, `mount`,
    /// `vaulted_file` for one path, `same_file` for two.
    fn path_test(&self, test: &str, paths: &[&str]) -> Result<bool> {
        Err(Error::failed(format!("the test '{test}' of {} needs the controller's files, which are not at hand here", paths.join(", "))))
    }

    /// What only the controller's system knows of a path or text: `realpath`, `expanduser`, `expandvars`.
    fn path_filter(&self, filter: &str, path: &str) -> Result<String> {
        Err(Error::failed(format!("the filter '{filter}' of {path} needs the controller's system, which is not at hand here")))
    }

    /// The clock that `now()` and `strftime` read: the controller's, where Ansible evaluates.
    fn clock(&self) -> Result<Clock> {
        Ok(this_clock())
    }

    /// A number nobody can guess, for `random` and `shuffle` without a seed.
    fn random(&self) -> Result<u64> {
        use std::hash::{BuildHasher, RandomState};
        Ok(RandomState::new().hash_one(self.clock()?.microseconds))
    }
}

/// This machine's clock, now.
pub fn this_clock() -> Clock {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let zone = Zone::find(std::env::var("TZ").ok().as_deref(), |path| std::fs::read(path).ok());
    Clock { seconds: since.as_secs() as i64, microseconds: since.subsec_micros(), zone: Arc::new(zone) }
}

/// The clock's moment as a template has it: a local time that knows no zone, as Python's `datetime.now()`.
pub fn local_time(clock: &Clock) -> Value {
    filters::time::Moment::local(clock).value()
}

/// `time.strftime` of Python's for the clock's moment.
pub fn strftime(clock: &Clock, format: &str) -> Result<String> {
    let offset = clock.zone.at(clock.seconds);
    filters::time::Moment::from_epoch(clock.seconds, 0, offset.seconds).strftime(format, &offset, true)
}

/// How the message of [`nothing`] begins.
const NOTHING: &str = "the inline if-expression on line ";

/// What an inline `if` without `else` gives where it is false: undefined, but used or printed as an empty text, as in Jinja2
/// (`{{ ',' if not loop.last }}`).
fn nothing(line: u32) -> Value {
    Value::Undefined(format!("{NOTHING}{line} evaluated to false and no else section was defined").into())
}

fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Undefined(message) if message.starts_with(NOTHING))
}

/// A whole value must be something.
fn no_value(nothing: &Value) -> Error {
    let Value::Undefined(message) = nothing else { return Error::failed("not undefined") };
    Error::failed(&**message).hint("add `else …`; `else omit` leaves the argument out")
}

/// The short names of all filters, sorted.
pub fn filter_names() -> Vec<&'static str> {
    filters::names()
}

/// The names of all tests, sorted.
pub fn test_names() -> Vec<&'static str> {
    tests::names()
}

/// The names of all functions.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    functions::NAMES.iter().copied()
}
