//! Names that a text sets itself, and names that are known to be defined where a walk stands.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::machinery::ast::{BinOpKind, CompareOpKind};

use super::terms::literal;
use crate::template::syntax::{Kind, Node, Statement, Target};

pub type Names = BTreeSet<Arc<str>>;

/// What a name is where it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A variable, if one is there.
    Free,
    /// The text's own, or a variable: a branch that may not have run has set it, or it is set before a macro is called.
    Perhaps,
    /// The text's own.
    Surely,
}

#[derive(Default)]
struct Frame {
    surely: Names,
    perhaps: Names,
    /// What is set anywhere in the frame: a macro that is called later sees it.
    sooner_or_later: Names,
}

#[derive(Default)]
pub struct Scopes {
    frames: Vec<Frame>,
    guards: Vec<Names>,
    /// Whether the walk is inside of something that runs later.
    postponed: usize,
    /// All names that were ever set.
    pub ever: Names,
}

impl Scopes {
    pub fn bound(&self, name: &str) -> Bound {
        for frame in self.frames.iter().rev() {
            if frame.surely.contains(name) {
                return Bound::Surely;
            }
            if frame.perhaps.contains(name) || (self.postponed > 0 && frame.sooner_or_later.contains(name)) {
                return Bound::Perhaps;
            }
        }
        Bound::Free
    }

    pub fn bind(&mut self, name: &Arc<str>) {
        self.ever.insert(Arc::clone(name));
        if let Some(frame) = self.frames.last_mut() {
            frame.surely.insert(Arc::clone(name));
        }
    }

    pub fn assign(&mut self, target: &Target) {
        names_of(target).iter().for_each(|name| self.bind(name));
    }

    /// A frame of its own for a body.
    pub fn open(&mut self, body: &[Statement]) {
        let mut sooner_or_later = Names::new();
        set_by(body, &mut sooner_or_later);
        self.frames.push(Frame { sooner_or_later, ..Frame::default() });
    }

    pub fn close(&mut self) {
        self.frames.pop();
    }

    /// What follows runs later, when it is called.
    pub fn postpone(&mut self) {
        self.postponed += 1;
    }

    pub fn catch_up(&mut self) {
        self.postponed -= 1;
    }

    pub fn guard(&mut self, names: Names) {
        self.guards.push(names);
    }

    pub fn unguard(&mut self) {
        self.guards.pop();
    }

    pub fn is_guarded(&self, name: &str) -> bool {
        self.guards.iter().any(|names| names.contains(name))
    }

    /// What is surely set at the start of a branch, to be given to [`Scopes::join`].
    pub fn branch(&self) -> Names {
        self.frames.last().map(|frame| frame.surely.clone()).unwrap_or_default()
    }

    /// Ends a branch: the next one starts as this one did. Returns what this one has set.
    pub fn other_branch(&mut self, start: &Names) -> Names {
        self.frames.last_mut().map(|frame| std::mem::replace(&mut frame.surely, start.clone())).unwrap_or_default()
    }

    /// After both branches: what one of them has set is set perhaps.
    pub fn join(&mut self, first: &Names) {
        if let Some(frame) = self.frames.last_mut() {
            frame.perhaps.extend(first.symmetric_difference(&frame.surely).cloned());
            frame.surely.retain(|name| first.contains(name));
        }
    }
}

fn names_of(target: &Target) -> Vec<Arc<str>> {
    match target {
        Target::Name(name) => vec![Arc::clone(name)],
        Target::Attribute(..) => Vec::new(),
        Target::Tuple(targets) => targets.iter().flat_map(names_of).collect(),
    }
}

/// What statements set in the frame that they stand in.
fn set_by(statements: &[Statement], names: &mut Names) {
    for statement in statements {
        match statement {
            Statement::Set(target, _) | Statement::SetBlock(target, ..) => names.extend(names_of(target)),
            Statement::If { then, otherwise, .. } => {
                set_by(then, names);
                set_by(otherwise, names);
            }
            Statement::Import(_, alias) => names.extend([Arc::clone(alias)]),
            Statement::FromImport(_, imported) => names.extend(imported.iter().map(|(_, alias)| Arc::clone(alias))),
            Statement::Macro(definition) => names.extend([Arc::clone(&definition.name)]),
            _ => {}
        }
    }
}

/// The names that are defined if the node's truth is `holds`.
pub fn defined_if(node: &Node, holds: bool) -> Names {
    match &node.kind {
        Kind::Test { name, input, .. } if (&**name == "defined" && holds) || (&**name == "undefined" && !holds) => {
            root(input).into_iter().cloned().collect()
        }
        Kind::Not(inner) => defined_if(inner, !holds),
        Kind::Binary(BinOpKind::ScAnd | BinOpKind::ScOr, left, right) => {
            let all = matches!(node.kind, Kind::Binary(BinOpKind::ScAnd, ..)) == holds;
            let (left, right) = (defined_if(left, holds), defined_if(right, holds));
            if all { left.union(&right).cloned().collect() } else { left.intersection(&right).cloned().collect() }
        }
        _ => coped_with(node),
    }
}

/// Names that a condition copes with being undefined, by `default` or by `'name' in vars`: what depends on it does too.
fn coped_with(node: &Node) -> Names {
    match &node.kind {
        Kind::Filter { name, input: Some(input), .. } if matches!(&**name, "default" | "d") => root(input).into_iter().cloned().collect(),
        Kind::Filter { input: Some(input), .. } | Kind::Test { input, .. } | Kind::Not(input) => coped_with(input),
        Kind::Attribute(of, _) | Kind::Item(of, _) => coped_with(of),
        Kind::Compare(first, rest) => {
            let named = in_vars(node).into_iter();
            named.chain([&**first].into_iter().chain(rest.iter().map(|(_, next)| next)).flat_map(coped_with)).collect()
        }
        Kind::Binary(_, left, right) => in_vars(node).into_iter().chain(coped_with(left)).chain(coped_with(right)).collect(),
        _ => Names::new(),
    }
}

/// The name of `'name' in vars`, and of `'name' not in vars`.
pub fn in_vars(node: &Node) -> Option<Arc<str>> {
    let (name, of) = match &node.kind {
        Kind::Binary(BinOpKind::In, name, of) => (&**name, &**of),
        Kind::Compare(name, rest) => match rest.as_slice() {
            [(CompareOpKind::In | CompareOpKind::NotIn, of)] => (&**name, of),
            _ => return None,
        },
        _ => return None,
    };
    matches!(&of.kind, Kind::Name(of) if &**of == "vars").then(|| literal(name)).flatten()
}

/// The name at the root of `name.member[key]`, through filters that hand undefined values on.
pub fn root(node: &Node) -> Option<&Arc<str>> {
    match &node.kind {
        Kind::Name(name) => Some(name),
        Kind::Attribute(base, _) | Kind::Item(base, _) => root(base),
        Kind::Filter { input: Some(input), .. } => root(input),
        _ => None,
    }
}
