//! Renders statements: texts, loops, conditions, assignments, macros, included files.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Arguments;
use super::evaluate::{Closure, Context, Frame, Local, Loop};
use super::syntax::{self, Body, For, Macro, Node, Statement, Target};
use super::{Error, Result, filters, operators, python};
use crate::program::{Map, Span, Value};

/// What statements gave, each with the place of the expression that a value is from.
pub type Parts = Vec<(Value, Option<Span>)>;

impl Context<'_, '_> {
    /// A body's value: what its parts give, joined to text unless there is just one.
    pub fn body(&self, statements: &[Statement]) -> Result<Value> {
        let mut parts = Vec::new();
        self.statements(statements, &mut parts)?;
        self.joined(parts)
    }

    /// As Ansible joins the parts of a template: `none` and `omit` vanish, a single part keeps its type.
    pub fn joined(&self, mut parts: Parts) -> Result<Value> {
        parts.retain(|(part, _)| !matches!(part, Value::Null));
        match parts.len() {
            0 => return Ok(Value::Null),
            1 => return Ok(parts.remove(0).0),
            _ => {}
        }
        let mut output = String::new();
        for (part, span) in parts {
            match part {
                Value::Text(text) => {
                    self.evaluator.note(&Value::Text(text.clone()));
                    output.push_str(text.as_str());
                }
                Value::Omit => {}
                part if super::is_nothing(&part) => {}
                part => {
                    // A member that is undefined shows only now that the whole is written.
                    let part = self.evaluator.finalize(part).map_err(|error| match span {
                        Some(span) => error.at(span),
                        None => error,
                    })?;
                    self.evaluator.note_all(&part);
                    output.push_str(&python::text(&part)?);
                }
            }
        }
        Ok(Value::text(output))
    }

    pub fn statements(&self, statements: &[Statement], parts: &mut Parts) -> Result<()> {
        for (index, statement) in statements.iter().enumerate() {
            if let Statement::Extends(name) = statement {
                // What follows only defines blocks; the parent renders.
                return self.extends(name, &statements[index + 1..], parts);
            }
            self.statement(statement, parts)?;
        }
        Ok(())
    }

    fn statement(&self, statement: &Statement, parts: &mut Parts) -> Result<()> {
        match statement {
            Statement::Text(text) => parts.push((Value::text(Arc::clone(text)), None)),
            Statement::Emit(node) => {
                let value = self.evaluate(node)?;
                if matches!(value, Value::Undefined(_)) && !super::is_nothing(&value) {
                    return Err(self.undefined(node, &value));
                }
                parts.push((value, Some(self.span(node.at))));
            }
            Statement::For(repeat) => self.repeat(repeat, None, 0, parts)?,
            Statement::If { test, then, otherwise } => {
                let body = if self.used(test)?.is_truthy() { then } else { otherwise };
                self.statements(body, parts)?;
            }
            Statement::With(assignments, body) => {
                // The values are read outside of the new scope.
                let values = assignments.iter().map(|(_, node)| self.local_value(node)).collect::<Result<Vec<_>>>()?;
                self.scoped(|| {
                    for ((target, _), value) in assignments.iter().zip(values) {
                        self.assign(target, value)?;
                    }
                    self.statements(body, parts)
                })?;
            }
            Statement::Set(target, node) => {
                let value = self.local_value(node)?;
                self.assign(target, value)?;
            }
            Statement::SetBlock(target, filter, body) => {
                let mut value = self.scoped(|| self.body(body))?;
                if let Some(filter) = filter {
                    value = self.filtered(filter, value)?;
                }
                self.assign(target, Local::Value(value))?;
            }
            Statement::Scope(body) => self.scoped(|| self.statements(body, parts))?,
            Statement::Filter(filter, body) => {
                let value = self.scoped(|| self.body(body))?;
                parts.push((self.filtered(filter, value)?, None));
            }
            Statement::Block(name, body) => {
                let chosen = {
                    let mut blocks = self.blocks.borrow_mut();
                    let levels = blocks.entry(Arc::clone(name)).or_default();
                    if !levels.iter().any(|known| Arc::ptr_eq(known, body)) {
                        levels.push(Arc::clone(body));
                    }
                    levels.first().cloned()
                };
                self.block(name, 0, chosen, parts)?;
            }
            Statement::Extends(name) => self.extends(name, &[], parts)?,
            Statement::Include { name, ignore_missing } => self.include(name, *ignore_missing, parts)?,
            Statement::Import(name, alias) => {
                let frame = self.module(name)?;
                self.set(alias, Local::Module(frame));
            }
            Statement::FromImport(name, names) => {
                let frame = self.module(name)?;
                for (name, alias) in names {
                    let local = frame.borrow().get(name).cloned();
                    let local = local.unwrap_or_else(|| {
                        Local::Value(Value::Undefined(format!("the imported template does not export the requested name '{name}'").into()))
                    });
                    self.set(alias, local);
                }
            }
            Statement::Macro(definition) => {
                let closure = Closure { definition: Arc::clone(definition), frames: self.frames.borrow().clone() };
                self.set(&definition.name, Local::Macro(Rc::new(closure)));
            }
            Statement::CallBlock(call, definition) => {
                let closure = Closure { definition: Arc::clone(definition), frames: self.frames.borrow().clone() };
                let value = self.scoped(|| {
                    self.set(&"caller".into(), Local::Macro(Rc::new(closure)));
                    self.evaluate(call)
                })?;
                parts.push((value, Some(self.span(call.at))));
            }
            Statement::Do(node) => {
                return Err(Error::syntax("encountered unknown tag 'do'")
                    .hint("write `{% set _ = … %}`: the `do` extension is off in Ansible too")
                    .at(self.span(node.at)));
            }
        }
        Ok(())
    }

