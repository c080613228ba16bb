//! The filters of Jinja2, `ansible.builtin` and a few collections, one file a family.

pub mod addresses;
pub mod dicts;
pub mod encoding;
pub mod hardware;
pub mod json;
pub mod lists;
pub mod network;
pub mod numbers;
pub mod paths;
pub mod queries;
pub mod random;
pub mod regex;
pub mod sets;
pub mod strings;
pub mod time;
pub mod types;
pub mod yaml;

use std::collections::HashMap;
use std::sync::OnceLock;

use super::arguments::{Arguments, Bound};
use super::evaluate::Context;
use super::syntax::short_name;
use super::{Error, ErrorKind, Result, is_nothing, operators, suggest};
use crate::program::Value;

/// How much of its input and arguments a filter looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Everything: both are evaluated throughout before.
    All,
    /// The outer container; members stay lazy.
    Top,
    /// Perhaps nothing: undefined and unknown values are handed to it.
    Nothing,
}

type Run = fn(&Context, Value, Bound) -> Result<Value>;

/// A filter: its name, its parameters (see [`Arguments::bind`]) and what it does.
pub struct Filter {
    pub name: &'static str,
    pub parameters: &'static [&'static str],
    pub reads: Reads,
    pub run: Run,
}

impl Filter {
    const fn new(name: &'static str, parameters: &'static [&'static str], run: Run) -> Self {
        Self { name, parameters, reads: Reads::All, run }
    }

    const fn top(mut self) -> Self {
        self.reads = Reads::Top;
        self
    }

    const fn nothing(mut self) -> Self {
        self.reads = Reads::Nothing;
        self
    }
}

/// Each with the collections that have it besides `ansible.builtin`'s own.
const FAMILIES: &[(&[&str], &[Filter])] = &[
    (addresses::COLLECTIONS, addresses::FILTERS),
    (&[], dicts::FILTERS),
    (&[], encoding::FILTERS),
    (&[], json::FILTERS),
    (&[], lists::FILTERS),
    (&[], numbers::FILTERS),
    (&[], paths::FILTERS),
    (queries::COLLECTIONS, queries::FILTERS),
    (&[], random::FILTERS),
    (&[], regex::FILTERS),
    (&[], sets::FILTERS),
    (&[], strings::FILTERS),
    (&[], time::FILTERS),
    (&[], types::FILTERS),
    (&[], yaml::FILTERS),
];

/// The filter of that name, with or without `ansible.builtin.`, or with its collection's.
pub fn find(name: &str) -> Option<&'static Filter> {
    type Index = HashMap<&'static str, (&'static [&'static str], &'static Filter)>;
    static INDEX: OnceLock<Index> = OnceLock::new();
    let families = || FAMILIES.iter().flat_map(|(collections, family)| family.iter().map(|filter| (*collections, filter)));
    let index = INDEX.get_or_init(|| families().map(|(collections, filter)| (filter.name, (collections, filter))).collect());
    let (collection, short) = name.rsplit_once('.').map_or((None, name), |(collection, short)| (Some(collection), short));
    let (collections, filter) = index.get(short).copied()?;
    collection.is_none_or(|collection| collections.contains(&collection)).then_some(filter)
}

/// All filters' short names, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = FAMILIES.iter().flat_map(|(_, family)| family.iter()).map(|filter| filter.name).collect();
    names.sort_unstable();
    names
}

/// The error of a filter that does not exist.
pub fn unknown(name: &str) -> Error {
    let error = Error::new(ErrorKind::Syntax, format!("no filter named '{name}'"));
    match suggest::hint(&short_name(name), names().into_iter()) {
        Some(hint) => error.hint(hint),
        None if name.contains('.') => {
            let ours: Vec<&str> = FAMILIES.iter().flat_map(|(collections, _)| collections.iter().copied()).collect();
            error.hint(format!("of the filters of collections only a part of {} is there", ours.join(", ")))
        }
        None => error,
    }
}

/// Applies a filter.
pub fn apply(context: &Context, name: &str, mut input: Value, mut arguments: Arguments) -> Result<Value> {
    let Some(filter) = find(name) else { return Err(unknown(name)) };
    let evaluator = context.evaluator;
    if filter.reads != Reads::Nothing {
        std::iter::once(&mut input)
            .chain(arguments.values_mut())
            .filter(|value| is_nothing(value))
            .for_each(|value| *value = Value::text(""));
        // As Ansible's markers: an undefined input or argument is the result.
        if let Some(undefined) = std::iter::once(&input).chain(arguments.values()).find(|value| matches!(value, Value::Undefined(_))) {
            return Ok(undefined.clone());
        }
        for value in std::iter::once(&mut input).chain(arguments.values_mut()) {
            operators::known(value)?;
            let taken = std::mem::take(value);
            let resolved = match filter.reads {
                Reads::All => evaluator.deep(taken),
                _ => evaluator.resolve(taken),
            };
            *value = match resolved {
                Err(error) if error.is_undefined() => return Ok(Value::Undefined(error.message.into())),
                other => other?,
            };
            match filter.reads {
                Reads::All => evaluator.note_all(value),
                _ => evaluator.note(value),
            }
        }
    }
    let what = format!("the filter '{}'", filter.name);
    let bound = arguments.bind(&what, filter.parameters)?;
    match (filter.run)(context, input, bound) {
        Err(error) if error.is_undefined() && filter.name != "mandatory" => Ok(Value::Undefined(error.message.into())),
        Err(mut error) if error.kind == ErrorKind::Failed && !error.message.starts_with("the filter '") => {
            error.message = format!("{what} failed: {}", error.message);
            Err(error)
        }
        other => other,
    }
}

/// Applies a filter or test by name to each of many: for `map`, `select` and their like.
pub fn apply_named(context: &Context, name: &str, input: Value, arguments: &Arguments) -> Result<Value> {
    apply(context, &short_name(name), input, arguments.clone()).map_err(at_run_time)
}

/// A filter's or test's name that only turned up at run time is no mistake of syntax.
pub fn at_run_time(mut error: Error) -> Error {
    if error.kind == ErrorKind::Syntax {
        error.kind = ErrorKind::Failed;
    }
    error
}
