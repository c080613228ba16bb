//! Keywords that plays, roles, blocks and tasks share, read where the user wrote them.

use std::sync::Arc;

use super::keyword::{self, Place, Support};
use super::loader::Loader;
use super::task::Context;
use crate::module::Kind;
use crate::program::{Keywords, Tree, Value};
use crate::source::{Diagnostic, Node, NodeKind};
use crate::template::reads::{self, Form};

/// What `async` and `poll` say of a task, with the seconds that it may take.
pub enum Async {
    /// It is waited for.
    Waits(Tree),
    /// The tasks after it begin at once (`poll: 0`).
    GoesOn(Tree),
    /// One of them, as `poll` says in the run.
    Either { seconds: Tree, poll: Tree },
}

/// Whether a module's task may go on by itself: not where Ansible refuses `async`, since its controller does a part of the work.
fn goes_on(module: &str) -> bool {
    // The module in the place of one that is not here fails wherever it is reached.
    if module == crate::module::fail::MODULE.name() {
        return true;
    }
    let by_controller = matches!(module, "assemble" | "async_status" | "copy" | "raw" | "reboot" | "script" | "unarchive");
    !by_controller && crate::module::find(module).is_some_and(|entry| matches!(entry.action, crate::module::ActionKind::System(_)))
}