    /// An expression's value for a local name: a namespace or macro stays what it is.
    pub fn local_value(&self, node: &Node) -> Result<Local> {
        match &node.kind {
            syntax::Kind::Name(name) => match self.local(name) {
                Some(Local::Value(value)) => Ok(Local::Value(value)),
                Some(local) => Ok(local),
                None => self.evaluate(node).map(Local::Value),
            },
            syntax::Kind::Call(callee, arguments) => match super::functions::object(self, callee, arguments)? {
                Some(local) => Ok(local),
                None => self.evaluate(node).map(Local::Value),
            },
            _ => self.evaluate(node).map(Local::Value),
        }
    }

    pub fn assign(&self, target: &Target, local: Local) -> Result<()> {
        match (target, local) {
            (Target::Name(name), local) => self.set(name, local),
            (Target::Attribute(name, attribute), Local::Value(value)) => match self.local(name) {
                Some(Local::Namespace(entries)) => {
                    entries.borrow_mut().insert(Arc::clone(attribute).into(), value);
                }
                _ => {
                    return Err(Error::failed("cannot assign attribute on non-namespace object")
                        .hint(format!("make it with `{{% set {name} = namespace() %}}`")));
                }
            },
            (Target::Tuple(targets), Local::Value(value)) => {
                let items = operators::items(&self.evaluator.resolve(value)?)?;
                if items.len() < targets.len() {
                    return Err(Error::failed(format!("not enough values to unpack (expected {}, got {})", targets.len(), items.len())));
                }
                if items.len() > targets.len() {
                    return Err(Error::failed(format!("too many values to unpack (expected {})", targets.len())));
                }
                for (target, item) in targets.iter().zip(items) {
                    let item = self.evaluator.unfolded(item)?;
                    self.assign(target, Local::Value(item))?;
                }
            }
            _ => return Err(Error::failed("cannot unpack this value")),
        }
        Ok(())
    }

