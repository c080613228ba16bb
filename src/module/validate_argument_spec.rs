//! `validate_argument_spec`: variables against what a role's `argument_specs` say of them.

use super::argument_spec::{Specification, Weight};
use super::arguments::article;
use super::{Controlled, Engine, EngineModule, Entry, Outcome};
use crate::program::{Key, Map, Value};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry =
    Entry::engine::<ValidateArgumentSpec>(&["validate_argument_spec", "ansible.builtin.validate_argument_spec"]);

arguments! {
    /// Fail unless variables are what a specification says: the first task of each role with `meta/argument_specs.yml`.
    /// Arguments and results as in `ansible.builtin.validate_argument_spec`; defaults of a specification are documentation.
    pub struct ValidateArgumentSpec {
        /// Arguments by name, each with `type`, `required`, `choices` and the like, as below `options` in `argument_specs`.
        argument_spec: Value [required],
        /// Values by name, before variables of these names.
        provided_arguments: Option<Value>,
        /// What the result says of the place that is validated.
        validate_args_context: Option<Value>,
    }
}

impl EngineModule for ValidateArgumentSpec {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        let provided = match &self.provided_arguments {
            None => Map::new(),
            Some(given) => mapping("provided_arguments", given)?.clone(),
        };
        if let Some(cause) = self.argument_spec.first_unknown() {
            return Err(Error::unknown(std::sync::Arc::clone(cause)));
        }
        mapping("argument_spec", &self.argument_spec)?;
        let (specification, problems) = Specification::read(&self.argument_spec);
        let mut given = Map::new();
        for name in specification.arguments.keys() {
            match engine.variable(name)? {
                None | Some(Value::Omit) => {}
                Some(value) => _ = given.insert(Key::from(std::sync::Arc::clone(name)), value),
            }
        }
        given.extend(provided);
        let verdict = specification.validate(given);
        let fatal = problems.into_iter().filter(|problem| problem.weight == Weight::Always).map(|problem| problem.message);
        let errors: Vec<String> = fatal.chain(verdict.errors).collect();
        let context = self.validate_args_context.clone().unwrap_or_else(|| Map::new().into());
        if errors.is_empty() {
            if let Some(cause) = verdict.unknown {
                return Err(Error::unknown(cause));
            }
            let outcome = Outcome::ok().with("validate_args_context", context).with("msg", "The arg spec validation passed");
            return Ok(Controlled::Done(outcome));
        }
        let outcome = Outcome { failed: true, ..Outcome::ok() }
            .with("validate_args_context", context)
            .with("msg", format!("Validation of arguments failed:\n{}", errors.join("\n")))
            .with("argument_spec_data", self.argument_spec.clone())
            .with("argument_errors", errors);
        Ok(Controlled::Done(outcome))
    }
}

fn mapping<'value>(name: &str, value: &'value Value) -> Result<&'value Map> {
    match value {
        Value::Map(entries) => Ok(entries),
        Value::Unknown(cause) => Err(Error::unknown(std::sync::Arc::clone(cause))),
        other => Err(Error::failed(format!("argument `{name}`: expected a mapping, not {}", article(other)))),
    }
}
