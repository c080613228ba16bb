//! Which module a name means, and its arguments against what it takes, with templates as holes.

use super::absent;
use super::loader::Loader;
use crate::module::{self, Entry, Field, Kind, Raw, Spec};
use crate::program::{Tree, Value};
use crate::source::node::has_template;
use crate::source::{Diagnostic, Node, NodeKind};

/// Modules that are statements of the language, not in the registry.
pub const STATEMENTS: &[&str] = &["include_tasks", "include_role", "import_tasks", "import_role", "import_playbook"];

/// The short name of a builtin: `ansible.builtin.copy` → `copy`.
pub fn short(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name)
}

/// Whether the name is a module or statement, ours or one that is not there.
pub fn is_known(name: &str) -> bool {
    module::find(name).is_some() || STATEMENTS.contains(&short(name)) || absent::instead(name).is_some() || short(name) == "include"
}

impl Loader<'_> {
    /// The module of a name; what is unknown or not there is a mistake.
    pub fn module(&mut self, node: &Node, name: &str) -> Option<&'static Entry> {
        if let Some(entry) = module::find(name) {
            return Some(entry);
        }
        if short(name) == "include" {
            self.mistake(
                Diagnostic::at(node, "`include` is gone from Ansible")
                    .hint("write `import_tasks` (read beforehand) or `include_tasks` (decided at run time)"),
            );
            return None;
        }
        let known = module::MODULES.iter().flat_map(|entry| entry.names.iter().copied()).chain(STATEMENTS.iter().copied()).chain(["block"]);
        let mistake = Diagnostic::at(node, format!("unknown module `{name}`"));
        self.mistake(match absent::near_in_collection(name) {
            Some(near) => mistake.label(format!("did you mean `{near}`?")),
            None => mistake.suggest(name, known),
        });
        None
    }

    /// One argument as the user wrote it, against the module's declaration.
    pub fn check_argument(&mut self, entry: &Entry, name: &Node, value: &Node) {
        let spec = entry.spec();
        let Some(text) = name.text() else {
            self.mistake(Diagnostic::at(name, format!("an argument's name must be a text, found {}", name.describe())));
            return;
        };
        if text == "_raw_params" && spec.free_form.is_some() {
            return;
        }
        let Some(field) = spec.field(text) else {
            // It may be left out where it is not for this host: what is known of it is its value alone.
            if value.text().is_some_and(|value| has_template(value) && value.contains("omit")) {
                return;
            }
            if (!spec.open || is_slip_of_package(entry, text)) && !has_template(text) {
                let names: Vec<&str> = spec.fields.iter().map(|field| field.name).collect();
                let mistake = Diagnostic::at(name, format!("module `{}` has no argument `{text}`", entry.name()));
                // The usual name before an alias that is as near.
                let mistake = mistake.slip_of(text, spec.names()).slip_of(text, names.iter().copied());
                let listed = format!("its arguments are {}", names.join(", "));
                self.mistake(if mistake.label.is_none() { mistake.hint(listed) } else { mistake });
            }
            return;
        };
        self.check_mode(text, value);
        if entry.name() == module::validate_argument_spec::MODULE.name() && text == "argument_spec" && value.as_map().is_some() {
            self.specification(value);
        }
        if let Err((place, message)) = fits(&field.kind, value, field).and_then(|()| passes(value, field)) {
            self.mistake(Diagnostic::at(place, format!("argument `{text}` of `{}`: {message}", entry.name())));
        } else if let Some(inside) = field.inside {
            let argument = format!("`{text}` of `{}`", entry.name());
            value.items().iter().for_each(|item| self.check_inside(&argument, &inside(), item));
        }
    }

    /// A mapping of an argument against what it is made of.
    fn check_inside(&mut self, argument: &str, spec: &Spec, mapping: &Node) {
        let Some(entries) = mapping.as_map() else { return };
        let mut values = Raw::new();
        for (name, value) in entries {
            let text = name.text().unwrap_or_default();
            match spec.field(text) {
                Some(field) => {
                    if let Err((place, message)) = fits(&field.kind, value, field) {
                        self.mistake(Diagnostic::at(place, format!("`{text}` in {argument}: {message}")));
                    }
                }
                None if has_template(text) => return,
                None => {
                    self.mistake(Diagnostic::at(name, format!("{argument} has nothing named `{text}` inside")).suggest(text, spec.names()));
                }
            }
            values.insert(text.into(), value.value());
        }
        let given: Vec<String> = values.keys().map(|name| name.text().into_owned()).collect();
        let missing = spec.fields.iter().find(|field| field.required && !field.names().any(|name| values.contains_key(name)));
        if let Some(missing) = missing {
            self.mistake(Diagnostic::at(mapping, format!("{argument} needs `{}` inside", missing.name)));
        } else if !entries.iter().any(|(_, value)| value.is_template() || value.is_vault())
            && let Err(error) = module::arguments::finish(spec, &given, &Raw::new(), &values)
        {
            self.mistake(Diagnostic::at(mapping, format!("{argument}: {}", error.message)));
        }
    }

    /// `mode: 644` is the number 644, in octal 01204: nobody means that.
    fn check_mode(&mut self, name: &str, value: &Node) {
        let NodeKind::Scalar(scalar) = &value.kind else { return };
        let number = matches!(name, "mode" | "directory_mode") && scalar.plain && matches!(value.value(), Value::Int(_));
        if number && scalar.text.len() >= 3 && !scalar.text.starts_with('0') && scalar.text.bytes().all(|byte| byte.is_ascii_digit()) {
            let written: u32 = scalar.text.parse().unwrap_or_default();
            self.mistake(
                Diagnostic::at(
                    value,
                    format!("`{name}: {}` is a decimal number: it would set the permissions {:04o}", scalar.text, written & 0o7777),
                )
                .label(format!("write \"{:0>4}\"", scalar.text)),
            );
        }
    }

    /// The same for `key=value`.
    pub fn check_pair(&mut self, entry: &Entry, key: &str, value: &str, at: &Node) {
        let spec = entry.spec();
        let Some(field) = spec.field(key) else {
            if !spec.open || is_slip_of_package(entry, key) {
                self.mistake(
                    Diagnostic::at(at, format!("module `{}` has no argument `{key}`", entry.name()))
                        .slip_of(key, spec.names())
                        .slip_of(key, spec.fields.iter().map(|field| field.name)),
                );
            }
            return;
        };
        let checked = |check: fn(&str) -> Result<(), String>| check(value);
        if !has_template(value)
            && let Err(message) = field.kind.check(&Value::text(value)).and_then(|()| field.check.map_or(Ok(()), checked))
        {
            let mistake = Diagnostic::at(at, format!("argument `{key}` of `{}`: {message}", entry.name()));
            self.mistake(match &field.kind {
                Kind::Choice(words) => mistake.suggest(value, words.iter().copied()),
                _ => mistake,
            });
        }
    }
}

