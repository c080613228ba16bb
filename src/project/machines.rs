//! The machines file (`vms/dev.yaml`): read with places, checked by `vm::machines`, and as hosts of the inventory.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use super::Files;
use super::inventory::Extra;
use crate::program::{Layer, Span, Tree, Value, Variable};
use crate::source::{Diagnostic, Keys, Node, NodeKind};
use crate::vm::machines::{Declared, DeclaredMachine, Defaults, Field, Machines, Memory, Mistake, NodeName, Place, ProviderKind};
use crate::vm::{Image, Network};

const FILE: [&str; 3] = ["networks", "defaults", "machines"];
const DEFAULTS: [&str; 5] = ["image", "cpus", "memory", "groups", "provider"];
const MACHINE: [&str; 7] = ["address", "count", "image", "cpus", "memory", "groups", "provider"];

/// A machines file that was read and checked.
#[derive(Clone, Debug)]
pub struct MachinesFile {
    pub machines: Machines,
    /// Each machine as a host of the inventory: `ansible_host` is its address; `machine_cpus` and `machine_memory_mb` are what the
    /// file gives a machine that is made here (a container sees more).
    pub hosts: Vec<Extra>,
}

/// Reads the file; `None` after a mistake.
pub(super) fn read(files: &mut Files, path: &Path) -> Option<MachinesFile> {
    let document = files.own_yaml(path)?;
    let before = files.diagnostics.clone();
    let file = Keys::new(&document.node, "a machines file", &FILE, &mut files.diagnostics);
    let mut reader = Reader { files, ok: true };
    let networks = reader.networks(&file);
    let defaults = file.get("defaults");
    let declared_defaults = defaults.map(|node| reader.defaults(node, "`defaults`", &DEFAULTS)).unwrap_or_default();
    let mut declared = Declared { networks, defaults: declared_defaults, machines: Vec::new() };
    let mut nodes: Vec<(&Node, &Node)> = Vec::new();
    match file.get("machines").map(|machines| (&machines.kind, machines)) {
        Some((NodeKind::Map(entries), _)) => {
            for (key, body) in entries {
                if let Some(machine) = reader.machine(key, body) {
                    declared.machines.push(machine);
                    nodes.push((key, body));
                }
            }
        }
        Some((_, other)) => reader.mistake(
            Diagnostic::at(other, format!("`machines` is a mapping of names, this is {}", other.describe()))
                .hint("write `control: {address: 192.168.60.2}` for each"),
        ),
        None => {}
    }
    // A machine that could not be read must not make others wrong ("no machine is named").
    let readable = reader.ok && before.iter().count() == reader.files.diagnostics.iter().count();
    let machines = match Machines::check(&declared) {
        Ok(machines) => machines,
        Err(mistakes) => {
            for mistake in mistakes {
                if mistake.place != Place::Machines || readable {
                    let diagnostic = placed(&mistake, &document.node, &nodes, document.file);
                    files.diagnostics.push(diagnostic);
                }
            }
            return None;
        }
    };
    if !readable {
        return None;
    }
    let origin = files.name(path);
    let hosts = machines.iter().map(|machine| {
        let (key, body) = nodes[machine.entry];
        let span = body.get("address").map_or(key.span, |address| address.span);
        let variable = |name: &str, value: Value| Variable { name: name.into(), value: Arc::new(Tree::Literal(value)), span };
        let mut variables = vec![variable("ansible_host", Value::text(machine.address.to_string()))];
        if machine.provider != ProviderKind::Existing {
            variables.push(variable("machine_cpus", Value::Int(machine.cpus.into())));
            variables.push(variable("machine_memory_mb", Value::Int((machine.memory.0 >> 20) as i64)));
        }
        let groups = body.get("groups").or_else(|| document.node.get("defaults").and_then(|defaults| defaults.get("groups")));
        let place =
            |name: &str| groups.into_iter().flat_map(Node::items).find(|item| item.text() == Some(name)).map_or(key.span, |item| item.span);
        Extra {
            name: machine.name.to_string(),
            span: key.span,
            groups: machine.groups.iter().map(|group| (group.clone(), place(group))).collect(),
            vars: Layer { origin: origin.as_str().into(), variables },
        }
    });
    let hosts = hosts.collect();
    Some(MachinesFile { machines, hosts })
}

struct Reader<'files> {
    files: &'files mut Files,
    ok: bool,
}

