//! Jinja2's syntax: minijinja's parser, lowered to a tree that owns its parts and is cached by source text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock, RwLock};

use minijinja::machinery::{self, ast};
use minijinja::syntax::SyntaxConfig;

use super::{Error, Result, depth, suggest};
use crate::program::{Key, Map, Span, Value};

/// Delimiters and white space of a template file: the `template` module's arguments and the `#jinja2:` line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    pub block_start_string: String,
    pub block_end_string: String,
    pub variable_start_string: String,
    pub variable_end_string: String,
    pub comment_start_string: String,
    pub comment_end_string: String,
    pub line_statement_prefix: Option<String>,
    pub line_comment_prefix: Option<String>,
    pub newline_sequence: String,
    pub trim_blocks: bool,
    pub lstrip_blocks: bool,
    pub keep_trailing_newline: bool,
    /// Whether a backslash in a string inside `{{ }}` is just a backslash: so in YAML, not so in template files.
    pub escape_backslashes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            block_start_string: "{%".into(),
            block_end_string: "%}".into(),
            variable_start_string: "{{".into(),
            variable_end_string: "}}".into(),
            comment_start_string: "{#".into(),
            comment_end_string: "#}".into(),
            line_statement_prefix: None,
            line_comment_prefix: None,
            newline_sequence: "\n".into(),
            trim_blocks: true,
            lstrip_blocks: false,
            keep_trailing_newline: false,
            escape_backslashes: true,
        }
    }
}

impl Options {
    /// The arguments of the `template` module that say how a template is written.
    pub const DELIMITERS: [&str; 6] = [
        "block_start_string",
        "block_end_string",
        "variable_start_string",
        "variable_end_string",
        "comment_start_string",
        "comment_end_string",
    ];

    /// Sets one of [`Self::DELIMITERS`].
    pub fn set_delimiter(&mut self, name: &str, text: &str) {
        let field = match name {
            "block_start_string" => &mut self.block_start_string,
            "block_end_string" => &mut self.block_end_string,
            "variable_start_string" => &mut self.variable_start_string,
            "variable_end_string" => &mut self.variable_end_string,
            "comment_start_string" => &mut self.comment_start_string,
            "comment_end_string" => &mut self.comment_end_string,
            _ => return,
        };
        text.clone_into(field);
    }

    /// The options of a template file: as [`Options::default`], with escapes in strings as Jinja2 has them.
    pub fn file() -> Self {
        Self { escape_backslashes: false, ..Self::default() }
    }

    /// Whether the text holds the start of a block, variable or comment, or a `#jinja2:` line.
    pub fn is_template(&self, text: &str) -> bool {
        text.starts_with(HEADER)
            || [&self.block_start_string, &self.variable_start_string, &self.comment_start_string]
                .iter()
                .any(|start| text.contains(start.as_str()))
    }

