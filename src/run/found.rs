//! Which files of the controller a host may have although no task's text names them: those that the run itself has found or made there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::sync::Arc;

use crate::agent::found::{of_text, paths};
use crate::agent::frame::{Answer, Call, PerformReply};
use crate::playbook::found::{Naming, Request};
use crate::program::Value;

/// What is done on the controller for another host's task.
#[derive(Clone, Debug)]
pub struct Called {
    module: Arc<str>,
    /// A command's text, where that is all that is said of it.
    line: Option<Arc<str>>,
}

impl Called {
    pub fn of(call: &Call) -> Self {
        let line = match call.arguments.iter().next() {
            Some((key, value)) if matches!(&*key.text(), "_raw_params" | "cmd") => value.as_str().map(Arc::from),
            _ => None,
        };
        // A folder or a variable of the environment may be all that a command needs to print another path.
        Self { module: Arc::clone(&call.module), line: line.filter(|_| call.arguments.len() == 1 && call.environment.is_empty()) }
    }

    /// Paths of its result that are no word of the host that asked for it.
    pub fn paths(&self, reply: &PerformReply, namings: &[Naming]) -> BTreeSet<Arc<str>> {
        // A name that is made up there names nothing that was there before.
        let is_made_up = &*self.module == "tempfile" && matches!(reply, PerformReply::Applied { .. });
        let request = Request { module: &self.module, line: self.line.as_deref() };
        let is_said = |path: &Arc<str>| is_made_up || namings.iter().any(|naming| naming.tells(&request, Path::new(&**path)));
        result_of(reply).into_iter().filter(is_said).collect()
    }
}

/// Paths that a reply tells of.
pub fn result_of(reply: &PerformReply) -> BTreeSet<Arc<str>> {
    match reply {
        PerformReply::Planned(planned) => paths(&Value::map(planned.outcome.result.clone())),
        PerformReply::Applied { outcome, .. } => paths(&Value::map(outcome.result.clone())),
        _ => BTreeSet::new(),
    }
}

/// Paths of files and folders that the run has found or made on the controller, by who may have them.
#[derive(Debug, Default)]
pub struct Found {
    told: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Those that hosts who have them have told others of.
    shared: BTreeSet<Arc<str>>,
}

impl Found {
    /// A task of the host has found or made these: the controller knows so by itself.
    pub fn learn(&mut self, host: &str, paths: BTreeSet<Arc<str>>) {
        if !paths.is_empty() {
            self.told.entry(host.into()).or_default().extend(paths);
        }
    }

    /// A host gives variables to others: what it has itself they may have too. Another one's path is nothing that it can give.
    pub fn share<'value>(&mut self, host: &str, values: impl IntoIterator<Item = &'value Value>) {
        let Some(own) = self.told.get(host) else { return };
        let mut texts = BTreeSet::new();
        values.into_iter().for_each(|value| texts_of(value, &mut texts));
        self.shared.extend(texts.into_iter().filter(|path| is_among(own, path)));
    }

    /// A host is answered: it may have what stands in the answer and was shared.
    pub fn tell(&mut self, host: &str, answer: &Answer) {
        if self.shared.is_empty() {
            return;
        }
        let mut texts = BTreeSet::new();
        let mut read = |value: &Value| texts_of(value, &mut texts);
        match answer {
            Answer::Value(value) => value.iter().for_each(&mut read),
            Answer::Values(values) => values.values().for_each(&mut read),
            Answer::RunOnce { result, facts, .. } => std::iter::once(result).chain(facts.values()).for_each(&mut read),
            _ => {}
        }
        texts.retain(|path| is_among(&self.shared, path));
        self.learn(host, texts);
    }

    /// Whether the host may have the path, or a folder above it.
    pub fn is_told(&self, host: &str, path: &str) -> bool {
        self.told.get(host).is_some_and(|told| is_among(told, path))
    }
}

fn texts_of(value: &Value, found: &mut BTreeSet<Arc<str>>) {
    match value {
        Value::Text(text) => found.extend(of_text(text.as_str())),
        Value::List(items) => items.iter().for_each(|item| texts_of(item, found)),
        Value::Map(entries) => entries.values().for_each(|value| texts_of(value, found)),
        _ => {}
    }
}

/// Whether the path, or a folder above it, is one of these. What leads out of a folder is not below it.
fn is_among(paths: &BTreeSet<Arc<str>>, path: &str) -> bool {
    let path = Path::new(path);
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    is_plain && path.ancestors().filter_map(Path::to_str).any(|above| above != "/" && paths.contains(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_what_its_tasks_have_found_and_what_others_share_of_theirs() {
        let paths = |paths: &[&str]| -> BTreeSet<Arc<str>> { paths.iter().map(|path| Arc::from(*path)).collect() };
        let mut found = Found::default();
        found.learn("one", paths(&["/kept/one/key", "/kept/one/secret"]));
        assert!(found.is_told("one", "/kept/one/key") && !found.is_told("two", "/kept/one/key"));
        // Who guesses a name is told nothing by hearing it again.
        let guessed = Value::map(crate::map! { "dest" => "/kept/one/key" });
        found.share("two", [&guessed]);
        found.tell("two", &Answer::Value(Some(guessed.clone())));
        assert!(!found.is_told("two", "/kept/one/key"));
        found.share("one", [&guessed, &Value::from("/etc/shadow")]);
        assert!(!found.is_told("two", "/kept/one/key"), "it was not told yet");
        found.tell("two", &Answer::Value(Some(guessed)));
        assert!(found.is_told("two", "/kept/one/key") && !found.is_told("two", "/kept/one/secret") && !found.is_told("two", "/kept/one"));
        found.tell("two", &Answer::Value(Some("/etc/shadow".into())));
        assert!(!found.is_told("two", "/etc/shadow"));
        // A folder is told with what is below it, and by a name below it no more than that.
        found.learn("localhost", paths(&["/tmp/made"]));
        found.share("localhost", [&Value::from("/tmp/made")]);
        found.tell("one", &Answer::Value(Some("/tmp/made/a".into())));
        assert!(found.is_told("one", "/tmp/made/a") && !found.is_told("one", "/tmp/made/b"));
        found.tell("two", &Answer::Values(crate::map! { "name" => "/tmp/made" }));
        assert!(found.is_told("two", "/tmp/made/a/b") && !found.is_told("two", "/tmp/madeup") && !found.is_told("two", "/tmp"));
        assert!(!found.is_told("two", "/tmp/made/../../etc/shadow") && !found.is_told("two", "tmp/made/a"));
    }
}