impl Reader<'_> {
    fn mistake(&mut self, diagnostic: Diagnostic) {
        self.ok = false;
        self.files.diagnostics.push(diagnostic);
    }

    fn networks(&mut self, file: &Keys) -> Vec<Network> {
        let mut networks = Vec::new();
        for (text, node) in file.texts("networks", &mut self.files.diagnostics).unwrap_or_default() {
            match text.parse() {
                Ok(network) => networks.push(network),
                Err(phrase) => self.mistake(Diagnostic::at(node, phrase)),
            }
        }
        networks
    }

    fn defaults(&mut self, node: &Node, what: &str, known: &[&str]) -> Defaults {
        let diagnostics = &mut self.files.diagnostics;
        let keys = Keys::new(node, what, known, diagnostics);
        Defaults {
            image: keys.text("image", diagnostics).map(str::to_owned),
            cpus: keys.whole("cpus", diagnostics),
            memory: keys.parsed("memory", str::parse::<Memory>, diagnostics),
            groups: keys.texts("groups", diagnostics).map(|groups| groups.into_iter().map(|(group, _)| group.to_owned()).collect()),
            provider: keys.parsed("provider", str::parse::<ProviderKind>, diagnostics),
        }
    }

    fn machine(&mut self, key: &Node, body: &Node) -> Option<DeclaredMachine> {
        let name = key.text().unwrap_or_default();
        let what = format!("machine `{name}`");
        let own = self.defaults(body, &what, &MACHINE);
        let diagnostics = &mut self.files.diagnostics;
        let keys = Keys::new(body, &what, &MACHINE, diagnostics);
        let count = keys.whole("count", diagnostics);
        let written = keys.get("address").is_some();
        let address =
            keys.parsed("address", |text| text.parse::<Ipv4Addr>().map_err(|_| format!("`{text}` is no IPv4 address")), diagnostics);
        match NodeName::try_from(name) {
            Ok(_) if body.as_map().is_none() && !body.is_null() => None,
            // An address that is no address was told; "no address" would be a second sentence for it.
            Ok(_) if written && address.is_none() => None,
            Ok(name) => Some(DeclaredMachine { name, count, address, own }),
            Err(phrase) => {
                self.mistake(Diagnostic::at(key, phrase));
                None
            }
        }
    }
}

/// A mistake of the check with the place that the reader knows.
fn placed(mistake: &Mistake, file: &Node, machines: &[(&Node, &Node)], index: u32) -> Diagnostic {
    let whole = |node: Option<&Node>| node.map_or((Span { file: index, line: 0, column: 0 }, 0), |node| (node.span, node.width));
    let node = match mistake.place {
        Place::Network(number) => file.get("networks").and_then(|networks| networks.items().get(number)),
        Place::Machines => file.entry("machines").map(|(key, _)| key),
        Place::Machine(number, field) => machines.get(number).map(|(key, body)| body.get(key_of(field)).unwrap_or(key)),
        Place::Defaults(field) => file.get("defaults").and_then(|defaults| defaults.get(key_of(field))),
    };
    let (span, width) = whole(node);
    let mut diagnostic = Diagnostic::error(&mistake.message, span, width);
    diagnostic.label.clone_from(&mistake.help);
    if matches!(mistake.place, Place::Machine(_, Field::Image) | Place::Defaults(Field::Image))
        && let Some(text) = node.and_then(Node::text)
    {
        diagnostic = diagnostic.suggest(text, Image::NAMES);
    }
    // The other machine of a pair.
    if let Place::Machine(number, Field::Address) = mistake.place
        && mistake.message.contains("same address")
        && let Some((key, body)) = machines[..number].iter().find(|(key, _)| key.text().is_some_and(|name| names(&mistake.message, name)))
    {
        let other = body.get("address").unwrap_or(key);
        diagnostic = diagnostic.other(other.span, other.width, format!("`{}` has it", key.text().unwrap_or_default()));
    }
    diagnostic
}

/// Whether a message speaks of the machine, or of one that `count` made of it.
fn names(message: &str, name: &str) -> bool {
    message.contains(&format!("machines `{name}`")) || message.contains(&format!("machines `{name}-"))
}

fn key_of(field: Field) -> &'static str {
    match field {
        Field::Name => "",
        Field::Address => "address",
        Field::Count => "count",
        Field::Cpus => "cpus",
        Field::Memory => "memory",
        Field::Image => "image",
    }
}