    /// Splits a `#jinja2: trim_blocks:False, …` first line off and applies it.
    pub fn header<'text>(&self, text: &'text str) -> Result<(Cow<'_, Self>, &'text str)> {
        let Some(rest) = text.strip_prefix(HEADER) else { return Ok((Cow::Borrowed(self), text)) };
        let Some((line, body)) = rest.split_once('\n') else {
            return Err(Error::syntax(format!("missing newline after the {HEADER:?} line")));
        };
        let mut options = self.clone();
        for pair in line.split(',') {
            let Some((key, value)) = pair.split_once(':') else {
                return Err(Error::syntax(format!("the {HEADER:?} line needs `name: value` pairs, not {:?}", pair.trim())));
            };
            options.set(key.trim(), value.trim())?;
        }
        Ok((Cow::Owned(options), body))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let text = || {
            let inner = value
                .strip_prefix('"')
                .and_then(|inner| inner.strip_suffix('"'))
                .or_else(|| value.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\'')));
            inner.map(unescape).ok_or_else(|| Error::syntax(format!("{key} of the {HEADER:?} line must be a quoted text, not {value}")))
        };
        let truth = || match value {
            "True" => Ok(true),
            "False" => Ok(false),
            _ => Err(Error::syntax(format!("{key} of the {HEADER:?} line must be True or False, not {value}"))),
        };
        match key {
            "block_start_string" => self.block_start_string = text()?,
            "block_end_string" => self.block_end_string = text()?,
            "variable_start_string" => self.variable_start_string = text()?,
            "variable_end_string" => self.variable_end_string = text()?,
            "comment_start_string" => self.comment_start_string = text()?,
            "comment_end_string" => self.comment_end_string = text()?,
            "line_statement_prefix" => self.line_statement_prefix = Some(text()?),
            "line_comment_prefix" => self.line_comment_prefix = Some(text()?),
            "newline_sequence" => self.newline_sequence = text()?,
            "trim_blocks" => self.trim_blocks = truth()?,
            "lstrip_blocks" => self.lstrip_blocks = truth()?,
            "keep_trailing_newline" => self.keep_trailing_newline = truth()?,
            _ => return Err(Error::syntax(format!("invalid {HEADER:?} key {key:?}"))),
        }
        Ok(())
    }

    fn config(&self) -> Result<SyntaxConfig> {
        let mut builder = SyntaxConfig::builder();
        builder.trim_blocks(self.trim_blocks).lstrip_blocks(self.lstrip_blocks).keep_trailing_newline(self.keep_trailing_newline);
        let standard = Self::default();
        if self.block_start_string != standard.block_start_string || self.block_end_string != standard.block_end_string {
            builder.block_delimiters(self.block_start_string.clone(), self.block_end_string.clone());
        }
        if self.variable_start_string != standard.variable_start_string || self.variable_end_string != standard.variable_end_string {
            builder.variable_delimiters(self.variable_start_string.clone(), self.variable_end_string.clone());
        }
        if self.comment_start_string != standard.comment_start_string || self.comment_end_string != standard.comment_end_string {
            builder.comment_delimiters(self.comment_start_string.clone(), self.comment_end_string.clone());
        }
        if let Some(prefix) = &self.line_statement_prefix {
            builder.line_statement_prefix(prefix.clone());
        }
        if let Some(prefix) = &self.line_comment_prefix {
            builder.line_comment_prefix(prefix.clone());
        }
        builder.build().map_err(|error| Error::syntax(error.detail().unwrap_or("malformed delimiters").to_owned()))
    }
}

/// The first line that changes a template's delimiters.
const HEADER: &str = "#jinja2:";

