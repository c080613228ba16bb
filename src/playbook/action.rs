//! What a task does: its module and arguments, in every form that Ansible takes them.
//!
//! Source: `ansible/parsing/mod_args.py` of ansible-core 2.19.

use super::absent::instead_in;
use super::free_form::{self, Parsed};
use super::keyword;
use super::loader::{Loader, span_in};
use super::modules::{is_expression, is_known, short};
use super::task::Context;
use crate::module::{self, Entry};
use crate::program::{Argument, Arguments, Span, Tree, Value};
use crate::source::{Diagnostic, Node, NodeKind, Scalar};

/// The module of a task and what was given to it, before the module is looked at.
pub struct Action<'node> {
    pub name: String,
    /// The whole task.
    task: &'node Node,
    /// The key in the task: the module's name, `action` or `local_action`.
    key: &'node Node,
    given: Given<'node>,
    /// `args:`.
    args: Option<&'node Node>,
    /// `local_action`.
    pub local: bool,
}

enum Given<'node> {
    Nothing,
    Mapping(Vec<&'node (Node, Node)>),
    /// A text from that byte of the scalar on.
    Text {
        node: &'node Node,
        scalar: &'node Scalar,
        from: usize,
    },
    /// `local_action: {module: copy x=y, …}`: text of one node and pairs.
    Both {
        node: &'node Node,
        scalar: &'node Scalar,
        from: usize,
        entries: Vec<&'node (Node, Node)>,
    },
}

/// An argument's value as it was written.
pub enum WrittenValue<'node> {
    Node(&'node Node),
    /// Of `key=value`.
    Text(String, &'node Scalar, usize),
}

impl<'node> Action<'node> {
    pub fn is_key(&self, key: &Node) -> bool {
        std::ptr::eq(self.key, key)
    }

    pub fn key(&self) -> &'node Node {
        self.key
    }

    /// What was given as one text.
    pub fn text(&self) -> Option<&'node str> {
        if let Given::Text { scalar, from, .. } = &self.given { Some(scalar.text[*from..].trim()) } else { None }
    }
}

/// `command`, `shell`, `raw`, `script`: `a=b` in their text is theirs only for a few names.
fn takes_commands(name: &str) -> bool {
    matches!(short(name), "command" | "shell" | "raw" | "script")
}

