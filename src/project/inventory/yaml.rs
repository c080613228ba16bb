//! Inventories in YAML, and what inventory scripts print.

use std::path::Path;
use std::sync::Arc;

use super::graph::{Graph, Owner};
use super::{address, ini};
use crate::program::Variable;
use crate::project::Files;
use crate::source::{Diagnostic, Node, NodeKind};

const SECTIONS: [&str; 3] = ["hosts", "vars", "children"];

/// Adds the groups of a YAML inventory: top-level keys are groups.
pub(super) fn read(graph: &mut Graph, files: &mut Files, path: &Path, node: &Node, secret: bool) {
    let origin = files.name(path);
    let mut reader = Reader { graph, files, path, origin: &origin, secret };
    for (key, value) in node.entries() {
        reader.group(key, value);
    }
}

struct Reader<'out> {
    graph: &'out mut Graph,
    files: &'out mut Files,
    path: &'out Path,
    origin: &'out str,
    secret: bool,
}

impl Reader<'_> {
    fn mistake(&mut self, diagnostic: Diagnostic) {
        self.files.diagnostics.push(diagnostic);
    }

    fn group(&mut self, key: &Node, body: &Node) {
        let name = key.text().unwrap_or_default();
        if SECTIONS.contains(&name) && !body.entries().any(|(key, _)| key.text().is_some_and(|key| SECTIONS.contains(&key))) {
            self.mistake(Diagnostic::at(key, format!("`{name}` stands outside of a group")).label("put it below a group, such as `all`"));
            return;
        }
        if body.as_map().is_none() && !body.is_null() {
            self.mistake(Diagnostic::at(
                body,
                format!("a group is a mapping of `hosts`, `vars` and `children`, this is {}", body.describe()),
            ));
            return;
        }
        self.graph.add_group(name, key.span);
        for (section, content) in body.entries() {
            match section.text().unwrap_or_default() {
                "hosts" => self.named(content, |reader, host, variables| reader.host(name, host, variables)),
                "children" => self.named(content, |reader, child, body| {
                    reader.group(child, body);
                    let below = child.text().unwrap_or_default();
                    if reader.graph.has_group(below)
                        && let Err(diagnostic) = reader.graph.add_child(name, below, child.span, child.width)
                    {
                        reader.mistake(*diagnostic);
                    }
                }),
                "vars" => self.named(content, |reader, key, value| {
                    let variable = reader.variable(key, value);
                    if let Some(diagnostic) = ini::bad_priority(&variable) {
                        reader.mistake(diagnostic);
                    }
                    reader.graph.set(Owner::Group(name), reader.origin, variable);
                }),
                other => {
                    let mistake = Diagnostic::at(section, format!("unknown key `{other}` in the group `{name}`"));
                    let hint = format!("a group below it stands in `children:`, a host in `hosts:`, a variable in `vars:` of `{name}`");
                    // Ansible skips it and says so.
                    self.mistake(mistake.suggest(other, SECTIONS).hint(hint).as_warning());
                }
            }
        }
    }

    /// Each entry of a section; a lone text stands for a name with nothing below it.
    fn named(&mut self, content: &Node, mut each: impl FnMut(&mut Self, &Node, &Node)) {
        match &content.kind {
            NodeKind::Map(entries) => entries.iter().for_each(|(key, value)| each(self, key, value)),
            NodeKind::Scalar(_) if content.is_null() => {}
            NodeKind::Scalar(scalar) => {
                let nothing = Node {
                    kind: NodeKind::Scalar(crate::source::Scalar { text: "".into(), plain: true, ..scalar.clone() }),
                    ..content.clone()
                };
                each(self, content, &nothing);
            }
            NodeKind::List(_) => {
                let mistake = Diagnostic::at(content, "a mapping of names is expected, this is a list")
                    .hint("write `name:` on each line instead of `- name`");
                self.mistake(mistake);
            }
        }
    }

    fn host(&mut self, group: &str, key: &Node, variables: &Node) {
        let written = key.text().unwrap_or_default();
        if !matches!(key.value(), crate::program::Value::Text(_)) {
            self.mistake(
                Diagnostic::at(key, format!("the host name `{written}` is not read as a text")).label(format!("write \"{written}\"")),
            );
            return;
        }
        let (names, port) = match address::expand(written) {
            Ok(expanded) => expanded,
            Err(phrase) => return self.mistake(Diagnostic::at(key, phrase)),
        };
        for name in &names {
            self.graph.add_host(name, group, port, key.span, Some(self.path));
        }
        if variables.as_map().is_none() && !variables.is_null() {
            self.mistake(Diagnostic::at(
                variables,
                format!("the variables of `{written}` must be a mapping, this is {}", variables.describe()),
            ));
            return;
        }
        for (key, value) in variables.entries() {
            let variable = self.variable(key, value);
            for name in &names {
                self.graph.set(Owner::Host(name), self.origin, variable.clone());
            }
        }
    }

    fn variable(&mut self, key: &Node, value: &Node) -> Variable {
        let tree = self.files.tree(value, self.secret);
        Variable { name: key.text().unwrap_or_default().into(), value: Arc::new(tree), span: key.span }
    }
}

/// Adds what an inventory script printed for `--list`: groups with lists of hosts, and `_meta.hostvars`.
pub(super) fn read_script(graph: &mut Graph, files: &mut Files, path: &Path, node: &Node) {
    let origin = files.name(path);
    let mut reader = Reader { graph, files, path, origin: &origin, secret: false };
    for (key, body) in node.entries().filter(|(key, _)| key.text() != Some("_meta")) {
        let name = key.text().unwrap_or_default();
        reader.graph.add_group(name, key.span);
        let hosts = match &body.kind {
            NodeKind::List(_) => Some(body),
            _ => body.get("hosts"),
        };
        for host in hosts.and_then(Node::as_list).unwrap_or_default() {
            reader.graph.add_host(host.text().unwrap_or_default(), name, None, host.span, Some(path));
        }
        for (key, value) in body.get("vars").into_iter().flat_map(Node::entries) {
            let variable = reader.variable(key, value);
            reader.graph.set(Owner::Group(name), reader.origin, variable);
        }
        for child in body.get("children").and_then(Node::as_list).unwrap_or_default() {
            let below = child.text().unwrap_or_default();
            reader.graph.add_group(below, child.span);
            if let Err(diagnostic) = reader.graph.add_child(name, below, child.span, child.width) {
                reader.mistake(*diagnostic);
            }
        }
    }
    for (host, variables) in node.get("_meta").and_then(|meta| meta.get("hostvars")).into_iter().flat_map(Node::entries) {
        let name = host.text().unwrap_or_default();
        if reader.graph.has_host(name) {
            for (key, value) in variables.entries() {
                let variable = reader.variable(key, value);
                reader.graph.set(Owner::Host(name), reader.origin, variable);
            }
        }
    }
}
