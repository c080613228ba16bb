//! As much of the engine as `template` asks for: the project's templates, two variables.

use std::path::PathBuf;
use std::sync::Arc;

use provision::module::engine::Engine;
use provision::program::{Layer, Map, Span, Template, Tree, Value};
use provision::system::{Error, Result};
use provision::template::jinja::Jinja;
use provision::template::{self, Options, Scope};

pub struct Templates {
    pub project: PathBuf,
}

fn none<T>() -> Result<T> {
    Err(Error::failed("the oracle's engine has templates only"))
}

struct Variables(Map);

impl Scope for Variables {
    fn variable(&self, name: &str) -> template::Result<Option<Arc<Tree>>> {
        Ok(self.0.get(name).map(|value| Arc::new(Tree::Literal(value.clone()))))
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.keys().map(|key| key.text().as_ref().into()).collect()
    }

    fn host_variable(&self, _host: &str, _name: &str) -> template::Result<Option<Value>> {
        Ok(None)
    }

    fn host_variables(&self, _host: &str) -> template::Result<Map> {
        Ok(Map::new())
    }

    fn hosts(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn lookup(&self, plugin: &str, _terms: &[Value], _options: &Map) -> template::Result<Vec<Value>> {
        Err(template::Error::failed(format!("no lookup {plugin} here")))
    }
}

impl Engine for Templates {
    fn evaluate(&mut self, _tree: &Tree) -> Result<Value> {
        none()
    }

    fn evaluate_expression(&mut self, _expression: &str) -> Result<Value> {
        none()
    }

    fn condition(&mut self, _condition: &Tree) -> Result<bool> {
        none()
    }

    fn written(&self, _argument: &str) -> Option<Tree> {
        None
    }

    fn variable(&mut self, _name: &str) -> Result<Option<Value>> {
        none()
    }

    fn verbosity(&self) -> u8 {
        0
    }

    fn find_source(&mut self, kind: &str, name: &str) -> Result<Arc<str>> {
        Ok(self.project.join(kind).join(name).to_string_lossy().as_ref().into())
    }

    fn source_mode(&mut self, path: &str) -> Result<u32> {
        use std::os::unix::fs::MetadataExt;
        Ok(std::fs::metadata(path).map_err(|error| Error::io("stat", &error))?.mode() & 0o7777)
    }

    fn source_bytes(&mut self, path: &str) -> Result<Arc<[u8]>> {
        Ok(std::fs::read(path).map_err(|error| Error::io("read", &error))?.into())
    }

    fn source_files(&mut self, _path: &str) -> Result<Vec<String>> {
        none()
    }

    fn vars_file(&mut self, _path: &str) -> Result<Arc<Layer>> {
        none()
    }

    fn include_vars(&mut self, _layer: Arc<Layer>) -> Result<()> {
        none()
    }

    fn render_file(&mut self, path: &str, options: &Options, extra: Map) -> Result<String> {
        let bytes = self.source_bytes(path)?;
        let source = String::from_utf8_lossy(&bytes).into_owned();
        let mut variables = extra;
        variables.insert("who".into(), "world".into());
        variables.insert("numbers".into(), vec![1_i64, 2].into());
        let scope = Variables(variables);
        let template = Template { source: source.into(), span: Span::default() };
        let rendered = Jinja::new(&scope).render_with(&template, options).map_err(|error| Error::failed(error.message))?;
        Ok(rendered.as_str().to_owned())
    }

    fn render_handlebars(&mut self, _path: &str, _extra: Map) -> Result<String> {
        none()
    }

    fn set_facts(&mut self, _facts: Map, _cacheable: bool) -> Result<()> {
        none()
    }

    fn group_by(&mut self, _group: &str, _parents: &[String]) -> Result<bool> {
        none()
    }

    fn add_host(&mut self, _name: &str, _groups: &[String], _variables: Map) -> Result<bool> {
        none()
    }
}