/// An expression and where it starts in the source.
#[derive(Debug)]
pub struct Node {
    pub at: u32,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Const(Value),
    /// A string constant that holds a template: rendered in conditions and as a term of a lookup, as Ansible 2.19 does.
    Embedded(Arc<str>),
    Name(Arc<str>),
    Slice {
        of: Box<Node>,
        start: Option<Box<Node>>,
        stop: Option<Box<Node>>,
        step: Option<Box<Node>>,
    },
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(ast::BinOpKind, Box<Node>, Box<Node>),
    Compare(Box<Node>, Vec<(ast::CompareOpKind, Node)>),
    If {
        test: Box<Node>,
        then: Box<Node>,
        otherwise: Option<Box<Node>>,
    },
    Filter {
        name: Arc<str>,
        input: Option<Box<Node>>,
        arguments: Vec<Argument>,
    },
    Test {
        name: Arc<str>,
        input: Box<Node>,
        arguments: Vec<Argument>,
    },
    Attribute(Box<Node>, Arc<str>),
    Item(Box<Node>, Box<Node>),
    Call(Box<Node>, Vec<Argument>),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

#[derive(Debug)]
pub enum Argument {
    Positional(Node),
    Named(Arc<str>, Node),
    Spread(Node),
    SpreadNamed(Node),
}

/// A statement of a template's body.
#[derive(Debug)]
pub enum Statement {
    Text(Arc<str>),
    Emit(Node),
    For(Arc<For>),
    If {
        test: Node,
        then: Vec<Statement>,
        otherwise: Vec<Statement>,
    },
    With(Vec<(Target, Node)>, Vec<Statement>),
    Set(Target, Node),
    SetBlock(Target, Option<Node>, Vec<Statement>),
    /// Its body only: nothing is ever escaped here.
    Scope(Vec<Statement>),
    Filter(Node, Vec<Statement>),
    Block(Arc<str>, Arc<Vec<Statement>>),
    Extends(Node),
    Include {
        name: Node,
        ignore_missing: bool,
    },
    Import(Node, Arc<str>),
    FromImport(Node, Vec<(Arc<str>, Arc<str>)>),
    Macro(Arc<Macro>),
    CallBlock(Node, Arc<Macro>),
    Do(Node),
}

#[derive(Debug)]
pub struct For {
    pub at: u32,
    pub target: Target,
    pub iterable: Node,
    pub condition: Option<Node>,
    pub recursive: bool,
    pub body: Vec<Statement>,
    pub otherwise: Vec<Statement>,
}

#[derive(Debug)]
pub struct Macro {
    pub name: Arc<str>,
    /// Names with their defaults.
    pub parameters: Vec<(Arc<str>, Option<Node>)>,
    pub body: Vec<Statement>,
    pub takes_varargs: bool,
    pub takes_kwargs: bool,
}

/// What an assignment writes to.
#[derive(Debug)]
pub enum Target {
    Name(Arc<str>),
    Attribute(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

/// A parsed text.
#[derive(Debug)]
pub struct Parsed {
    pub source: Arc<str>,
    /// What stood before the body: a `#jinja2:` line.
    pub skipped: u32,
    pub body: Body,
}

#[derive(Debug)]
pub enum Body {
    Template(Vec<Statement>),
    Expression(Node),
}

impl Parsed {
    /// Line and column (both from 1, columns in characters) of an offset in the source.
    pub fn place(&self, at: u32) -> (u32, u32) {
        place(&self.source, (at + self.skipped) as usize)
    }

    /// The offset's place in the user's file, where the text starts at `start`. Columns of further lines are those of
    /// the text itself: a block scalar's indentation is not known here.
    pub fn span(&self, start: Span, at: u32) -> Span {
        let (line, column) = self.place(at);
        relative(start, line, column)
    }
}

/// A place inside a text that starts at `start`.
pub fn relative(start: Span, line: u32, column: u32) -> Span {
    if line <= 1 {
        Span { column: start.column + column.saturating_sub(1), ..start }
    } else {
        Span { line: start.line + line - 1, column, ..start }
    }
}

fn place(source: &str, offset: usize) -> (u32, u32) {
    let mut end = offset.min(source.len());
    while !source.is_char_boundary(end) {
        end -= 1;
    }
    let before = &source[..end];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line as u32, column as u32)
}

type Cache = RwLock<HashMap<(u64, Arc<str>), Arc<Parsed>>>;

/// Parsed texts by options and source. Programs are finite; the bound only guards a process that runs many.
const CACHE_LIMIT: usize = 16_384;

fn cached(tag: u64, source: &Arc<str>, parse: impl FnOnce() -> Result<Parsed>) -> Result<Arc<Parsed>> {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let cache = CACHE.get_or_init(Cache::default);
    let key = (tag, Arc::clone(source));
    if let Some(parsed) = cache.read().ok().and_then(|cache| cache.get(&key).cloned()) {
        return Ok(parsed);
    }
    let parsed = Arc::new(parse()?);
    if let Ok(mut cache) = cache.write() {
        if cache.len() >= CACHE_LIMIT {
            cache.clear();
        }
        cache.insert(key, Arc::clone(&parsed));
    }
    Ok(parsed)
}

/// Parses a text with templates inside.
pub fn template(source: &Arc<str>, options: &Options) -> Result<Arc<Parsed>> {
    let mut hasher = DefaultHasher::new();
    options.hash(&mut hasher);
    cached(hasher.finish() | 1, source, || {
        let (options, body) = options.header(source)?;
        let skipped = (source.len() - body.len()) as u32;
        let mut lowering = Lowering::new(body, Strings::Template(&options), &options);
        let prepared = std::mem::take(&mut lowering.prepared);
        let syntax = options.config()?;
        depth::check(&prepared, false, syntax.clone()).map_err(|(error, offset)| lowering.placed(error, offset, source, skipped))?;
        let parsed = machinery::parse(&prepared, "<template>", syntax).map_err(|error| lowering.error(&error, source, skipped))?;
        let ast::Stmt::Template(root) = parsed else { return Err(Error::syntax("not a template")) };
        let body = lowering.statements(&root.children)?;
        Ok(Parsed { source: Arc::clone(source), skipped, body: Body::Template(body) })
    })
}

/// Parses a bare expression.
pub fn expression(source: &Arc<str>) -> Result<Arc<Parsed>> {
    cached(0, source, || {
        let options = Options::default();
        let mut lowering = Lowering::new(source, Strings::Expression, &options);
        let prepared = std::mem::take(&mut lowering.prepared);
        depth::check(&prepared, true, SyntaxConfig::default()).map_err(|(error, offset)| lowering.placed(error, offset, source, 0))?;
        let parsed = machinery::parse_expr(&prepared).map_err(|error| {
            let is_cut_off = error.detail().is_some_and(|detail| detail.starts_with("unexpected end of input"));
            let mut error = lowering.error(&error, source, 0);
            if is_cut_off {
                // What is missing is missing at the end, not at the last word.
                let (line, column) = place(source, source.trim_end().len());
                error.span = Some(Span { file: 0, line, column });
            }
            if options.is_template(source) {
                error.hint("write the expression without template delimiters ({{ }}): it is an expression already")
            } else {
                error
            }
        })?;
        let body = lowering.node(&parsed)?;
        Ok(Parsed { source: Arc::clone(source), skipped: 0, body: Body::Expression(body) })
    })
}

/// Jinja2's, with their ends.
const STATEMENTS: [&str; 25] = [
    "for",
    "endfor",
    "if",
    "elif",
    "else",
    "endif",
    "set",
    "endset",
    "block",
    "endblock",
    "macro",
    "endmacro",
    "call",
    "endcall",
    "filter",
    "endfilter",
    "with",
    "endwith",
    "include",
    "import",
    "from",
    "extends",
    "do",
    "raw",
    "endraw",
];

/// How strings in the source are to be read.
#[derive(Clone, Copy)]
enum Strings<'options> {
    Template(&'options Options),
    Expression,
}

struct Lowering<'source> {
    prepared: Cow<'source, str>,
    /// From this offset of the prepared text on, the original is this much further.
    shifts: Vec<(u32, i64)>,
    options: &'source Options,
}

impl<'source> Lowering<'source> {
    fn new(source: &'source str, strings: Strings, options: &'source Options) -> Self {
        let mut lowering = Self { prepared: Cow::Borrowed(source), shifts: Vec::new(), options };
        if source.contains('\\') || source.contains("raw") {
            let mut rewrite = Rewrite { source, output: String::with_capacity(source.len() + 16), shifts: Vec::new(), position: 0 };
            match strings {
                Strings::Expression => rewrite.code(None, false),
                Strings::Template(options) => rewrite.template(options),
            }
            lowering.prepared = Cow::Owned(rewrite.output);
            lowering.shifts = rewrite.shifts;
        }
        lowering
    }

