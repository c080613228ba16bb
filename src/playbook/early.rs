//! What the controller evaluates itself, before any host is asked: `hosts`, `serial`, names of static imports, connection variables.

use std::path::Path;
use std::sync::Arc;

use super::loader::Loader;
use crate::program::{Layer, Map, Template, Tree, Value};
use crate::source::Node;
use crate::template::jinja::Jinja;
use crate::template::{self, Error, Scope};

/// Variables known before the run, and the lookups that need no host.
pub struct Early<'p> {
    /// Lowest precedence first.
    pub layers: Vec<Arc<Layer>>,
    pub magic: Map,
    pub folder: &'p Path,
}

impl Scope for Early<'_> {
    fn variable(&self, name: &str) -> template::Result<Option<Arc<Tree>>> {
        if let Some(value) = self.magic.get(name) {
            return Ok(Some(Arc::new(Tree::Literal(value.clone()))));
        }
        Ok(self.layers.iter().rev().find_map(|layer| layer.get(name)).map(|variable| Arc::clone(&variable.value)))
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.layers.iter().flat_map(|layer| layer.variables.iter().map(|variable| Arc::clone(&variable.name))).collect()
    }

    fn host_variable(&self, _host: &str, name: &str) -> template::Result<Option<Value>> {
        Err(Error::undefined(format!("`hostvars` is not known yet (`{name}` was asked for)")))
    }

    fn host_variables(&self, _host: &str) -> template::Result<Map> {
        Err(Error::undefined("`hostvars` is not known yet"))
    }

    fn hosts(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn lookup(&self, plugin: &str, terms: &[Value], _options: &Map) -> template::Result<Vec<Value>> {
        let text = |term: &Value| term.as_str().map(str::to_owned).ok_or_else(|| Error::failed(format!("lookup `{plugin}` needs a text")));
        match plugin {
            "env" => terms.iter().map(|term| Ok(Value::text(std::env::var(text(term)?).unwrap_or_default()))).collect(),
            "file" => terms
                .iter()
                .map(|term| {
                    let path = self.folder.join(text(term)?);
                    let content =
                        std::fs::read_to_string(&path).map_err(|error| Error::failed(format!("read {}: {error}", path.display())))?;
                    Ok(Value::text(content.trim_end()))
                })
                .collect(),
            _ => Err(Error::failed(format!("lookup `{plugin}` cannot be used before the run"))),
        }
    }
}

/// A text with templates, evaluated with what is known so early.
pub fn evaluate_text(loader: &Loader, text: &str, node: &Node, layers: &[Arc<Layer>], folder: &Path) -> template::Result<String> {
    let span = node.scalar().map_or(node.span, |scalar| scalar.content);
    let tree = Tree::Template(Template { source: text.into(), span });
    let value = evaluate(loader, &tree, layers, folder)?;
    crate::module::arguments::text(&value).map_err(Error::failed)
}

/// A tree's value with what is known so early.
pub fn evaluate(loader: &Loader, tree: &Tree, layers: &[Arc<Layer>], folder: &Path) -> template::Result<Value> {
    let mut layers = layers.to_vec();
    layers.push(Arc::clone(&loader.extra));
    let mut magic = Map::new();
    magic.insert("playbook_dir".into(), Value::text(folder.display().to_string()));
    let scope = Early { layers, magic, folder };
    Jinja::new(&scope).evaluate(tree)
}
