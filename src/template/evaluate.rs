//! Evaluates expressions over [`Value`], reading names through a [`Scope`].

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use minijinja::machinery::ast::{BinOpKind, CompareOpKind};

use super::arguments::Arguments;
use super::syntax::{self, Argument, Body, Kind, Node, Options, Parsed, Statement};
use super::{Error, ErrorKind, Result, Scope, filters, functions, methods, operators, suggest, tests};
use crate::program::{Key, Map, Span, Template, Tree, Value};

/// How deep templates may lead to further templates before it is taken for a loop.
const DEPTH_LIMIT: usize = 100;

thread_local! {
    /// Templates in work on this thread, other hosts' included.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// What one evaluation shares: the scope, what it has read, and the templates in work.
pub struct Evaluator<'scope> {
    pub scope: &'scope dyn Scope,
    /// Whether a secret text was read since the leaf began.
    secret: Cell<bool>,
    active: RefCell<Vec<Arc<str>>>,
}

impl<'scope> Evaluator<'scope> {
    pub fn new(scope: &'scope dyn Scope) -> Self {
        Self { scope, secret: Cell::new(false), active: RefCell::default() }
    }

    /// A tree's value, as lazy as it was: containers with templates inside stay [`Value::Lazy`].
    pub fn tree(&self, tree: &Arc<Tree>) -> Result<Value> {
        match &**tree {
            Tree::Literal(value) => Ok(value.clone()),
            Tree::Template(template) => self.template(template),
            Tree::Expression(template) => self.expression(template),
            Tree::List(_) | Tree::Map(_) => Ok(Value::Lazy(Arc::clone(tree))),
        }
    }

    fn child(&self, tree: &Tree) -> Result<Value> {
        match tree {
            Tree::Literal(value) => Ok(value.clone()),
            Tree::Template(template) => self.template(template),
            Tree::Expression(template) => self.expression(template),
            Tree::List(_) | Tree::Map(_) => Ok(Value::Lazy(Arc::new(tree.clone()))),
        }
    }

    /// A text with templates inside: native where it is one single expression.
    pub fn template(&self, template: &Template) -> Result<Value> {
        self.rendered(template, &Options::default())
    }

    /// The same under a template file's options.
    pub fn rendered(&self, template: &Template, options: &Options) -> Result<Value> {
        self.leaf(template, |evaluator| {
            let parsed = syntax::template(&template.source, options).map_err(|error| placed(error, template.span))?;
            let context = Context::new(evaluator, &parsed, template.span, options);
            let Body::Template(statements) = &parsed.body else { return Ok(Value::Null) };
            let value = context.body(statements)?;
            Ok(match value {
                Value::Text(text) => {
                    // Jinja2 drops one trailing newline; Ansible puts it back where the source had it.
                    let wanted = trailing_newlines(&template.source);
                    let missing = wanted.saturating_sub(trailing_newlines(text.as_str()));
                    if missing == 0 {
                        Value::Text(text)
                    } else {
                        let secret = text.is_secret();
                        let text = text.as_str().to_owned() + &options.newline_sequence.repeat(missing);
                        Value::Text(crate::program::Text::new(text).with_secrecy(secret))
                    }
                }
                other => other,
            })
        })
    }

    /// A bare expression.
    pub fn expression(&self, template: &Template) -> Result<Value> {
        self.conditional(template, false)
    }

    /// A bare expression; in a condition, string constants that are templates are rendered.
    pub fn conditional(&self, template: &Template, condition: bool) -> Result<Value> {
        self.leaf(template, |evaluator| {
            let parsed = syntax::expression(&template.source).map_err(|error| placed(error, template.span))?;
            let options = Options::default();
            let mut context = Context::new(evaluator, &parsed, template.span, &options);
            context.renders_constants = condition;
            let Body::Expression(node) = &parsed.body else { return Ok(Value::Null) };
            let value = context.evaluate(node)?;
            match value {
                Value::Undefined(_) => Err(context.undefined(node, &value)),
                value => Ok(value),
            }
        })
    }

