//! Evaluates gotmpl's tree with Go's rules over [`Value`]s, and keeps from where each piece of the output came.
//!
//! Source of the rules: Go's text/template/exec.go. A field of nil is nil where nil is what the expression starts with
//! (`(.Values.a).b`), and a mistake after a map's missing key (`.Values.a.b`): so Helm's `missingkey=zero` has it.

use std::rc::Rc;

use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, Number, PipeNode, Pos, TemplateNode};

use super::fault::{At, Fault, Texts};
use super::function::{self, Fail};
use super::parse::{self, Definition, Definitions};
use super::print;
use super::value::{Object, Value};
use crate::source::did_you_mean;

/// Templates that may call each other, innermost included; Go stops later, at its stack's end or Helm's 1000.
const DEPTH: usize = 100;

/// What an action prints for nil; Helm takes it out of the whole output.
pub const NO_VALUE: &str = "<no value>";

type Outcome<T> = Result<T, Box<Fault>>;

/// What was rendered, piece by piece.
#[derive(Debug, Default)]
pub struct Output {
    pub text: String,
    pub pieces: Vec<Piece>,
}

/// From `start` on the output came from there.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub start: usize,
    pub at: At,
    /// The output is the template's own text, character by character.
    pub verbatim: bool,
}

impl Output {
    fn push(&mut self, text: &str, at: At, verbatim: bool) {
        if !text.is_empty() {
            self.pieces.push(Piece { start: self.text.len(), at, verbatim });
            self.text.push_str(text);
        }
    }

    /// Without Go's `<no value>`, as Helm leaves it.
    #[must_use]
    pub fn cleaned(self) -> Self {
        let mut clean = Self::default();
        for (index, piece) in self.pieces.iter().enumerate() {
            let end = self.pieces.get(index + 1).map_or(self.text.len(), |next| next.start);
            clean.push(&self.text[piece.start..end].replace(NO_VALUE, ""), piece.at, piece.verbatim);
        }
        clean
    }

    /// The template's place that made the output's byte.
    pub fn origin(&self, offset: usize) -> Option<At> {
        let index = self.pieces.partition_point(|piece| piece.start <= offset).checked_sub(1)?;
        let piece = self.pieces[index];
        let inside = if piece.verbatim { offset - piece.start } else { 0 };
        Some(At { offset: piece.at.offset + inside, width: if piece.verbatim { 1 } else { piece.at.width }, ..piece.at })
    }
}

/// One rendering of a chart.
#[derive(Debug)]
pub struct Evaluator {
    pub definitions: Definitions,
    /// Grows by the texts that `tpl` is given.
    pub texts: Texts,
    depth: usize,
}

struct Frame {
    file: u32,
    variables: Vec<(Rc<str>, Value)>,
}

impl Frame {
    fn place(&self, pos: Pos, width: usize) -> At {
        At { file: self.file, offset: pos.offset, width }
    }

