//! A lookup's terms as trees: what names a file.

use std::sync::Arc;

use minijinja::machinery::ast::BinOpKind;

use crate::program::{Span, Template, Tree, Value};
use crate::template::syntax::{Kind, Node};

/// A term as a tree: constants, texts joined with `~` or `+`, lists and mappings of these; anything else is a hole.
pub fn term(node: &Node, place: &dyn Fn(&Node) -> Span) -> Tree {
    let template = |source: Arc<str>| Tree::Template(Template { source, span: place(node) });
    match &node.kind {
        Kind::Const(value) => Tree::Literal(value.clone()),
        Kind::Name(name) => template(format!("{{{{ {name} }}}}").into()),
        Kind::Embedded(text) => template(Arc::clone(text)),
        Kind::List(items) | Kind::Tuple(items) => Tree::List(items.iter().map(|item| term(item, place)).collect()),
        Kind::Map(entries) => Tree::Map(entries.iter().map(|(key, value)| (term(key, place), term(value, place))).collect()),
        Kind::Binary(BinOpKind::Concat | BinOpKind::Add, ..) => {
            let mut text = String::new();
            pieces(node, &mut text);
            template(text.into())
        }
        _ => template("{{ }}".into()),
    }
}

fn pieces(node: &Node, text: &mut String) {
    match &node.kind {
        Kind::Const(Value::Text(part)) => text.push_str(part.as_str()),
        Kind::Name(name) => text.push_str(&format!("{{{{ {name} }}}}")),
        Kind::Binary(BinOpKind::Concat | BinOpKind::Add, left, right) => {
            pieces(left, text);
            pieces(right, text);
        }
        _ => text.push_str("{{ }}"),
    }
}

/// A text constant.
pub fn literal(node: &Node) -> Option<Arc<str>> {
    match &node.kind {
        Kind::Const(Value::Text(text)) => Some(text.shared()),
        _ => None,
    }
}
