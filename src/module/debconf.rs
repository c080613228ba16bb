//! `debconf`: answers to the questions that packages ask when they are installed.
//!
//! The answers are read where debconf keeps them (debconf-devel(7); the formats are `Debconf::Format::822`'s), so that a plan knows them
//! and a task with nothing to do starts no process. They are given by debconf-set-selections(1).

mod database;

use std::path::Path;

use super::{Context, Entry, Module, Outcome, Plan};
use crate::program::{Bytes, Map, Value};
use crate::system::{Action, Command, Effect, Error, Ownership, Result, System};
use database::Database;

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Debconf>(&["debconf", "ansible.builtin.debconf"]);

/// Where debconf keeps what was answered; passwords apart, for root alone; and what the questions are.
const ANSWERS: &str = "/var/cache/debconf/config.dat";
const PASSWORDS: &str = "/var/cache/debconf/passwords.dat";
const TEMPLATES: &str = "/var/cache/debconf/templates.dat";

arguments! {
    /// Answer a package's question before it asks. Arguments and results as in `ansible.builtin.debconf`.
    pub struct Debconf {
        /// The package.
        name: String [required, aliases(&["pkg"])],
        /// The question; without one the answers are read only.
        question: Option<String> [aliases(&["selection", "setting"])],
        /// What the answer is; `seen` is no answer, but whether the question counts as asked.
        vtype: Option<Type>,
        /// The answer; for `multiselect` also a list.
        value: Option<Value> [aliases(&["answer"])],
        /// The question is asked all the same.
        unseen: bool [default("no")],
    }
    rules { required_together(&["question", "vtype", "value"]) }
}

choices! {
    /// debconf's types.
    pub enum Type {
        /// `true` or `false`.
        Boolean = "boolean",
        /// A message.
        Error = "error",
        /// Some of a list, with commas between.
        Multiselect = "multiselect",
        /// A message.
        Note = "note",
        /// A text that is not shown.
        Password = "password",
        /// Not an answer: whether the question was asked.
        Seen = "seen",
        /// One of a list.
        Select = "select",
        /// A text.
        String = "string",
        /// A message.
        Text = "text",
        /// A message.
        Title = "title",
    }
}

impl Module for Debconf {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let database = Database::read(&text(ANSWERS, system)?, &text(TEMPLATES, system)?);
        let passwords = match text(PASSWORDS, system) {
            // As a user who may not read them: then none are seen.
            Err(error) if error.unknown_cause().is_none() => Database::default(),
            found => Database::read(&found?, ""),
        };
        let mut previous = database.of(&self.name);
        previous.extend(passwords.of(&self.name).into_keys().map(|name| (name, "(password omitted)".to_owned())));
        let shown = |found: &std::collections::BTreeMap<String, String>| -> Value {
            found.iter().map(|(name, value)| (name.as_str().into(), Value::text(value.as_str()))).collect::<Map>().into()
        };
        let unchanged = || Plan::done(Outcome::ok().with("msg", "").with("current", shown(&previous)));
        let (Some(question), Some(kind), Some(value)) = (&self.question, self.vtype, &self.value) else { return Ok(unchanged()) };
        let (answer, same) = answer(kind, value, previous.get(question).map(String::as_str), passwords.value(question))?;
        if same {
            return Ok(unchanged());
        }
        if system.executable("debconf-set-selections")?.is_none() {
            return Err(Error::failed("Failed to find required executable \"debconf-set-selections\"").hint("this machine has no debconf"));
        }
        let current: Value = [(question.as_str().into(), Value::text(answer.as_str()))].into_iter().collect::<Map>().into();
        match previous.get(question).cloned() {
            Some(former) => previous = [(question.clone(), former)].into(),
            None => drop(previous.insert(question.clone(), String::new())),
        }
        let outcome = Outcome::changed().with("msg", "").with("current", current).with("previous", shown(&previous));
        let mut words = vec!["debconf-set-selections"];
        words.extend(self.unseen.then_some("-u"));
        let effect = match kind {
            Type::Password => Effect::Unsure(vec![PASSWORDS.into()]),
            Type::Seen => Effect::None,
            _ => Effect::Leaves(vec![Action::write(ANSWERS, database.with(&self.name, question, &answer).into(), Ownership::default())]),
        };
        let mut command = Command::new(format!("answer {question} for {}", self.name), words).effect(effect);
        command.stdin = Some(Bytes(format!("{} {question} {} {answer}", self.name, super::Choice::word(kind)).into_bytes().into()));
        Ok(Plan::act(vec![Action::Run(command)], outcome))
    }
}

/// The answer as debconf has it, and whether it is given already.
fn answer(kind: Type, value: &Value, former: Option<&str>, password: Option<&str>) -> Result<(String, bool)> {
    let word = |value: &Value| super::arguments::text(value).map_err(Error::failed);
    if let (Type::Multiselect, Value::List(items)) = (kind, value) {
        let mut wanted = items.iter().map(word).collect::<Result<Vec<String>>>()?;
        if former.is_some() {
            wanted.sort();
        }
        let mut found: Vec<&str> = former.unwrap_or_default().split(',').map(str::trim).collect();
        found.sort_unstable();
        return Ok((wanted.join(", "), former.is_some() && wanted == found));
    }
    let answer = word(value)?;
    Ok(match kind {
        Type::Boolean | Type::Seen => {
            let answer = answer.to_lowercase();
            let same = former.is_some_and(|former| former.to_lowercase() == answer);
            (answer, same)
        }
        Type::Password => {
            let same = former.is_some() && password.unwrap_or_default() == answer;
            (answer, same)
        }
        _ => {
            let same = former == Some(answer.as_str());
            (answer, same)
        }
    })
}

/// A file of debconf's; nothing where there is none.
fn text(path: &str, system: &dyn System) -> Result<String> {
    Ok(system.read(Path::new(path))?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
}