    fn variable(&self, name: &str) -> Value {
        self.variables.iter().rev().find(|(known, _)| &**known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// Sets the innermost variable of this name; parsing made sure that there is one.
    fn set(&mut self, name: &str, value: Value) {
        if let Some(variable) = self.variables.iter_mut().rev().find(|(known, _)| &**known == name) {
            variable.1 = value;
        }
    }
}

enum Flow {
    On,
    Break,
    Continue,
}

impl Evaluator {
    pub fn new(definitions: Definitions, texts: Texts) -> Self {
        Self { definitions, texts, depth: 0 }
    }

    /// Renders a template by name.
    pub fn render(&mut self, name: &str, dot: &Value) -> Outcome<Output> {
        let definition = self.definitions.get(name).cloned().ok_or_else(|| Box::new(self.undefined(At::default(), name)))?;
        self.run(&definition, dot)
    }

    fn run(&mut self, definition: &Definition, dot: &Value) -> Outcome<Output> {
        let mut frame = Frame { file: definition.file, variables: vec![("$".into(), dot.clone())] };
        let mut out = Output::default();
        self.list(&mut frame, dot, &definition.body, &mut out)?;
        Ok(out)
    }

    fn undefined(&self, at: At, name: &str) -> Fault {
        let label = did_you_mean(name, self.definitions.keys().map(|name| &**name));
        Fault::new(at, format!("there is no template named `{name}`"))
            .label(label)
            .hint(format!("write `{{{{- define \"{name}\" }}}}` in a file of templates/"))
    }

    /// A template called by another one.
    fn call(&mut self, at: At, name: &str, dot: &Value) -> Outcome<String> {
        let definition = self.definitions.get(name).cloned().ok_or_else(|| Box::new(self.undefined(at, name)))?;
        self.deeper(at, name, |this| this.run(&definition, dot)).map(|out| out.text)
    }

    fn deeper<T>(&mut self, at: At, name: &str, run: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth == DEPTH {
            return Err(Box::new(
                Fault::new(at, format!("`{name}` is included {DEPTH} levels deep")).hint("look for a template that includes itself"),
            ));
        }
        self.depth += 1;
        let done = run(self);
        self.depth -= 1;
        done.map_err(|mut fault| {
            // The two ends of a long way are enough.
            if fault.trail.len() < 8 {
                fault.trail.push((at, "included from here".to_owned()));
            }
            fault
        })
    }

    fn list(&mut self, frame: &mut Frame, dot: &Value, list: &ListNode, out: &mut Output) -> Outcome<Flow> {
        for node in &list.nodes {
            let flow = self.node(frame, dot, node, out)?;
            if !matches!(flow, Flow::On) {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, frame: &mut Frame, dot: &Value, node: &Node, out: &mut Output) -> Outcome<Flow> {
        match node {
            Node::Text(text) => {
                // Trimming moves the start of what is left.
                let source = self.texts.text(frame.file);
                let blank = source.get(text.pos.offset..).and_then(|rest| rest.find(&*text.text)).unwrap_or(0);
                out.push(&text.text, At { file: frame.file, offset: text.pos.offset + blank, width: 1 }, true);
            }
            Node::Action(action) => {
                let value = self.pipe(frame, dot, &action.pipe)?;
                if action.pipe.decl.is_empty() {
                    let text = if matches!(value, Value::Nil) { NO_VALUE.to_owned() } else { print::plain(&value) };
                    let end = self.texts.text(frame.file)[action.pos.offset..].find("}}").unwrap_or(1);
                    out.push(&text, At { file: frame.file, offset: action.pos.offset, width: end }, false);
                }
            }
            Node::If(branch) | Node::With(branch) => {
                let mark = frame.variables.len();
                let value = self.pipe(frame, dot, &branch.pipe)?;
                let inner = if matches!(node, Node::With(_)) { &value } else { dot };
                let flow = match (value.is_true(), &branch.else_body) {
                    (true, _) => self.list(frame, inner, &branch.body, out)?,
                    (false, Some(otherwise)) => self.list(frame, dot, otherwise, out)?,
                    (false, None) => Flow::On,
                };
                frame.variables.truncate(mark);
                return Ok(flow);
            }
            Node::Range(branch) => {
                let mark = frame.variables.len();
                let flow = self.range(frame, dot, branch, out)?;
                frame.variables.truncate(mark);
                return Ok(flow);
            }
            Node::Template(call) => self.template(frame, dot, call, out)?,
            Node::List(list) => return self.list(frame, dot, list, out),
            Node::Define(_) => {}
            Node::Break(_) => return Ok(Flow::Break),
            Node::Continue(_) => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn template(&mut self, frame: &mut Frame, dot: &Value, call: &TemplateNode, out: &mut Output) -> Outcome<()> {
        let at = At { file: frame.file, offset: call.pos.offset, width: "template".len() };
        let inner = call.pipe.as_ref().map(|pipe| self.pipe(frame, dot, pipe)).transpose()?.unwrap_or_default();
        let definition = self.definitions.get(&*call.name).cloned().ok_or_else(|| Box::new(self.undefined(at, &call.name)))?;
        let made = self.deeper(at, &call.name, |this| this.run(&definition, &inner))?;
        for (index, piece) in made.pieces.iter().enumerate() {
            let end = made.pieces.get(index + 1).map_or(made.text.len(), |next| next.start);
            out.push(&made.text[piece.start..end], piece.at, piece.verbatim);
        }
        Ok(())
    }

    fn range(&mut self, frame: &mut Frame, dot: &Value, branch: &BranchNode, out: &mut Output) -> Outcome<Flow> {
        let over = self.pipe(frame, dot, &branch.pipe)?;
        let at = frame.place(branch.pipe.pos, 1);
        let pairs: Vec<(Value, Value)> = match &over {
            Value::Nil => Vec::new(),
            Value::List(items) => items.iter().enumerate().map(|(index, item)| (Value::Int(index as i64), item.clone())).collect(),
            Value::Map(entries) => entries.borrow().iter().map(|(key, value)| (Value::Text(Rc::clone(key)), value.clone())).collect(),
            Value::Object(object) if object.name == ".Files" => object
                .content
                .iter()
                .map(|(name, bytes)| (name.as_str().into(), String::from_utf8_lossy(bytes).into_owned().into()))
                .collect(),
            Value::Int(_) if branch.pipe.decl.len() > 1 => {
                return Err(Box::new(Fault::new(at, "`range` over a number has one variable, not two")));
            }
            Value::Int(count) => (0..*count).map(|number| (Value::Nil, Value::Int(number))).collect(),
            other => {
                let fault = Fault::new(at, format!("`range` cannot go over {}", other.describe()));
                return Err(Box::new(match other {
                    Value::Float(_) => fault.hint("numbers of the values are floats: write `range until (int …)`"),
                    _ => fault.hint("it goes over lists, mappings and integers"),
                }));
            }
        };
        if pairs.is_empty() {
            return branch.else_body.as_ref().map_or(Ok(Flow::On), |otherwise| self.list(frame, dot, otherwise, out));
        }
        let mark = frame.variables.len();
        for (key, item) in pairs {
            let names = &branch.pipe.decl;
            let bound = [(names.len() == 2).then_some((names.first(), key)), Some((names.last(), item.clone()))];
            for (name, value) in bound.into_iter().flatten().filter_map(|(name, value)| Some((name?, value))) {
                frame.set(name, value);
            }
            let flow = self.list(frame, &item, &branch.body, out)?;
            frame.variables.truncate(mark);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipe(&mut self, frame: &mut Frame, dot: &Value, pipe: &PipeNode) -> Outcome<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(frame, dot, command, value)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.decl {
            if pipe.is_assign {
                frame.set(name, value.clone());
            } else {
                frame.variables.push((name.as_str().into(), value.clone()));
            }
        }
        Ok(value)
    }

    /// A command with what the pipeline brings as its last argument.
    fn command(&mut self, frame: &mut Frame, dot: &Value, command: &CommandNode, last: Option<Value>) -> Outcome<Value> {
        let (first, rest) = command.args.split_first().expect("the parser refuses an empty command");
        match first {
            Expr::Identifier(pos, name) => self.function(frame, dot, (*pos, name), rest, last),
            Expr::Field(pos, fields) => self.chain(frame, dot, (*pos, ""), dot.clone(), fields, rest, last),
            Expr::Variable(pos, name, fields) if !fields.is_empty() => {
                let start = frame.variable(name);
                self.chain(frame, dot, (*pos, name), start, fields, rest, last)
            }
            Expr::Chain(pos, inner, fields) => {
                let start = self.expression(frame, dot, inner)?;
                self.chain(frame, dot, (*pos, "(…)"), start, fields, rest, last)
            }
            _ if !rest.is_empty() || last.is_some() => {
                let fault = Fault::new(frame.place(first.pos(), 1), "only a function or a method takes arguments");
                Err(Box::new(fault.hint("separate commands by `|`, and put a nested call into parentheses")))
            }
            Expr::Nil(pos) => Err(Box::new(Fault::new(frame.place(*pos, 3), "`nil` is not a command"))),
            other => self.expression(frame, dot, other),
        }
    }

    /// An argument.
    fn expression(&mut self, frame: &mut Frame, dot: &Value, expression: &Expr) -> Outcome<Value> {
        Ok(match expression {
            Expr::Dot(_) => dot.clone(),
            Expr::Field(pos, fields) => self.chain(frame, dot, (*pos, ""), dot.clone(), fields, &[], None)?,
            Expr::Variable(pos, name, fields) => {
                let start = frame.variable(name);
                self.chain(frame, dot, (*pos, name), start, fields, &[], None)?
            }
            Expr::Identifier(pos, name) => self.function(frame, dot, (*pos, name), &[], None)?,
            Expr::String(_, text) => Value::text(&**text),
            Expr::Number(_, Number::Int(number)) => Value::Int(*number),
            Expr::Number(pos, Number::Uint(number)) => {
                return Err(Box::new(Fault::new(frame.place(*pos, 1), format!("{number} is too large for an integer"))));
            }
            Expr::Number(_, Number::Float(number)) => Value::Float(*number),
            Expr::Bool(_, truth) => Value::Bool(*truth),
            Expr::Nil(_) => Value::Nil,
            Expr::Pipe(_, pipe) => self.pipe(frame, dot, pipe)?,
            Expr::Chain(pos, inner, fields) => {
                let start = self.expression(frame, dot, inner)?;
                self.chain(frame, dot, (*pos, "(…)"), start, fields, &[], None)?
            }
        })
    }

    /// `start.a.b`, the last of which may be a method with arguments.
    #[expect(clippy::too_many_arguments, reason = "the place, the receiver and the arguments of Go's evalFieldChain")]
    fn chain(
        &mut self,
        frame: &mut Frame,
        dot: &Value,
        (pos, written): (Pos, &str),
        start: Value,
        fields: &[impl AsRef<str>],
        rest: &[Expr],
        last: Option<Value>,
    ) -> Outcome<Value> {
        let mut receiver = start;
        let mut shown = written.to_owned();
        // What a missing key was looked for in.
        let mut before: Option<Value> = None;
        for (index, field) in fields.iter().enumerate() {
            let field = field.as_ref();
            let at = frame.place(pos, shown.len() + 1 + field.len());
            if matches!(receiver, Value::Nil) {
                let Some(holder) = before else { return Ok(Value::Nil) };
                return Err(Box::new(Self::missing(at, &shown, fields[index - 1].as_ref(), field, &holder)));
            }
            let is_last = index + 1 == fields.len();
            shown = format!("{shown}.{field}");
            let next = match &receiver {
                Value::Map(entries) => entries.borrow().get(field).cloned().unwrap_or_default(),
                Value::Object(object) if object.methods.contains(&field) && is_last => {
                    let (values, _) = self.arguments(frame, dot, rest, last.clone())?;
                    return method(object, field, &values).map_err(|fail| Box::new(Fault::new(at, format!("`{shown}`: {}", fail.message))));
                }
                Value::Object(object) => object.fields.get(field).cloned().ok_or_else(|| {
                    let known = object.fields.keys().chain(object.methods).copied();
                    Box::new(Fault::new(at, format!("`{}` has no `{field}`", object.name)).label(did_you_mean(field, known)))
                })?,
                other => {
                    let fault = Fault::new(at, format!("`{shown}`: {} has no fields", other.describe()));
                    return Err(Box::new(fault.hint(format!("`{}` must be a mapping here", shown.trim_end_matches(&format!(".{field}"))))));
                }
            };
            if is_last && (!rest.is_empty() || last.is_some()) {
                let fault = Fault::new(at, format!("`{shown}` is no method, but has arguments"));
                return Err(Box::new(fault.hint("separate commands by `|`")));
            }
            before = Some(std::mem::replace(&mut receiver, next));
        }
        Ok(receiver)
    }

    /// A field of what is not there: Go's "nil pointer evaluating interface {}.field".
    fn missing(at: At, shown: &str, absent: &str, field: &str, holder: &Value) -> Fault {
        let label = match holder {
            Value::Map(entries) => did_you_mean(absent, entries.borrow().keys().map(|key| &**key)),
            _ => None,
        };
        Fault::new(at, format!("`{shown}` is not set, so it has no `{field}`"))
            .label(label)
            .hint(format!("set `{absent}` in the values, or write `({shown}).{field}` where it may be missing"))
    }

    fn arguments(&mut self, frame: &mut Frame, dot: &Value, rest: &[Expr], last: Option<Value>) -> Outcome<(Vec<Value>, Vec<At>)> {
        let mut values = Vec::with_capacity(rest.len() + 1);
        let mut places = Vec::with_capacity(rest.len());
        for expression in rest {
            values.push(self.expression(frame, dot, expression)?);
            places.push(frame.place(expression.pos(), 1));
        }
        values.extend(last);
        Ok((values, places))
    }

    fn function(&mut self, frame: &mut Frame, dot: &Value, (pos, name): (Pos, &str), rest: &[Expr], last: Option<Value>) -> Outcome<Value> {
        let at = frame.place(pos, name.len());
        // These two stop at the first argument that decides.
        if matches!(name, "and" | "or") && !rest.is_empty() {
            let mut value = Value::Nil;
            for expression in rest {
                value = self.expression(frame, dot, expression)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let (values, places) = self.arguments(frame, dot, rest, last)?;
        let known = function::find(name).expect("parsing refuses unknown functions");
        let count = values.len();
        if count < known.least || known.most.is_some_and(|most| count > most) {
            return Err(Box::new(Fault::new(at, format!("`{name}` takes {}, {count} given", known.wanted()))));
        }
        let done = match name {
            "include" => match function::text(&values, 0) {
                Ok(template) => return self.call(at, &template, &values[1]).map(Value::from),
                Err(fail) => Err(fail),
            },
            "tpl" => match function::text(&values, 0) {
                Ok(text) => return self.tpl(at, &text, &values[1]).map(Value::from),
                Err(fail) => Err(fail),
            },
            _ => (known.run)(&values),
        };
        done.map_err(|fail| {
            let place = fail.argument.and_then(|index| places.get(index)).copied().unwrap_or(at);
            let message = if fail.own { fail.message } else { format!("`{name}`: {}", fail.message) };
            let fault = Fault::new(place, message);
            Box::new(match fail.hint {
                Some(hint) => fault.hint(hint),
                None => fault,
            })
        })
    }

    /// A text as a template; what it defines is known inside of it only.
    fn tpl(&mut self, at: At, text: &str, dot: &Value) -> Outcome<String> {
        let count = self.texts.span(at);
        let name = format!("a text given to `tpl` in {}:{}", self.texts.name(at.file), count.line);
        let file = self.texts.add(name.as_str(), text);
        let before = self.definitions.clone();
        let parsed = parse::parse(&self.texts, file, &name, &mut self.definitions).map_err(|faults| {
            let mut fault = faults.into_iter().next().expect("a refused text has a mistake");
            fault.trail.push((at, "given to `tpl` here".to_owned()));
            Box::new(fault)
        });
        let done = parsed.and_then(|()| match self.definitions.get(name.as_str()).cloned() {
            Some(definition) => self.deeper(at, "tpl", |this| this.run(&definition, dot)),
            None => Ok(Output::default()),
        });
        self.definitions = before;
        Ok(done?.text.replace(NO_VALUE, ""))
    }
}

/// `.Files.Get`, `.Capabilities.APIVersions.Has`, …
fn method(object: &Object, name: &str, arguments: &[Value]) -> Result<Value, Fail> {
    if name == "AsConfig" || name == "AsSecrets" {
        return Ok(function::files_as(object, name == "AsSecrets"));
    }
    if arguments.len() != 1 {
        return Err(Fail::new(format!("takes one argument, {} given", arguments.len())));
    }
    let wanted = function::text(arguments, 0)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(match name {
        "Has" => object.content.contains_key(&*wanted).into(),
        "Get" | "GetBytes" => object.content.get(&*wanted).map(|bytes| text(bytes)).unwrap_or_default().into(),
        "Lines" => {
            let content = object.content.get(&*wanted).map(|bytes| text(bytes)).unwrap_or_default();
            let lines = content.strip_suffix('\n').unwrap_or(&content);
            Value::list(if content.is_empty() { Vec::new() } else { lines.split('\n').map(Value::from).collect() })
        }
        _ => function::files_glob(object, &wanted)?,
    })
}