    fn at(&self, offset: u32) -> u32 {
        let index = self.shifts.partition_point(|(from, _)| *from <= offset);
        match index.checked_sub(1).and_then(|index| self.shifts.get(index)) {
            Some((_, shift)) => u32::try_from((i64::from(offset) + shift).max(0)).unwrap_or(offset),
            None => offset,
        }
    }

    fn error(&self, error: &minijinja::Error, source: &str, skipped: u32) -> Error {
        let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let offset = error.range().map_or(0, |range| range.start);
        let told = match message.strip_prefix("unknown statement ") {
            Some(word) if STATEMENTS.contains(&word) => {
                Error::syntax(format!("syntax error: `{word}` without the block that it belongs to"))
                    .hint("look for a statement before it that is misspelt, missing or closed already")
            }
            Some(word) => {
                let told = Error::syntax(format!("syntax error: unknown statement `{word}`"));
                match suggest::hint(word, STATEMENTS.into_iter()) {
                    Some(hint) => told.hint(hint),
                    None => told,
                }
            }
            None => Error::syntax(format!("syntax error: {message}")),
        };
        self.placed(told, offset, source, skipped)
    }

    /// The error with a relative place (file 0); the caller adds where the text starts.
    fn placed(&self, error: Error, offset: usize, source: &str, skipped: u32) -> Error {
        let (line, column) = place(source, (self.at(offset as u32) + skipped) as usize);
        error.at(Span { file: 0, line, column })
    }

