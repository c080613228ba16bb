//! A YAML document as the user wrote it: every scalar with its text, style, tag and place.

use std::sync::Arc;

use super::{Diagnostic, Diagnostics, resolve};
use crate::program::{Key, Map, Span, Template, Text, Tree, Value};

/// A node of a user's YAML, anchors and merge keys resolved, types not yet.
#[derive(Clone, Debug)]
pub struct Node {
    /// The first character.
    pub span: Span,
    /// Characters of the first line that an error underlines.
    pub width: u32,
    /// `!vault`, `!unsafe`; YAML's own as `!!str`.
    pub tag: Option<Arc<str>>,
    pub kind: NodeKind,
}

#[derive(Clone, Debug)]
pub enum NodeKind {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the file's order; duplicates were reported (the last value holds).
    Map(Vec<(Node, Node)>),
}

#[derive(Clone, Debug)]
pub struct Scalar {
    pub text: Arc<str>,
    /// Not quoted, not a block scalar: subject to YAML 1.1 typing (`yes`, `0644`, `1_000`, `~`), as Ansible reads it.
    pub plain: bool,
    /// Where the content starts (after a quote, or on a block scalar's first line), for places inside templates.
    pub content: Span,
    /// For a block scalar: the indentation of its lines; the column of `content` is one more. 0 for other styles.
    pub indent: u32,
}

/// Opens `!vault` texts; made by `project::vault`.
pub trait Opener {
    /// The plain text, or why not.
    fn open(&self, ciphertext: &str) -> Result<String, Refusal>;
}

/// Why a vault text could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A lowercase phrase: `decrypt this value: no vault password was given`.
    pub message: String,
    pub hint: Option<String>,
}

/// An [`Opener`] without passwords: each `!vault` is a mistake.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sealed;

impl Opener for Sealed {
    fn open(&self, _: &str) -> Result<String, Refusal> {
        Err(Refusal { message: "an encrypted value cannot be used here".to_owned(), hint: None })
    }
}

/// How [`Node::tree`] reads.
#[derive(Clone, Copy)]
pub struct Reading<'opener> {
    pub opener: &'opener dyn Opener,
    /// The whole file was encrypted: every text is secret.
    pub secret: bool,
}

impl<'opener> Reading<'opener> {
    pub fn new(opener: &'opener dyn Opener) -> Self {
        Self { opener, secret: false }
    }
}

impl Node {
    /// The text of a scalar, whatever its type.
    pub fn text(&self) -> Option<&str> {
        self.scalar().map(|scalar| &*scalar.text)
    }

    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            NodeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            NodeKind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping; nothing for anything else.
    pub fn entries(&self) -> impl Iterator<Item = (&Node, &Node)> {
        self.as_map().unwrap_or_default().iter().map(|(key, value)| (key, value))
    }

    /// The value of a mapping's key, compared by the key's text.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value of a mapping, by the key's text.
    pub fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        self.entries().find(|(name, _)| name.text() == Some(key))
    }

    /// `~`, `null` or nothing at all.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some() && matches!(self.value(), Value::Null)
    }

    /// One item of a list, or the node itself where it is no list: many keys take either. Null is no item.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            NodeKind::List(items) => items,
            _ if self.is_null() => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// Whether the text holds Jinja2 (and is not `!unsafe`).
    pub fn is_template(&self) -> bool {
        !self.is_tagged("!unsafe") && self.text().is_some_and(has_template)
    }

    pub fn is_tagged(&self, tag: &str) -> bool {
        self.tag.as_deref() == Some(tag)
    }

    /// `!vault`, and its old name.
    pub fn is_vault(&self) -> bool {
        self.is_tagged("!vault") || self.is_tagged("!vault-encrypted")
    }

    /// What it is, for "expected a list, found a mapping".
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a mapping",
            NodeKind::Scalar(_) => match self.value() {
                Value::Null => "nothing",
                Value::Bool(_) => "a truth value",
                Value::Int(_) | Value::Float(_) => "a number",
                _ => "a text",
            },
        }
    }

    /// The value, scalars typed as PyYAML (YAML 1.1) types them; templates and vault texts stay texts.
    pub fn value(&self) -> Value {
        match &self.kind {
            NodeKind::Scalar(scalar) => resolve::scalar(scalar, self.tag.as_deref()),
            NodeKind::List(items) => Value::list(items.iter().map(Node::value).collect()),
            NodeKind::Map(entries) => {
                Value::map(entries.iter().filter_map(|(key, value)| Some((key.key()?, value.value()))).collect::<Map>())
            }
        }
    }

    /// The node as a mapping's key; `None` for what Python cannot hash.
    pub fn key(&self) -> Option<Key> {
        self.scalar()?;
        let value = self.value();
        // A float is a key of its own in Python; as text it reads the same.
        Key::from_value(&value).or_else(|| self.text().map(Key::from))
    }

    /// The node as a program carries it: texts with Jinja2 are templates, `!vault` texts are opened and secret.
    pub fn tree(&self, reading: Reading, diagnostics: &mut Diagnostics) -> Tree {
        self.read(reading, !self.is_tagged("!unsafe"), diagnostics).folded()
    }

    fn read(&self, reading: Reading, trusted: bool, diagnostics: &mut Diagnostics) -> Tree {
        let trusted = trusted && !self.is_tagged("!unsafe");
        match &self.kind {
            NodeKind::Scalar(scalar) if self.is_vault() => self.opened(scalar, reading, diagnostics),
            NodeKind::Scalar(scalar) if trusted && has_template(&scalar.text) => template(scalar),
            NodeKind::Scalar(_) if reading.secret => Tree::Literal(self.value().into_secret()),
            NodeKind::Scalar(_) => Tree::Literal(self.value()),
            _ if self.is_vault() => {
                diagnostics.push(Diagnostic::at(self, format!("the `!vault` tag takes an encrypted text, this is {}", self.describe())));
                Tree::Literal(Value::Null)
            }
            NodeKind::List(items) => Tree::List(items.iter().map(|item| item.read(reading, trusted, diagnostics)).collect()),
            NodeKind::Map(entries) => Tree::Map(
                entries
                    .iter()
                    .filter_map(|(key, value)| Some((Tree::Literal(key.key()?.value()), value.read(reading, trusted, diagnostics))))
                    .collect(),
            ),
        }
    }

    fn opened(&self, scalar: &Scalar, reading: Reading, diagnostics: &mut Diagnostics) -> Tree {
        match reading.opener.open(&scalar.text) {
            Ok(text) => Tree::Literal(Value::Text(Text::secret(text))),
            Err(refusal) => {
                let mut diagnostic = Diagnostic::at(self, refusal.message);
                diagnostic.hint = refusal.hint;
                diagnostics.push(diagnostic);
                Tree::Literal(Value::Null)
            }
        }
    }

    /// The scalar as a bare Jinja2 expression (`when:`); typed literals stay what they are. `None` for lists and mappings.
    pub fn expression(&self) -> Option<Tree> {
        let scalar = self.scalar()?;
        Some(match self.value() {
            Value::Text(_) => Tree::Expression(Template { source: Arc::clone(&scalar.text), span: scalar.content }),
            other => Tree::Literal(other),
        })
    }
}

fn template(scalar: &Scalar) -> Tree {
    Tree::Template(Template { source: Arc::clone(&scalar.text), span: scalar.content })
}

/// Whether a text holds Jinja2.
pub fn has_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}