    /// Runs one leaf: guards against loops, and marks the result secret where anything secret was read for it.
    fn leaf(&self, template: &Template, run: impl FnOnce(&Self) -> Result<Value>) -> Result<Value> {
        if self.active.borrow().contains(&template.source) {
            let mut chain: Vec<String> = self.active.borrow().iter().map(ToString::to_string).collect();
            chain.push(template.source.to_string());
            return Err(Error::failed(format!("recursive loop detected in template: {}", chain.join(" → "))).at(template.span));
        }
        if DEPTH.get() >= DEPTH_LIMIT {
            return Err(Error::failed(format!("templates lead to templates over {DEPTH_LIMIT} deep: is there a loop between hosts?"))
                .at(template.span));
        }
        self.active.borrow_mut().push(Arc::clone(&template.source));
        DEPTH.set(DEPTH.get() + 1);
        let before = self.secret.replace(false);
        let outcome = run(self);
        let secret = self.secret.get();
        let outcome = match outcome {
            Ok(value) if secret => self.deep(value).map(Value::into_secret),
            other => other,
        };
        self.secret.set(before || secret);
        DEPTH.set(DEPTH.get() - 1);
        self.active.borrow_mut().pop();
        match outcome {
            // As Ansible's markers: a variable whose template needs an undefined one is itself undefined.
            Err(error) if error.kind == ErrorKind::Undefined && !self.active.borrow().is_empty() => {
                Ok(Value::Undefined(error.message.into()))
            }
            Err(error) => Err(error.at(template.span)),
            Ok(value) => Ok(value),
        }
    }

    /// Notes that the value was read.
    pub fn note(&self, value: &Value) {
        if let Value::Text(text) = value
            && text.is_secret()
        {
            self.secret.set(true);
        }
    }

    /// Notes that everything inside was read.
    pub fn note_all(&self, value: &Value) {
        if !self.secret.get() && value.holds_secret() {
            self.secret.set(true);
        }
    }

    /// Not lazy at its top: a list's or mapping's members may be.
    pub fn resolve(&self, value: Value) -> Result<Value> {
        match value {
            Value::Lazy(tree) => match &*tree {
                Tree::List(items) => {
                    let items: Vec<Value> = items.iter().map(Self::postponed).collect();
                    Ok(Value::list(items))
                }
                Tree::Map(entries) => {
                    let mut map = Map::with_capacity(entries.len());
                    for (key, value) in entries {
                        map.insert(self.key(key)?, Self::postponed(value));
                    }
                    Ok(Value::map(map))
                }
                other => {
                    let value = self.child(other)?;
                    self.resolve(value)
                }
            },
            Value::HostVars => {
                let hosts = self.scope.hosts();
                Ok(Value::map(hosts.into_iter().map(|host| (Key::Text(Arc::clone(&host)), Value::Host(host))).collect()))
            }
            Value::Host(host) => self.scope.host_variables(&host).map(Value::map),
            other => Ok(other),
        }
    }

    fn key(&self, tree: &Tree) -> Result<Key> {
        let key = self.child(tree)?;
        operators::known(&key)?;
        self.note(&key);
        Key::from_value(&key).ok_or_else(|| Error::failed(format!("unhashable type: '{}'", key.type_name())))
    }

    /// A member of a lazy container: literal, or lazy still.
    fn postponed(tree: &Tree) -> Value {
        match tree {
            Tree::Literal(value) => value.clone(),
            other => Value::Lazy(Arc::new(other.clone())),
        }
    }

    /// Evaluated throughout; `omit`, tuples and unknown members stay.
    pub fn deep(&self, value: Value) -> Result<Value> {
        match value {
            Value::Lazy(_) | Value::HostVars | Value::Host(_) => {
                let value = self.resolve(value)?;
                self.deep(value)
            }
            Value::List(ref items) | Value::Tuple(ref items) => {
                if items.iter().all(is_settled) {
                    return Ok(value);
                }
                let tuple = matches!(value, Value::Tuple(_));
                let items = items.iter().cloned().map(|item| self.deep(item)).collect::<Result<Vec<_>>>()?;
                Ok(if tuple { Value::Tuple(Arc::new(items)) } else { Value::list(items) })
            }
            Value::Map(ref entries) => {
                if entries.values().all(is_settled) {
                    return Ok(value);
                }
                let entries = entries.iter().map(|(key, value)| Ok((key.clone(), self.deep(value.clone())?)));
                entries.collect::<Result<Map>>().map(Value::map)
            }
            Value::Undefined(_) if super::is_nothing(&value) => Ok(Value::text("")),
            Value::Undefined(message) => Err(Error::undefined(&*message)),
            other => Ok(other),
        }
    }