    fn nodes(&self, nodes: &[ast::Expr]) -> Result<Vec<Node>> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn boxed(&self, node: &ast::Expr) -> Result<Box<Node>> {
        self.node(node).map(Box::new)
    }

    fn optional(&self, node: Option<&ast::Expr>) -> Result<Option<Box<Node>>> {
        node.map(|node| self.boxed(node)).transpose()
    }

    fn arguments(&self, arguments: &[ast::CallArg]) -> Result<Vec<Argument>> {
        arguments
            .iter()
            .map(|argument| {
                Ok(match argument {
                    ast::CallArg::Pos(node) => Argument::Positional(self.node(node)?),
                    ast::CallArg::Kwarg(name, node) => Argument::Named((*name).into(), self.node(node)?),
                    ast::CallArg::PosSplat(node) => Argument::Spread(self.node(node)?),
                    ast::CallArg::KwargSplat(node) => Argument::SpreadNamed(self.node(node)?),
                })
            })
            .collect()
    }

    fn node(&self, node: &ast::Expr) -> Result<Node> {
        let at = self.at(node.span().start_offset);
        let kind = match node {
            ast::Expr::Const(constant) => match constant_value(&constant.value)? {
                Value::Text(text) if self.options.is_template(text.as_str()) => Kind::Embedded(text.shared()),
                value => Kind::Const(value),
            },
            ast::Expr::Var(var) => Kind::Name(var.id.into()),
            ast::Expr::Slice(slice) => Kind::Slice {
                of: self.boxed(&slice.expr)?,
                start: self.optional(slice.start.as_ref())?,
                stop: self.optional(slice.stop.as_ref())?,
                step: self.optional(slice.step.as_ref())?,
            },
            ast::Expr::UnaryOp(operation) => match operation.op {
                ast::UnaryOpKind::Not => Kind::Not(self.boxed(&operation.expr)?),
                ast::UnaryOpKind::Neg => Kind::Negate(self.boxed(&operation.expr)?),
            },
            ast::Expr::BinOp(operation) => Kind::Binary(operation.op, self.boxed(&operation.left)?, self.boxed(&operation.right)?),
            ast::Expr::Compare(compare) => {
                let operations = compare.ops.iter().map(|next| Ok((next.op, self.node(&next.expr)?))).collect::<Result<_>>()?;
                Kind::Compare(self.boxed(&compare.expr)?, operations)
            }
            ast::Expr::IfExpr(choice) => Kind::If {
                test: self.boxed(&choice.test_expr)?,
                then: self.boxed(&choice.true_expr)?,
                otherwise: self.optional(choice.false_expr.as_ref())?,
            },
            ast::Expr::Filter(filter) => Kind::Filter {
                name: short_name(filter.name),
                input: self.optional(filter.expr.as_ref())?,
                arguments: self.arguments(&filter.args)?,
            },
            ast::Expr::Test(test) => {
                Kind::Test { name: short_name(test.name), input: self.boxed(&test.expr)?, arguments: self.arguments(&test.args)? }
            }
            ast::Expr::GetAttr(attribute) => Kind::Attribute(self.boxed(&attribute.expr)?, attribute.name.into()),
            ast::Expr::GetItem(item) => Kind::Item(self.boxed(&item.expr)?, self.boxed(&item.subscript_expr)?),
            ast::Expr::Call(call) => Kind::Call(self.boxed(&call.expr)?, self.arguments(&call.args)?),
            ast::Expr::List(list) => Kind::List(self.nodes(&list.items)?),
            ast::Expr::Tuple(tuple) => Kind::Tuple(self.nodes(&tuple.items)?),
            ast::Expr::Map(map) => Kind::Map(
                map.keys.iter().zip(&map.values).map(|(key, value)| Ok((self.node(key)?, self.node(value)?))).collect::<Result<_>>()?,
            ),
        };
        Ok(Node { at, kind })
    }

