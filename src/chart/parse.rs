//! A template's text → gotmpl's tree, and the names in it checked before anything is rendered.
//!
//! As Go does, an unknown function or variable is a mistake wherever it stands, also in a branch that is never taken.

use std::collections::BTreeMap;
use std::rc::Rc;

use gotmpl::TemplateError;
use gotmpl::parse::{Expr, ListNode, Node, Parser, PipeNode, Pos};

use super::fault::{At, Fault, Texts};
use super::{function, scan};
use crate::source::did_you_mean;

/// A file's body, or a `define`.
#[derive(Debug)]
pub struct Definition {
    pub file: u32,
    pub body: ListNode,
}

/// All templates by name: files by `CHART/templates/…`, the rest by their `define`.
pub type Definitions = BTreeMap<Rc<str>, Rc<Definition>>;

/// Parses a text that was added and puts what it defines among the definitions. All its mistakes are reported.
/// A body of blanks does not replace what has the same name, as in Go.
pub fn parse(texts: &Texts, file: u32, name: &str, into: &mut Definitions) -> Result<(), Vec<Fault>> {
    let text = texts.text(file);
    let prepared = scan::prepared(&text).map_err(|slip| {
        vec![Fault::new(At { file, offset: slip.offset, width: slip.width }, format!("parse a template: {}", slip.message)).hint(slip.hint)]
    })?;
    let parsed = Parser::new(&prepared, "{{", "}}").and_then(Parser::parse);
    let (body, defines) = parsed.map_err(|error| vec![syntax(&text, file, error)])?;
    let mut check = Check { file, faults: Vec::new(), variables: Vec::new(), loops: 0 };
    check.body(&body);
    for define in &defines {
        check.body(&define.body);
    }
    if !check.faults.is_empty() {
        return Err(check.faults);
    }
    let mut put = |name: &str, body: ListNode| {
        if !body.is_empty_tree() || !into.contains_key(name) {
            into.insert(name.into(), Rc::new(Definition { file, body }));
        }
    };
    put(name, body);
    for define in defines {
        put(&define.name, define.body);
    }
    Ok(())
}

fn syntax(text: &str, file: u32, error: TemplateError) -> Fault {
    let (line, column, message) = match error {
        TemplateError::Parse { line, col, message, .. } | TemplateError::Lex { line, col, message, .. } => (line, col, message),
        other => (1, 1, other.to_string()),
    };
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let inside = text[start.min(text.len())..].char_indices().nth(column.saturating_sub(1)).map_or(0, |(offset, _)| offset);
    let fault = Fault::new(At { file, offset: (start + inside).min(text.len()), width: 1 }, format!("parse a template: {message}"));
    if message.contains("unclosed action") { fault.hint("write `}}` where the action ends") } else { fault }
}

/// The names of one file.
struct Check {
    file: u32,
    faults: Vec<Fault>,
    variables: Vec<String>,
    loops: usize,
}

impl Check {
    fn body(&mut self, list: &ListNode) {
        self.variables = vec!["$".to_owned()];
        self.loops = 0;
        self.list(list);
    }

    fn at(&self, pos: Pos, width: usize) -> At {
        At { file: self.file, offset: pos.offset, width }
    }

    /// A block: what it declares ends with it.
    fn list(&mut self, list: &ListNode) {
        let mark = self.variables.len();
        list.nodes.iter().for_each(|node| self.node(node));
        self.variables.truncate(mark);
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Action(action) => self.pipe(&action.pipe),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                let mark = self.variables.len();
                self.pipe(&branch.pipe);
                let inside = usize::from(matches!(node, Node::Range(_)));
                self.loops += inside;
                self.list(&branch.body);
                self.loops -= inside;
                if let Some(otherwise) = &branch.else_body {
                    self.list(otherwise);
                }
                self.variables.truncate(mark);
            }
            Node::Template(call) => {
                if let Some(pipe) = &call.pipe {
                    self.pipe(pipe);
                }
            }
            Node::List(list) => self.list(list),
            Node::Define(define) => self.list(&define.body),
            Node::Break(pos) | Node::Continue(pos) if self.loops == 0 => {
                let word = if matches!(node, Node::Break(_)) { "break" } else { "continue" };
                self.faults.push(Fault::new(self.at(*pos, word.len()), format!("`{word}` outside of a `range`")));
            }
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
        }
    }

    fn pipe(&mut self, pipe: &PipeNode) {
        pipe.commands.iter().flat_map(|command| &command.args).for_each(|expression| self.expression(expression));
        for name in &pipe.decl {
            if pipe.is_assign {
                self.variable(pipe.pos, name);
            } else {
                self.variables.push(name.to_string());
            }
        }
    }

    fn variable(&mut self, pos: Pos, name: &str) {
        if !self.variables.iter().any(|known| known == name) {
            let label = did_you_mean(name, self.variables.iter().map(String::as_str));
            let hint = format!("declare it in this block or one around it: `{{{{- {name} := … }}}}`");
            self.faults.push(Fault::new(self.at(pos, name.len()), format!("undefined variable `{name}`")).label(label).hint(hint));
        }
    }

    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Variable(pos, name, _) => self.variable(*pos, name),
            Expr::Identifier(pos, name) if !function::is_known(name) => {
                let at = self.at(*pos, name.len());
                let fault = if function::is_helms(name) {
                    Fault::new(at, format!("the function `{name}` is Helm's, but not supported here"))
                        .hint("work out its result once and put it into the values")
                } else {
                    Fault::new(at, format!("unknown function `{name}`")).label(did_you_mean(name, function::names()))
                };
                self.faults.push(fault);
            }
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(_, inner, _) => self.expression(inner),
            _ => {}
        }
    }
}
