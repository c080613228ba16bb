//! The arguments of a filter, test or function, bound to its parameters.

use std::sync::Arc;

use super::{Error, Result, operators, python, suggest};
use crate::program::value::Number;
use crate::program::{Map, Value};

/// Arguments as they were given.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub positional: Vec<Value>,
    pub named: Vec<(Arc<str>, Value)>,
}

impl Arguments {
    pub fn positional(values: Vec<Value>) -> Self {
        Self { positional: values, named: Vec::new() }
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.positional.iter_mut().chain(self.named.iter_mut().map(|(_, value)| value))
    }

    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.positional.iter().chain(self.named.iter().map(|(_, value)| value))
    }

    /// Takes a named argument out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let position = self.named.iter().position(|(known, _)| &**known == name)?;
        Some(self.named.remove(position).1)
    }

    /// Binds to parameters: `name` may be left out, `name!` may not; `*` takes further positional, `**` further named ones.
    pub fn bind(self, what: &str, parameters: &[&'static str]) -> Result<Bound> {
        let variadic = parameters.contains(&"*");
        let open = parameters.contains(&"**");
        let names: Vec<&'static str> = parameters.iter().filter(|name| !name.starts_with('*')).copied().collect();
        let mut slots: Vec<Option<Value>> = vec![None; names.len()];
        let mut rest = Vec::new();
        let given = self.positional.len();
        for (index, value) in self.positional.into_iter().enumerate() {
            match slots.get_mut(index) {
                Some(slot) => *slot = Some(value),
                None if variadic => rest.push(value),
                None => {
                    return Err(Error::failed(format!("{what} takes at most {} argument(s), {given} given", names.len())));
                }
            }
        }
        let mut further = Map::new();
        for (name, value) in self.named {
            match names.iter().position(|known| known.trim_end_matches('!') == &*name) {
                Some(index) if slots[index].is_some() => {
                    return Err(Error::failed(format!("{what} got multiple values for argument '{name}'")));
                }
                Some(index) => slots[index] = Some(value),
                None if open => {
                    further.insert(name.into(), value);
                }
                None => {
                    let error = Error::failed(format!("{what} got an unexpected keyword argument '{name}'"));
                    let known = names.iter().map(|known| known.trim_end_matches('!'));
                    return Err(match suggest::hint(&name, known.clone()) {
                        Some(hint) => error.hint(hint),
                        None if names.is_empty() => error,
                        None => error.hint(format!("it takes {}", known.collect::<Vec<_>>().join(", "))),
                    });
                }
            }
        }
        for (name, slot) in names.iter().zip(&slots) {
            if name.ends_with('!') && slot.is_none() {
                return Err(Error::failed(format!("{what} needs the argument '{}'", name.trim_end_matches('!'))));
            }
        }
        Ok(Bound { slots, rest, further })
    }
}

/// Arguments by parameter.
#[derive(Debug, Default)]
pub struct Bound {
    slots: Vec<Option<Value>>,
    /// Positional ones beyond the parameters.
    pub rest: Vec<Value>,
    /// Named ones beyond the parameters.
    pub further: Map,
}

impl Bound {
    /// The argument, if it was given.
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.slots.get(index)?.as_ref()
    }

    /// The argument, if it was given and is not `none`.
    pub fn some(&self, index: usize) -> Option<&Value> {
        self.get(index).filter(|value| !matches!(value, Value::Null))
    }

    pub fn value(&self, index: usize, default: Value) -> Value {
        self.get(index).cloned().unwrap_or(default)
    }

    pub fn text(&self, index: usize, default: &str) -> Result<String> {
        match self.some(index) {
            Some(value) => text(value),
            None => Ok(default.to_owned()),
        }
    }

    pub fn truth(&self, index: usize, default: bool) -> Result<bool> {
        match self.get(index) {
            Some(value) => operators::known(value).map(|()| value.is_truthy()),
            None => Ok(default),
        }
    }

    pub fn integer(&self, index: usize, default: i64) -> Result<i64> {
        match self.some(index) {
            Some(value) => integer(value),
            None => Ok(default),
        }
    }

    pub fn count(&self, index: usize, default: usize) -> Result<usize> {
        let default = i64::try_from(default).unwrap_or(i64::MAX);
        Ok(usize::try_from(self.integer(index, default)?).unwrap_or(0))
    }
}

/// A value as text, as Python's `str` writes it; what cannot be known is an error.
pub fn text(value: &Value) -> Result<String> {
    operators::known(value)?;
    python::text(value)
}

/// An argument that must be a string.
pub fn strict_text(value: &Value) -> Result<&str> {
    operators::known(value)?;
    value.as_str().ok_or_else(|| Error::failed(format!("expected a string, not '{}'", value.type_name())))
}

/// A value as an integer: also whole floats and texts of digits.
pub fn integer(value: &Value) -> Result<i64> {
    operators::known(value)?;
    match (value.number(), value.as_str()) {
        (Some(Number::Int(number)), _) => Ok(number),
        (Some(Number::Float(number)), _) => Ok(number as i64),
        (None, Some(text)) => {
            text.trim().parse().map_err(|_| Error::failed(format!("invalid literal for int() with base 10: {}", python::quoted(text))))
        }
        (None, None) => Err(Error::failed(format!("expected an integer, not '{}'", value.type_name()))),
    }
}