    fn statements(&self, statements: &[ast::Stmt]) -> Result<Vec<Statement>> {
        statements.iter().map(|statement| self.statement(statement)).collect()
    }

    fn statement(&self, statement: &ast::Stmt) -> Result<Statement> {
        Ok(match statement {
            ast::Stmt::Template(template) => Statement::Scope(self.statements(&template.children)?),
            ast::Stmt::EmitExpr(emit) => Statement::Emit(self.node(&emit.expr)?),
            ast::Stmt::EmitRaw(raw) => Statement::Text(newlines(raw.raw, &self.options.newline_sequence).into()),
            ast::Stmt::ForLoop(repeat) => Statement::For(Arc::new(For {
                at: self.at(repeat.span().start_offset),
                target: target(&repeat.target)?,
                iterable: self.node(&repeat.iter)?,
                condition: repeat.filter_expr.as_ref().map(|condition| self.node(condition)).transpose()?,
                recursive: repeat.recursive,
                body: self.statements(&repeat.body)?,
                otherwise: self.statements(&repeat.else_body)?,
            })),
            ast::Stmt::IfCond(choice) => Statement::If {
                test: self.node(&choice.expr)?,
                then: self.statements(&choice.true_body)?,
                otherwise: self.statements(&choice.false_body)?,
            },
            ast::Stmt::WithBlock(with) => Statement::With(
                with.assignments.iter().map(|(name, value)| Ok((target(name)?, self.node(value)?))).collect::<Result<_>>()?,
                self.statements(&with.body)?,
            ),
            ast::Stmt::Set(set) => Statement::Set(target(&set.target)?, self.node(&set.expr)?),
            ast::Stmt::SetBlock(set) => Statement::SetBlock(
                target(&set.target)?,
                set.filter.as_ref().map(|filter| self.node(filter)).transpose()?,
                self.statements(&set.body)?,
            ),
            ast::Stmt::AutoEscape(escape) => Statement::Scope(self.statements(&escape.body)?),
            ast::Stmt::FilterBlock(block) => Statement::Filter(self.node(&block.filter)?, self.statements(&block.body)?),
            ast::Stmt::Block(block) => Statement::Block(block.name.into(), Arc::new(self.statements(&block.body)?)),
            ast::Stmt::Extends(extends) => Statement::Extends(self.node(&extends.name)?),
            ast::Stmt::Include(include) => Statement::Include { name: self.node(&include.name)?, ignore_missing: include.ignore_missing },
            ast::Stmt::Import(import) => Statement::Import(self.node(&import.expr)?, variable(&import.name)?),
            ast::Stmt::FromImport(import) => {
                let names = import.names.iter().map(|(name, alias)| {
                    let name = variable(name)?;
                    let alias = alias.as_ref().map_or_else(|| Ok(Arc::clone(&name)), variable)?;
                    Ok((name, alias))
                });
                Statement::FromImport(self.node(&import.expr)?, names.collect::<Result<_>>()?)
            }
            ast::Stmt::Macro(definition) => Statement::Macro(Arc::new(self.macro_definition(definition, definition.span())?)),
            ast::Stmt::CallBlock(block) => {
                let call = Node {
                    at: self.at(block.call.span().start_offset),
                    kind: Kind::Call(self.boxed(&block.call.expr)?, self.arguments(&block.call.args)?),
                };
                Statement::CallBlock(call, Arc::new(self.macro_definition(&block.macro_decl, block.macro_decl.span())?))
            }
            ast::Stmt::Do(action) => Statement::Do(Node {
                at: self.at(action.call.span().start_offset),
                kind: Kind::Call(self.boxed(&action.call.expr)?, self.arguments(&action.call.args)?),
            }),
        })
    }