impl Loader<'_> {
    /// The one module of a task; what else stands there is a mistake.
    pub fn action<'node>(&mut self, node: &'node Node, entries: &'node [(Node, Node)], context: &Context) -> Option<Action<'node>> {
        let args = entries.iter().find(|(key, _)| key.text() == Some("args")).map(|(_, value)| value);
        let written = entries.iter().filter(|(key, _)| matches!(key.text(), Some("action" | "local_action")));
        let mut actions: Vec<Action<'node>> = Vec::new();
        for (key, value) in written {
            actions.push(self.old_style(node, key, value, args)?);
        }
        let mut unknown = Vec::new();
        for entry in Self::candidates(entries) {
            let (key, value) = entry;
            let Some(name) = key.text() else {
                self.mistake(Diagnostic::at(key, format!("a task's key must be a text, found {}", key.describe())));
                continue;
            };
            if is_known(name) || context.collections.iter().any(|collection| module::find(&format!("{collection}.{name}")).is_some()) {
                actions.push(Action { name: name.to_owned(), task: node, key, given: self.given(name, value), args, local: false });
            } else {
                unknown.push(entry);
            }
        }
        // Where collections are named, the one word that nothing else explains is a module of theirs.
        if let ([(key, value)], true) = (unknown.as_slice(), actions.is_empty())
            && let Some(name) = key.text()
            && instead_in(name, &context.collections).is_some()
            && crate::source::suggest::suggest(name, keyword::names(context.place())).is_none()
        {
            actions.push(Action { name: name.to_owned(), task: node, key, given: self.given(name, value), args, local: false });
            unknown.clear();
        }
        // Beside a known module an unknown key is a slip of a keyword; alone it is the module, unless a keyword is nearer.
        for (key, _) in &unknown {
            let name = key.text().unwrap_or_default();
            let near = crate::source::suggest::suggest(name, keyword::names(context.place()));
            let module_near = crate::source::suggest::suggest(name, module::MODULES.iter().flat_map(|entry| entry.names.iter().copied()));
            if !actions.is_empty() || (near.is_some() && module_near.is_none()) || (unknown.len() > 1 && near.is_some()) {
                self.mistake(
                    Diagnostic::at(key, format!("unknown keyword `{name}` in {}", context.place().article()))
                        .slip_of(name, keyword::names(context.place())),
                );
            } else {
                self.module(key, name);
            }
        }
        if actions.len() > 1 {
            let names: Vec<&str> = actions.iter().map(|action| action.name.as_str()).collect();
            self.mistake(Diagnostic::at(actions[1].key, format!("a task has one module only, found {}", names.join(" and "))).other(
                actions[0].key.span,
                actions[0].key.width,
                "the first is here",
            ));
            return None;
        }
        if actions.is_empty() && unknown.is_empty() {
            self.mistake(Diagnostic::at(node, "a task without a module").hint("name one: `command: …`, `copy: {…}`"));
        }
        actions.pop()
    }

    /// What stands behind the module's name.
    fn given<'node>(&mut self, name: &str, value: &'node Node) -> Given<'node> {
        match &value.kind {
            NodeKind::Map(entries) => Given::Mapping(entries.iter().collect()),
            NodeKind::Scalar(_) if value.is_null() => Given::Nothing,
            NodeKind::Scalar(scalar) => Given::Text { node: value, scalar, from: 0 },
            NodeKind::List(_) => {
                self.mistake(Diagnostic::at(value, format!("the arguments of `{name}` must be a mapping or a text, found a list")));
                Given::Nothing
            }
        }
    }

    /// `action: copy src=a dest=b`, `local_action: {module: copy, src: a}`.
    fn old_style<'node>(
        &mut self,
        task: &'node Node,
        key: &'node Node,
        value: &'node Node,
        args: Option<&'node Node>,
    ) -> Option<Action<'node>> {
        let keyword = key.text().unwrap_or_default();
        let local = keyword == "local_action";
        let (scalar, entries) = match &value.kind {
            NodeKind::Scalar(scalar) if !value.is_null() => ((value, scalar), None),
            NodeKind::Map(entries) => {
                let module =
                    entries.iter().find(|(key, _)| key.text() == Some("module")).and_then(|(_, value)| Some((value, value.scalar()?)));
                let Some(module) = module else {
                    self.mistake(Diagnostic::at(value, format!("`{keyword}` as a mapping needs `module`")));
                    return None;
                };
                (module, Some(entries.iter().filter(|(key, _)| key.text() != Some("module")).collect::<Vec<_>>()))
            }
            _ => {
                self.mistake(Diagnostic::at(value, format!("`{keyword}` takes a module's name and arguments, found {}", value.describe())));
                return None;
            }
        };
        let (node, scalar) = scalar;
        let Ok(tokens) = free_form::split(&scalar.text) else {
            self.mistake(unbalanced(node));
            return None;
        };
        let name = tokens.first().map(|token| token.text.trim().to_owned()).unwrap_or_default();
        if crate::source::node::has_template(&name) {
            self.mistake(
                Diagnostic::at(node, format!("the module of `{keyword}` is a template: its arguments cannot be checked beforehand"))
                    .hint("`package` and `service` are there for every kind of host; else use one task a module with `when`"),
            );
            return None;
        }
        let from = tokens.get(1).map_or(scalar.text.len(), |token| token.at);
        let given = match entries {
            None => Given::Text { node, scalar, from },
            Some(entries) => Given::Both { node, scalar, from, entries },
        };
        Some(Action { name, task, key, given, args, local })
    }

    /// The registered module of an action, `collections:` considered.
    pub fn module_in(&mut self, action: &Action, context: &Context) -> Option<&'static Entry> {
        if !action.name.contains('.') {
            let found = context.collections.iter().find_map(|collection| module::find(&format!("{collection}.{}", action.name)));
            if found.is_some() {
                return found;
            }
        }
        self.module(action.key, &action.name)
    }

    /// All that was given, by name; the free text; a template for the whole.
    pub fn written<'node>(&mut self, action: &Action<'node>) -> WrittenArguments<'node> {
        let mut written = WrittenArguments::default();
        if let Some(args) = action.args {
            match &args.kind {
                NodeKind::Map(entries) => entries.iter().for_each(|entry| written.push_node(entry)),
                _ if args.is_template() => written.splat = Some(args),
                _ if args.is_null() => {}
                _ => self.mistake(Diagnostic::at(args, format!("`args` must be a mapping, found {}", args.describe()))),
            }
        }
        match &action.given {
            Given::Nothing => {}
            Given::Mapping(entries) => entries.iter().for_each(|entry| written.push_node(entry)),
            Given::Text { node, scalar, from } => self.text(action, node, scalar, *from, &mut written),
            Given::Both { node, scalar, from, entries } => {
                for entry in entries {
                    match (entry.0.text(), &entry.1.kind) {
                        (Some("args"), NodeKind::Map(inner)) => inner.iter().for_each(|entry| written.push_node(entry)),
                        _ => written.push_node(entry),
                    }
                }
                self.text(action, node, scalar, *from, &mut written);
            }
        }
        written
    }

    fn text<'node>(
        &mut self,
        action: &Action<'node>,
        node: &'node Node,
        scalar: &'node Scalar,
        from: usize,
        written: &mut WrittenArguments<'node>,
    ) {
        let text = &scalar.text[from..];
        if text.trim().is_empty() {
            return;
        }
        if node.is_vault() {
            written.free = Some((text.to_owned(), scalar, from, node));
            return;
        }
        let Ok(Parsed { pairs, rest, rest_at }) = free_form::parse(text, takes_commands(&action.name)) else {
            self.mistake(unbalanced(node));
            self.broken.insert(action.task.span);
            return;
        };
        for pair in pairs {
            written.named.push(WrittenEntry {
                at: span_in(scalar, from + pair.at),
                width: pair.key.chars().count() as u32,
                name: pair.key,
                key_node: None,
                value: WrittenValue::Text(pair.value, scalar, from + pair.value_at),
            });
        }
        if let Some(rest) = rest {
            written.free = Some((rest, scalar, from + rest_at, node));
        }
    }

    /// The arguments of a module as the program carries them, checked against its declaration.
    pub fn arguments(&mut self, entry: &'static Entry, action: &Action, written: WrittenArguments<'_>, secret: bool) -> Arguments {
        let spec = entry.spec();
        let mut arguments = Arguments::default();
        if let Some(splat) = written.splat {
            arguments.splat = Some(self.tree(splat, secret));
        }
        for argument in written.named {
            let (value, span) = match &argument.value {
                WrittenValue::Node(node) => {
                    if let Some(name) = argument.key_node {
                        self.check_argument(entry, name, node);
                    }
                    let value = if is_expression(entry, &argument.name) { self.expressions(node, secret) } else { self.tree(node, secret) };
                    (value, node.span)
                }
                WrittenValue::Text(text, scalar, offset) => {
                    let mut place = action.key.clone();
                    place.span = argument.at;
                    place.width = argument.width;
                    self.check_pair(entry, &argument.name, text, &place);
                    let tree = if is_expression(entry, &argument.name) && !crate::source::node::has_template(text) {
                        Tree::Expression(crate::program::Template { source: text.as_str().into(), span: span_in(scalar, *offset) })
                    } else {
                        Self::text_tree(text, scalar, *offset, secret)
                    };
                    (tree, span_in(scalar, *offset))
                }
            };
            if argument.name == "_raw_params" && spec.free_form.is_some() {
                arguments.free_form = Some(value);
                continue;
            }
            arguments.named.retain(|known| *known.name != argument.name);
            arguments.named.push(Argument { name: argument.name.into(), value, span });
        }
        if let Some((rest, scalar, offset, node)) = written.free {
            if let Some(name) = spec.free_form {
                if spec.field(name).is_some() && !node.is_vault() {
                    self.check_pair(entry, name, &rest, &place_in(node, scalar, offset, &rest));
                }
                arguments.free_form =
                    Some(if node.is_vault() { self.tree(node, secret) } else { Self::text_tree(&rest, scalar, offset, secret) });
            } else if is_whole_template(&rest) && arguments.splat.is_none() {
                arguments.splat = Some(Self::text_tree(&rest, scalar, offset, secret));
            } else {
                let place = place_in(node, scalar, offset, &rest);
                self.mistake(Diagnostic::at(&place, format!("module `{}` takes no free text", entry.name())).hint(
                    match spec.fields.iter().find(|field| field.required) {
                        Some(field) => format!("write `{}: {{{}: …}}`", action.name, field.name),
                        None => "write its arguments as a mapping".to_owned(),
                    },
                ));
            }
        }
        arguments
    }

    /// A field that holds bare expressions (`assert: that`, `debug: var`).
    fn expressions(&mut self, node: &Node, secret: bool) -> Tree {
        match &node.kind {
            NodeKind::List(items) => Tree::List(items.iter().map(|item| self.expressions(item, secret)).collect()),
            NodeKind::Scalar(_) if !node.is_template() => match node.expression() {
                Some(Tree::Literal(value)) => Tree::Literal(value),
                Some(tree) => tree,
                None => Tree::Literal(Value::Null),
            },
            _ => self.tree(node, secret),
        }
    }
}

