//! Variables by their names in `hostvars`, in `vars` and in lookups.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::scopes::Bound;
use super::terms::{literal, term};
use super::walk::Walk;
use super::{HostRead, Lookup, Unknown, lookup_names};
use crate::program::{Template, Tree, Value};
use crate::template::syntax::{self, Argument, Kind, Node};

/// `.name` or `[key]`.
#[derive(Clone, Copy)]
pub enum Member<'node> {
    Name(&'node Arc<str>),
    Item(&'node Node),
}

impl Member<'_> {
    fn literal(self) -> Option<Arc<str>> {
        match self {
            Member::Name(name) => Some(Arc::clone(name)),
            Member::Item(node) => literal(node),
        }
    }
}

pub fn parts(node: &Node) -> Option<(&Node, Member<'_>)> {
    match &node.kind {
        Kind::Attribute(of, name) => Some((of, Member::Name(name))),
        Kind::Item(of, key) => Some((of, Member::Item(key))),
        _ => None,
    }
}

pub fn positional(arguments: &[Argument]) -> Vec<&Node> {
    arguments.iter().filter_map(|argument| if let Argument::Positional(node) = argument { Some(node) } else { None }).collect()
}

impl Walk<'_> {
    /// The name of the engine's, not one that the text sets.
    pub fn is_global(&self, node: &Node, name: &str) -> bool {
        matches!(&node.kind, Kind::Name(found) if **found == *name) && self.scopes.bound(name) == Bound::Free
    }

    /// `hostvars['x'].y`, `vars['y']`, or any other member.
    pub fn member(&mut self, node: &Node, of: &Node, key: Member<'_>, guarded: bool) {
        if self.is_global(of, "hostvars") {
            return self.host(node, key, None);
        }
        if self.is_global(of, "vars") {
            match key.literal() {
                Some(name) => self.read_variable(&name, node.at, guarded),
                None => self.reads.everything = true,
            }
            return self.key(key);
        }
        if let Some((inner, host)) = parts(of)
            && self.is_global(inner, "hostvars")
        {
            self.host(node, host, Some(key));
            return self.key(key);
        }
        self.node(of, guarded);
        self.key(key);
    }

    /// `vars.get('y')`, `hostvars[h].get('y')`: says whether it is one.
    pub fn got(&mut self, node: &Node, of: &Node, name: &Arc<str>) -> bool {
        if self.is_global(of, "vars") {
            self.read_variable(name, node.at, true);
            return true;
        }
        match parts(of) {
            Some((inner, host)) if self.is_global(inner, "hostvars") => {
                self.host(node, host, Some(Member::Name(name)));
                true
            }
            _ => false,
        }
    }

    fn key(&mut self, key: Member<'_>) {
        if let Member::Item(node) = key {
            self.node(node, false);
        }
    }

    fn host(&mut self, node: &Node, host: Member<'_>, variable: Option<Member<'_>>) {
        let variable = variable.and_then(Member::literal);
        // `hostvars[inventory_hostname]` is this host itself.
        let own = matches!(host, Member::Item(key) if self.is_global(key, "inventory_hostname"));
        match variable {
            Some(name) if own => self.read_variable(&name, node.at, true),
            None if own => self.reads.everything = true,
            variable => self.reads.hosts.push(HostRead { host: host.literal(), variable }),
        }
        self.key(host);
    }

    /// `host | extract(hostvars, 'name')`, `hosts | map('extract', hostvars, 'name')`: how many positional arguments are done by it.
    pub fn extracted(&mut self, input: Option<&Node>, positional: &[&Node], mapped: bool) -> usize {
        let first = usize::from(mapped);
        if !positional.get(first).is_some_and(|node| self.is_global(node, "hostvars")) {
            return 0;
        }
        let variable = positional.get(first + 1).and_then(|node| match &node.kind {
            Kind::List(path) => path.first().and_then(literal),
            _ => literal(node),
        });
        let host = if mapped { None } else { input.and_then(literal) };
        self.reads.hosts.push(HostRead { host, variable });
        first + 1
    }

    pub fn lookup(&mut self, node: &Node, arguments: &[Argument], guarded: bool) {
        self.named_lookup(node, arguments, guarded);
        let before = std::mem::replace(&mut self.embedded, true);
        self.arguments(arguments, false);
        self.embedded = before;
    }

    fn named_lookup(&mut self, node: &Node, arguments: &[Argument], guarded: bool) {
        let positional: Vec<&Node> = positional(arguments);
        let Some(plugin) = positional.first().and_then(|node| literal(node)) else {
            self.reads.everything = true;
            return;
        };
        let short = syntax::short_name(&plugin);
        if !lookup_names().any(|name| name == &*short) {
            let at = self.byte(positional[0].at);
            self.reads.unknown.push(Unknown { name: plugin, at });
            return;
        }
        match &*short {
            "vars" => {
                let defaults = |argument: &Argument| matches!(argument, Argument::Named(name, _) if &**name == "default");
                let guarded = guarded || arguments.iter().any(defaults);
                for term in &positional[1..] {
                    match literal(term) {
                        Some(name) => self.read_variable(&name, term.at, guarded),
                        None => self.reads.everything = true,
                    }
                }
                self.reads.everything |= arguments.iter().any(|argument| matches!(argument, Argument::Spread(_)));
            }
            "varnames" => self.reads.everything = true,
            _ => {
                for argument in arguments {
                    if let Argument::Named(name, node) = argument
                        && &**name == "template_vars"
                    {
                        given(node, &mut self.reads.tested);
                    }
                }
                let place = |node: &Node| self.span(node);
                let mut terms: Vec<Tree> = positional[1..].iter().map(|node| term(node, &place)).collect();
                for argument in arguments {
                    if let Argument::Named(name, node) = argument
                        && (matches!(&**name, "files" | "paths") || (&**name == "file" && matches!(&*short, "csvfile" | "ini")))
                    {
                        terms.push(Tree::Map(vec![(Tree::Literal(Value::text(Arc::clone(name))), term(node, &place))]));
                    }
                }
                let span = self.span(node);
                if arguments.iter().any(|argument| matches!(argument, Argument::Spread(_))) {
                    // Terms that nothing is known of.
                    terms.push(Tree::Template(Template { source: "{{ }}".into(), span }));
                }
                self.reads.lookups.push(Lookup { plugin: short, terms, optional: false, span });
            }
        }
    }
}

/// Names that a mapping gives to a template, as far as they are written out: `{'a': 1}`, `dict(a=1)`, and these with `combine`.
fn given(node: &Node, names: &mut BTreeSet<Arc<str>>) {
    let mut of_arguments = |arguments: &[Argument]| {
        for argument in arguments {
            match argument {
                Argument::Named(name, _) => {
                    names.insert(Arc::clone(name));
                }
                Argument::Positional(node) => given(node, names),
                _ => {}
            }
        }
    };
    match &node.kind {
        Kind::Map(entries) => names.extend(entries.iter().filter_map(|(key, _)| literal(key))),
        Kind::Call(callee, arguments) if matches!(&callee.kind, Kind::Name(name) if &**name == "dict") => of_arguments(arguments),
        Kind::Filter { input, arguments, .. } => {
            of_arguments(arguments);
            input.iter().for_each(|input| given(input, names));
        }
        _ => {}
    }
}