    fn macro_definition(&self, definition: &ast::Macro, span: machinery::Span) -> Result<Macro> {
        let without_default = definition.args.len() - definition.defaults.len();
        let parameters = definition.args.iter().enumerate().map(|(index, name)| {
            let default = index.checked_sub(without_default).and_then(|index| definition.defaults.get(index));
            Ok((variable(name)?, default.map(|default| self.node(default)).transpose()?))
        });
        let _ = span;
        let body = format!("{:?}", definition.body);
        Ok(Macro {
            name: definition.name.into(),
            parameters: parameters.collect::<Result<_>>()?,
            body: self.statements(&definition.body)?,
            takes_varargs: body.contains("\"varargs\""),
            takes_kwargs: body.contains("\"kwargs\""),
        })
    }
}

fn variable(node: &ast::Expr) -> Result<Arc<str>> {
    match node {
        ast::Expr::Var(var) => Ok(var.id.into()),
        _ => Err(Error::syntax("expected a name")),
    }
}

fn target(node: &ast::Expr) -> Result<Target> {
    match node {
        ast::Expr::Var(var) => Ok(Target::Name(var.id.into())),
        ast::Expr::GetAttr(attribute) => Ok(Target::Attribute(variable(&attribute.expr)?, attribute.name.into())),
        ast::Expr::List(list) => list.items.iter().map(target).collect::<Result<_>>().map(Target::Tuple),
        ast::Expr::Tuple(tuple) => tuple.items.iter().map(target).collect::<Result<_>>().map(Target::Tuple),
        other => Err(Error::syntax(format!("cannot assign to {}", other.description()))),
    }
}

/// A filter's or test's name without `ansible.builtin.`.
pub fn short_name(name: &str) -> Arc<str> {
    name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name).into()
}

fn constant_value(value: &minijinja::Value) -> Result<Value> {
    use minijinja::value::ValueKind;
    Ok(match value.kind() {
        ValueKind::None | ValueKind::Undefined => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => {
            if value.is_integer() {
                Value::Int(i64::try_from(value.clone()).map_err(|_| Error::syntax(format!("the integer {value} is too large")))?)
            } else {
                Value::Float(f64::try_from(value.clone()).map_err(|_| Error::syntax(format!("malformed number {value}")))?)
            }
        }
        ValueKind::String => Value::text(value.as_str().unwrap_or_default()),
        ValueKind::Seq => Value::list(
            value.try_iter().map_err(|error| Error::syntax(error.to_string()))?.map(|item| constant_value(&item)).collect::<Result<_>>()?,
        ),
        ValueKind::Map => {
            let mut map = Map::new();
            for key in value.try_iter().map_err(|error| Error::syntax(error.to_string()))? {
                let item = value.get_item(&key).map_err(|error| Error::syntax(error.to_string()))?;
                let key = Key::from_value(&constant_value(&key)?).ok_or_else(|| Error::syntax("unhashable key"))?;
                map.insert(key, constant_value(&item)?);
            }
            Value::map(map)
        }
        other => return Err(Error::syntax(format!("unsupported constant of kind {other}"))),
    })
}

fn newlines<'text>(text: &'text str, sequence: &str) -> Cow<'text, str> {
    if sequence == "\n" && !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    Cow::Owned(if sequence == "\n" { text } else { text.replace('\n', sequence) })
}

/// Rewrites string literals so that minijinja's reading of escapes gives what Python's does.
struct Rewrite<'source> {
    source: &'source str,
    output: String,
    shifts: Vec<(u32, i64)>,
    position: usize,
}