/// See [`Loader::written`].
#[derive(Default)]
pub struct WrittenArguments<'node> {
    pub named: Vec<WrittenEntry<'node>>,
    pub free: Option<(String, &'node Scalar, usize, &'node Node)>,
    pub splat: Option<&'node Node>,
}

/// One argument and the node of its name, if there is one.
pub struct WrittenEntry<'node> {
    pub name: String,
    pub key_node: Option<&'node Node>,
    pub value: WrittenValue<'node>,
    pub at: Span,
    pub width: u32,
}

impl<'node> WrittenArguments<'node> {
    fn push_node(&mut self, entry: &'node (Node, Node)) {
        let (key, value) = entry;
        self.named.push(WrittenEntry {
            name: key.text().unwrap_or_default().to_owned(),
            key_node: Some(key),
            value: WrittenValue::Node(value),
            at: key.span,
            width: key.width,
        });
    }
}

/// A part of a node's text, as a node to point at.
fn place_in(node: &Node, scalar: &Scalar, offset: usize, text: &str) -> Node {
    let width = text.lines().next().map_or(1, |line| line.trim_end().chars().count()) as u32;
    Node { span: span_in(scalar, offset), width, ..node.clone() }
}

fn unbalanced(node: &Node) -> Diagnostic {
    Diagnostic::at(node, "quotes or braces do not close in the arguments").hint("write the arguments as a mapping, one a line")
}

/// One `{{ … }}` and nothing around it.
pub fn is_whole_template(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}")
}
