//! Rules over several arguments of one mapping.

use std::sync::Arc;

use super::read::{Reader, Weight};
use super::verdict::Presence;
use crate::module::arguments::{article, boolean};
use crate::program::{Map, Value};

/// The rules of one argument's `options`.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub mutually_exclusive: Vec<Vec<Arc<str>>>,
    required_together: Vec<Vec<Arc<str>>>,
    required_one_of: Vec<Vec<Arc<str>>>,
    required_if: Vec<RequiredIf>,
    required_by: Vec<(Arc<str>, Vec<Arc<str>>)>,
}

#[derive(Clone, Debug)]
struct RequiredIf {
    argument: Arc<str>,
    value: Value,
    names: Vec<Arc<str>>,
    /// One of them is enough.
    any: bool,
}

/// Reads the rules of a declaration.
pub fn read(reader: &mut Reader, declaration: &Value) -> Rules {
    Rules {
        mutually_exclusive: groups(reader, declaration, "mutually_exclusive"),
        required_together: groups(reader, declaration, "required_together"),
        required_one_of: groups(reader, declaration, "required_one_of"),
        required_if: reader.below(declaration, "required_if", required_if).unwrap_or_default(),
        required_by: reader.below(declaration, "required_by", required_by).unwrap_or_default(),
    }
}

/// A list of lists of names.
fn groups(reader: &mut Reader, declaration: &Value, key: &str) -> Vec<Vec<Arc<str>>> {
    let read = |reader: &mut Reader, value: &Value| {
        let Some(items) = value.as_list() else {
            reader.problem(Weight::Always, format!("`{key}` must be a list of lists of names, found {}", article(value)));
            return Vec::new();
        };
        // Each name is a group of its own, of which no rule but `required_one_of` says anything.
        if items.iter().any(|item| item.as_str().is_some()) {
            reader.problem(Weight::Idle, format!("`{key}` is a list of lists: of names that stand by themselves it says nothing"));
        }
        items.iter().filter(|item| !matches!(item, Value::Unknown(_))).map(|item| reader.names(item)).collect()
    };
    reader.below(declaration, key, read).unwrap_or_default()
}

fn required_if(reader: &mut Reader, value: &Value) -> Vec<RequiredIf> {
    let mut rules = Vec::new();
    for item in value.as_list().unwrap_or(std::slice::from_ref(value)) {
        let rule = match item.as_list() {
            Some([Value::Text(argument), value, names @ Value::List(_), rest @ ..]) if rest.len() < 2 => RequiredIf {
                argument: argument.shared(),
                value: value.clone(),
                names: reader.names(names),
                any: rest.iter().any(|any| boolean(any).unwrap_or(false)),
            },
            _ if item.first_unknown().is_some() => continue,
            _ => {
                let message = "each of `required_if` is [argument, value, [names]], and `true` where one of the names is enough";
                reader.problem(Weight::Always, message.to_owned());
                continue;
            }
        };
        rules.push(rule);
    }
    rules
}

fn required_by(reader: &mut Reader, value: &Value) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
    let Some(entries) = value.as_map() else {
        reader.problem(Weight::Always, format!("`required_by` must be a mapping of a name to names, found {}", article(value)));
        return Vec::new();
    };
    entries.iter().map(|(name, names)| ((*name.text()).into(), reader.names(names))).collect()
}

/// One of each kind at most: what is wrong by rules that hold once defaults and types are there.
pub fn broken(rules: &Rules, given: &Map, presence: &mut Presence) -> Vec<String> {
    let mut broken = Vec::new();
    let together = rules.required_together.iter().find(|names| presence.is_torn(given, names));
    broken.extend(together.map(|names| format!("required together: {}", names.join(", "))));
    let one_of = rules.required_one_of.iter().find(|names| !names.iter().any(|name| given.contains_key(&**name)));
    broken.extend(one_of.map(|names| format!("one of these is required: {}", names.join(", "))));
    broken.extend(rules.required_if.iter().find_map(|rule| rule.broken(given, presence)));
    broken.extend(rules.required_by.iter().find_map(|(name, names)| {
        let value = given.get(&**name).filter(|value| !matches!(value, Value::Null))?;
        let missing: Vec<&str> =
            names.iter().map(|name| &**name).filter(|name| matches!(given.get(*name), None | Some(Value::Null))).collect();
        if missing.is_empty() || presence.is_unknown(value) {
            return None;
        }
        Some(format!("required with `{name}`, and missing: {}", missing.join(", ")))
    }));
    broken
}

impl RequiredIf {
    fn broken(&self, given: &Map, presence: &mut Presence) -> Option<String> {
        let value = given.get(&*self.argument)?;
        let missing: Vec<&str> = self.names.iter().map(|name| &**name).filter(|name| given.get(*name).is_none()).collect();
        let enough = if self.any { missing.len() < self.names.len() } else { missing.is_empty() };
        if enough {
            return None;
        }
        if presence.is_unknown(value) || *value != self.value {
            return None;
        }
        let value = crate::module::arguments::text(&self.value).unwrap_or_default();
        let one_of = if self.any { "one of these is required" } else { "required" };
        Some(format!("{one_of} where `{}` is {value}, and missing: {}", self.argument, missing.join(", ")))
    }
}
