//! `include_vars`: variables from files, at run time.

use std::path::Path;
use std::sync::Arc;

use super::{Controlled, Engine, EngineModule, Entry, Outcome};
use crate::program::{Key, Layer, Map, Span, Tree, Value, play::Variable};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<IncludeVars>(&["include_vars", "ansible.builtin.include_vars"]);

arguments! {
    /// Load variables from a file, or from a folder's files. Arguments and results as in `ansible.builtin.include_vars`.
    pub struct IncludeVars [free_form("file")] {
        /// The file, searched in `vars/` of the role and beside the playbook.
        file: Option<String>,
        /// A folder whose files are read in order.
        dir: Option<String>,
        /// Put the variables below this one name.
        name: Option<String>,
        /// How many levels of folders are read; 0: all.
        depth: i64 [default("0")],
        /// Only files whose name holds this regular expression.
        files_matching: Option<String>,
        /// Not the files whose name ends with one of these regular expressions.
        ignore_files: Option<Value> [kind(super::Kind::List(Box::new(super::Kind::Text)))],
        /// File name extensions that a folder may hold.
        extensions: Vec<String> [default("yaml,yml,json")],
        /// Leave files with other extensions out, instead of failing.
        ignore_unknown_extensions: bool [default("no")],
        /// `merge` merges mappings with what the variables are now.
        hash_behaviour: Option<HashBehaviour>,
    }
    rules {
        required_one_of(&["file", "dir"]),
        mutually_exclusive(&["file", "dir"]),
        mutually_exclusive(&["file", "depth"]),
        mutually_exclusive(&["file", "files_matching"]),
        mutually_exclusive(&["file", "ignore_files"]),
        mutually_exclusive(&["file", "extensions"]),
        mutually_exclusive(&["file", "ignore_unknown_extensions"]),
    }
}

choices! {
    /// What a mapping that is already there becomes.
    pub enum HashBehaviour {
        /// The new one.
        Replace = "replace",
        /// Both, the new one's entries winning.
        Merge = "merge",
    }
}

impl EngineModule for IncludeVars {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        let mut read = Vec::new();
        match self.load(engine, &mut read).and_then(|layer| self.include(layer, engine)) {
            Ok(facts) => Ok(Controlled::Done(report(Outcome::ok(), read, facts))),
            Err(error) if error.unknown_cause().is_some() => Err(error),
            Err(error) => {
                let outcome = Outcome::failed(error.message.as_str()).with("message", error.message.as_str());
                Ok(Controlled::Done(report(outcome, read, Map::new())))
            }
        }
    }
}

/// Not [`Outcome::facts`]: these variables have a precedence of their own, and the engine has them already.
fn report(outcome: Outcome, read: Vec<Arc<str>>, facts: Map) -> Outcome {
    outcome.with("ansible_included_var_files", read).with("ansible_facts", facts)
}

impl IncludeVars {
    /// The variables of all files, unevaluated, later ones winning.
    fn load(&self, engine: &mut dyn Engine, read: &mut Vec<Arc<str>>) -> Result<Layer> {
        let mut layer = Layer::default();
        let paths = match (&self.dir, &self.file) {
            (Some(folder), _) => self.folder(folder, engine)?,
            (None, Some(file)) => vec![engine.find_source("vars", file.trim_end_matches('\n'))?],
            (None, None) => Vec::new(),
        };
        layer.origin = match paths.as_slice() {
            [one] => Arc::clone(one),
            _ => self.dir.as_deref().unwrap_or("include_vars").into(),
        };
        for path in paths {
            let file = engine.vars_file(&path)?;
            read.push(path);
            for variable in &file.variables {
                layer.variables.retain(|known| known.name != variable.name);
                layer.variables.push(variable.clone());
            }
        }
        Ok(layer)
    }

