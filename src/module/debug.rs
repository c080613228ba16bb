//! `debug`: show a message or a variable.

use super::{Controlled, Engine, EngineModule, Entry, Outcome};
use crate::program::{Template, Tree, Value};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<Debug>(&["debug", "ansible.builtin.debug"]);

arguments! {
    /// Show a message, or an expression's value. Arguments and results as in `ansible.builtin.debug`.
    pub struct Debug {
        /// What to show; `Hello world!` where nothing is given.
        msg: Option<Value>,
        /// An expression, most often a variable's name; its value is shown under its own text.
        var: Option<Value> [kind(super::Kind::Text), expression],
        /// Shown only from this verbosity on (`-v` is 1).
        verbosity: i64 [default("0")],
    }
    rules { mutually_exclusive(&["msg", "var"]) }
}

impl EngineModule for Debug {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        if self.verbosity > i64::from(engine.verbosity()) {
            let mut outcome = Outcome::ok().with("skipped_reason", "Verbosity threshold not met.");
            outcome.skipped = true;
            return Ok(Controlled::Done(outcome));
        }
        let Some(given) = &self.var else {
            // Nothing may be what was given.
            let unsaid = || if engine.written("msg").is_some() { Value::Null } else { "Hello world!".into() };
            return Ok(Controlled::Done(Outcome::ok().with("msg", self.msg.clone().unwrap_or_else(unsaid))));
        };
        let (expression, value) = evaluate(given, engine)?;
        let outcome = Outcome::ok();
        Ok(Controlled::Done(match &value {
            Value::Undefined(what) => {
                let shown = format!("VARIABLE IS NOT DEFINED: '{what}' is undefined");
                let mut outcome = outcome.with(&expression, shown);
                outcome.warnings.push(format!("debug: '{what}' is undefined"));
                outcome
            }
            _ => outcome.with(&expression, value),
        }))
    }
}

/// The expression's text and its value. `var: "{{ name }}"` names the expression by a template.
fn evaluate(given: &Value, engine: &mut dyn Engine) -> Result<(String, Value)> {
    let expression = match engine.written("var") {
        Some(Tree::Expression(Template { source, .. })) => source.to_string(),
        Some(tree @ Tree::Template(_)) => match engine.evaluate(&tree)? {
            Value::Text(text) => text.as_str().to_owned(),
            // A template of something else than a text shows that.
            value => match tree {
                Tree::Template(template) => return Ok((template.source.to_string(), value)),
                _ => return Ok((String::new(), value)),
            },
        },
        Some(Tree::Literal(Value::Text(text))) => text.as_str().to_owned(),
        Some(_) => return Err(not_text()),
        None => given.as_str().ok_or_else(not_text)?.to_owned(),
    };
    let value = engine.evaluate_expression(&expression)?;
    Ok((expression, value))
}

fn not_text() -> Error {
    Error::failed("argument `var`: expected an expression as text").hint("write `var: name`, or `msg` for several values")
}