    /// A `{% for %}`; inside of `loop(…)` over other items and one level deeper.
    pub fn repeat(&self, repeat: &Arc<For>, over: Option<Value>, depth: usize, parts: &mut Parts) -> Result<()> {
        let iterable = match over {
            Some(value) => self.evaluator.resolve(value)?,
            None => self.used(&repeat.iterable)?,
        };
        let mut items = operators::items(&iterable).map_err(|error| error.at(self.span(repeat.iterable.at)))?;
        if let Some(condition) = &repeat.condition {
            let mut kept = Vec::new();
            for item in items {
                let chosen = self.scoped(|| {
                    let item = self.evaluator.unfolded(item.clone())?;
                    self.evaluator.note(&item);
                    self.assign(&repeat.target, Local::Value(item))?;
                    Ok(self.used(condition)?.is_truthy())
                })?;
                if chosen {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.scoped(|| self.statements(&repeat.otherwise, parts));
        }
        let current = Rc::new(Loop { items, index: Cell::new(0), depth, statement: Arc::clone(repeat), changed: RefCell::default() });
        for index in 0..current.items.len() {
            current.index.set(index);
            self.scoped(|| {
                let item = self.evaluator.unfolded(current.items[index].clone())?;
                self.evaluator.note(&item);
                self.set(&"loop".into(), Local::Loop(Rc::clone(&current)));
                self.assign(&repeat.target, Local::Value(item))?;
                self.statements(&repeat.body, parts)
            })?;
        }
        Ok(())
    }

    pub fn loop_attribute(&self, current: &Loop, name: &str) -> Result<Value> {
        let (index, length) = (current.index.get(), current.items.len());
        let number = |number: usize| Value::Int(number as i64);
        Ok(match name {
            "index" => number(index + 1),
            "index0" => number(index),
            "revindex" => number(length - index),
            "revindex0" => number(length - index - 1),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == length),
            "length" => number(length),
            "depth" => number(current.depth + 1),
            "depth0" => number(current.depth),
            "previtem" | "nextitem" => {
                let at = if name == "nextitem" { Some(index + 1) } else { index.checked_sub(1) };
                match at.and_then(|at| current.items.get(at)) {
                    Some(item) => self.evaluator.unfolded(item.clone())?,
                    None => Value::Undefined(format!("there is no {} item", if name == "nextitem" { "next" } else { "previous" }).into()),
                }
            }
            other => Value::Undefined(format!("object of type 'LoopContext' has no attribute '{other}'").into()),
        })
    }

    /// The loop as it stands, for a macro that is given it.
    pub fn loop_value(&self, current: &Loop) -> Result<Value> {
        const NAMES: [&str; 11] =
            ["index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem", "nextitem"];
        let mut entries = Map::new();
        for name in NAMES {
            let value = self.loop_attribute(current, name)?;
            if !matches!(value, Value::Undefined(_)) {
                entries.insert(name.into(), value);
            }
        }
        Ok(Value::map(entries))
    }

    /// Runs a `{% filter %}` or `{% set x | filter %}` chain, whose innermost filter has no input.
    fn filtered(&self, node: &Node, value: Value) -> Result<Value> {
        let syntax::Kind::Filter { name, input, arguments } = &node.kind else { return Ok(value) };
        let value = match input {
            Some(input) => self.filtered(input, value)?,
            None => value,
        };
        let arguments = self.arguments(arguments, false)?;
        filters::apply(self, name, value, arguments).map_err(|error| error.at(self.span(node.at)))
    }

    /// Calls a macro.
    pub fn call_macro(&self, closure: &Closure, arguments: Arguments, caller: Option<Local>) -> Result<Value> {
        let definition: &Macro = &closure.definition;
        let frame: Rc<Frame> = Rc::default();
        let mut positional = arguments.positional.into_iter();
        let mut named = arguments.named;
        let outer = self.frames.replace(closure.frames.clone());
        self.frames.borrow_mut().push(Rc::clone(&frame));
        let outcome = (|| {
            for (name, default) in &definition.parameters {
                let given = match positional.next() {
                    Some(value) => Some(value),
                    None => named.iter().position(|(known, _)| known == name).map(|position| named.remove(position).1),
                };
                let value = match (given, default) {
                    (Some(value), _) => value,
                    (None, Some(default)) => self.evaluate(default)?,
                    (None, None) => Value::Undefined(format!("parameter '{name}' was not provided").into()),
                };
                frame.borrow_mut().insert(Arc::clone(name), Local::Value(value));
            }
            if let Some(caller) = caller {
                frame.borrow_mut().insert("caller".into(), caller);
            }
            let rest: Vec<Value> = positional.collect();
            if definition.takes_varargs {
                frame.borrow_mut().insert("varargs".into(), Local::Value(Value::Tuple(Arc::new(rest))));
            } else if !rest.is_empty() {
                return Err(Error::failed(format!(
                    "macro '{}' takes not more than {} argument(s)",
                    definition.name,
                    definition.parameters.len()
                )));
            }
            if definition.takes_kwargs {
                let further: Map = named.into_iter().map(|(name, value)| (name.into(), value)).collect();
                frame.borrow_mut().insert("kwargs".into(), Local::Value(Value::map(further)));
            } else if let Some((name, _)) = named.first() {
                return Err(Error::failed(format!("macro '{}' takes no keyword argument '{name}'", definition.name)));
            }
            self.body(&definition.body)
        })();
        self.frames.replace(outer);
        outcome
    }

    fn names(&self, node: &Node) -> Result<Vec<String>> {
        match self.used_deep(node)? {
            Value::Text(text) => Ok(vec![text.as_str().to_owned()]),
            Value::List(names) | Value::Tuple(names) => {
                names.iter().map(|name| super::arguments::strict_text(name).map(str::to_owned)).collect()
            }
            other => Err(Error::failed(format!("a template's name must be a text, not '{}'", other.type_name()))),
        }
    }

    fn include(&self, node: &Node, ignore_missing: bool, parts: &mut Parts) -> Result<()> {
        let mut failure = None;
        for name in self.names(node)? {
            let Some(template) = self.evaluator.scope.template_source(&name)? else {
                failure.get_or_insert_with(|| Error::failed(format!("template '{name}' was not found")));
                continue;
            };
            let options = syntax::Options { escape_backslashes: false, ..self.options.clone() };
            let parsed = syntax::template(&template.source, &options)?;
            let Body::Template(statements) = &parsed.body else { continue };
            let context = Context::new(self.evaluator, &parsed, template.span, &options);
            let mut frames = self.frames.borrow().clone();
            frames.push(Rc::default());
            context.frames.replace(frames);
            let mut included = Vec::new();
            context.statements(statements, &mut included)?;
            parts.append(&mut included);
            return Ok(());
        }
        match failure {
            Some(error) if !ignore_missing => Err(error),
            _ => Ok(()),
        }
    }

    /// The names that a template file sets at its top.
    fn module(&self, node: &Node) -> Result<Rc<Frame>> {
        let mut names = self.names(node)?.into_iter();
        let name = names.next().unwrap_or_default();
        let Some(template) = self.evaluator.scope.template_source(&name)? else {
            return Err(Error::failed(format!("template '{name}' was not found")));
        };
        let options = syntax::Options { escape_backslashes: false, ..self.options.clone() };
        let parsed = syntax::template(&template.source, &options)?;
        let frame: Rc<Frame> = Rc::default();
        if let Body::Template(statements) = &parsed.body {
            let context = Context::new(self.evaluator, &parsed, template.span, &options);
            let mut frames = self.frames.borrow().clone();
            frames.push(Rc::clone(&frame));
            context.frames.replace(frames);
            context.statements(statements, &mut Vec::new())?;
        }
        Ok(frame)
    }

    fn extends(&self, name: &Node, rest: &[Statement], parts: &mut Parts) -> Result<()> {
        self.define_blocks(rest);
        let mut ignored = Vec::new();
        for statement in rest {
            if matches!(
                statement,
                Statement::Set(..) | Statement::SetBlock(..) | Statement::Macro(_) | Statement::Import(..) | Statement::FromImport(..)
            ) {
                self.statement(statement, &mut ignored)?;
            }
        }
        let name = self.names(name)?.into_iter().next().unwrap_or_default();
        let Some(template) = self.evaluator.scope.template_source(&name)? else {
            return Err(Error::failed(format!("template '{name}' was not found")));
        };
        let options = syntax::Options { escape_backslashes: false, ..self.options.clone() };
        let parsed = syntax::template(&template.source, &options)?;
        let Body::Template(statements) = &parsed.body else { return Ok(()) };
        let context = Context::new(self.evaluator, &parsed, template.span, &options);
        context.frames.replace(self.frames.borrow().clone());
        context.blocks.replace(self.blocks.borrow().clone());
        context.define_blocks(statements);
        context.statements(statements, parts)
    }

    fn define_blocks(&self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Block(name, body) => {
                    let mut blocks = self.blocks.borrow_mut();
                    let levels = blocks.entry(Arc::clone(name)).or_default();
                    if !levels.iter().any(|known| Arc::ptr_eq(known, body)) {
                        levels.push(Arc::clone(body));
                    }
                    drop(blocks);
                    self.define_blocks(body);
                }
                Statement::If { then, otherwise, .. } => {
                    self.define_blocks(then);
                    self.define_blocks(otherwise);
                }
                Statement::Scope(body) | Statement::With(_, body) => self.define_blocks(body),
                Statement::For(repeat) => self.define_blocks(&repeat.body),
                _ => {}
            }
        }
    }

    fn block(&self, name: &Arc<str>, level: usize, body: Option<Arc<Vec<Statement>>>, parts: &mut Parts) -> Result<()> {
        let Some(body) = body else { return Ok(()) };
        self.rendering.borrow_mut().push((Arc::clone(name), level));
        let outcome = self.scoped(|| self.statements(&body, parts));
        self.rendering.borrow_mut().pop();
        outcome
    }

    /// `super()`: the block of the same name one template up.
    pub fn parent_block(&self) -> Result<Value> {
        let Some((name, level)) = self.rendering.borrow().last().cloned() else {
            return Err(Error::failed("super() is only for blocks"));
        };
        let parent = self.blocks.borrow().get(&name).and_then(|levels| levels.get(level + 1).cloned());
        if parent.is_none() {
            return Err(Error::failed(format!("there is no parent block called '{name}'")));
        }
        let mut parts = Vec::new();
        self.block(&name, level + 1, parent, &mut parts)?;
        self.joined(parts)
    }
}
