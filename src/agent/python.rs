//! `ansible_python` and `ansible_python_version`: asked of the node's Python when something reads them, since nothing else needs one.

use std::path::Path;
use std::sync::Arc;

use super::scope::TaskScope;
use crate::program::{Map, Value};
use crate::system::real::python::{self, USUAL};

impl TaskScope<'_> {
    /// The fact by a variable's name; `None`: it is no such fact, or none were gathered.
    pub(super) fn python_fact(&self, name: &str) -> Option<Value> {
        let fact = name.strip_prefix("ansible_").filter(|fact| matches!(*fact, "python" | "python_version"))?;
        let told = self.python()?;
        Some(match told {
            Ok(facts) => facts.get(fact)?.clone(),
            Err(reason) => Value::Undefined(format!("'{name}' is undefined: {reason}").into()),
        })
    }

    /// The facts with those of Python, for a program that reads them there.
    pub(super) fn with_python(&self, mut facts: Map) -> Map {
        if self.executor.program.reads_python
            && let Some(Ok(told)) = self.python()
        {
            facts.extend(told.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        facts
    }

    /// As the node said once; `None`: facts were not gathered.
    fn python(&self) -> Option<&Result<Map, String>> {
        self.executor.state.facts.get("module_setup")?;
        Some(self.executor.python.get_or_init(|| {
            let interpreter: Option<Arc<str>> = self.find("ansible_python_interpreter").and_then(|(tree, _)| {
                let path = tree.literal()?.as_str()?.to_owned();
                path.starts_with('/').then(|| path.into())
            });
            let interpreter = interpreter.as_deref().unwrap_or(USUAL);
            python::facts(Path::new(interpreter))
                .ok_or_else(|| format!("there is no Python 3 at {interpreter} of the machine, and none is needed"))
        }))
    }
}