impl Loader<'_> {
    /// Reads one shared keyword. False: it is none of them.
    pub fn shared_keyword(&mut self, keywords: &mut Keywords, key: &Node, value: &Node, secret: bool, origin: &str) -> bool {
        let Some(name) = key.text() else { return false };
        match name {
            "vars" => {
                let layer = self.variables(value, Arc::from(origin), secret, "`vars`");
                keywords.vars.origin = layer.origin;
                keywords.vars.variables.extend(layer.variables);
            }
            "when" => keywords.when = self.conditions(value, "when", secret),
            "tags" => keywords.tags = self.tags(value, secret),
            "notify" => keywords.notify = Some(self.names(value, name, secret)),
            "environment" => keywords.environment = self.environment(value, secret),
            "module_defaults" => keywords.module_defaults = self.module_defaults(value, secret),
            "become" => keywords.become_ = self.typed(key, value, &Kind::Bool, secret),
            "become_user" => keywords.become_user = self.typed(key, value, &Kind::Text, secret),
            "become_method" => keywords.become_method = self.typed(key, value, &Kind::Text, secret),
            "become_flags" => keywords.become_flags = self.typed(key, value, &Kind::Text, secret),
            "become_exe" => keywords.become_exe = self.typed(key, value, &Kind::Text, secret),
            "check_mode" => keywords.check_mode = self.typed(key, value, &Kind::Bool, secret),
            "diff" => keywords.diff = self.typed(key, value, &Kind::Bool, secret),
            "no_log" => keywords.no_log = self.typed(key, value, &Kind::Bool, secret),
            "ignore_errors" => keywords.ignore_errors = self.typed(key, value, &Kind::Bool, secret),
            "ignore_unreachable" => keywords.ignore_unreachable = self.typed(key, value, &Kind::Bool, secret),
            "any_errors_fatal" => keywords.any_errors_fatal = self.typed(key, value, &Kind::Bool, secret),
            "run_once" => keywords.run_once = self.typed(key, value, &Kind::Bool, secret),
            "delegate_to" => keywords.delegate_to = self.typed(key, value, &Kind::Text, secret),
            "delegate_facts" => keywords.delegate_facts = self.typed(key, value, &Kind::Bool, secret),
            "connection" => keywords.connection = self.typed(key, value, &Kind::Text, secret),
            "remote_user" => keywords.remote_user = self.typed(key, value, &Kind::Text, secret),
            "port" => keywords.port = self.typed(key, value, &Kind::Int, secret),
            "throttle" => keywords.throttle = self.typed(key, value, &Kind::Int, secret),
            "timeout" => keywords.timeout = self.typed(key, value, &Kind::Int, secret),
            _ => return false,
        }
        true
    }

    /// Whether the keyword may stand at the place; what is not supported is said with its reason. False: it is not
    /// to be read (a mistake was recorded).
    pub fn keyword_allowed(&mut self, key: &Node, value: &Node, place: Place) -> bool {
        let Some(name) = key.text() else {
            self.mistake(Diagnostic::at(key, format!("a keyword of {} must be a text, found {}", place.article(), key.describe())));
            return false;
        };
        let Some(known) = keyword::find(name) else {
            // A list of plays holds imports too.
            let import = Some("import_playbook").filter(|_| place == Place::Play);
            self.mistake(
                Diagnostic::at(key, format!("unknown keyword `{name}` in {}", place.article()))
                    .slip_of(name, keyword::names(place).chain(import)),
            );
            return false;
        };
        if !known.places.contains(&place) {
            let places: Vec<&str> = known.places.iter().map(|place| place.article()).collect();
            self.mistake(Diagnostic::at(key, format!("`{name}` cannot stand in {}", place.article())).label(match name {
                "import_playbook" => "it stands by itself in a playbook, beside the plays".to_owned(),
                _ => format!("it belongs in {}", either(&places)),
            }));
            return false;
        }
        if let Support::No(reason) = known.support {
            let harmless = match name {
                "debugger" => value.text() == Some("never"),
                _ => false,
            };
            if !harmless {
                self.mistake(Diagnostic::at(key, format!("the keyword `{name}` is not supported")).hint(reason));
            }
            return false;
        }
        true
    }

    /// `async` and `poll`.
    pub fn asynchronous(&mut self, module: &str, entries: &[(Node, Node)], context: &Context) -> Option<Async> {
        let find = |name: &str| entries.iter().find(|(key, _)| key.text() == Some(name));
        let (key, value) = find("async")?;
        let seconds = self.typed(key, value, &Kind::Int, context.secret)?;
        let number = |loader: &Self, tree: &Tree| {
            let known = match tree {
                Tree::Literal(value) => value.clone(),
                tree => super::early::evaluate(loader, tree, &context.known, &context.playbook_dir).ok()?,
            };
            crate::module::arguments::text(&known).ok()?.trim().parse::<i64>().ok()
        };
        if number(self, &seconds) == Some(0) {
            return None;
        }
        let poll = find("poll").and_then(|(key, value)| self.typed(key, value, &Kind::Int, context.secret));
        // 15 seconds are Ansible's own.
        let waits = poll.as_ref().map_or(Some(15), |poll| number(self, poll));
        match waits {
            Some(0) if goes_on(module) => return Some(Async::GoesOn(seconds)),
            Some(0) => self.mistake(
                Diagnostic::at(key, format!("`{module}` cannot go on by itself (`poll: 0`)"))
                    .hint("leave `async` and `poll` out: a task holds no connection open, however long it takes"),
            ),
            None if goes_on(module)
                && let Some(poll) = poll =>
            {
                return Some(Async::Either { seconds, poll });
            }
            // It holds no connection open either way.
            Some(_) | None => return Some(Async::Waits(seconds)),
        }
        None
    }

    /// A keyword's value: a template, or a literal of the kind. `None`: nothing was given, or a mistake was recorded.
    pub fn typed(&mut self, key: &Node, value: &Node, kind: &Kind, secret: bool) -> Option<Tree> {
        let tree = self.tree(value, secret);
        match &tree {
            Tree::Literal(Value::Null) => None,
            Tree::Literal(literal) => match kind.check(literal) {
                Ok(()) if matches!(kind, Kind::Text) && !matches!(value.kind, NodeKind::Scalar(_)) => {
                    self.mistake(Diagnostic::at(
                        value,
                        format!("`{}` must be a text, found {}", key.text().unwrap_or_default(), value.describe()),
                    ));
                    None
                }
                Ok(()) => Some(tree),
                Err(message) => {
                    self.mistake(Diagnostic::at(value, format!("`{}`: {message}", key.text().unwrap_or_default())));
                    None
                }
            },
            Tree::Template(_) | Tree::Expression(_) => Some(tree),
            Tree::List(_) | Tree::Map(_) => {
                if matches!(kind, Kind::List(_) | Kind::Raw | Kind::Dict) {
                    return Some(tree);
                }
                self.mistake(Diagnostic::at(
                    value,
                    format!("`{}` must be one value, found {}", key.text().unwrap_or_default(), value.describe()),
                ));
                None
            }
        }
    }

    /// A condition or a list of them: bare expressions. A text with `{{ }}` is rendered first, as ansible-core 2.19 still does.
    pub fn conditions(&mut self, value: &Node, name: &str, secret: bool) -> Vec<Tree> {
        value.items().iter().filter_map(|item| self.condition(item, name, secret)).collect()
    }

    fn condition(&mut self, node: &Node, name: &str, secret: bool) -> Option<Tree> {
        let NodeKind::Scalar(scalar) = &node.kind else {
            self.mistake(Diagnostic::at(node, format!("a condition of `{name}` must be an expression, found {}", node.describe())));
            return None;
        };
        if scalar.text.trim().is_empty() && !node.is_null() {
            self.mistake(Diagnostic::at(node, format!("empty condition in `{name}`")).hint("write `true`, or leave it out"));
            return None;
        }
        if node.is_template() && !reads::wrapped(&scalar.text) {
            let expression = node.expression();
            if let Some(Tree::Expression(text)) = &expression
                && reads::of(text, Form::Condition).is_ok()
            {
                self.mistake(
                    Diagnostic::at(node, format!("a text in this expression of `{name}` holds a template"))
                        .hint(
                            "name the variable itself: `word == x` for `word == '{{ x }}'`; ansible-core 2.23 will take the text as it is",
                        )
                        .as_warning(),
                );
            }
            return expression;
        }
        if node.is_template() {
            self.mistake(
                Diagnostic::at(node, format!("`{name}` is an expression already: `{{{{ }}}}` around it makes a text of it first"))
                    .hint(format!("write `{name}: {}`", bare(&scalar.text)))
                    .as_warning(),
            );
            return Some(self.tree(node, secret));
        }
        match node.value() {
            Value::Int(_) | Value::Float(_) => {
                self.mistake(
                    Diagnostic::at(node, format!("the condition `{}` in `{name}` is a number, not a truth value", scalar.text))
                        .hint("write `true` or `false`"),
                );
                None
            }
            Value::Null => None,
            _ => node.expression(),
        }
    }

    /// `tags: a, b` or a list.
    pub fn tags(&mut self, value: &Node, secret: bool) -> Vec<Tree> {
        let mut tags = Vec::new();
        for item in value.items() {
            match &item.kind {
                NodeKind::Scalar(_) if item.is_template() || secret => tags.push(self.tree(item, secret)),
                // Ansible splits at commas in a text, not inside a list; nobody means a comma in a tag.
                NodeKind::Scalar(scalar) => {
                    tags.extend(
                        scalar.text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(|tag| Tree::Literal(Value::text(tag))),
                    );
                }
                NodeKind::List(inner) => inner.iter().for_each(|tag| tags.push(Tree::Literal(tag.value()))),
                NodeKind::Map(_) => self.mistake(Diagnostic::at(item, "a tag must be a text, found a mapping")),
            }
        }
        tags
    }

    fn environment(&mut self, value: &Node, secret: bool) -> Vec<Tree> {
        let mut layers = Vec::new();
        for item in value.items() {
            if item.as_map().is_some() || item.is_template() {
                layers.push(self.tree(item, secret));
            } else {
                self.mistake(Diagnostic::at(item, format!("`environment` must be a mapping, found {}", item.describe())));
            }
        }
        layers
    }

    /// `module_defaults: {copy: {mode: "0644"}, group/x: {…}}`.
    fn module_defaults(&mut self, value: &Node, secret: bool) -> Vec<(Tree, Tree)> {
        let mut defaults = Vec::new();
        for part in value.items() {
            let Some(entries) = part.as_map() else {
                self.mistake(Diagnostic::at(
                    part,
                    format!("`module_defaults` must be a mapping of modules to arguments, found {}", part.describe()),
                ));
                continue;
            };
            for (name, arguments) in entries {
                let module = name.text().unwrap_or_default();
                // Groups are of collections' modules, none of which is here: what uses one is told where it stands.
                if module.starts_with("group/") || super::absent::instead(module).is_some() {
                    continue;
                }
                let Some(entry) = self.module(name, module) else { continue };
                if let Some(given) = arguments.as_map() {
                    for (argument, value) in given {
                        self.check_argument(entry, argument, value);
                    }
                } else if !arguments.is_template() && !arguments.is_null() {
                    self.mistake(Diagnostic::at(
                        arguments,
                        format!("the defaults of `{module}` must be a mapping, found {}", arguments.describe()),
                    ));
                }
                self.has_module_defaults = true;
                defaults.push((Tree::Literal(Value::text(entry.name())), self.tree(arguments, secret)));
            }
        }
        defaults
    }
}

/// "a, b or c".
pub fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

/// `{{ x }}` → `x`, for the hint.
fn bare(text: &str) -> String {
    let text = text.trim();
    match text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
        Some(inner) if !inner.contains("{{") => inner.trim().to_owned(),
        _ => text.replace("{{", "").replace("}}", "").split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