/// `package` takes what its manager takes; what is near to one of its own is a slip all the same.
fn is_slip_of_package(entry: &Entry, name: &str) -> bool {
    entry.name() == "package" && crate::source::suggest::suggest(name, entry.spec().fields.iter().map(|field| field.name)).is_some()
}

/// Whether the node could be of the kind; texts with templates are holes.
fn fits<'node>(kind: &Kind, node: &'node Node, field: &Field) -> Result<(), (&'node Node, String)> {
    if node.is_template() || node.is_vault() || node.is_null() || field.expression {
        return Ok(());
    }
    match (kind, &node.kind) {
        (Kind::List(inner), NodeKind::List(items)) => items.iter().try_for_each(|item| fits(inner, item, field)),
        (Kind::Dict | Kind::Raw, NodeKind::Map(_)) => Ok(()),
        (Kind::Raw, _) => Ok(()),
        // A text of a list or mapping is its JSON (`content:` of `copy`), so any node is a text; a path is not.
        (Kind::Text, _) => Ok(()),
        (_, NodeKind::Scalar(_)) => kind.check(&node.value()).map_err(|message| (node, message)),
        (Kind::Dict, NodeKind::List(_)) => Err((node, "expected a mapping, found a list".to_owned())),
        (Kind::List(_), NodeKind::Map(_)) => Err((node, "expected a list, found a mapping".to_owned())),
        (_, NodeKind::List(_) | NodeKind::Map(_)) => Err((node, format!("expected {}, found {}", expected(kind), node.describe()))),
    }
}

/// What the field's own check says of a literal, or of each item of a list.
fn passes<'node>(node: &'node Node, field: &Field) -> Result<(), (&'node Node, String)> {
    let Some(check) = field.check else { return Ok(()) };
    match &node.kind {
        NodeKind::List(items) => items.iter().try_for_each(|item| passes(item, field)),
        NodeKind::Scalar(_) if !node.is_template() && !node.is_vault() => match node.value().as_str() {
            Some(text) => check(text).map_err(|message| (node, message)),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Text | Kind::Raw => "a text".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Bool => "yes or no".to_owned(),
        Kind::Int => "an integer".to_owned(),
        Kind::Float => "a number".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Dict => "a mapping".to_owned(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
    }
}

/// Whether an argument's value is an expression by the module's declaration.
pub fn is_expression(entry: &Entry, name: &str) -> bool {
    entry.spec().field(name).is_some_and(|field| field.expression)
}

/// A literal text, for what must be known beforehand.
pub fn literal_text(tree: &Tree) -> Option<&str> {
    tree.literal().and_then(Value::as_str)
}