impl Rewrite<'_> {
    fn rest(&self) -> &str {
        &self.source[self.position..]
    }

    fn copy(&mut self, length: usize) {
        let end = self.position + length;
        self.output.push_str(&self.source[self.position..end]);
        self.position = end;
    }

    fn template(&mut self, options: &Options) {
        while !self.rest().is_empty() {
            let rest = self.rest();
            let starts = [(&options.variable_start_string, 0), (&options.block_start_string, 1), (&options.comment_start_string, 2)];
            let next = starts
                .iter()
                .filter_map(|(start, which)| rest.find(start.as_str()).map(|position| (position, usize::MAX - start.len(), *which)))
                .min();
            let Some((position, length, which)) = next else {
                self.copy(rest.len());
                return;
            };
            let length = usize::MAX - length;
            self.copy(position + length);
            match which {
                0 => self.code(Some(&options.variable_end_string), options.escape_backslashes),
                1 => {
                    let word = self.rest().trim_start_matches(['-', '+']).trim_start();
                    if word.starts_with("raw") && !word[3..].starts_with(|next: char| next.is_alphanumeric() || next == '_') {
                        let end = self
                            .rest()
                            .find(options.block_end_string.as_str())
                            .map_or(self.rest().len(), |end| end + options.block_end_string.len());
                        self.copy(end);
                        if options.trim_blocks
                            && self.rest().starts_with('\n')
                            && !self.output.ends_with(&format!("-{}", options.block_end_string))
                        {
                            // minijinja drops the line break after `raw`, Jinja2 does not.
                            self.output.push('\n');
                            self.shifts.push((self.output.len() as u32, self.position as i64 - self.output.len() as i64));
                        }
                        let end = self.rest().find("endraw").unwrap_or(self.rest().len());
                        self.copy(end);
                    }
                    self.code(Some(&options.block_end_string), false);
                }
                _ => {
                    let end = self.rest().find(options.comment_end_string.as_str()).unwrap_or(self.rest().len());
                    self.copy(end);
                }
            }
        }
    }

    /// Copies code up to and with `end`, rewriting the strings inside.
    fn code(&mut self, end: Option<&str>, raw: bool) {
        let mut depth = 0usize;
        while let Some(next) = self.rest().chars().next() {
            if depth == 0 && end.is_some_and(|end| self.rest().starts_with(end)) {
                self.copy(end.map_or(0, str::len));
                return;
            }
            match next {
                '\'' | '"' => {
                    let Some(length) = string_length(self.rest(), next) else {
                        self.copy(self.rest().len());
                        return;
                    };
                    let content = &self.source[self.position + 1..self.position + length - 1];
                    if content.contains('\\') {
                        let value = if raw { content.to_owned() } else { unescape(content) };
                        self.output.push(next);
                        for letter in value.chars() {
                            if letter == '\\' || letter == next {
                                self.output.push('\\');
                            }
                            self.output.push(letter);
                        }
                        self.output.push(next);
                        self.position += length;
                        self.shifts.push((self.output.len() as u32, self.position as i64 - self.output.len() as i64));
                    } else {
                        self.copy(length);
                    }
                    continue;
                }
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.copy(next.len_utf8());
        }
    }
}

/// Bytes of the string literal that starts the text, with its quotes; `None` where it does not end.
fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (offset, letter) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == quote {
            return Some(offset + 1);
        }
    }
    None
}

/// Python's escapes in a string literal (its `unicode-escape` codec).
fn unescape(content: &str) -> String {
    let mut output = String::with_capacity(content.len());
    let mut letters = content.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            output.push(letter);
            continue;
        }
        let Some(kind) = letters.next() else {
            output.push('\\');
            break;
        };
        let mut code = |length: usize| -> Option<char> {
            let digits: String = letters.clone().take(length).collect();
            let found = (digits.len() == length).then(|| u32::from_str_radix(&digits, 16).ok()).flatten().and_then(char::from_u32)?;
            letters.nth(length - 1);
            Some(found)
        };
        match kind {
            '\n' => {}
            '\\' | '\'' | '"' => output.push(kind),
            'a' => output.push('\u{7}'),
            'b' => output.push('\u{8}'),
            'f' => output.push('\u{c}'),
            'n' => output.push('\n'),
            'r' => output.push('\r'),
            't' => output.push('\t'),
            'v' => output.push('\u{b}'),
            'x' | 'u' | 'U' => {
                let length = match kind {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                match code(length) {
                    Some(letter) => output.push(letter),
                    None => output.extend(['\\', kind]),
                }
            }
            '0'..='7' => {
                let mut number = kind.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = letters.peek().and_then(|next| next.to_digit(8)) else { break };
                    number = number * 8 + digit;
                    letters.next();
                }
                output.extend(char::from_u32(number));
            }
            other => output.extend(['\\', other]),
        }
    }
    output
}