    /// The folder's files to read: folder by folder, each sorted.
    fn folder(&self, folder: &str, engine: &mut dyn Engine) -> Result<Vec<Arc<str>>> {
        let root = engine.find_source("vars", folder)?;
        let matching = self.files_matching.as_deref().map(pattern).transpose()?;
        let ignored = self.ignored()?;
        let mut files: Vec<(String, String)> = engine
            .source_files(&root)?
            .into_iter()
            .map(|path| path.rsplit_once('/').map_or((String::new(), path.clone()), |(folder, name)| (folder.to_owned(), name.to_owned())))
            .collect();
        files.sort();
        let mut chosen = Vec::new();
        for (below, name) in files {
            let level = if below.is_empty() { 1 } else { below.split('/').count() as i64 + 1 };
            let wanted = (self.depth == 0 || level <= self.depth)
                && matching.as_ref().is_none_or(|pattern| pattern.is_match(&name).unwrap_or(false))
                && !ignored.iter().any(|pattern| pattern.is_match(&name).unwrap_or(false));
            if !wanted {
                continue;
            }
            let path: Arc<str> = if below.is_empty() { format!("{root}/{name}") } else { format!("{root}/{below}/{name}") }.into();
            let extension = Path::new(&name).extension().unwrap_or_default().to_string_lossy();
            if self.extensions.iter().any(|known| *known == extension) {
                chosen.push(path);
            } else if !self.ignore_unknown_extensions {
                return Err(Error::failed(format!("{path} does not have a valid extension: {}", self.extensions.join(", "))));
            }
        }
        Ok(chosen)
    }

    fn ignored(&self) -> Result<Vec<fancy_regex::Regex>> {
        let texts: Vec<String> = match &self.ignore_files {
            None => Vec::new(),
            Some(Value::Text(text)) => text.as_str().split_whitespace().map(str::to_owned).collect(),
            Some(Value::List(items)) => items.iter().filter_map(|item| super::arguments::text(item).ok()).collect(),
            Some(other) => return Err(Error::failed(format!("{} must be a list", other.to_json(false)))),
        };
        texts.iter().map(|text| pattern(&format!("{text}$"))).collect()
    }

    /// Gives the variables to the engine; answers what `ansible_facts` shows.
    fn include(&self, mut layer: Layer, engine: &mut dyn Engine) -> Result<Map> {
        if let Some(name) = &self.name {
            let entries = layer.variables.drain(..).map(|variable| (Tree::Literal(Value::text(variable.name)), (*variable.value).clone()));
            let whole = Tree::Map(entries.collect()).folded();
            layer.variables.push(Variable { name: name.as_str().into(), value: Arc::new(whole), span: Span::default() });
        }
        if self.hash_behaviour == Some(HashBehaviour::Merge) {
            for variable in &mut layer.variables {
                let new = engine.evaluate(&variable.value)?;
                // A variable that is not there yet is not merged with anything.
                if let (Value::Map(new), Ok(Value::Map(old))) = (&new, engine.evaluate_expression(&variable.name)) {
                    variable.value = Arc::new(Tree::Literal(Value::map(merge(&old, new))));
                }
            }
        }
        let layer = Arc::new(layer);
        engine.include_vars(Arc::clone(&layer))?;
        let mut facts = Map::new();
        for variable in &layer.variables {
            let value = match &*variable.value {
                Tree::Literal(value) => Some(value.clone()),
                // Evaluated only for who looks at it: a template may read other hosts or be undefined so far.
                tree if engine.is_registered() => match engine.evaluate(tree) {
                    Ok(value) => Some(value),
                    Err(error) => error.unknown_cause().map(|cause| Value::unknown(Arc::clone(cause))),
                },
                _ => None,
            };
            if let Some(value) = value {
                facts.insert(Key::from(Arc::clone(&variable.name)), value);
            }
        }
        Ok(facts)
    }
}

/// Both mappings, recursively, the new one winning.
fn merge(old: &Map, new: &Map) -> Map {
    let mut merged = old.clone();
    for (key, value) in new {
        let value = match (merged.get(key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => Value::map(merge(old, new)),
            _ => value.clone(),
        };
        merged.insert(key.clone(), value);
    }
    merged
}

fn pattern(text: &str) -> Result<fancy_regex::Regex> {
    fancy_regex::Regex::new(text).map_err(|error| Error::failed(format!("Invalid regular expression: {text}: {error}")))
}
