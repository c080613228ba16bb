//! `getent`: what the machine's name services know, as facts.

use super::{Context, Entry, Module, Outcome, Plan};
use crate::program::{Key, Map, Value};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Getent>(&["getent", "ansible.builtin.getent"]);

arguments! {
    /// Read a database of name services (users, groups, hosts, services, …) into the fact `getent_DATABASE`. Arguments and results as in
    /// `ansible.builtin.getent`. Source: getent(1).
    pub struct Getent {
        /// The database: `passwd`, `group`, `hosts`, …
        database: String [required],
        /// One entry; without it, all that can be listed.
        key: Option<String>,
        /// Only this service: `files`.
        service: Option<String>,
        /// What stands between the fields of a line; default: blanks, and `:` in those that have it.
        split: Option<String>,
        /// An entry that is not there is a failure; else it is null.
        fail_key: bool [default("yes")],
    }
}

impl Module for Getent {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let fact = format!("getent_{}", self.database);
        let (code, text) = context.system.name_service(&self.database, self.key.as_deref(), self.service.as_deref())?;
        let facts = |entries: Map| Some(Map::from_iter([(Key::from(fact.as_str()), Value::map(entries))]));
        let message = match code {
            0 => return Ok(Plan::done(Outcome { facts: facts(self.entries(&text)), ..Outcome::ok() })),
            1 => "Missing arguments, or database unknown.",
            2 => "One or more supplied key could not be found in the database.",
            3 => "Enumeration not supported on this database.",
            _ => "Unexpected failure!",
        };
        if code == 2 && !self.fail_key {
            let entries = Map::from_iter([(Key::from(self.key.as_deref().unwrap_or_default()), Value::Null)]);
            return Ok(Plan::done(Outcome { facts: facts(entries), ..Outcome::ok() }.with("msg", message)));
        }
        Err(Error::failed(message))
    }
}

impl Getent {
    /// By the first field of each line; of lines that begin alike, a list.
    fn entries(&self, text: &str) -> Map {
        let colon = matches!(self.database.as_str(), "passwd" | "shadow" | "group" | "gshadow");
        let separator = self.split.as_deref().or(colon.then_some(":"));
        let mut found: indexmap::IndexMap<String, Vec<Value>> = indexmap::IndexMap::new();
        for line in crate::system::words::lines(text) {
            let mut fields: Vec<String> = match separator {
                Some(separator) => line.split(separator).map(str::to_owned).collect(),
                None => line.split_whitespace().map(str::to_owned).collect(),
            };
            if !fields.is_empty() {
                let name = fields.remove(0);
                found.entry(name).or_default().push(fields.into());
            }
        }
        let one_or_all = |mut records: Vec<Value>| if records.len() == 1 { records.remove(0) } else { Value::list(records) };
        found.into_iter().map(|(name, records)| (Key::from(name.as_str()), one_or_all(records))).collect()
    }
}