    /// As a result leaves a template: evaluated throughout, tuples as lists, omitted members left out, times as texts.
    /// A leaf that a plan cannot know is [`Value::Unknown`].
    pub fn finalize(&self, value: Value) -> Result<Value> {
        match value {
            Value::Lazy(tree) => match &*tree {
                Tree::List(items) => {
                    let items = items.iter().map(|item| self.finalized(item));
                    Ok(Value::list(items.filter(|item| !matches!(item, Ok(Value::Omit))).collect::<Result<_>>()?))
                }
                Tree::Map(entries) => {
                    let mut map = Map::with_capacity(entries.len());
                    for (key, value) in entries {
                        let value = self.finalized(value)?;
                        if !matches!(value, Value::Omit) {
                            map.insert(self.key(key)?, value);
                        }
                    }
                    Ok(Value::map(map))
                }
                other => self.finalized(other),
            },
            Value::HostVars | Value::Host(_) => {
                let value = self.resolve(value)?;
                self.finalize(value)
            }
            Value::List(ref items) if items.iter().all(is_final) => Ok(value),
            Value::List(items) | Value::Tuple(items) => {
                let kept = items.iter().filter(|item| !matches!(item, Value::Omit)).cloned();
                kept.map(|item| self.finalize(item)).filter(|item| !matches!(item, Ok(Value::Omit))).collect::<Result<_>>().map(Value::list)
            }
            Value::Map(ref entries) if functions::is_time(entries) => super::python::text(&value).map(Value::text),
            Value::Map(ref entries) if entries.values().all(is_final) => Ok(value),
            Value::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries.iter() {
                    let value = self.finalize(value.clone())?;
                    if !matches!(value, Value::Omit) {
                        map.insert(key.clone(), value);
                    }
                }
                Ok(Value::map(map))
            }
            Value::Undefined(_) if super::is_nothing(&value) => Err(super::no_value(&value)),
            Value::Undefined(message) => Err(Error::undefined(&*message)),
            other => Ok(other),
        }
    }

    /// A tree as a final value; an unknown leaf is a value, not an error.
    pub fn finalized(&self, tree: &Tree) -> Result<Value> {
        let before = self.secret.replace(false);
        let outcome = match tree {
            Tree::Literal(value) => Ok(value.clone()),
            Tree::List(_) | Tree::Map(_) => Ok(Value::Lazy(Arc::new(tree.clone()))),
            Tree::Template(template) => self.template(template),
            Tree::Expression(template) => self.expression(template),
        };
        let outcome = outcome.and_then(|value| match (&value, tree) {
            // With the place of the leaf that used it.
            (Value::Undefined(_), Tree::Template(template) | Tree::Expression(template)) => {
                self.finalize(value).map_err(|error| error.at(template.span))
            }
            _ => self.finalize(value),
        });
        self.secret.set(before);
        match outcome {
            Err(Error { kind: ErrorKind::Unknown(cause), .. }) => Ok(Value::Unknown(cause)),
            other => other,
        }
    }

    /// The member `name` of a value, or undefined.
    pub fn attribute(&self, value: &Value, name: &str) -> Result<Value> {
        let found = match value {
            Value::Undefined(_) | Value::Unknown(_) => return Ok(value.clone()),
            Value::Lazy(tree) => match &**tree {
                Tree::Map(entries) => {
                    let literal = entries.iter().rev().find(|(key, _)| key.literal().and_then(Value::as_str) == Some(name));
                    match literal {
                        Some((_, tree)) => Some(self.child(tree)?),
                        None if entries.iter().all(|(key, _)| key.is_literal()) => None,
                        None => {
                            let resolved = self.resolve(value.clone())?;
                            return self.attribute(&resolved, name);
                        }
                    }
                }
                Tree::List(_) => None,
                _ => {
                    let resolved = self.resolve(value.clone())?;
                    return self.attribute(&resolved, name);
                }
            },
            // Ansible's implicit localhost is in no group, and not among those that a loop over `hostvars` finds.
            Value::HostVars if name == "localhost" => Some(Value::Host("localhost".into())),
            Value::HostVars => self.scope.hosts().into_iter().find(|host| **host == *name).map(Value::Host),
            Value::Host(host) => self.scope.host_variable(host, name)?,
            Value::Map(entries) if functions::is_time(entries) => functions::time_attribute(entries, name),
            Value::Map(entries) => match entries.get(name) {
                Some(lazy @ Value::Lazy(_)) => Some(self.unfolded(lazy.clone())?),
                other => other.cloned(),
            },
            Value::Text(text) => super::filters::time::attribute_of_text(text.as_str(), name),
            // What `groupby` gives are named tuples.
            Value::Tuple(items) if items.len() == 2 && name == "grouper" => items.first().cloned(),
            Value::Tuple(items) if items.len() == 2 && name == "list" => items.last().cloned(),
            _ => None,
        };
        match found {
            Some(found) => {
                self.note(&found);
                Ok(found)
            }
            None => Ok(Value::Undefined(
                format!("object of type '{}' has no attribute {}", value.type_name(), super::python::quoted(name)).into(),
            )),
        }
    }

    /// A lazy leaf's value; lazy containers stay.
    pub fn unfolded(&self, value: Value) -> Result<Value> {
        match &value {
            Value::Lazy(tree) if !matches!(**tree, Tree::List(_) | Tree::Map(_)) => self.tree(tree),
            _ => Ok(value),
        }
    }

    /// `value[key]`, or undefined.
    pub fn item(&self, value: &Value, key: &Value) -> Result<Value> {
        match (value, key) {
            (Value::Undefined(_) | Value::Unknown(_), _) => return Ok(value.clone()),
            (_, Value::Undefined(_) | Value::Unknown(_)) => return operators::known(key).map(|()| Value::Null),
            (Value::Lazy(tree), Value::Text(name)) if matches!(**tree, Tree::Map(_)) => return self.attribute(value, name.as_str()),
            (Value::HostVars | Value::Host(_), Value::Text(name)) => return self.attribute(value, name.as_str()),
            (Value::Lazy(tree), Value::Int(index)) => {
                if let Tree::List(items) = &**tree {
                    let length = items.len() as i64;
                    let at = usize::try_from(if *index < 0 { index + length } else { *index }).ok();
                    if let Some(item) = at.and_then(|at| items.get(at)) {
                        let item = self.child(item)?;
                        self.note(&item);
                        return Ok(item);
                    }
                }
            }
            _ => {}
        }
        let value = self.resolve(value.clone())?;
        let found = match &value {
            Value::List(items) | Value::Tuple(items) => match key {
                Value::Int(index) => operators::nth(items, *index).cloned(),
                Value::Bool(truth) => operators::nth(items, i64::from(*truth)).cloned(),
                _ => None,
            },
            Value::Map(entries) => Key::from_value(key).and_then(|key| entries.get(&key).cloned()),
            Value::Text(text) => match key {
                Value::Int(index) => {
                    let letters: Vec<char> = text.as_str().chars().collect();
                    let index = if *index < 0 { index + letters.len() as i64 } else { *index };
                    usize::try_from(index).ok().and_then(|index| letters.get(index)).map(|letter| Value::text(letter.to_string()))
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(found) = found {
            let found = self.unfolded(found)?;
            self.note(&found);
            return Ok(found);
        }
        Ok(match key {
            Value::Text(name) => self.attribute(&value, name.as_str())?,
            Value::Int(0) | Value::Null => {
                let owner = match &value {
                    Value::Null => "None".to_owned(),
                    other => format!("{} object", other.type_name()),
                };
                Value::Undefined(format!("{owner} has no element {}", super::python::repr(key)?).into())
            }
            key => {
                Value::Undefined(format!("object of type '{}' has no attribute {}", value.type_name(), super::python::repr(key)?).into())
            }
        })
    }
}

fn is_settled(value: &Value) -> bool {
    match value {
        Value::Lazy(_) | Value::HostVars | Value::Host(_) | Value::Undefined(_) => false,
        Value::List(items) | Value::Tuple(items) => items.iter().all(is_settled),
        Value::Map(entries) => entries.values().all(is_settled),
        _ => true,
    }
}

fn is_final(value: &Value) -> bool {
    match value {
        Value::Lazy(_) | Value::HostVars | Value::Host(_) | Value::Undefined(_) | Value::Tuple(_) | Value::Omit => false,
        Value::List(items) => items.iter().all(is_final),
        Value::Map(entries) => !functions::is_time(entries) && entries.values().all(is_final),
        _ => true,
    }
}

fn trailing_newlines(text: &str) -> usize {
    text.len() - text.trim_end_matches('\n').len()
}

/// A syntax error's relative place as one in the user's file.
fn placed(mut error: Error, start: Span) -> Error {
    if let Some(place) = error.span {
        error.span = Some(syntax::relative(start, place.line, place.column));
    }
    error
}

/// What a local name holds: a value, or what only a template knows.
#[derive(Clone)]
pub enum Local {
    Value(Value),
    Namespace(Rc<RefCell<Map>>),
    Macro(Rc<Closure>),
    Loop(Rc<Loop>),
    Module(Rc<Frame>),
    Cycler(Rc<(Vec<Value>, Cell<usize>)>),
    Joiner(Rc<(String, Cell<bool>)>),
}

pub type Frame = RefCell<HashMap<Arc<str>, Local>>;

/// A macro with the frames it was defined in.
pub struct Closure {
    pub definition: Arc<syntax::Macro>,
    pub frames: Vec<Rc<Frame>>,
}

/// The `loop` of a `{% for %}`.
pub struct Loop {
    pub items: Vec<Value>,
    pub index: Cell<usize>,
    pub depth: usize,
    pub statement: Arc<syntax::For>,
    pub changed: RefCell<Option<Vec<Value>>>,
}

/// The evaluation of one parsed text.
pub struct Context<'run, 'scope> {
    pub evaluator: &'run Evaluator<'scope>,
    pub parsed: &'run Parsed,
    pub start: Span,
    pub options: &'run Options,
    pub frames: RefCell<Vec<Rc<Frame>>>,
    pub blocks: RefCell<HashMap<Arc<str>, Vec<Arc<Vec<Statement>>>>>,
    pub renders_constants: bool,
    /// Block name and level that are being rendered, for `super()`.
    pub rendering: RefCell<Vec<(Arc<str>, usize)>>,
}

impl<'run, 'scope> Context<'run, 'scope> {
    pub fn new(evaluator: &'run Evaluator<'scope>, parsed: &'run Parsed, start: Span, options: &'run Options) -> Self {
        Self {
            evaluator,
            parsed,
            start,
            options,
            frames: RefCell::new(vec![Rc::default()]),
            blocks: RefCell::default(),
            renders_constants: false,
            rendering: RefCell::default(),
        }
    }

    pub fn span(&self, at: u32) -> Span {
        self.parsed.span(self.start, at)
    }

    /// The error of using an undefined value that the node gave.
    pub fn undefined(&self, node: &Node, value: &Value) -> Error {
        let Value::Undefined(message) = value else { return Error::failed("not undefined") };
        if super::is_nothing(value) {
            return super::no_value(value).at(self.span(node.at));
        }
        let mut error = Error::undefined(&**message).at(self.span(node.at));
        if let Some(hint) = self.suggestion(node) {
            error = error.hint(hint);
        }
        error
    }

    fn suggestion(&self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Name(name) => {
                let mut names = self.evaluator.scope.names();
                names.extend(self.frames.borrow().iter().flat_map(|frame| frame.borrow().keys().cloned().collect::<Vec<_>>()));
                suggest::hint(name, names.iter().map(|name| &**name))
            }
            Kind::Attribute(base, name) => {
                let base = self.evaluator.resolve(self.evaluate(base).ok()?).ok()?;
                let keys: Vec<_> = base
                    .as_map()?
                    .keys()
                    .filter_map(|key| match key {
                        Key::Text(text) => Some(Arc::clone(text)),
                        _ => None,
                    })
                    .collect();
                suggest::hint(name, keys.iter().map(|name| &**name))
            }
            Kind::Filter { input: Some(input), .. } => self.suggestion(input),
            _ => None,
        }
    }

    /// The node's value for an operation that looks into it: neither lazy at its top, nor undefined, nor unknown.
    pub fn used(&self, node: &Node) -> Result<Value> {
        let value = self.evaluate(node)?;
        let value = self.evaluator.resolve(value)?;
        match &value {
            Value::Undefined(_) if super::is_nothing(&value) => Ok(Value::text("")),
            Value::Undefined(_) => Err(self.undefined(node, &value)),
            Value::Unknown(cause) => Err(Error::unknown(Arc::clone(cause)).at(self.span(node.at))),
            _ => Ok(value),
        }
    }

    /// The same, evaluated throughout, everything inside read.
    pub fn used_deep(&self, node: &Node) -> Result<Value> {
        let value = self.used(node)?;
        let value = self.evaluator.deep(value).map_err(|error| error.at(self.span(node.at)))?;
        self.evaluator.note_all(&value);
        Ok(value)
    }

    /// A local name.
    pub fn local(&self, name: &str) -> Option<Local> {
        self.frames.borrow().iter().rev().find_map(|frame| frame.borrow().get(name).cloned())
    }

    /// Sets a name in the innermost frame.
    pub fn set(&self, name: &Arc<str>, local: Local) {
        if let Some(frame) = self.frames.borrow().last() {
            frame.borrow_mut().insert(Arc::clone(name), local);
        }
    }

    /// Runs with a frame of its own.
    pub fn scoped<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        self.frames.borrow_mut().push(Rc::default());
        let outcome = run();
        self.frames.borrow_mut().pop();
        outcome
    }

    fn name(&self, name: &Arc<str>) -> Result<Value> {
        if let Some(local) = self.local(name) {
            return match local {
                Local::Value(value) => Ok(value),
                Local::Namespace(entries) => Ok(Value::map(entries.borrow().clone())),
                Local::Loop(current) => self.loop_value(&current),
                Local::Macro(_) | Local::Module(_) | Local::Cycler(_) | Local::Joiner(_) => {
                    Err(Error::failed(format!("'{name}' can be called or read from, it is not a value by itself")))
                }
            };
        }
        if let Some(tree) = self.evaluator.scope.variable(name)? {
            let value = self.evaluator.tree(&tree)?;
            self.evaluator.note(&value);
            return Ok(value);
        }
        match &**name {
            "omit" => Ok(Value::Omit),
            "hostvars" => Ok(Value::HostVars),
            "vars" => self.all_variables(),
            _ => Ok(Value::Undefined(format!("'{name}' is undefined").into())),
        }
    }

    fn all_variables(&self) -> Result<Value> {
        let mut map = Map::new();
        for name in self.evaluator.scope.names() {
            if let Some(tree) = self.evaluator.scope.variable(&name)? {
                let value = match &*tree {
                    Tree::Literal(value) => value.clone(),
                    _ => Value::Lazy(tree),
                };
                map.insert(Key::Text(name), value);
            }
        }
        Ok(Value::map(map))
    }

    /// The node's value: perhaps lazy, undefined or unknown.
    pub fn evaluate(&self, node: &Node) -> Result<Value> {
        self.evaluate_kind(node).map_err(|error| error.at(self.span(node.at)))
    }

    fn evaluate_kind(&self, node: &Node) -> Result<Value> {
        match &node.kind {
            Kind::Const(value) => Ok(value.clone()),
            Kind::Embedded(text) if self.renders_constants => self.embedded(text, node.at),
            Kind::Embedded(text) => Ok(Value::text(Arc::clone(text))),
            Kind::Name(name) => self.name(name),
            Kind::Slice { of, start, stop, step } => self.slice(of, start.as_deref(), stop.as_deref(), step.as_deref()),
            Kind::Not(inner) => Ok(Value::Bool(!self.used(inner)?.is_truthy())),
            Kind::Negate(inner) => operators::negate(&self.used(inner)?),
            Kind::Binary(operator, left, right) => self.binary(*operator, left, right),
            Kind::Compare(first, rest) => {
                let mut left = self.used_deep(first)?;
                for (operator, right) in rest {
                    let right = self.used_deep(right)?;
                    if !compare(*operator, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Kind::If { test, then, otherwise } => {
                if self.used(test)?.is_truthy() {
                    self.evaluate(then)
                } else if let Some(otherwise) = otherwise {
                    self.evaluate(otherwise)
                } else {
                    Ok(super::nothing(self.parsed.place(node.at).0))
                }
            }
            Kind::Filter { name, input, arguments } => {
                let input = match input {
                    Some(input) => self.evaluate(input)?,
                    None => Value::Null,
                };
                let arguments = self.arguments(arguments, false)?;
                filters::apply(self, name, input, arguments)
            }
            Kind::Test { name, input, arguments } => {
                let input = self.test_input(name, input)?;
                let arguments = self.arguments(arguments, false)?;
                tests::apply(self, name, input, arguments)
            }
            Kind::Attribute(base, name) => self.attribute(base, name),
            Kind::Item(base, key) => {
                let key = self.used(key)?;
                if let (Kind::Name(name), Value::Text(text)) = (&base.kind, &key) {
                    match self.local(name) {
                        Some(Local::Namespace(entries)) => {
                            return self.evaluator.attribute(&Value::map(entries.borrow().clone()), text.as_str());
                        }
                        None if &**name == "vars" && self.evaluator.scope.variable(name)?.is_none() => {
                            let key = text.shared();
                            return match self.evaluator.scope.variable(&key)? {
                                Some(tree) => {
                                    let value = self.evaluator.tree(&tree)?;
                                    self.evaluator.note(&value);
                                    Ok(value)
                                }
                                None => Ok(Value::Undefined(format!("object of type 'dict' has no attribute '{key}'").into())),
                            };
                        }
                        _ => {}
                    }
                }
                let base = self.evaluate(base)?;
                self.evaluator.item(&base, &key)
            }
            Kind::Call(callee, arguments) => functions::call(self, callee, arguments),
            Kind::List(items) => Ok(Value::list(items.iter().map(|item| self.evaluate(item)).collect::<Result<_>>()?)),
            Kind::Tuple(items) => Ok(Value::Tuple(Arc::new(items.iter().map(|item| self.evaluate(item)).collect::<Result<_>>()?))),
            Kind::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = self.used(key)?;
                    let key = Key::from_value(&key).ok_or_else(|| Error::failed(format!("unhashable type: '{}'", key.type_name())))?;
                    map.insert(key, self.evaluate(value)?);
                }
                Ok(Value::map(map))
            }
        }
    }

    /// `defined` and its like are asked of a name that may be a macro too.
    fn test_input(&self, test: &str, input: &Node) -> Result<Value> {
        if let Kind::Name(name) = &input.kind {
            match self.local(name) {
                Some(Local::Value(_)) | None => {}
                Some(_) if matches!(test, "defined" | "undefined" | "callable") => return Ok(Value::text("<macro>")),
                Some(_) => {}
            }
        }
        self.evaluate(input)
    }

    fn attribute(&self, base: &Node, name: &Arc<str>) -> Result<Value> {
        if let Kind::Name(variable) = &base.kind {
            match self.local(variable) {
                Some(Local::Namespace(entries)) => {
                    let entries = entries.borrow();
                    return Ok(entries
                        .get(&**name)
                        .cloned()
                        .unwrap_or_else(|| Value::Undefined(format!("object of type 'Namespace' has no attribute '{name}'").into())));
                }
                Some(Local::Loop(current)) => return self.loop_attribute(&current, name),
                Some(Local::Cycler(cycler)) if &**name == "current" => {
                    return Ok(cycler.0.get(cycler.1.get()).cloned().unwrap_or_default());
                }
                Some(Local::Cycler(_)) => {
                    return Ok(Value::Undefined(format!("object of type 'Cycler' has no attribute '{name}'").into()));
                }
                Some(Local::Module(frame)) => {
                    return Ok(match frame.borrow().get(name) {
                        Some(Local::Value(value)) => value.clone(),
                        Some(_) => return Err(Error::failed(format!("'{name}' is a macro: call it"))),
                        None => Value::Undefined(format!("the template does not export '{name}'").into()),
                    });
                }
                Some(Local::Macro(closure)) if &**name == "name" => return Ok(Value::text(Arc::clone(&closure.definition.name))),
                _ => {}
            }
        }
        let base = self.evaluate(base)?;
        if methods::exists(&base, name) {
            return Err(Error::failed(format!("'{name}' is a method of '{}'", base.type_name()))
                .hint(format!("write `.{name}()` to call it, or `['{name}']` for the member of that name")));
        }
        self.evaluator.attribute(&base, name)
    }

    /// Renders a string constant that is a template.
    pub fn embedded(&self, text: &Arc<str>, at: u32) -> Result<Value> {
        let value = self.evaluator.template(&Template { source: Arc::clone(text), span: self.span(at) })?;
        self.evaluator.note(&value);
        Ok(value)
    }

    fn slice(&self, of: &Node, start: Option<&Node>, stop: Option<&Node>, step: Option<&Node>) -> Result<Value> {
        let of = match self.evaluate(of)? {
            undefined @ (Value::Undefined(_) | Value::Unknown(_)) => return Ok(undefined),
            value => self.evaluator.resolve(value)?,
        };
        let index = |node: Option<&Node>| -> Result<Option<i64>> {
            match node.map(|node| self.used(node)).transpose()? {
                None | Some(Value::Null) => Ok(None),
                Some(Value::Int(index)) => Ok(Some(index)),
                Some(Value::Bool(truth)) => Ok(Some(i64::from(truth))),
                Some(_) => Err(Error::failed("slice indices must be integers or None or have an __index__ method")),
            }
        };
        operators::slice(&of, index(start)?, index(stop)?, index(step)?)
    }

    fn binary(&self, operator: BinOpKind, left: &Node, right: &Node) -> Result<Value> {
        match operator {
            BinOpKind::ScAnd => {
                let first = self.used(left)?;
                return if first.is_truthy() { self.evaluate(right) } else { Ok(first) };
            }
            BinOpKind::ScOr => {
                let first = self.used(left)?;
                return if first.is_truthy() { Ok(first) } else { self.evaluate(right) };
            }
            BinOpKind::In => {
                let item = self.used_deep(left)?;
                let container = self.used(right)?;
                let container = if matches!(container, Value::Map(_)) { container } else { self.evaluator.deep(container)? };
                self.evaluator.note_all(&container);
                return operators::contains(&container, &item).map(Value::Bool);
            }
            BinOpKind::Add => {
                // Lists are joined without reading their members.
                let (left, right) = (self.used(left)?, self.used(right)?);
                return operators::add(&left, &right);
            }
            _ => {}
        }
        let left = self.used_deep(left)?;
        let right = self.used_deep(right)?;
        match operator {
            BinOpKind::Eq => operators::equals(&left, &right).map(Value::Bool),
            BinOpKind::Ne => operators::equals(&left, &right).map(|equal| Value::Bool(!equal)),
            BinOpKind::Lt => ordered(CompareOpKind::Lt, &left, &right).map(Value::Bool),
            BinOpKind::Lte => ordered(CompareOpKind::Lte, &left, &right).map(Value::Bool),
            BinOpKind::Gt => ordered(CompareOpKind::Gt, &left, &right).map(Value::Bool),
            BinOpKind::Gte => ordered(CompareOpKind::Gte, &left, &right).map(Value::Bool),
            BinOpKind::Sub => functions::subtract_times(&left, &right).map_or_else(|| operators::subtract(&left, &right), Ok),
            BinOpKind::Mul => operators::multiply(&left, &right),
            BinOpKind::Div => operators::divide(&left, &right),
            BinOpKind::FloorDiv => operators::divide_floor(&left, &right),
            BinOpKind::Rem => operators::remainder(&left, &right),
            BinOpKind::Pow => operators::power(&left, &right),
            BinOpKind::Concat => operators::concatenate(&left, &right),
            BinOpKind::Add | BinOpKind::In | BinOpKind::ScAnd | BinOpKind::ScOr => Err(Error::failed("an operator out of place")),
        }
    }

    /// Evaluates a call's arguments. String constants that are templates are rendered where `render` says so.
    pub fn arguments(&self, arguments: &[Argument], render: bool) -> Result<Arguments> {
        let mut result = Arguments::default();
        let evaluate = |node: &Node| match &node.kind {
            Kind::Embedded(text) if render => self.embedded(text, node.at),
            _ => self.evaluate(node),
        };
        for argument in arguments {
            match argument {
                Argument::Positional(node) => result.positional.push(evaluate(node)?),
                Argument::Named(name, node) => result.named.push((Arc::clone(name), self.evaluate(node)?)),
                Argument::Spread(node) => {
                    let items = self.used(node)?;
                    result.positional.extend(operators::items(&items)?);
                }
                Argument::SpreadNamed(node) => match self.used(node)? {
                    Value::Map(entries) => {
                        for (key, value) in entries.iter() {
                            result.named.push((key.text().into(), value.clone()));
                        }
                    }
                    other => return Err(Error::failed(format!("argument after ** must be a mapping, not {}", other.type_name()))),
                },
            }
        }
        Ok(result)
    }
}

fn ordered(operator: CompareOpKind, left: &Value, right: &Value) -> Result<bool> {
    compare(operator, left, right)
}

fn compare(operator: CompareOpKind, left: &Value, right: &Value) -> Result<bool> {
    let order = |sign: &str| operators::compare(sign, left, right);
    Ok(match operator {
        CompareOpKind::Eq => operators::equals(left, right)?,
        CompareOpKind::Ne => !operators::equals(left, right)?,
        CompareOpKind::Lt => order("<")? == Some(Ordering::Less),
        CompareOpKind::Lte => matches!(order("<=")?, Some(Ordering::Less | Ordering::Equal)),
        CompareOpKind::Gt => order(">")? == Some(Ordering::Greater),
        CompareOpKind::Gte => matches!(order(">=")?, Some(Ordering::Greater | Ordering::Equal)),
        CompareOpKind::In => operators::contains(right, left)?,
        CompareOpKind::NotIn => !operators::contains(right, left)?,
    })
}
