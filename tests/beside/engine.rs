//! An engine for tests: variables, facts, files below one folder; templates are evaluated as everywhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use provision::module::{Engine, Spec};
use provision::program::play::Variable;
use provision::program::{Key, Layer, Map, Span, Template, Tree, Value};
use provision::system::{Error, Result};
use provision::template::Scope;
use provision::template::jinja::Jinja;
use serde_json::Value as Json;

pub struct TestEngine {
    folder: PathBuf,
    variables: indexmap::IndexMap<String, Arc<Tree>>,
    written: Json,
    groups: Vec<(String, Vec<String>)>,
    hosts: Vec<(String, Vec<String>)>,
}

impl TestEngine {
    pub fn new(variables: &Json, folder: &Path) -> Self {
        let variables = variables.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), Arc::new(tree(value)))).collect();
        Self { folder: folder.to_owned(), variables, written: Json::Null, groups: Vec::new(), hosts: Vec::new() }
    }

    /// Arguments as a module gets them: templates evaluated, but for expressions.
    pub fn raw(&mut self, spec: &Spec, arguments: &Json) -> Map {
        self.written = arguments.clone();
        let mut raw = Map::new();
        for (name, value) in arguments.as_object().into_iter().flatten() {
            let is_expression = spec.field(name).is_some_and(|field| field.expression);
            let value = if is_expression { Value::from(value.clone()) } else { self.evaluate(&tree(value)).expect("evaluates") };
            raw.insert(Key::from(name.as_str()), value);
        }
        raw
    }
}

/// A user's YAML as the program carries it.
fn tree(json: &Json) -> Tree {
    let tree = match json {
        Json::String(text) if text.contains("{{") => Tree::Template(Template { source: text.as_str().into(), span: Span::default() }),
        Json::Array(items) => Tree::List(items.iter().map(tree).collect()),
        Json::Object(entries) => {
            Tree::Map(entries.iter().map(|(name, value)| (Tree::Literal(Value::text(name.as_str())), tree(value))).collect())
        }
        other => Tree::Literal(other.clone().into()),
    };
    tree.folded()
}

/// `that` and `var`: texts are expressions.
fn expression(json: &Json) -> Tree {
    match json {
        Json::String(text) if !text.contains("{{") => Tree::Expression(Template { source: text.as_str().into(), span: Span::default() }),
        Json::Array(items) => Tree::List(items.iter().map(expression).collect()),
        other => tree(other),
    }
}

fn failure(error: provision::template::Error) -> Error {
    Error::failed(error.message)
}

impl Scope for TestEngine {
    fn variable(&self, name: &str) -> provision::template::Result<Option<Arc<Tree>>> {
        Ok(self.variables.get(name).cloned())
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.variables.keys().map(|name| name.as_str().into()).collect()
    }

    fn host_variable(&self, _host: &str, _name: &str) -> provision::template::Result<Option<Value>> {
        Ok(None)
    }

    fn host_variables(&self, _host: &str) -> provision::template::Result<Map> {
        Ok(Map::new())
    }

    fn hosts(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn lookup(&self, plugin: &str, _terms: &[Value], _options: &Map) -> provision::template::Result<Vec<Value>> {
        Err(provision::template::Error::failed(format!("no lookup {plugin} in this test")))
    }
}

impl Engine for TestEngine {
    fn evaluate(&mut self, tree: &Tree) -> Result<Value> {
        Jinja::new(self).evaluate(tree).map_err(failure)
    }

    fn evaluate_expression(&mut self, expression: &str) -> Result<Value> {
        let template = Template { source: expression.into(), span: Span::default() };
        match Jinja::new(self).expression(&template) {
            Err(error) if error.is_undefined() => Ok(Value::Undefined(expression.into())),
            other => other.map_err(failure),
        }
    }

    fn condition(&mut self, condition: &Tree) -> Result<bool> {
        Jinja::new(self).condition(condition).map_err(failure)
    }

    fn written(&self, argument: &str) -> Option<Tree> {
        self.written.get(argument).map(expression)
    }

    fn written_variable(&self, name: &str) -> Option<Tree> {
        self.variables.get(name).map(|tree| (**tree).clone())
    }

    fn variable(&mut self, name: &str) -> Result<Option<Value>> {
        let tree = self.variables.get(name).cloned();
        tree.map(|tree| self.evaluate(&tree)).transpose()
    }

    fn verbosity(&self) -> u8 {
        0
    }

    fn find_source(&mut self, _kind: &str, name: &str) -> Result<Arc<str>> {
        let path = self.folder.join(name);
        if path.exists() { Ok(path.to_string_lossy().into()) } else { Err(Error::failed(format!("Could not find or access '{name}'"))) }
    }

    fn source_bytes(&mut self, path: &str) -> Result<Arc<[u8]>> {
        std::fs::read(path).map(Into::into).map_err(|error| Error::io(path, &error))
    }

    fn source_files(&mut self, path: &str) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::from(path)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).map_err(|error| Error::io(path, &error))?.flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    files.push(entry.path().strip_prefix(path).expect("below").to_string_lossy().into_owned());
                }
            }
        }
        files.sort();
        Ok(files)
    }

    fn vars_file(&mut self, path: &str) -> Result<Arc<Layer>> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, &error))?;
        // The tests' files are simple enough for JSON after one replacement: each is `name: value`.
        let json: Json = yaml(&text).ok_or_else(|| Error::failed(format!("{path} is no mapping")))?;
        let variables = json.as_object().into_iter().flatten().map(|(name, value)| Variable {
            name: name.as_str().into(),
            value: Arc::new(tree(value)),
            span: Span::default(),
        });
        Ok(Arc::new(Layer { origin: path.into(), variables: variables.collect() }))
    }

    fn include_vars(&mut self, layer: Arc<Layer>) -> Result<()> {
        self.variables.extend(layer.variables.iter().map(|variable| (variable.name.to_string(), Arc::clone(&variable.value))));
        Ok(())
    }

    fn render_file(&mut self, path: &str, _options: &provision::template::Options, _extra: Map) -> Result<String> {
        Err(Error::failed(format!("no template {path} in this test")))
    }

    fn render_handlebars(&mut self, path: &str, _extra: Map) -> Result<String> {
        Err(Error::failed(format!("no template {path} in this test")))
    }

    fn set_facts(&mut self, facts: Map, _cacheable: bool) -> Result<()> {
        self.variables.extend(facts.into_iter().map(|(name, value)| (name.text().into_owned(), Arc::new(Tree::Literal(value)))));
        Ok(())
    }

    fn group_by(&mut self, group: &str, parents: &[String]) -> Result<bool> {
        let entry = (group.to_owned(), parents.to_vec());
        let changed = !self.groups.contains(&entry);
        self.groups.push(entry);
        Ok(changed)
    }

    fn add_host(&mut self, name: &str, groups: &[String], _variables: Map) -> Result<bool> {
        let entry = (name.to_owned(), groups.to_vec());
        let changed = !self.hosts.contains(&entry);
        self.hosts.push(entry);
        Ok(changed)
    }
}

fn yaml(text: &str) -> Option<Json> {
    serde_yaml::from_str(text).ok()
}
